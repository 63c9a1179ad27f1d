from __future__ import annotations

import pytest

from monitor.config.times import parse_duration, parse_time
from monitor.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1970-01-01T00:00:01", 1000),
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T01:00:01+01:00", 1000),
        ("1970-01-02", 86_400_000),
        ("-5", -5),
        ("1000", 1000),
        ("", None),
    ],
)
def test_a_time_is_iso_in_utc_or_milliseconds(text, time_ms):
    assert parse_time(text, "key") == time_ms


def test_a_wrong_time_names_its_key_and_shows_a_right_one():
    with pytest.raises(
        ConfigError, match=r"source\.replay\.end: found 'tomorrow', expected an ISO time as in"
    ):
        parse_time("tomorrow", "source.replay.end")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90.0), ("30m", 1800.0), ("2h", 7200.0), ("1.5 d", 129_600.0)]
)
def test_a_duration_has_a_number_and_a_unit(text, seconds):
    assert parse_duration(text, "--for") == seconds


@pytest.mark.parametrize("text", ["", "2", "soon", "0h", "-1h", "1w", "nanh"])
def test_a_wrong_duration_names_its_key_and_shows_a_right_one(text):
    with pytest.raises(ConfigError, match=f'--for: found {text!r}, expected a duration as in "30m", "2h"'):
        parse_duration(text, "--for")
