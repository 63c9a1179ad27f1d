"""Which series are part of a derived channel, and of which."""

import math

from derive_rules import rule, series

from monitor.derive.rules import Part, Role, kind_of_input
from monitor.sample import Kind


def test_a_series_of_the_metric_with_the_labels_is_a_part():
    errors = rule(match={"code": "5*"})

    assert [part.channel for part in errors.parts_of(series("http_requests_total", code="503"), 2)] == [
        "requests"
    ]
    assert errors.parts_of(series("http_requests_total", code="200"), 2) == []
    assert errors.parts_of(series("http_requests_total"), 2) == []
    assert errors.parts_of(series("other_total", code="503"), 2) == []


def test_each_value_of_by_makes_a_channel():
    by_code = rule(by=("code",))

    found = by_code.parts_of(series("http_requests_total", code="503", pod="a"), 0)

    assert [part.channel for part in found] == ['requests{code="503"}']
    assert [part.channel for part in by_code.parts_of(series("http_requests_total"), 0)] == ["requests"]


def test_a_series_may_be_on_both_sides_of_a_ratio():
    errors = rule(
        name="error_ratio", kind="ratio", match={"code": "5*"}, over="http_requests_total", by=("method",)
    )

    both = errors.parts_of(series("http_requests_total", code="500", method="get"), 1)
    one = errors.parts_of(series("http_requests_total", code="200", method="get"), 1)

    assert [part.role for part in both] == [Role.VALUE, Role.OVER]
    assert [(part.role, part.channel, part.rule) for part in one] == [
        (Role.OVER, 'error_ratio{method="get"}', 1)
    ]


def test_a_bucket_has_its_bound_and_what_has_none_is_no_bucket():
    latency = rule(name="latency_seconds", kind="quantile", of="latency_seconds_bucket")

    assert latency.parts_of(series("latency_seconds_bucket", le="+Inf"), 0) == [
        Part(0, "latency_seconds", Role.VALUE, math.inf)
    ]
    assert latency.parts_of(series("latency_seconds_bucket", le="0.50"), 0)[0].bound == 0.5
    assert latency.parts_of(series("latency_seconds_bucket", le="many"), 0) == []
    assert latency.parts_of(series("latency_seconds_bucket"), 0) == []


def test_buckets_of_a_histogram_are_counters_where_no_type_says_so():
    buckets, latency = series("latency_seconds_bucket", le="1"), rule(kind="quantile")

    assert kind_of_input(buckets, [latency], Kind.GAUGE) is Kind.COUNTER
    assert kind_of_input(buckets, [latency], Kind.DELTA) is Kind.DELTA
    assert kind_of_input(buckets, [rule()], Kind.GAUGE) is Kind.GAUGE
    assert kind_of_input(series("queue_depth"), [latency], Kind.GAUGE) is Kind.GAUGE
