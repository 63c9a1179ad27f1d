"""What people are notified of, word by word."""

import math
from dataclasses import replace

import pytest

from monitor.alerting.alert import Alert, ChannelShare, LevelChange
from monitor.alerting.alert_age import Summary
from monitor.alerting.text import (
    alert_text,
    channel_text,
    duration_text,
    named_channels,
    number_text,
    summary_text,
    time_text,
    value_text,
)

ALERT = Alert(
    watch="host",
    entity="web1",
    since_ms=0,
    opened_ms=10_000,
    score=2.5,
    limit=4.0,
    provisional=True,
    channels=(ChannelShare("cpu", 0.75, 1.5, 0.25, 5_000),),
)


def test_an_opening_says_who_what_expected_and_actual():
    assert alert_text(ALERT) == (
        "episode opened watch=host entity=web1 since=1970-01-01T00:00:00Z score=2.50 limit=4.00 "
        "provisional=yes channels=[cpu is 1.5, usually 0.25, since 00:00:05 UTC (75%)]"
    )


def test_a_resolution_says_when_and_why():
    assert alert_text(replace(ALERT, resolved_ms=70_000, reason="recovered")) == (
        "episode resolved watch=host entity=web1 since=1970-01-01T00:00:00Z score=2.50 "
        "resolved=1970-01-01T00:01:10Z reason=recovered "
        "channels=[cpu is 1.5, usually 0.25, since 00:00:05 UTC (75%)]"
    )


def test_what_an_operator_ended_says_who_did_and_why():
    text = alert_text(replace(ALERT, resolved_ms=70_000, reason="accepted by operator", note="anna: release"))

    assert " reason=accepted by operator by=[anna: release] channels=[" in text


def test_a_new_level_is_named_with_the_old_one():
    levels = (LevelChange("latency_ms", 10.21, 20.13), LevelChange("sent_bytes", 2e6, 0.0))

    text = alert_text(replace(ALERT, resolved_ms=70_000, reason="level changed", levels=levels))

    assert (
        " reason=level changed levels=[latency_ms 10.2 ms -> 20.1 ms; sent_bytes 2 MB -> 0 B] channels=["
        in text
    )


def test_the_first_three_channels_are_named():
    channels = tuple(ChannelShare(name, 0.25, 1.0, 2.0, 0) for name in "abcd")

    text = alert_text(replace(ALERT, provisional=False, channels=channels))

    assert "limit=4.00 channels=[a is 1, usually 2 (25%); b is 1" in text
    assert text.count("; ") == 2


@pytest.mark.parametrize(
    ("changes", "event"),
    [
        ({"revision": 1, "amends": True}, "amended"),
        ({"revision": 2, "amends": True, "resolved_ms": 70_000, "reason": "recovered"}, "amended"),
        ({"revision": 2, "resolved_ms": 70_000, "reason": "recovered"}, "resolved"),
        ({"revision": 2, "resolved_ms": 70_000, "reason": "retracted"}, "retracted"),
        ({"revision": 2, "amends": True, "resolved_ms": 70_000, "reason": "retracted"}, "retracted"),
        ({"revision": 2}, "opened"),
    ],
)
def test_a_revision_says_what_it_is_and_its_number(changes, event):
    text = alert_text(replace(ALERT, **changes))

    assert text.startswith(f"episode {event} watch=host entity=web1 ")
    assert f" score=2.50 revision={changes['revision']} " in text


def test_a_summary_says_how_many_when_and_where():
    assert summary_text(Summary(3, ("host/web1", "host/web2"), 0, 60_000)) == (
        "caught up episodes=3 entities=2 opened_from=1970-01-01T00:00:00Z "
        "resolved_until=1970-01-01T00:01:00Z first=[host/web1, host/web2]: these episodes were over before "
        "they were found, and are not notified separately; `barograph episodes` lists them"
    )


def test_a_long_summary_names_five_entities_and_counts_the_rest():
    names = tuple(f"host/web{number}" for number in range(8))

    assert "entities=8 " in summary_text(Summary(8, names, 0, 0))
    assert "host/web4 and 3 more]" in summary_text(Summary(8, names, 0, 0))


NINE = 9 * 3_600_000  # 09:00 UTC


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (ChannelShare("load", 1.0, 5.0, math.nan, 0), "load is 5"),
        (ChannelShare("load", 1.0, math.nan, 2.0, 0), "load is -, usually 2"),
        (ChannelShare("load", 1.0, 49.0, 0.1, NINE, NINE), "load is 49, usually 0.1, since 09:00 UTC"),
        (ChannelShare("load", 1.0, 49.0, 0.1, 0, NINE), "load is 49, usually 0.1, at 09:00 UTC"),
        (
            ChannelShare("jobs", 1.0, 3.0, 40.0, 0, NINE + 5000, of_season=True),
            "jobs is 3, usually 40 at this time of day, at 09:00:05 UTC",
        ),
    ],
)
def test_a_channel_says_what_is_what_is_usual_and_when(share, text):
    assert channel_text(share) == text


def test_values_that_differ_are_never_written_alike():
    same = ChannelShare("free_bytes", 1.0, 16_321_000.0, 16_318_000.0, 0)
    close = ChannelShare("load", 1.0, 0.0001, 0.0002, 0)

    assert channel_text(same) == "free_bytes is 16.321 MB, usually 16.318 MB"
    assert channel_text(close) == "load is 0.0001, usually 0.0002"
    assert channel_text(ChannelShare("load", 1.0, 5.0, 5.0, 0)) == "load is 5, usually 5"


@pytest.mark.parametrize(
    ("channel", "value", "text"),
    [
        ("mem_free_bytes", 1.137e7, "11.4 MB"),
        ("net_bytes_recv", 512.0, "512 B"),
        ('sent_bytes_total{nic="eth0"}', 2.5e9, "2.5 GB/s"),
        ("requests_total", 1234.0, "1.23k/s"),
        ("cpu_seconds_total", 0.5, "0.5"),
        ("request_seconds", 0.0123, "12.3 ms"),
        ("request_seconds", 12.34, "12.3 s"),
        ("uptime_seconds", 86_400.0, "86400 s"),
        ("disk_used_percent", 91.25, "91.2 %"),
        ("wait_ms", 3.0, "3 ms"),
        ("queue_depth", 1234.0, "1.23k"),
    ],
)
def test_a_value_has_the_unit_that_its_metrics_name_ends_with(channel, value, text):
    assert value_text(channel, value) == text


def test_channels_without_a_share_are_named_only_where_none_has_any():
    none, some = ChannelShare("a", 0.0, 1.0, 1.0, 0), ChannelShare("b", 0.5, 1.0, 2.0, 0)

    assert named_channels([some, none]) == [some]
    assert named_channels([none, none]) == [none, none]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.0001, "0"),
        (0.25, "0.25"),
        (1234.0, "1.23k"),
        (2.5e9, "2.5G"),
        (-3e6, "-3M"),
        (math.nan, "-"),
        (999.0, "999"),
        (999.6, "1k"),
    ],
)
def test_numbers_are_short(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (0, "0 s"),
        (599_000, "599 s"),
        (600_000, "10 min"),
        (7_199_000, "119 min"),
        (7_200_000, "2 h 0 min"),
        (8_000_000, "2 h 13 min"),
        (200_000_000, "2 d 7 h"),
    ],
)
def test_durations_have_their_two_largest_units(duration_ms, text):
    assert duration_text(duration_ms) == text


def test_times_are_utc_to_the_second():
    assert time_text(1_700_000_000_999) == "2023-11-14T22:13:20Z"
