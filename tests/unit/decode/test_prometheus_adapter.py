"""prometheus-kafka-adapter's JSON."""

import json

import pytest

from monitor.decode.prometheus_adapter import decode_prometheus_adapter

TIME_MS = 1_700_000_000_000


def message(**changed):
    """Write a good message, some of its keys changed; None leaves one out."""
    keys = {
        "value": "1",
        "timestamp": "2023-11-14T22:13:20Z",
        "name": "up",
        "labels": {"__name__": "up", "job": "api"},
        **changed,
    }
    return json.dumps({key: value for key, value in keys.items() if value is not None})


def test_a_message_is_a_sample_and_the_name_no_label(read):
    got = read(decode_prometheus_adapter, message(value="0.25"))

    assert got.samples == [('up{job="api"}', TIME_MS, 0.25)]


def test_without_a_name_the_label_tells_it(read):
    assert read(decode_prometheus_adapter, message(name=None)).series == ['up{job="api"}']


@pytest.mark.parametrize("text", ["NaN", "+Inf", "-Inf"])
def test_what_is_not_finite_is_a_gap(read, text):
    got = read(decode_prometheus_adapter, message(value=text))

    assert (got.samples, got.rejected) == ([('up{job="api"}', TIME_MS, None)], {})


def test_a_value_may_be_a_number(read):
    assert read(decode_prometheus_adapter, message(value=3)).samples[0][2] == 3.0


BAD = [
    pytest.param(message()[:-1], "invalid_json", id="cut off"),
    pytest.param("[]", "wrong_schema", id="a list"),
    pytest.param(message(value=None), "wrong_schema", id="no value"),
    pytest.param(message(value="high"), "wrong_schema", id="a word for a value"),
    pytest.param(message(value=""), "wrong_schema", id="nothing for a value"),
    pytest.param(message(value=[1]), "wrong_schema", id="a list for a value"),
    pytest.param(message(name=None, labels={"job": "api"}), "wrong_schema", id="no name"),
    pytest.param(message(labels=["job"]), "wrong_schema", id="labels a list"),
    pytest.param(message(labels={"job": 1}), "wrong_schema", id="a number for a label"),
    pytest.param(message(labels={"job": {}}), "wrong_schema", id="an object for a label"),
    pytest.param(message(labels={"": "x"}), "bad_label", id="a label without a name"),
    pytest.param(message(labels={"job": "x" * 2**20}), "label_too_long", id="a label of 1 MB"),
    pytest.param(message(timestamp=None), "bad_time", id="no time"),
    pytest.param(message(timestamp="1969-12-31T23:59:59Z"), "bad_time", id="a time before 1970"),
    pytest.param(message(timestamp="9999-12-31T00:00:00Z"), "bad_time", id="a time in the year 9999"),
]


@pytest.mark.parametrize(("payload", "reason"), BAD)
def test_a_bad_message_is_rejected_and_counted_under_its_reason(read, payload, reason):
    got = read(decode_prometheus_adapter, message(), payload, message())

    assert got.rejected == {reason: 1}
    assert len(got.samples) == 2
    assert len(got.series) == 1
