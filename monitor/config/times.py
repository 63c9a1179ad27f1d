"""Times in settings and options."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from monitor.errors import ConfigError

__all__ = ["parse_duration", "parse_time"]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_time(text: str, key: str) -> int | None:
    """Read an ISO time (UTC where it names no zone) or milliseconds since the epoch; None for an empty text.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if not text:
        return None
    if text.lstrip("-").isdecimal():
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f'{key}: found {text!r}, expected an ISO time as in "2026-01-31T12:00:00Z", or milliseconds '
            "since "
            "the epoch"
        ) from error
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def parse_duration(text: str, key: str) -> float:
    """Read a duration such as `30m`, `2h` or `1d`; in seconds.

    Raises
    ------
    ConfigError
        If it is none, or not more than 0.
    """
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if seconds <= 0:
        raise ConfigError(f'{key}: found {text!r}, expected a duration as in "30m", "2h" or "1d"')
    return seconds
