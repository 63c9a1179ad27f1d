"""Telegraf's JSON, alone and in batches."""

import json

import pytest

from monitor.decode.telegraf import decode_telegraf_json

TIME = 1_700_000_000


def metric(**changed):
    """Write a good metric, some of its keys changed; None leaves one out."""
    keys = {
        "fields": {"usage_idle": 97.5},
        "name": "cpu",
        "tags": {"host": "web1"},
        "timestamp": TIME,
        **changed,
    }
    return json.dumps({key: value for key, value in keys.items() if value is not None}) + "\n"


def batch(*metrics):
    return '{"metrics":[' + ",".join(metrics) + "]}"


def test_every_field_is_a_sample_named_after_metric_and_field(read):
    got = read(decode_telegraf_json, metric(fields={"usage_idle": 97.5, "processes": 42}))

    assert got.samples == [
        ('cpu_usage_idle{host="web1"}', TIME * 1000, 97.5),
        ('cpu_processes{host="web1"}', TIME * 1000, 42.0),
    ]
    assert got.rejected == {}


def test_booleans_are_numbers_text_is_passed_over_and_null_a_gap(read):
    got = read(
        decode_telegraf_json,
        metric(fields={"ok": True, "off": False, "note": 'with "quotes"', "empty": None, "huge": 10**30}),
    )

    assert [(name.partition("{")[0], value) for name, _, value in got.samples] == [
        ("cpu_ok", 1.0), ("cpu_off", 0.0), ("cpu_empty", None), ("cpu_huge", 1e30),
    ]  # fmt: skip
    assert got.rejected == {}


def test_a_metric_of_nothing_but_text_is_read_and_holds_no_sample(read):
    got = read(decode_telegraf_json, metric(fields={"uptime_format": " 0:20"}))

    assert (got.samples, got.rejected) == ([], {})


def test_names_and_tags_stay_as_sent(read):
    got = read(
        decode_telegraf_json,
        metric(name="odd name", tags={"tag one": "a,b", "uni": "café", "empty": ""}, fields={"field 1": 1}),
    )

    assert got.table[0].name == "odd name_field 1"
    assert got.table[0].labels == (("tag one", "a,b"), ("uni", "café"))


@pytest.mark.parametrize("time", [TIME, TIME * 1000, TIME * 10**6, TIME * 10**9, "2023-11-14T22:13:20Z"])
def test_times_come_in_any_unit_or_as_text(read, time):
    assert read(decode_telegraf_json, metric(timestamp=time)).samples[0][1] == TIME * 1000


def test_a_configured_unit_is_not_guessed(read):
    assert read(decode_telegraf_json, metric(timestamp=TIME), time_unit="ms").samples[0][1] == TIME


def test_a_batch_is_read_and_a_bad_metric_of_it_rejected_alone(read):
    got = read(
        decode_telegraf_json,
        batch(metric(), metric(timestamp=-1), "3", metric(fields={"usage_idle": 2}), metric(tags={"": "x"})),
    )

    assert [value for _, _, value in got.samples] == [97.5, 2.0]
    assert got.rejected == {"bad_time": 1, "wrong_schema": 1, "bad_label": 1}


def test_an_empty_batch_is_read(read):
    assert read(decode_telegraf_json, batch()).rejected == {}


def test_a_field_that_is_a_list_is_rejected_and_the_others_kept(read):
    got = read(decode_telegraf_json, metric(fields={"a": 1, "b": [1], "c": {"d": 1}, "e": 2}))

    assert [value for _, _, value in got.samples] == [1.0, 2.0]
    assert got.rejected == {"wrong_schema": 2}
    assert len(got.series) == 2


BAD = [
    pytest.param("", "invalid_json", id="nothing"),
    pytest.param(metric()[:-9], "invalid_json", id="cut off"),
    pytest.param(metric() + "{", "invalid_json", id="garbage behind"),
    pytest.param(b"\xff\xfe", "invalid_json", id="no text"),
    pytest.param("[" * 100_000, "invalid_json", id="nested too deep"),
    pytest.param(metric(tags={"host": "\ud800"}), "invalid_json", id="half a character"),
    pytest.param("[]", "wrong_schema", id="a list"),
    pytest.param("{}", "wrong_schema", id="an empty object"),
    pytest.param(metric(fields=None), "wrong_schema", id="no fields"),
    pytest.param(metric(fields=[1]), "wrong_schema", id="fields a list"),
    pytest.param(metric(name=None), "wrong_schema", id="no name"),
    pytest.param(metric(name=[1]), "wrong_schema", id="a list for a name"),
    pytest.param(metric(tags=[1]), "wrong_schema", id="tags a list"),
    pytest.param(metric(tags={"host": 1}), "wrong_schema", id="a number for a tag"),
    pytest.param(metric(tags={"host": ["web1"]}), "wrong_schema", id="a list for a tag"),
    pytest.param(metric(timestamp=None), "bad_time", id="no time"),
    pytest.param(metric(timestamp="noon"), "bad_time", id="a word for a time"),
    pytest.param(metric(timestamp=-1), "bad_time", id="a time before 1970"),
    pytest.param(metric(timestamp="9999-06-01T00:00:00Z"), "bad_time", id="a time in the year 9999"),
    pytest.param(metric(tags={"": "x"}), "bad_label", id="a tag without a name"),
    pytest.param(metric(tags={"host": "x" * 2**20}), "label_too_long", id="a tag of 1 MB"),
]


@pytest.mark.parametrize(("payload", "reason"), BAD)
def test_a_bad_message_is_rejected_and_counted_under_its_reason(read, payload, reason):
    got = read(decode_telegraf_json, metric(), payload, metric())

    assert got.rejected == {reason: 1}
    assert len(got.samples) == 2
    assert len(got.series) == 1


def test_counters_of_telegraf_s_inputs_are_counters_though_the_format_has_none(read):
    got = read(decode_telegraf_json, metric(name="diskio", fields={"reads": 3, "iops_in_progress": 1}))

    assert got.kinds == {"diskio_reads": "counter", "diskio_iops_in_progress": "gauge"}
