"""What people are told, word by word."""

import math
from dataclasses import replace

import pytest

from monitor.alerting.alert import Alert, ChannelShare, LevelChange
from monitor.alerting.alert_age import Summary
from monitor.alerting.text import alert_text, channel_text, number_text, summary_text, time_text

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
        "provisional=yes channels=[cpu 75% actual 1.5 expected 0.25]"
    )


def test_a_resolution_says_when_and_why():
    assert alert_text(replace(ALERT, resolved_ms=70_000, reason="recovered")) == (
        "episode resolved watch=host entity=web1 since=1970-01-01T00:00:00Z score=2.50 "
        "resolved=1970-01-01T00:01:10Z reason=recovered channels=[cpu 75% actual 1.5 expected 0.25]"
    )


def test_a_new_level_is_named_with_the_old_one():
    levels = (LevelChange("latency_ms", 10.21, 20.13), LevelChange("sent_bytes", 2e6, 0.0))

    text = alert_text(replace(ALERT, resolved_ms=70_000, reason="level changed", levels=levels))

    assert " reason=level changed levels=[latency_ms 10.2 -> 20.1; sent_bytes 2M -> 0] channels=[" in text


def test_the_first_three_channels_are_named():
    channels = tuple(ChannelShare(name, 0.25, 1.0, 2.0, 0) for name in "abcd")

    text = alert_text(replace(ALERT, provisional=False, channels=channels))

    assert "limit=4.00 channels=[a 25%" in text
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


def test_an_unknown_value_is_a_dash():
    assert channel_text(ChannelShare("load", 1.0, 5.0, math.nan, 0)) == "load 100% actual 5 expected -"


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
    ],
)
def test_numbers_are_short(value, text):
    assert number_text(value) == text


def test_times_are_utc_to_the_second():
    assert time_text(1_700_000_000_999) == "2023-11-14T22:13:20Z"
