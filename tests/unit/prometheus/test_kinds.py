import pytest

from monitor.prometheus.kinds import MetricKinds
from monitor.sample import Kind

TYPES = {
    "reqs": "counter",
    "size": "histogram",
    "delay": "summary",
    "jobs_count": "gauge",
    "mystery_total": "unknown",
    "fever_total": "gauge",
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("reqs", Kind.COUNTER),
        ("reqs_total", Kind.COUNTER),  # OpenMetrics names the family without `_total`
        ("size_bucket", Kind.COUNTER),
        ("size_count", Kind.COUNTER),
        ("size_sum", Kind.COUNTER),
        ("delay", Kind.GAUGE),  # the quantiles
        ("delay_sum", Kind.COUNTER),
        ("jobs_count", Kind.GAUGE),
        ("fever_total", Kind.GAUGE),
        ("mystery_total", None),
    ],
)
def test_a_type_that_the_server_knows_decides(name, kind):
    assert MetricKinds(TYPES).kind_of(name, ()) is kind


@pytest.mark.parametrize(
    ("name", "labels", "kind"),
    [
        ("a_total", (), None),
        ("a_count", (), Kind.COUNTER),
        ("a_sum", (), Kind.COUNTER),
        ("a_bucket", (("le", "1"),), Kind.COUNTER),
        ("a_bucket", (), None),
        ("a", (), None),
        ("job:a_sum", (), None),  # recorded: a level
    ],
)
def test_without_a_type_the_name_decides(name, labels, kind):
    assert MetricKinds({}).kind_of(name, labels) is kind


def test_a_type_that_comes_later_counts_from_then_on():
    kinds = MetricKinds({})

    kinds.learn({"a_count": "gauge"})

    assert kinds.kind_of("a_count", ()) is Kind.GAUGE


def test_names_without_a_type_are_given_once_to_be_asked_for():
    kinds = MetricKinds(TYPES)

    assert kinds.unasked(["reqs", "new", "size_sum"]) == {"new"}
    assert kinds.unasked(["reqs", "new"]) == set()
