"""OTLP in protobuf: how it writes things, and what is rejected for which reason."""

import pytest
from otlp_requests import GOOD, NS, TIME, read_proto
from protobuf_writer import (
    attributes,
    double,
    fixed64,
    gauge,
    histogram_metric,
    histogram_point,
    integer,
    message,
    number_point,
    resource_metrics,
    text,
)

from monitor.sample import Kind, SeriesTable


def test_buckets_may_be_written_one_by_one():
    points = [
        histogram_point(NS, 3, sum_=1.0, bounds=(1.0, 2.0), counts=(1, 1, 1), packed=packed)
        for packed in (True, False)
    ]
    packed, parted = (read_proto(resource_metrics({}, histogram_metric("d", point))) for point in points)

    assert len(packed[0]) == 5
    assert packed == parted


def test_attributes_that_join_to_the_same_bytes_are_told_apart():
    whole = message(7, text(1, "a"), message(2, text(1, "b")))
    parted = message(7, text(1, "a")) + message(7, message(2, text(1, "b")))
    points = [message(1, labels, fixed64(3, NS), double(4, 1.0)) for labels in (whole, parted)]

    rows, rejected = read_proto(resource_metrics({}, gauge("m", *points)))

    assert rows == [('m{a="b"}', TIME, 1.0)]
    assert rejected == {"bad_label": 1}  # the second has a value without a name


def test_fields_may_stand_backwards_as_the_collector_writes_them():
    point = message(
        1, fixed64(6, 7), fixed64(3, NS), fixed64(2, 1), message(7, message(2, text(1, "b")), text(1, "a"))
    )
    metric = message(2, message(7, integer(3, 1), integer(2, 1), point), text(3, "1"), text(1, "requests"))
    request = message(
        1,
        text(3, "schema"),
        message(2, metric, message(1, text(1, "scope"))),
        message(1, attributes(1, {"host": "c"})),
    )
    table = SeriesTable()

    assert read_proto(request, table=table) == ([('requests{a="b",host="c"}', TIME, 7.0)], {})
    assert table[0].kind == Kind.DELTA


def test_exemplars_and_start_times_hold_no_sample():
    point = message(
        1, fixed64(2, NS - 5), fixed64(3, NS), double(4, 1.0), message(5, fixed64(2, NS), double(3, 9.0))
    )

    assert read_proto(resource_metrics({}, gauge("m", point))) == ([("m", TIME, 1.0)], {})


@pytest.mark.parametrize(
    "payload", [b"", resource_metrics({}), resource_metrics({"a": "b"}, gauge("m")), message(1)]
)
def test_a_request_without_points_is_valid_in_protobuf(payload):
    assert read_proto(payload) == ([], {})


GOOD_PROTO = resource_metrics({}, GOOD[0])


@pytest.mark.parametrize(
    "bad",
    [
        b"\xff\xff\xff",
        b"\x0a\x7f",
        b"plain text",
        bytes([1 << 3 | 3]),
        message(1, b"\x12\x7f"),
        message(1, integer(1, 3)),
        message(1, message(1, integer(1, 3))),
        message(1, message(2, message(2, integer(1, 3)))),
        message(1, message(2, message(2, text(1, "m"), message(5, integer(1, 3))))),
        message(1, message(2, message(2, text(1, "m"), message(5, message(1, integer(4, 3)))))),
        message(1, message(2, message(2, text(1, "m"), message(7, integer(1, 3))))),
        message(1, message(2, message(2, text(1, "m"), message(9, message(1, text(6, b"1234567")))))),
        message(1, message(2, message(2, text(1, "m"), message(11, message(1, message(6, integer(1, 3))))))),
        message(
            1,
            message(
                2,
                message(
                    2,
                    text(1, "m"),
                    message(5, message(1, message(7, integer(1, 3)), fixed64(3, NS), double(4, 1.0))),
                ),
            ),
        ),
    ],
)
def test_a_broken_part_in_protobuf_is_rejected_alone(bad):
    assert read_proto(GOOD_PROTO + bad) == ([("good", TIME, 1.0)], {"invalid_protobuf": 1})


@pytest.mark.parametrize("text_", [b"\xff\xfe", b"\xed\xa0\x80"])
def test_text_that_is_no_utf8_rejects_what_it_names(text_):
    bad = [
        gauge(text_, number_point(NS, real=1.0)),
        gauge("m", number_point(NS, real=1.0, labels=[(text_, "a")])),
    ]

    assert read_proto(resource_metrics({}, *bad) + GOOD_PROTO) == ([("good", TIME, 1.0)], {"invalid_utf8": 2})
