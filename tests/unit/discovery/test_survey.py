"""What a survey of a topic's records finds out, by hand arithmetic."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monitor.decode.record import Decoded, Record
from monitor.decode.topic_decoders import build_decoder
from monitor.detection.entities import EntityTable
from monitor.discovery.survey import Survey, group_of, how_to_key
from monitor.sample import STALE_NAN, Columns, SeriesTable


def line(second, host, **fields):
    text = ",".join(f"{name}={value}" for name, value in fields.items())
    return Record(f"load,host={host} {text} {second}000000000".encode(), second * 1000)


def surveyed(by_partition, *, format_name="auto"):
    table = SeriesTable()
    survey = Survey("metrics", format_name, build_decoder(format_name), table)
    for partition, records in by_partition.items():
        survey.add(partition, records, n_keyed=0, n_empty=0)
    return survey, table


def growth_of(**fields):
    """Survey fields of one host, a value of each every 10 s."""
    records = [
        line(10 * k, "h1", **dict(zip(fields, values, strict=True)))
        for k, values in enumerate(zip(*fields.values(), strict=True))
    ]
    return surveyed({0: records})[0].growth()


def names(table, numbers):
    return sorted(str(table[number]) for number in numbers)


def test_format_series_and_interval_are_found_out():
    survey, table = surveyed(
        {0: [line(second, host, a=1) for second in (0, 10, 20) for host in ("h1", "h2")]}
    )

    assert survey.format == "influx"
    assert names(table, survey.series) == ['load_a{host="h1"}', 'load_a{host="h2"}']
    assert survey.interval_seconds() == 10.0
    assert (survey.oldest_ms, survey.newest_ms) == (0, 20_000)


def test_without_two_samples_of_a_series_there_is_no_interval():
    survey, _ = surveyed({0: [line(5, "h1", a=1), line(7, "h2", a=1)]})

    assert survey.interval_seconds() is None


def test_one_late_sample_does_not_change_the_interval_and_is_measured():
    survey, _ = surveyed({0: [line(second, "h1", a=1) for second in (0, 10, 20, 30, 60, 40, 70)]})

    assert survey.interval_seconds() == 10.0
    assert survey.behind_seconds() == 20.0


def test_how_far_a_sample_is_behind_is_measured_in_its_own_partition():
    survey, _ = surveyed({0: [line(100, "h1", a=1)], 1: [line(10, "h2", a=1), line(20, "h2", a=1)]})

    assert survey.behind_seconds() == 0.0


def test_series_on_several_partitions_are_found():
    survey, table = surveyed({0: [line(0, "h1", a=1), line(0, "h2", a=1)], 2: [line(10, "h1", a=1)]})

    assert names(table, survey.spread_series) == ['load_a{host="h1"}']


def test_entities_on_several_partitions_are_found_though_none_of_their_series_is():
    survey, table = surveyed({0: [line(0, "h1", a=1), line(0, "h2", a=1)], 1: [line(0, "h1", b=1)]})
    group = group_of(EntityTable(metrics=["load_*"], match={}, by=("host",)), table, [survey])

    assert survey.spread_series == []
    assert (group.n_series, group.n_channels) == (3, 2)
    assert set(group.entities) == {"h1", "h2"}
    assert group.spread == ("h1",)


def test_a_watch_judges_what_its_rules_match():
    survey, table = surveyed({0: [line(0, "h1", a=1, b=2), line(0, "h2", a=1)]})
    group = group_of(
        EntityTable(metrics=["*"], match={"host": "h1"}, by=("host",), ignore=["load_b"]), table, [survey]
    )

    assert group.n_series == 1
    assert group.entities == ("h1",)


@pytest.mark.parametrize(
    ("values", "grows"),
    [
        ([1, 2, 3, 4], True),
        ([1, 1, 2, 3], True),
        ([4, 4, 4, 4], False),
        ([1, 2, 1, 3], False),
        ([1, 2, 3], False),
        ([1, 1, 1, 2], False),
    ],
)
def test_a_level_that_only_grows_is_found(values, grows):
    growth = growth_of(up=values)

    assert (growth.growing, growth.counters) == ({"load_up"} if grows else set(), set())


@pytest.mark.parametrize(
    ("values", "is_counter"),
    [
        (range(0, 27, 3), True),  # eight rises
        (range(0, 24, 3), False),  # seven
        ([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8], True),
        ([100, 130, 160, 190, 220, 250, 280, 310, 340, 5, 30], True),  # a reset: it begins anew
        ([100, 130, 160, 190, 220, 250, 280, 310, 340, 300, 330], False),  # no reset: it falls
        ([100, 130, 160, 5, 30, 60, 90, 120, 150], False),  # too few rises for a reset
        (range(-4, 23, 3), False),  # nothing counts below zero
    ],
)
def test_what_rises_often_and_falls_only_to_begin_anew_is_a_counter(values, is_counter):
    growth = growth_of(done=values)

    assert growth.counters == ({"load_done"} if is_counter else set())


@pytest.mark.parametrize("per_second", [1, 1000, 1_000_000_000])
def test_what_rises_as_time_does_is_no_counter(per_second):
    times = [0, 10, 20, 31, 40, 50, 61, 70, 80, 90, 100]  # in seconds: samples come a little late
    records = [line(time, "h1", up=500 + time * per_second) for time in times]

    growth = surveyed({0: records})[0].growth()

    assert (growth.growing, growth.counters) == ({"load_up"}, set())


def test_an_uptime_that_begins_anew_is_no_counter():
    growth = growth_of(up=[*range(1000, 1200, 10), *range(3, 60, 10)])

    assert (growth.growing, growth.counters) == ({"load_up"}, set())


def test_a_documented_counter_is_one_though_it_never_rose_and_a_documented_level_none_though_it_rose():
    records = [
        Record(json.dumps({"name": name, "labels": {}, "time": k, "value": value}).encode())
        for k in range(1, 12)
        for name, value in (("net_err_in", 0), ("mem_dirty", 30 * k))
    ]

    growth = surveyed({0: records}, format_name="native_sample")[0].growth()

    assert (growth.counters, growth.growing, growth.falling) == ({"net_err_in"}, set(), {"mem_dirty"})


def test_a_name_that_says_a_level_does_not_only_grow():
    short = growth_of(used=range(5), used_percent=range(5), reused=range(5))
    long = growth_of(used=range(0, 60, 3), reused=range(0, 60, 3))

    assert short.growing == {"load_reused"}
    assert long.counters == {"load_reused"}


def test_a_metric_that_falls_in_one_series_does_not_only_grow():
    records = [line(10 * k, host, up=value) for k in range(20) for host, value in (("h1", 3 * k), ("h2", -k))]
    growth = surveyed({0: records})[0].growth()

    assert (growth.growing, growth.counters, growth.falling) == (set(), set(), {"load_up"})


def test_a_counter_is_not_among_what_only_grows():
    record = [
        Record(json.dumps({"name": "hits_total", "labels": {}, "time": k, "value": 3 * k}).encode())
        for k in range(1, 20)
    ]
    growth = surveyed({0: record}, format_name="native_sample")[0].growth()

    assert (growth.growing, growth.counters) == (set(), set())


def test_the_mark_of_a_series_end_is_no_sample_of_it():
    table = SeriesTable()
    number = table.intern("a", ())
    columns = Columns(np.array([number], np.int32), np.array([1], np.int64), np.array([STALE_NAN]))
    survey = Survey("metrics", "remote_write", lambda records, table: Decoded(columns), table)
    survey.add(0, [Record(b"x")], n_keyed=1, n_empty=0)

    assert survey.series == []


def test_what_could_not_be_read_is_counted():
    survey, _ = surveyed({0: [line(0, "h1", a=1), Record(b"\x00\xff nonsense"), line(1, "h1", a=1)]})

    assert sum(survey.rejected.values()) == 1
    assert survey.first_rejection is not None
    assert survey.n_samples == 2


def test_a_topic_of_nonsense_has_no_format_and_no_series():
    survey, _ = surveyed({0: [Record(b"hello \xff")]})

    assert survey.format is None
    assert (survey.series, survey.spread_series, survey.interval_seconds(), survey.growth().growing) == (
        [],
        [],
        None,
        set(),
    )


@pytest.mark.parametrize(
    ("format_name", "setting"),
    [
        ("influx", 'routing_tag = "host"'),
        ("telegraf_json", 'routing_tag = "host"'),
        ("collectd_json", "Key "),
        ("otlp_proto", "partition_metrics_by_resource_attributes: true"),
        ("otlp_json", "partition_metrics_by_resource_attributes: true"),
        ("native_sample", "the value of host as its key"),
        (None, "the value of host as its key"),
    ],
)
def test_the_producer_s_setting_for_keys_is_named(format_name, setting):
    assert setting in how_to_key(format_name, "host")


def test_series_beyond_the_table_s_bound_are_passed_over():
    table = SeriesTable(1)
    survey = Survey("metrics", "influx", build_decoder("influx"), table)

    survey.add(0, [line(0, "h1", a=1), line(0, "h2", a=1)], n_keyed=0, n_empty=0)

    assert survey.series == [0]
    assert group_of(EntityTable(metrics=["*"], match={}, by=("host",)), table, [survey]).entities == ("h1",)
