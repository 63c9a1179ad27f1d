"""What is not as it should be in a cluster is told, with what to do about it."""

from __future__ import annotations

import json

from listed_cluster import NOW, line, report_on

from monitor.config.decode import DecodeConfig
from monitor.decode.record import Record
from monitor.discovery.advice import advice


def lines(records, *wanted, **options):
    return list(advice(report_on(records, *wanted, **options)))


def test_a_topic_as_it_should_be_needs_no_advice():
    assert lines({"metrics": [[line(20), line(10)]], "empty": [[]]}) == []


def test_a_topic_that_is_missing_is_told():
    assert lines({"telegraf": [[line(20), line(10)]]}, "telegraf", "xyz") == [
        "no topic is named xyz: there is no other"
    ]


def test_a_topic_that_is_not_live_is_told():
    assert lines({"metrics": [[line(age) for age in range(9000, 4000, -10)]]}) == [
        "metrics: nothing came in the last 60 s"
    ]


def test_a_topic_that_was_not_read_is_told():
    assert lines({"a": [[line(1)]], "b": [[line(1)]]}, seconds=[9, 9, 9, 0]) == [
        "b: not read: the time was up (--timeout)"
    ]
    assert lines({"closed": [[line(1)]]}, refuses=["closed"]) == [
        "closed: asked where closed begins: this user may not read it"
    ]


def test_records_that_cannot_be_read_are_told_with_a_reason():
    records = {"metrics": [[line(20), Record(b"\xff\x00", 1), line(10)]]}

    (text,) = lines(records, decode=DecodeConfig(format="influx"))

    assert text.startswith("metrics: 1 parts could not be read, 2 samples could (invalid_utf8 1)")


def test_series_on_several_partitions_are_told_with_the_setting_that_keeps_them_on_one():
    (text,) = lines({"metrics": [[line(20), line(10)], [line(5)]]})

    assert text.startswith("metrics: 1 of 1 series are on several partitions")
    assert text.endswith('Telegraf: routing_tag = "host" in [[outputs.kafka]]')


def test_entities_on_several_partitions_are_told_where_none_of_their_series_is():
    first, second = ([line(age, name=name) for age in (20, 10)] for name in ("a", "b"))

    (text,) = lines({"metrics": [first, second]})

    assert text.startswith("metrics: 1 entities are on several partitions (h1)")


def test_a_lag_that_is_not_known_is_told():
    assert lines({"metrics": [[line(20), line(10)]]}, committed=None) == [
        "the lag is not known: this user may not read the group's offsets"
    ]


def otlp(age_seconds):
    time_ns = str(round((NOW - age_seconds) * 1e9))
    metric = {"name": "load", "gauge": {"dataPoints": [{"timeUnixNano": time_ns, "asDouble": 1.0}]}}
    document = {"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"metrics": [metric]}]}]}
    return Record(json.dumps(document).encode(), round((NOW - age_seconds) * 1000))


def test_series_of_the_collector_without_a_host_are_told_with_its_processor():
    (text,) = lines({"metrics": [[otlp(20), otlp(10)]]})

    assert text.startswith("series without a host: the Collector's processor resourcedetection")
