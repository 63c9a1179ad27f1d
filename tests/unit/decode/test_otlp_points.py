"""OpenTelemetry metrics: the same samples from both encodings, and what both reject."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from otlp_requests import (
    GOOD,
    NS,
    TIME,
    both,
    json_attributes,
    json_metric,
    json_point,
    json_request,
    read_both,
    read_json,
    read_proto,
)
from protobuf_writer import (
    double,
    exponential_metric,
    exponential_point,
    fixed64,
    gauge,
    histogram_metric,
    histogram_point,
    message,
    number_point,
    resource_metrics,
    summary_metric,
    text,
    total,
)

from monitor.decode.record import Limits
from monitor.sample import Kind, SeriesTable

HOST = {"service.name": "api", "host": "web1"}
POINT = {"code": 200, "host": "web2"}
LABELS = '{code="200",host="web2",service.name="api"}'
OUTER = '{host="web1",service.name="api"}'


# Gauges and sums


def test_a_gauge_gives_its_points_as_they_are():
    rows, rejected, kinds = read_both(
        HOST,
        (
            gauge("mem", number_point(NS, real=0.5, labels=POINT), number_point(NS + 999_999, whole=-4)),
            json_metric(
                "mem", "gauge", json_point(labels=POINT, asDouble=0.5), json_point(NS + 999_999, asInt="-4")
            ),
        ),
    )

    assert rows == [(f"mem{LABELS}", TIME, 0.5), (f"mem{OUTER}", TIME, -4.0)]
    assert rejected == {}
    assert kinds == [Kind.GAUGE, Kind.GAUGE]


@pytest.mark.parametrize(
    ("temporality", "monotonic", "kind"),
    [
        (2, True, Kind.COUNTER),
        (2, False, Kind.GAUGE),
        (1, True, Kind.DELTA),
        (1, False, Kind.DELTA),
        (0, True, Kind.COUNTER),
        (0, False, Kind.GAUGE),
    ],
)
def test_a_sum_keeps_its_temporality_as_its_kind(temporality, monotonic, kind):
    rows, rejected, kinds = read_both(
        {},
        (
            total("requests", number_point(NS, whole=7), temporality=temporality, monotonic=monotonic),
            json_metric(
                "requests",
                "sum",
                json_point(asInt="7"),
                aggregationTemporality=temporality,
                isMonotonic=monotonic,
            ),
        ),
    )

    assert (rows, rejected, kinds) == ([("requests", TIME, 7.0)], {}, [kind])


def test_zero_is_a_value():
    rows, _, _ = read_both(
        {},
        (
            gauge("m", number_point(NS, real=0.0), number_point(NS + 10**6, whole=0)),
            json_metric("m", "gauge", json_point(asDouble=0), json_point(NS + 10**6, asInt="0")),
        ),
    )

    assert rows == [("m", TIME, 0.0), ("m", TIME + 1, 0.0)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_a_gap(value):
    name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"

    rows, rejected, _ = read_both(
        {}, (gauge("m", number_point(NS, real=value)), json_metric("m", "gauge", json_point(asDouble=name)))
    )  # fmt: skip

    assert (rows, rejected) == ([("m", TIME, None)], {})


def test_a_point_without_a_recorded_value_is_a_gap_in_each_of_its_series():
    rows, rejected, _ = read_both(
        {},
        (gauge("g", number_point(NS, flags=1)), json_metric("g", "gauge", json_point(flags=1))),
        (
            histogram_metric("h", histogram_point(NS, 0, flags=1, bounds=(1.0,))),
            json_metric("h", "histogram", json_point(flags=1, explicitBounds=[1]), aggregationTemporality=2),
        ),
        (
            exponential_metric("e", exponential_point(NS, 0, flags=1)),
            json_metric("e", "exponentialHistogram", json_point(flags=1), aggregationTemporality=2),
        ),
    )

    assert rows == [(name, TIME, None) for name in ("g", "h_count", "h_sum", "e_count", "e_sum")]
    assert rejected == {}


def test_other_flags_mean_nothing():
    rows, _, _ = read_both(
        {},
        (
            gauge("g", number_point(NS, real=1.0, flags=2)),
            json_metric("g", "gauge", json_point(asDouble=1, flags=2)),
        ),
    )

    assert rows == [("g", TIME, 1.0)]


def test_a_time_that_is_missing_is_the_records_own():
    pair = (gauge("m", number_point(0, real=1.0)), json_metric("m", "gauge", {"asDouble": 1}))

    assert read_both({}, pair, time_ms=TIME)[:2] == ([("m", TIME, 1.0)], {})
    assert read_both({}, pair)[:2] == ([], {"bad_time": 1})


# Histograms and summaries


@pytest.mark.parametrize(("temporality", "kind"), [(2, Kind.COUNTER), (1, Kind.DELTA)])
def test_a_histogram_gives_its_count_its_sum_and_buckets_that_add_up(temporality, kind):
    rows, rejected, kinds = read_both(
        {"host": "a"},
        (
            histogram_metric(
                "d",
                histogram_point(NS, 9, sum_=4.5, bounds=(0.1, 1.0, 10.0), counts=(2, 0, 3, 4)),
                temporality=temporality,
            ),
            json_metric(
                "d",
                "histogram",
                json_point(count="9", sum=4.5, bucketCounts=["2", "0", 3, "4"], explicitBounds=[0.1, 1, 10]),
                aggregationTemporality=temporality,
            ),
        ),
    )

    assert rows == [
        ('d_count{host="a"}', TIME, 9.0),
        ('d_sum{host="a"}', TIME, 4.5),
        ('d_bucket{host="a",le="0.1"}', TIME, 2.0),
        ('d_bucket{host="a",le="1"}', TIME, 2.0),
        ('d_bucket{host="a",le="10"}', TIME, 5.0),
        ('d_bucket{host="a",le="+Inf"}', TIME, 9.0),
    ]
    assert rejected == {}
    assert kinds == [kind] * 6


def test_a_histogram_without_a_sum_or_buckets_gives_what_it_has():
    rows, rejected, _ = read_both(
        {},
        (
            histogram_metric("d", histogram_point(NS, 3)),
            json_metric("d", "histogram", json_point(count=3), aggregationTemporality=2),
        ),
        (
            histogram_metric("one", histogram_point(NS, 3, sum_=0.0, counts=(3,))),
            json_metric(
                "one", "histogram", json_point(count=3, sum=0, bucketCounts=[3]), aggregationTemporality=2
            ),
        ),
        (
            histogram_metric("bare", histogram_point(NS, 3, sum_=0.0, bounds=(1.0,))),
            json_metric(
                "bare",
                "histogram",
                json_point(count=3, sum=0, explicitBounds=[1.0]),
                aggregationTemporality=2,
            ),
        ),
    )

    assert rows == [
        ("d_count", TIME, 3.0),
        ("one_count", TIME, 3.0),
        ("one_sum", TIME, 0.0),
        ('one_bucket{le="+Inf"}', TIME, 3.0),
        ("bare_count", TIME, 3.0),
        ("bare_sum", TIME, 0.0),
    ]
    assert rejected == {}


def test_a_histogram_whose_bounds_change_gives_other_buckets():
    points = [
        histogram_point(NS + at, 3, sum_=1.0, bounds=(bound,), counts=(1, 2))
        for at, bound in enumerate((1.0, 2.0, 1.0))
    ]

    rows, _ = read_proto(resource_metrics({}, histogram_metric("d", *points)))

    assert [name for name, _, _ in rows if 'le="+Inf"' not in name and "bucket" in name] == [
        'd_bucket{le="1"}', 'd_bucket{le="2"}', 'd_bucket{le="1"}',
    ]  # fmt: skip


def test_an_exponential_histogram_gives_its_count_and_its_sum():
    rows, rejected, kinds = read_both(
        {},
        (
            exponential_metric("e", exponential_point(NS, 5, sum_=2.5, labels=POINT), temporality=1),
            json_metric(
                "e",
                "exponentialHistogram",
                json_point(
                    labels=POINT, count="5", sum=2.5, scale=3, positive={"offset": 1, "bucketCounts": ["5"]}
                ),
                aggregationTemporality=1,
            ),
        ),
    )

    assert rows == [
        ('e_count{code="200",host="web2"}', TIME, 5.0),
        ('e_sum{code="200",host="web2"}', TIME, 2.5),
    ]
    assert (rejected, kinds) == ({}, [Kind.DELTA] * 2)


def test_a_summary_gives_its_count_its_sum_and_its_quantiles():
    values = [{"quantile": 0.5, "value": 1.25}, {"quantile": 0.99, "value": 7.0}]

    rows, rejected, kinds = read_both(
        {},
        (
            summary_metric("s", NS, 4, 9.5, {0.5: 1.25, 0.99: 7.0}),
            json_metric("s", "summary", json_point(count="4", sum=9.5, quantileValues=values)),
        ),
    )

    assert rows == [
        ("s_count", TIME, 4.0),
        ("s_sum", TIME, 9.5),
        ('s{quantile="0.5"}', TIME, 1.25),
        ('s{quantile="0.99"}', TIME, 7.0),
    ]
    assert (rejected, kinds) == ({}, [Kind.COUNTER, Kind.COUNTER, Kind.GAUGE, Kind.GAUGE])


# Labels


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("text", "text"),
        ("café \"quoted\" \\", "café \"quoted\" \\"),
        (True, "true"),
        (False, "false"),
        (200, "200"),
        (-(1 << 63), "-9223372036854775808"),
        ((1 << 63) - 1, "9223372036854775807"),
        (0.5, "0.5"),
        (2.0, "2"),
        (0.1 + 0.2, "0.3"),
        (1e300, "1e+300"),
        ([1, "a", True, 0.5, [""]], '[1,"a",true,0.5,[""]]'),
        ([], "[]"),
        ({"a": 1, "b": {"c": [2]}}, '{"a":1,"b":{"c":[2]}}'),
    ],
    ids=repr,
)  # fmt: skip
def test_an_attributes_value_is_text_in_its_shortest_form(value, written):
    tables = [SeriesTable(), SeriesTable()]
    point = json_point(labels={"a": value}, asDouble=1)
    proto, text_form = both(
        {}, (gauge("m", number_point(NS, real=1.0, labels={"a": value})), json_metric("m", "gauge", point))
    )

    read_proto(proto, table=tables[0])
    read_json(text_form, table=tables[1])

    assert tables[0][0].labels == tables[1][0].labels == (("a", written),)


def test_bytes_are_written_as_json_has_them():
    point = {"attributes": [{"key": "a", "value": {"bytesValue": "/wA="}}], "timeUnixNano": NS, "asInt": 1}

    proto, _ = read_proto(
        resource_metrics({}, gauge("m", number_point(NS, whole=1, labels={"a": b"\xff\x00"})))
    )

    assert (
        proto
        == read_json(json_request({}, json_metric("m", "gauge", point)))[0]
        == [('m{a="/wA="}', TIME, 1.0)]
    )


def test_an_attribute_without_a_value_is_no_label_and_takes_the_resources_away():
    proto = resource_metrics(
        {"a": "outer", "b": "outer"},
        gauge("m", message(1, message(7, text(1, "a")), fixed64(3, NS), double(4, 1.0))),
    )
    points = [
        json_point(asDouble=1) | {"attributes": [{"key": "a", **value}]}
        for value in ({}, {"value": {}}, {"value": {"stringValue": ""}})
    ]

    found = [
        read_json(json_request({"a": "outer", "b": "outer"}, json_metric("m", "gauge", point)))
        for point in points
    ]

    assert [read_proto(proto), *found] == [([('m{b="outer"}', TIME, 1.0)], {})] * 4


def test_the_bound_of_a_bucket_goes_before_an_attribute_of_that_name():
    rows, _, _ = read_both(
        {"le": "outer"},
        (
            histogram_metric("d", histogram_point(NS, 1, counts=(1,))),
            json_metric("d", "histogram", json_point(count=1, bucketCounts=[1]), aggregationTemporality=2),
        ),
    )

    assert [name for name, _, _ in rows] == ['d_count{le="outer"}', 'd_bucket{le="+Inf"}']


def test_equal_attributes_of_different_resources_are_different_series():
    def request(host):
        return resource_metrics({"host": host}, gauge("m", number_point(NS, real=1.0, labels={"a": "b"})))

    rows, _ = read_proto(request("one") + request("two"), request("one"))

    assert [name for name, _, _ in rows] == [
        'm{a="b",host="one"}',
        'm{a="b",host="two"}',
        'm{a="b",host="one"}',
    ]


def deep(levels):
    value = "x"
    for _ in range(levels):
        value = [value]
    return value


def labelled(labels):
    """Give a metric in both encodings whose point has these attributes."""
    return gauge("m", number_point(NS, real=1.0, labels=labels)), json_metric(
        "m", "gauge", json_point(labels=labels, asDouble=1)
    )


BAD_METRICS = [
    pytest.param(
        (gauge("m", number_point(NS)), json_metric("m", "gauge", json_point())), "wrong_schema", id="no value"
    ),
    pytest.param(
        (gauge("", number_point(NS, real=1.0)), json_metric("", "gauge", json_point(asDouble=1))),
        "wrong_schema",
        id="no name",
    ),
    pytest.param(labelled({"": "a"}), "bad_label", id="an empty label name"),
    pytest.param(labelled({"a": "x" * (1 << 20)}), "label_too_long", id="a label of 1 MB"),
    pytest.param(labelled({"a": [1 << 40] * 5000}), "label_too_long", id="a long list for a label"),
    pytest.param(labelled({"a": deep(17)}), "too_deep", id="a deep attribute"),
    pytest.param(labelled({"a": deep(100)}), "too_deep", id="a very deep attribute"),
    pytest.param(
        (
            gauge("m", number_point(NS, real=1.0, labels=[("a", "b"), ("a", "c")])),
            json_metric(
                "m",
                "gauge",
                json_point(asDouble=1)
                | {"attributes": json_attributes({"a": "b"}) + json_attributes({"a": "c"})},
            ),
        ),
        "duplicate_label",
        id="a label twice",
    ),
    pytest.param(
        (
            gauge("m", number_point((1 << 64) - 1, real=1.0)),
            json_metric("m", "gauge", json_point((1 << 64) - 1, asDouble=1)),
        ),
        None,
        id="the last time that can be written, in the year 2554, is good",
    ),
    pytest.param(
        (
            histogram_metric("h", histogram_point(NS, 3, sum_=1.0, bounds=(1.0, 2.0), counts=(1, 2))),
            json_metric(
                "h", "histogram", json_point(count=3, sum=1, bucketCounts=[1, 2], explicitBounds=[1, 2])
            ),
        ),
        "wrong_schema",
        id="too few buckets",
    ),
    pytest.param(
        (
            histogram_metric("h", histogram_point(NS, 3, sum_=1.0, bounds=(2.0, 1.0), counts=(1, 1, 1))),
            json_metric(
                "h", "histogram", json_point(count=3, sum=1, bucketCounts=[1, 1, 1], explicitBounds=[2, 1])
            ),
        ),
        "wrong_schema",
        id="bounds that fall",
    ),
    pytest.param(
        (
            histogram_metric("h", histogram_point(NS, 3, sum_=1.0, bounds=(math.nan,), counts=(1, 1))),
            json_metric(
                "h", "histogram", json_point(count=3, sum=1, bucketCounts=[1, 1], explicitBounds=["NaN"])
            ),
        ),
        "wrong_schema",
        id="a bound that is no number",
    ),
]


@pytest.mark.parametrize(("pair", "reason"), BAD_METRICS)
def test_a_bad_point_is_rejected_alone_in_both_encodings(pair, reason):
    rows, rejected, _ = read_both({}, GOOD, pair, GOOD)

    assert [row for row in rows if row[0] == "good"] == [("good", TIME, 1.0)] * 2
    assert rejected == ({reason: 1} if reason else {})
    assert len(rows) == (2 if reason else 3)


def test_bad_attributes_of_a_resource_reject_what_it_sends():
    bad = {"": "a"}
    proto, text_form = both(bad, GOOD)
    good_proto, good_text = both({}, GOOD)

    found = read_proto(proto + good_proto)

    assert found == ([("good", TIME, 1.0)], {"bad_label": 1})
    assert (
        read_json({"resourceMetrics": text_form["resourceMetrics"] + good_text["resourceMetrics"]}) == found
    )


GOOD_PROTO = resource_metrics({}, GOOD[0])


def test_the_largest_record_is_a_setting():
    _, text_form = both({}, GOOD)
    payload = json.dumps(text_form).encode()

    assert read_proto(GOOD_PROTO, limits=Limits(max_record_bytes=len(GOOD_PROTO) - 1)) == (
        [],
        {"too_large": 1},
    )
    assert read_json(payload, limits=Limits(max_record_bytes=len(payload) - 1)) == ([], {"too_large": 1})
    assert read_json(payload, limits=Limits(max_record_bytes=len(payload)))[1] == {}


def test_a_resource_with_many_attributes_cannot_multiply_them_over_many_series():
    labels = {f"a{number}": "x" for number in range(100)}  # 1100 bytes of attributes, on each of 100 series
    request = resource_metrics(
        labels, gauge("m", *(number_point(NS, real=1.0, labels={"p": number}) for number in range(100)))
    )

    rows, rejected = read_proto(request, limits=Limits(max_record_bytes=6000))

    # A series has 101 labels and takes one for itself: 58 of them fit into 6000.
    assert len(request) < 6000
    assert (len(rows), rejected) == (58, {"too_large": 42})


# Anything
VALUES = st.recursive(
    st.text(max_size=3)
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inside: st.lists(inside, max_size=2) | st.dictionaries(st.text(max_size=2), inside, max_size=2),
    max_leaves=4,
)
LABEL_SETS = st.dictionaries(st.text(min_size=1, max_size=3), VALUES, max_size=3)
NUMBERS = st.tuples(
    LABEL_SETS, st.integers(1, (1 << 63) - 1), st.floats() | st.integers(-(1 << 63), (1 << 63) - 1)
)


@settings(deadline=None, max_examples=100)
@given(outer=LABEL_SETS, points=st.lists(NUMBERS, max_size=4))
def test_both_encodings_say_the_same_whatever_is_written(outer, points):
    def in_json(labels, time_ns, value):
        name = "asInt" if isinstance(value, int) else "asDouble"
        return json_point(
            time_ns, labels, **{name: str(value) if isinstance(value, int) or math.isfinite(value) else "NaN"}
        )

    def in_proto(labels, time_ns, value):
        return number_point(time_ns, labels=labels, **{"whole" if isinstance(value, int) else "real": value})

    rows, rejected, _ = read_both(
        outer,
        (
            gauge("m", *(in_proto(*point) for point in points)),
            json_metric("m", "gauge", *(in_json(*point) for point in points)),
        ),
    )

    assert rejected == {}
    assert [value for _, _, value in rows] == [
        float(value) if math.isfinite(value) else None for _, _, value in points
    ]
