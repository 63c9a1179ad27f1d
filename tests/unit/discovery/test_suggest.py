"""Which watches are suggested for the series of some topics."""

from __future__ import annotations

import pytest
from native_topics import sample, series, suggest

from monitor.sample import Kind


@pytest.mark.parametrize(
    ("labels", "by"),
    [
        ({"host": "a", "cpu": "0"}, ("host",)),
        ({"instance": "a:9100", "job": "node"}, ("instance",)),
        ({"instance": "a:9100", "pod": "web-1", "namespace": "x"}, ("pod",)),
        ({"k8s.pod.name": "web-1", "host.name": "n1"}, ("k8s.pod.name",)),
        ({"host.name": "n1", "service.name": "api"}, ("host.name",)),
        ({"service.name": "api"}, ("service.name",)),
        ({"Server": "a"}, ("Server",)),
        ({"colour": "red"}, ()),
    ],
)
def test_entities_are_made_by_the_smallest_thing_that_a_known_label_names(labels, by):
    (watch,), _ = suggest(series("load", **labels))

    assert watch.by == by


def test_series_with_different_labels_get_watches_of_their_own():
    watches, _ = suggest(
        [*series("node_load", host="a"), *series("node_mem", host="a"), *series("queue_depth", service="s")]
    )

    assert [(watch.name, watch.by, watch.metrics) for watch in watches] == [
        ("host", ("host",), ("node_*",)),
        ("service", ("service",), ("queue_depth",)),
    ]


def test_topics_that_hold_the_same_metrics_are_one_watch():
    watches, _ = suggest(series("node_load", host="a"), series("node_load", host="b"))

    assert [(watch.topics, watch.group.entities) for watch in watches] == [(("t0", "t1"), ("a", "b"))]


@pytest.mark.parametrize(
    ("interval", "step"),
    [(1, 1.0), (3, 5.0), (10, 10.0), (11, 10.0), (14, 15.0), (60, 60.0), (61, 60.0), (5000, 3600.0)],
)
def test_the_step_is_a_round_number_not_shorter_than_the_interval(interval, step):
    (watch,), _ = suggest(series("load", step=interval, host="a"))

    assert watch.step_seconds == step


def test_what_only_grows_is_ignored_unless_nothing_else_is_there():
    (watch,), _ = suggest([*series("up_time", values=[1, 2, 3, 4, 5], host="a"), *series("load", host="a")])
    (lonely,), _ = suggest(series("up_time", values=[1, 2, 3, 4, 5], host="a"))

    assert watch.ignore == ("up_time",)
    assert (watch.group.n_series, watch.group.n_channels) == (1, 1)
    assert lonely.ignore == ()


def test_what_grows_in_one_topic_and_is_not_in_another_is_ignored_and_what_falls_in_one_is_not():
    growing = {"values": [1, 2, 3, 4, 5], "host": "a"}
    first = [*series("up_time", **growing), *series("used", **growing), *series("load", host="a")]
    second = [*series("used", host="b"), *series("load", host="b")]

    (watch,), _ = suggest(first, second)

    assert watch.ignore == ("up_time",)


def test_what_rises_often_is_a_counter_unless_it_falls_in_another_topic():
    rising = {"n": 12, "values": [3 * k for k in range(12)], "host": "a"}
    first = [*series("jobs_done", **rising), *series("jobs[1]", **rising), *series("load", host="a")]
    first += series("sent_total", host="a")
    second = [*series("jobs[1]", host="b"), *series("load", host="b")]

    (alone,), _ = suggest(first)
    (watch,), _ = suggest(first, second)

    assert (alone.counters, alone.ignore, alone.known_counters) == (
        ("jobs[[]1]", "jobs_done"),  # patterns: a bracket is written as one
        (),
        ("sent_total",),
    )
    assert watch.counters == ("jobs_done",)


def test_a_suggested_watch_takes_its_counters_as_counters():
    records = series("jobs_done", n=12, values=[3 * k for k in range(12)], host="a")
    (watch,), table = suggest([*records, *series("load", host="a")])
    places = watch.entity_table

    places.update(table)

    assert [(table[k].name, places.kind[k]) for k in range(len(table))] == [
        ("jobs_done", Kind.COUNTER),
        ("load", Kind.GAUGE),
    ]


def test_lateness_covers_twice_what_was_seen_and_stays_below_a_window():
    late = [sample(second, "load", host="a") for second in (100, 110, 120, 160, 130, 140, 150, 170)]
    (watch,), _ = suggest(late)
    (far,), _ = suggest([*series("load", step=1, host="a"), sample(-1000, "load", host="a")])

    assert watch.lateness_seconds == 60.0  # 30 s behind
    assert far.lateness_seconds == 16.0  # half of 32 steps of 1 s
