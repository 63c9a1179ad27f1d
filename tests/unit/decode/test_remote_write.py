"""Prometheus remote write, 1.0 and 2.0: what is read, and what is rejected for which reason."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protobuf_writer import (
    NAN_BITS,
    STALE_BITS,
    double,
    field,
    histogram,
    integer,
    label,
    message,
    metadata_1,
    request_2,
    sample,
    series_1,
    snappy,
    text,
    varint,
)

from monitor.decode.record import DEFAULT_LIMITS, Limits, Record
from monitor.decode.remote_write import decode_remote_write
from monitor.sample import Kind, SeriesTable, is_stale

TIME = 1_700_000_000_000
UP = {"__name__": "up", "instance": "a:9100", "job": "node"}
UP_TEXT = 'up{instance="a:9100",job="node"}'
VERSION_2 = (("Content-Type", b"application/x-protobuf;proto=io.prometheus.write.v2.Request"),)


def read(*requests, headers=(), limits=DEFAULT_LIMITS, compressed=False, table=None):
    """Decode requests; give the samples as `(series, time_ms, value)`, and the rejections by reason."""
    table = SeriesTable() if table is None else table
    records = [Record(request if compressed else snappy(request), -1, headers) for request in requests]
    decoded = decode_remote_write(records, table, limits)
    columns = decoded.columns
    rows = zip(columns.series.tolist(), columns.time_ms.tolist(), columns.value.tolist(), strict=True)
    return [(str(table[number]), time_ms, value) for number, time_ms, value in rows], decoded.rejected


def read_2(*series, **options):
    return read(request_2(*series), headers=VERSION_2, **options)


def kinds(request, headers=()):
    """Give the kind of each series by its name."""
    table = SeriesTable()
    read(request, headers=headers, table=table)
    return {table[number].name: table[number].kind for number in range(len(table))}


# 1.0


def test_a_request_gives_each_series_its_samples():
    load = {"__name__": "load", "job": "node"}
    request = series_1(UP, sample(1.0, TIME), sample(0.5, TIME + 15_000)) + series_1(load, sample(2.5, TIME))

    assert read(request) == (
        [(UP_TEXT, TIME, 1.0), (UP_TEXT, TIME + 15_000, 0.5), ('load{job="node"}', TIME, 2.5)],
        {},
    )


def test_a_value_of_zero_has_no_bytes():
    assert read(series_1(UP, sample(0.0, TIME), sample(1.0, TIME + 1))) == (
        [(UP_TEXT, TIME, 0.0), (UP_TEXT, TIME + 1, 1.0)],
        {},
    )


def test_a_sample_without_any_bytes_is_zero_at_the_epoch():
    assert read(series_1(UP, message(2))) == ([(UP_TEXT, 0, 0.0)], {})


def test_a_value_without_a_time_is_at_the_epoch():
    assert read(series_1(UP, sample(0.25, 0))) == ([(UP_TEXT, 0, 0.25)], {})


@pytest.mark.parametrize(
    "swapped",
    [
        message(2, integer(2, TIME), double(1, 0.5)),
        message(2, double(1, 0.5), integer(3, 7), integer(2, TIME)),
        message(2, double(1, 9.0), double(1, 0.5), integer(2, TIME)),
        message(2, double(1, 0.5), text(15, "x" * 200), integer(2, TIME)),
    ],
    ids=["time first", "an unknown field", "a value twice: the last stands", "long"],
)
def test_fields_of_a_sample_may_stand_in_any_order(swapped):
    assert read(series_1(UP, swapped)) == ([(UP_TEXT, TIME, 0.5)], {})


def test_labels_behind_the_samples_belong_to_the_series_too():
    first, *others = [label(name, value) for name, value in UP.items()]
    request = message(1, first, sample(0.5, TIME), *others, sample(0.75, TIME + 1))

    assert read(request) == ([(UP_TEXT, TIME, 0.5), (UP_TEXT, TIME + 1, 0.75)], {})


def test_a_series_is_known_again_in_other_requests_and_in_another_order():
    table = SeriesTable()
    turned = dict(reversed(UP.items()))
    requests = [
        series_1(UP, sample(1.0, TIME)),
        series_1(turned, sample(2.0, TIME + 1)),
        series_1(UP, sample(3.0, TIME + 2)),
    ]

    rows, _ = read(*requests, table=table)

    assert [value for _, _, value in rows] == [1.0, 2.0, 3.0]
    assert len(table) == 1


def test_labels_hold_any_text():
    labels = {"__name__": "requests", "path": "/café", "quoted": 'a"b\\c', "empty": ""}
    table = SeriesTable()

    read(series_1(labels, sample(1.0, TIME)), table=table)

    assert table[0].labels == (("path", "/café"), ("quoted", 'a"b\\c'))


def test_long_labels_and_samples_are_read():
    long = "x" * 300
    labels = {"__name__": "m", "a": long, "b": "c"}

    (row,), rejected = read(series_1(labels, sample(1.0, TIME)))

    assert row == (f'm{{a="{long}",b="c"}}', TIME, 1.0)
    assert rejected == {}


@pytest.mark.parametrize(
    "request_",
    [b"", metadata_1("up", 2), series_1({}), series_1(UP)],
    ids=["nothing", "metadata", "no labels", "no samples"],
)
def test_a_request_without_samples_is_valid(request_):
    assert read(request_) == ([], {})


def test_one_byte_is_snappy_of_nothing():
    assert read(b"\x00", compressed=True) == ([], {})


def test_metadata_between_series_holds_no_sample():
    request = metadata_1("up", 2) + series_1(UP, sample(1.0, TIME)) + metadata_1("load", 2)

    assert read(request) == ([(UP_TEXT, TIME, 1.0)], {})


def test_a_stale_marker_is_told_from_other_gaps_by_its_bits():
    table = SeriesTable()
    written = [STALE_BITS, NAN_BITS, math.inf, -math.inf, 0x7FF0000000000001, 1.0]
    request = series_1(UP, *(sample(value, TIME + at) for at, value in enumerate(written)))

    value = decode_remote_write([Record(snappy(request))], table).columns.value

    assert is_stale(value).tolist() == [True, False, False, False, False, False]
    assert np.isnan(value).tolist() == [True, True, True, True, True, False]


# Native histograms


@pytest.mark.parametrize(("number", "version"), [(4, 1), (3, 2)])
def test_a_native_histogram_gives_its_count_and_its_sum(number, version):
    points = [
        histogram(number, TIME, count=7, total=1.5),
        histogram(number, TIME + 1, float_count=2.5, total=-3.0),
        histogram(number, TIME + 2),
    ]
    labels = {"__name__": "latency", "job": "api"}
    expected = [
        ('latency_count{job="api"}', TIME, 7.0),
        ('latency_sum{job="api"}', TIME, 1.5),
        ('latency_count{job="api"}', TIME + 1, 2.5),
        ('latency_sum{job="api"}', TIME + 1, -3.0),
        ('latency_count{job="api"}', TIME + 2, 0.0),
        ('latency_sum{job="api"}', TIME + 2, 0.0),
    ]

    decoded = read(series_1(labels, *points)) if version == 1 else read_2((labels, points, 3))

    assert decoded == (expected, {})


def test_the_end_of_a_native_histogram_ends_both_its_series():
    request = series_1(
        UP, histogram(4, TIME, total=STALE_BITS), histogram(4, TIME + 1, count=3, total=NAN_BITS)
    )

    value = decode_remote_write([Record(snappy(request))], SeriesTable()).columns.value

    assert is_stale(value).tolist() == [True, True, False, False]
    assert value[2] == 3.0
    assert math.isnan(value[3])


def test_a_gauge_histogram_counts_nothing_up():
    request = series_1({"__name__": "a"}, histogram(4, TIME, count=1)) + series_1(
        {"__name__": "b"}, histogram(4, TIME, count=1, hint=3)
    )

    assert kinds(request) == {
        "a_count": Kind.COUNTER,
        "a_sum": Kind.COUNTER,
        "b_count": Kind.GAUGE,
        "b_sum": Kind.GAUGE,
    }


# Kinds


def test_without_a_type_the_suffix_total_and_a_buckets_bound_tell_a_counter():
    names = ["a_total", "a", "a_count", "a_bucket"]
    request = b"".join(series_1({"__name__": name}, sample(1.0, TIME)) for name in names)
    request += series_1({"__name__": "b_bucket", "le": "0.5"}, sample(1.0, TIME))

    assert kinds(request) == {
        "a_total": Kind.COUNTER,
        "a": Kind.GAUGE,
        "a_count": Kind.GAUGE,
        "a_bucket": Kind.GAUGE,
        "b_bucket": Kind.COUNTER,
    }


def test_a_type_goes_before_the_suffix():
    def series(name, metric_type):
        return {"__name__": name}, [sample(1.0, TIME)], metric_type

    request = request_2(
        series("plain", 1),
        series("gauge_total", 2),
        series("h_bucket", 3),
        series("h_count", 3),
        series("h_sum", 3),
        series("s_sum", 5),
        series("s", 5),
        series("g_count", 4),
        series("untyped_total", 0),
        series("bare_total", None),
        series("info", 6),
    )

    kind_of = kinds(request, VERSION_2)

    assert {name for name, kind in kind_of.items() if kind == Kind.COUNTER} == {
        "plain", "h_bucket", "h_count", "h_sum", "s_sum", "untyped_total", "bare_total",
    }  # fmt: skip
    assert len(kind_of) == 11


# 2.0


def test_labels_of_the_second_version_refer_to_symbols():
    rows, rejected = read_2(
        (UP, [sample(1.0, TIME)], 2), ({"__name__": "up", "job": "a:9100"}, [sample(0.0, TIME)], 2)
    )

    assert rows == [(UP_TEXT, TIME, 1.0), ('up{job="a:9100"}', TIME, 0.0)]
    assert rejected == {}


def test_equal_references_into_other_symbols_are_other_series():
    request = request_2(({"__name__": "up", "job": "a"}, [sample(1.0, TIME)], None))
    other = request_2(({"__name__": "up", "job": "b"}, [sample(2.0, TIME)], None))

    rows, _ = read(request, other, request, headers=VERSION_2)

    assert [name for name, _, _ in rows] == ['up{job="a"}', 'up{job="b"}', 'up{job="a"}']


def test_symbol_tables_with_equal_bytes_and_other_borders_are_told_apart():
    # "up" "__name__" with its frame inside the first symbol, and as two symbols of their own.
    joined = text(4, "__name__" + '"\x02up') + text(4, "x")
    parted = text(4, "__name__") + text(4, "up") + text(4, "x")
    series = message(5, field(1, 2, bytes([0, 1])), sample(1.0, TIME))

    _, rejected = read(joined + series, headers=VERSION_2)
    rows, _ = read(parted + series, headers=VERSION_2)
    both, both_rejected = read(parted + series, joined + series, headers=VERSION_2)

    assert rejected == both_rejected == {"wrong_schema": 1}
    assert rows == both == [("up", TIME, 1.0)]


def test_symbols_may_stand_behind_the_series():
    symbols = b"".join(text(4, word) for word in ("", "__name__", "up"))
    series = message(5, field(1, 2, bytes([1, 2])), sample(1.0, TIME))

    assert read(series + symbols, headers=VERSION_2) == ([("up", TIME, 1.0)], {})


def test_references_may_be_written_one_by_one():
    symbols = b"".join(text(4, word) for word in ("", "__name__", "up"))
    series = message(5, integer(1, 1), integer(1, 2), sample(1.0, TIME))

    assert read(symbols + series, headers=VERSION_2) == ([("up", TIME, 1.0)], {})


@pytest.mark.parametrize(
    ("references", "detail"),
    [
        (bytes([1, 3]), "symbol 3 of 3"),
        (varint(1) + varint(1 << 40), "symbol 1099511627776 of 3"),
        (bytes([1, 2, 0]), "3 references"),
    ],
)
def test_references_that_lead_nowhere_reject_their_series_alone(references, detail):
    symbols = b"".join(text(4, word) for word in ("", "__name__", "up"))
    bad = message(5, field(1, 2, references), sample(1.0, TIME))
    good = message(5, field(1, 2, bytes([1, 2])), sample(2.0, TIME))

    decoded = decode_remote_write([Record(snappy(symbols + bad + good), -1, VERSION_2)], SeriesTable())

    assert decoded.columns.value.tolist() == [2.0]
    assert decoded.rejected == {"wrong_schema": 1}
    assert detail in decoded.rejections[0].detail


# Versions

ONE = series_1(UP, sample(1.0, TIME))
TWO = request_2((UP, [sample(1.0, TIME)], None))


@pytest.mark.parametrize(
    ("request_", "headers"),
    [
        (ONE, {}),
        (ONE, {"Content-Type": "application/x-protobuf"}),
        (ONE, {"X-Prometheus-Remote-Write-Version": "0.1.0"}),
        (
            ONE,
            {
                "content-type": "application/x-protobuf;proto=prometheus.WriteRequest",
                "x-prometheus-remote-write-version": "2.0.0",
            },
        ),
        (TWO, {"CONTENT-TYPE": 'application/x-protobuf; proto="io.prometheus.write.v2.Request"'}),
        (TWO, {"x-prometheus-remote-write-version": "2.0.0"}),
        (
            TWO,
            {
                "content-type": "application/x-protobuf",
                "X-Prometheus-Remote-Write-Version": "2.0.0",
                "content-encoding": "Snappy",
            },
        ),
        (
            TWO,
            {
                "content-type": "application/x-protobuf;proto=io.prometheus.write.v2.Request;x=y",
                "user-agent": "Prometheus/3",
            },
        ),
    ],
)
def test_headers_tell_the_version_and_without_them_it_is_the_first(request_, headers):
    assert read(request_, headers=tuple((name, value.encode()) for name, value in headers.items())) == (
        [(UP_TEXT, TIME, 1.0)],
        {},
    )


@pytest.mark.parametrize(("request_", "headers"), [(TWO, ()), (ONE, VERSION_2)])
def test_a_request_of_the_other_version_is_rejected_rather_than_taken_as_empty(request_, headers):
    assert read(request_, headers=headers) == ([], {"wrong_schema": 1})


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("Content-Encoding", b"zstd", "wrong_encoding"),
        ("Content-Type", b"application/x-protobuf;proto=some.Other", "wrong_schema"),
        ("X-Prometheus-Remote-Write-Version", b"3.0.0", "wrong_schema"),
        ("X-Prometheus-Remote-Write-Version", b"\xff", "wrong_schema"),
    ],
)
def test_headers_that_promise_something_else_reject_a_request(name, value, reason):
    assert read(ONE, headers=((name, value),)) == ([], {reason: 1})


# Bad input


def test_a_bad_time_rejects_its_sample_alone():
    times = [TIME, -1, 253_402_300_800_000, TIME + 1, -(1 << 63), (1 << 63) - 1]
    request = series_1(UP, *(sample(0.5, time_ms) for time_ms in times))

    assert read(request) == ([(UP_TEXT, TIME, 0.5), (UP_TEXT, TIME + 1, 0.5)], {"bad_time": 4})


def test_a_bad_time_rejects_its_histogram_alone():
    request = series_1(UP, histogram(4, -5, count=1), histogram(4, TIME, count=2))

    rows, rejected = read(request)

    assert [value for _, _, value in rows] == [2.0, 0.0]
    assert rejected == {"bad_time": 1}


BAD_SERIES = [
    pytest.param(series_1({"job": "a"}, sample(1.0, TIME)), "wrong_schema", id="no name"),
    pytest.param(series_1({}, sample(1.0, TIME)), "wrong_schema", id="no labels"),
    pytest.param(series_1({"__name__": ""}, sample(1.0, TIME)), "wrong_schema", id="an empty name"),
    pytest.param(
        series_1({"__name__": "a", "": "b"}, sample(1.0, TIME)), "bad_label", id="an empty label name"
    ),
    pytest.param(
        series_1([("__name__", "a"), ("b", "c"), ("b", "d")], sample(1.0, TIME)),
        "duplicate_label",
        id="a label twice",
    ),
    pytest.param(
        series_1([("__name__", "a"), ("__name__", "b")], sample(1.0, TIME)), "duplicate_label", id="two names"
    ),
    pytest.param(
        series_1({"__name__": "a", "b": b"\xff\xfe"}, sample(1.0, TIME)), "invalid_utf8", id="no UTF-8"
    ),
    pytest.param(
        series_1({"__name__": "a", "b": b"\xed\xa0\x80"}, sample(1.0, TIME)),
        "invalid_utf8",
        id="a lone surrogate",
    ),
    pytest.param(
        series_1({"__name__": "a", "b": "x" * (1 << 20)}, sample(1.0, TIME)),
        "label_too_long",
        id="a label of 1 MB",
    ),
    pytest.param(series_1({"__name__": "n" * 20_000}, sample(1.0, TIME)), "label_too_long", id="a long name"),
    pytest.param(
        series_1({"__name__": "a", "": "b"}, histogram(4, TIME, count=1)),
        "bad_label",
        id="a histogram's labels",
    ),
    pytest.param(
        message(1, label("__name__", "a"), field(2, 2, b"\x09\x01")), "invalid_protobuf", id="a value cut off"
    ),
    pytest.param(
        message(1, label("__name__", "a"), field(2, 2, b"\x10")), "invalid_protobuf", id="a time cut off"
    ),
    pytest.param(message(1, label("__name__", "a"), b"\x12"), "invalid_protobuf", id="no length of a sample"),
    pytest.param(
        message(1, label("__name__", "a"), b"\x12\x7f\x09"),
        "invalid_protobuf",
        id="a sample that is too long",
    ),
    pytest.param(message(1, b"\x0a"), "invalid_protobuf", id="no length of a label"),
    pytest.param(message(1, b"\x0a\x7fab"), "invalid_protobuf", id="a label that is too long"),
    pytest.param(
        message(1, b"\x0a" + b"\xff" * 11), "invalid_protobuf", id="a length of more than ten bytes"
    ),
    pytest.param(message(1, integer(1, 5)), "invalid_protobuf", id="a number for a label"),
    pytest.param(
        message(1, label("__name__", "a"), message(2, text(1, "x"))),
        "invalid_protobuf",
        id="text for a value",
    ),
    pytest.param(message(1, label("__name__", "a"), b"\x1b"), "invalid_protobuf", id="a group"),
    pytest.param(
        message(1, message(1, integer(1, 7)), sample(1.0, TIME)),
        "invalid_protobuf",
        id="a number for a label's name",
    ),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_SERIES)
def test_a_bad_series_is_rejected_alone_and_counted_under_its_reason(bad, reason):
    table = SeriesTable()

    assert read(ONE + bad + ONE, table=table) == ([(UP_TEXT, TIME, 1.0)] * 2, {reason: 1})
    assert len(table) == 1


@pytest.mark.parametrize("bad", [b"\x12", b"\xff\xff\xff\xff", b"\x0a\x7f", bytes([1 << 3 | 3]), b"garbage"])
def test_what_stands_before_garbage_is_kept(bad):
    rows, rejected = read(ONE + bad)

    assert rows == [(UP_TEXT, TIME, 1.0)]
    assert rejected == {"invalid_protobuf": 1}


@pytest.mark.parametrize("bad", [b"\xff\xff\xff\xff", b"\x2a\x7f"])
def test_what_stands_before_garbage_is_kept_in_the_second_version_too(bad):
    assert read(TWO + bad, headers=VERSION_2) == ([(UP_TEXT, TIME, 1.0)], {"invalid_protobuf": 1})


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"", "invalid_snappy"),
        (b"\xff", "invalid_snappy"),
        (b"\xff" * 11, "invalid_snappy"),
        (b"plainly no snappy", "invalid_snappy"),
        (snappy(ONE)[:-5], "invalid_snappy"),
        (snappy(ONE) + b"x", "invalid_snappy"),
        (b"\xff\x06\x00\x00sNaPpY" + bytes(60), "invalid_snappy"),
        (varint(100) + b"\x00", "invalid_snappy"),
        (varint(1 << 24) + snappy(ONE)[1:], "invalid_snappy"),
        (varint((1 << 24) + 1) + snappy(ONE)[1:], "too_large"),
        (varint(1 << 31) + snappy(ONE)[1:], "too_large"),
        (varint(1 << 40) + snappy(ONE)[1:], "too_large"),
        (varint((1 << 64) - 1), "too_large"),
    ],
)
def test_a_block_that_is_no_snappy_or_promises_too_much_is_rejected(block, reason):
    assert read(block, compressed=True) == ([], {reason: 1})


def test_the_stream_format_of_snappy_is_told_by_name():
    decoded = decode_remote_write([Record(b"\xff\x06\x00\x00sNaPpY" + bytes(60))], SeriesTable())

    assert "stream format, expected a single block" in decoded.rejections[0].detail


def test_the_largest_record_is_a_setting():
    request = series_1({"__name__": "a", "b": "x" * 2000}, sample(1.0, TIME))

    assert read(request, limits=Limits(max_record_bytes=len(request)))[1] == {}
    assert read(request, limits=Limits(max_record_bytes=len(request) - 1))[1] == {"too_large": 1}
    assert read(b"x" * 50, limits=Limits(max_record_bytes=49), compressed=True)[1] == {"too_large": 1}


def test_good_requests_around_a_bad_one_are_kept_with_its_place():
    records = [Record(snappy(ONE)), Record(b"no"), Record(snappy(ONE))]

    decoded = decode_remote_write(records, SeriesTable())

    assert len(decoded.columns) == 2
    assert [(rejection.index, rejection.reason) for rejection in decoded.rejections] == [
        (1, "invalid_snappy")
    ]


def test_many_bad_parts_of_a_record_are_one_rejection_with_their_number():
    decoded = decode_remote_write([Record(snappy(series_1({}, sample(1.0, TIME)) * 1000))], SeriesTable())

    (rejection,) = decoded.rejections
    assert (rejection.index, rejection.reason, rejection.n_parts) == (0, "wrong_schema", 1000)


# Anything

NAMES = st.text(min_size=1, max_size=3)
SAMPLES = st.lists(
    st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 253_370_764_800_000)),
    max_size=4,
)
SERIES = st.lists(st.tuples(NAMES, st.dictionaries(NAMES, NAMES, max_size=3), SAMPLES), max_size=4)


@settings(deadline=None, max_examples=100)
@given(series=SERIES)
def test_whatever_is_written_is_read_by_both_versions(series):
    written = [
        ({"__name__": name, **labels}, [sample(value, time_ms) for value, time_ms in points])
        for name, labels, points in series
    ]
    tables = [SeriesTable(), SeriesTable()]

    first = read(b"".join(series_1(labels, *points) for labels, points in written), table=tables[0])
    second = read(
        request_2(*((labels, points, None) for labels, points in written)), headers=VERSION_2, table=tables[1]
    )

    assert first == second
    assert first[1] == {}
    assert [(time_ms, value) for _, time_ms, value in first[0]] == [
        (time_ms, struct.unpack("<d", struct.pack("<d", value))[0])
        for _, _, points in series
        for value, time_ms in points
    ]


def test_native_histograms_are_counted_and_those_of_a_rejected_series_are_not():
    whole = series_1(UP, histogram(4, TIME, count=1, total=2.0), histogram(4, TIME + 1, count=1, total=2.0))
    nameless = series_1({"job": "node"}, histogram(4, TIME, count=1, total=2.0))

    decoded = decode_remote_write([Record(snappy(whole + nameless))], SeriesTable())

    assert decoded.n_histograms == 2
    assert len(decoded.columns) == 4
    assert decoded.rejected
