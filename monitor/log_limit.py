"""Logging at a limited rate: what happens a thousand times is told once a minute, with the number left out."""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["LimitedHandler", "RateLimit"]

_MAX_KEYS = 1000  # texts that are told apart; beyond it the oldest is forgotten


class RateLimit:
    """Lets each key through once in a while, and counts what it holds back.

    Parameters
    ----------
    monotonic : callable
        Gives seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float], *, every_seconds: float = 60.0) -> None:
        self._monotonic = monotonic
        self._every_seconds = every_seconds
        self._last: dict[str, tuple[float, int]] = {}  # when it last went through, and how many were held back since

    def passes(self, key: str) -> int | None:
        """Give the number held back since the last that passed, where this one passes; None where it does not."""
        now = self._monotonic()
        at, n_held = self._last.get(key, (-float("inf"), 0))
        if now - at < self._every_seconds:
            self._last[key] = (at, n_held + 1)
            return None
        self._last.pop(key, None)
        self._last[key] = (now, 0)
        if len(self._last) > _MAX_KEYS:
            del self._last[next(iter(self._last))]
        return n_held


class LimitedHandler(logging.Handler):
    """Hands records on to the root logger's handlers, each text of each logger once a minute.

    For a library that writes forty lines while a server is down for eight seconds: put it on the
    library's top logger, and let that one not propagate.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._limit = RateLimit(monotonic)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record on, or count it."""
        n_held = self._limit.passes(f"{record.name} {record.levelno} {record.msg}")
        if n_held is None:
            return
        if n_held:
            record.msg, record.args = f"{record.getMessage()} (and {n_held} times more before)", ()
        logging.getLogger().handle(record)
