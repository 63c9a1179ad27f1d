from __future__ import annotations

import pytest

from monitor.config.times import parse_time
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
