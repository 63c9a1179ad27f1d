"""Times in settings and options."""

from __future__ import annotations

from datetime import UTC, datetime

from monitor.errors import ConfigError

__all__ = ["parse_time"]


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
