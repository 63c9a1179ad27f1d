"""Barograph's own JSON: what is read, and what is rejected for which reason."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.decode.native import SampleFields, decode_native_columns, decode_native_samples
from monitor.decode.record import Limits, Record
from monitor.sample import Kind, SeriesTable

TIME = 1_700_000_000


def batch(**changed):
    """Write a good columnar batch, some of its fields changed; None leaves one out."""
    fields = {
        "labels": {"host": "web1"},
        "time_ms": [TIME * 1000, TIME * 1000 + 10_000],
        "metrics": {"load": [0.5, 0.75]},
        **changed,
    }
    return Record(json.dumps({key: value for key, value in fields.items() if value is not None}).encode())


def sample(**changed):
    """Write a good single sample, some of its fields changed."""
    return Record(
        json.dumps(
            {"name": "load", "labels": {"host": "web1"}, "time": TIME, "value": 0.5, **changed}
        ).encode()
    )


# Columnar batches


def test_a_batch_gives_each_metric_its_column():
    table = SeriesTable()

    decoded = decode_native_columns(
        [batch(metrics={"load": [0.5, 0.75], "requests_total": [104, 110]})], table
    )

    assert decoded.rejected == {}
    assert [str(table[number]) for number in range(len(table))] == [
        'load{host="web1"}',
        'requests_total{host="web1"}',
    ]
    assert decoded.columns.series.tolist() == [0, 0, 1, 1]
    assert decoded.columns.time_ms.tolist() == [TIME * 1000, TIME * 1000 + 10_000] * 2
    assert decoded.columns.value.tolist() == [0.5, 0.75, 104.0, 110.0]
    assert table[1].kind is Kind.COUNTER


def test_null_in_a_batch_is_a_gap():
    value = decode_native_columns([batch(metrics={"load": [None, 0.75]})], SeriesTable()).columns.value

    assert math.isnan(value[0])
    assert value[1] == 0.75


def test_a_batch_without_labels_has_series_without_labels():
    table = SeriesTable()
    decode_native_columns([batch(labels=None)], table)

    assert str(table[0]) == "load"


def test_a_series_is_numbered_once_however_its_labels_are_ordered():
    table = SeriesTable()
    labels = [
        {"host": "web1", "zone": "a"},
        {"zone": "a", "host": "web1"},
        {"zone": "a", "host": "web1", "pod": ""},
    ]

    batches = decode_native_columns([batch(labels=label_set) for label_set in labels], table)
    samples = decode_native_samples([sample(labels=label_set) for label_set in labels], table)

    assert len(table) == 1
    assert set(batches.columns.series.tolist() + samples.columns.series.tolist()) == {0}


def test_payloads_keep_their_order_and_good_ones_are_kept_around_a_bad_one():
    payloads = [
        batch(metrics={"load": [1, 2]}),
        Record(b"{"),
        batch(metrics={"load": [3, 4]}),
        Record(b"[]"),
        Record(b"}"),
    ]

    decoded = decode_native_columns(payloads, SeriesTable())

    assert decoded.columns.value.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert decoded.rejected == {"invalid_json": 2, "wrong_schema": 1}


BAD_BATCHES = [
    pytest.param(Record(b""), "invalid_json", id="nothing"),
    pytest.param(Record(b'{"time_ms": [1'), "invalid_json", id="torn"),
    pytest.param(Record(b"\xff\xfe"), "invalid_json", id="no text"),
    pytest.param(
        Record(b'{"time_ms": [NaN], "metrics": {"load": [1]}}'), "invalid_json", id="NaN is no JSON"
    ),
    pytest.param(Record(b"[]"), "wrong_schema", id="a list"),
    pytest.param(Record(b"3"), "wrong_schema", id="a number"),
    pytest.param(Record(b"null"), "wrong_schema", id="null"),
    pytest.param(Record(b"{}"), "wrong_schema", id="an empty object"),
    pytest.param(batch(metrics=None), "wrong_schema", id="no metrics"),
    pytest.param(batch(metrics={}), "wrong_schema", id="empty metrics"),
    pytest.param(batch(metrics=[1, 2]), "wrong_schema", id="metrics a list"),
    pytest.param(batch(metrics={"load": 0.5}), "wrong_schema", id="values no list"),
    pytest.param(batch(metrics={"load": [1]}), "wrong_schema", id="fewer values than times"),
    pytest.param(batch(metrics={"load": [1, 2, 3]}), "wrong_schema", id="more values than times"),
    pytest.param(batch(metrics={"a": [1, 2], "b": [1]}), "wrong_schema", id="one metric of two too short"),
    pytest.param(batch(metrics={"load": ["high", "low"]}), "wrong_schema", id="words for values"),
    pytest.param(batch(metrics={"load": ["1.5", "2"]}), "wrong_schema", id="numbers as text"),
    pytest.param(batch(metrics={"load": [None, "2"]}), "wrong_schema", id="a gap and text"),
    pytest.param(batch(metrics={"load": [{}, {}]}), "wrong_schema", id="objects for values"),
    pytest.param(batch(metrics={"load": [[1], 2]}), "wrong_schema", id="ragged values"),
    pytest.param(batch(metrics={"load": [[1.0], [2.0]]}), "wrong_schema", id="lists of one for values"),
    pytest.param(batch(metrics={"load": [[1.0, 2.0], [3.0, 4.0]]}), "wrong_schema", id="a table for values"),
    pytest.param(batch(time_ms=None), "wrong_schema", id="no times"),
    pytest.param(batch(time_ms=TIME), "wrong_schema", id="times no list"),
    pytest.param(batch(time_ms=["noon", "night"]), "wrong_schema", id="words for times"),
    pytest.param(batch(time_ms=[[1], [2]]), "wrong_schema", id="lists for times"),
    pytest.param(batch(time_ms=[None, TIME]), "bad_time", id="a time missing"),
    pytest.param(batch(time_ms=[1e18, 1e18]), "bad_time", id="a time in nanoseconds"),
    pytest.param(batch(time_ms=[-1e18, 0]), "bad_time", id="a time before everything"),
    pytest.param(batch(labels=["host"]), "wrong_schema", id="labels a list"),
    pytest.param(batch(time_ms=[TIME * 1000, 253_370_764_801_000]), "bad_time", id="a time in the year 9999"),
    pytest.param(batch(labels={"": "web1"}), "bad_label", id="a label without a name"),
    pytest.param(batch(labels={"host": "w" * 20_000}), "label_too_long", id="a label of 20 kB"),
    pytest.param(batch(metrics={"": [1, 2]}), "wrong_schema", id="a metric without a name"),
    pytest.param(batch(labels={"host": 1}), "wrong_schema", id="a number for a label"),
    pytest.param(
        Record(b'{"labels": null, "time_ms": [1], "metrics": {"load": [1]}}'),
        "wrong_schema",
        id="labels null",
    ),
]


@pytest.mark.parametrize(("payload", "reason"), BAD_BATCHES)
def test_a_bad_batch_is_rejected_whole_and_counted_under_its_reason(payload, reason):
    table = SeriesTable()

    decoded = decode_native_columns([payload], table)

    assert decoded.rejected == {reason: 1}
    assert len(decoded.columns) == 0
    assert len(table) == 0


def test_truth_is_no_time_in_a_batch():
    assert sum(decode_native_columns([batch(time_ms=[True, False])], SeriesTable()).rejected.values()) == 1


# Single samples


def test_a_sample_has_a_name_labels_a_time_in_seconds_and_a_value():
    table = SeriesTable()

    columns = decode_native_samples([sample(time=TIME + 0.25)], table).columns

    assert str(table[0]) == 'load{host="web1"}'
    assert (columns.series.tolist(), columns.time_ms.tolist(), columns.value.tolist()) == (
        [0],
        [TIME * 1000 + 250],
        [0.5],
    )


def test_null_as_a_value_is_a_gap():
    decoded = decode_native_samples([sample(value=None)], SeriesTable())

    assert decoded.rejected == {}
    assert math.isnan(decoded.columns.value[0])


def test_fields_may_have_other_names_and_times_another_unit():
    table = SeriesTable()
    fields = SampleFields(name="metric", labels="tags", time="ts", value="v", time_unit="ms")
    payload = Record(b'{"metric": "load", "tags": {"host": "web1"}, "ts": 1700000000123, "v": 2}')

    columns = decode_native_samples([payload], table, fields=fields).columns

    assert str(table[0]) == 'load{host="web1"}'
    assert (columns.time_ms.tolist(), columns.value.tolist()) == ([1_700_000_000_123], [2.0])


def test_a_named_unit_is_not_guessed():
    payload = sample(time=TIME * 1000)

    guessed = decode_native_samples([payload], SeriesTable())
    named = decode_native_samples([payload], SeriesTable(), fields=SampleFields(time_unit="s"))

    assert guessed.columns.time_ms.tolist() == [TIME * 1000]
    assert named.rejected == {"bad_time": 1}


def test_a_payload_over_the_limit_is_not_parsed():
    payload = sample()
    at_most = Limits(max_record_bytes=len(payload.value) - 1)

    for decode in (decode_native_columns, decode_native_samples):
        assert decode([payload], SeriesTable(), limits=at_most).rejected == {"too_large": 1}


def test_the_same_series_in_both_formats_has_one_number():
    table = SeriesTable()
    decode_native_columns([batch()], table)

    assert decode_native_samples([sample()], table).columns.series.tolist() == [0]


def test_samples_keep_their_order_and_good_ones_are_kept_around_a_bad_one():
    payloads = [
        sample(value=1),
        sample(value="2"),
        sample(value=3, labels={}),
        Record(b""),
        sample(value=4, time=None),
        sample(value=5),
    ]

    decoded = decode_native_samples(payloads, SeriesTable())

    assert decoded.columns.series.tolist() == [0, 1, 0]
    assert decoded.columns.value.tolist() == [1.0, 3.0, 5.0]
    assert decoded.rejected == {"wrong_schema": 1, "invalid_json": 1, "bad_time": 1}


BAD_SAMPLES = [
    pytest.param(Record(b"{"), "invalid_json", id="torn"),
    pytest.param(Record(b'"load"'), "wrong_schema", id="a word"),
    pytest.param(Record(b'{"labels": {}, "time": 1, "value": 1}'), "wrong_schema", id="no name"),
    pytest.param(sample(name=""), "wrong_schema", id="an empty name"),
    pytest.param(sample(name=3), "wrong_schema", id="a number for a name"),
    pytest.param(sample(name=["load"]), "wrong_schema", id="a list for a name"),
    pytest.param(Record(b'{"name": "load", "time": 1}'), "wrong_schema", id="no value"),
    pytest.param(sample(value="0.5"), "wrong_schema", id="text for a value"),
    pytest.param(sample(value=[0.5]), "wrong_schema", id="a list for a value"),
    pytest.param(sample(labels="host=web1"), "wrong_schema", id="text for labels"),
    pytest.param(sample(labels={"host": None}), "wrong_schema", id="null for a label"),
    pytest.param(sample(labels={"host": ["web1"]}), "wrong_schema", id="a list for a label"),
    pytest.param(Record(b'{"name": "load", "value": 1}'), "bad_time", id="no time"),
    pytest.param(sample(time=None), "bad_time", id="null for a time"),
    pytest.param(sample(time="2026-01-01"), "bad_time", id="text for a time"),
    pytest.param(sample(time=True), "bad_time", id="truth for a time"),
    pytest.param(sample(time=1e300), "bad_time", id="a huge time"),
    pytest.param(sample(time=-1e300), "bad_time", id="a hugely negative time"),
    pytest.param(sample(time=-1), "bad_time", id="a time before 1970"),
    pytest.param(sample(labels={"": "web1"}), "bad_label", id="a label without a name"),
    pytest.param(sample(labels={"host": "w" * 20_000}), "label_too_long", id="a label of 20 kB"),
    pytest.param(sample(name="n" * 20_000), "label_too_long", id="a name of 20 kB"),
    pytest.param(Record(b"[" * 100_000), "invalid_json", id="nested too deep"),
    pytest.param(sample(labels={"host": "\ud800"}), "invalid_json", id="half a character"),
]


@pytest.mark.parametrize(("payload", "reason"), BAD_SAMPLES)
def test_a_bad_sample_is_rejected_and_counted_under_its_reason(payload, reason):
    table = SeriesTable()

    decoded = decode_native_samples([payload], table)

    assert decoded.rejected == {reason: 1}
    assert len(decoded.columns) == 0
    assert len(table) == 0


# Anything


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=4), inside, max_size=3),
    max_leaves=8,
)
NUMBERS = st.lists(st.none() | st.integers(0, 10**12) | JSON, max_size=3)
BATCH_LIKE = st.fixed_dictionaries(
    {},
    optional={
        "labels": JSON,
        "time_ms": NUMBERS,
        "metrics": st.dictionaries(st.text(max_size=4), NUMBERS, max_size=3),
    },
)
SAMPLE_LIKE = st.fixed_dictionaries({}, optional={"name": JSON, "labels": JSON, "time": JSON, "value": JSON})
MESSAGES = JSON | BATCH_LIKE | SAMPLE_LIKE
PAYLOADS = st.lists(
    (st.binary(max_size=40) | MESSAGES.map(lambda message: json.dumps(message).encode())).map(Record),
    max_size=4,
)


@settings(deadline=None, max_examples=100)
@given(payloads=PAYLOADS)
def test_any_payloads_give_parallel_columns_and_are_taken_or_counted(payloads):
    for decode in (decode_native_columns, decode_native_samples):
        decoded = decode(payloads, SeriesTable())
        columns = decoded.columns

        assert columns.series.shape == columns.time_ms.shape == columns.value.shape == (len(columns),)
        assert (columns.series.dtype, columns.time_ms.dtype, columns.value.dtype) == (
            np.int32,
            np.int64,
            np.float64,
        )
        assert sum(decoded.rejected.values()) <= len(payloads)
        if decode is decode_native_samples:
            assert len(columns) + sum(decoded.rejected.values()) == len(payloads)
