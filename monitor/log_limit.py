"""Logging at a limited rate: a repeated text is logged once a minute, with the number left out."""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["LimitedHandler", "RateLimit"]

_MAX_KEYS = 1000  # texts that are limited separately; beyond it the oldest is forgotten


class RateLimit:
    """Lets each key pass once in a while, and counts how often it did not.

    Parameters
    ----------
    monotonic : callable
        Gives seconds that never go back.
    every_seconds : float
        How long a key has to wait after it passed.
    """

    def __init__(self, monotonic: Callable[[], float], *, every_seconds: float = 60.0) -> None:
        self._monotonic = monotonic
        self._every_seconds = every_seconds
        self._last: dict[str, tuple[float, int]] = {}  # when it last passed, and how many did not since

    def passes(self, key: str) -> int | None:
        """Give how many did not pass since the last that did, if this one passes; None if it does not."""
        now = self._monotonic()
        passed_at, n_suppressed = self._last.get(key, (-float("inf"), 0))
        if now - passed_at < self._every_seconds:
            self._last[key] = (passed_at, n_suppressed + 1)
            return None
        self._last.pop(key, None)
        self._last[key] = (now, 0)
        if len(self._last) > _MAX_KEYS:
            del self._last[next(iter(self._last))]
        return n_suppressed


class LimitedHandler(logging.Handler):
    """Passes records to the root logger's handlers, each text of each logger once a minute.

    For a library that writes forty lines while a server is down for eight seconds: add it to the library's
    top logger, and turn that logger's propagation off.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._limit = RateLimit(monotonic)

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on, or count it."""
        n_suppressed = self._limit.passes(f"{record.name} {record.levelno} {record.msg}")
        if n_suppressed is None:
            return
        if n_suppressed:
            text = f"{record.getMessage()} (and {n_suppressed} times more before)"
            record = logging.makeLogRecord({**vars(record), "msg": text, "args": ()})
        logging.getLogger().handle(record)
