"""Logging at a limited rate: what repeats is logged ever more rarely, with the number left out."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["RateLimit", "times_before"]

_MAX_KEYS = 1000  # texts that are limited separately; beyond it the oldest is forgotten
_LONGEST_SECONDS = 3600.0


class RateLimit:
    """Lets each key pass once in a while, and counts how often it did not.

    While a key keeps coming, the time that it has to wait doubles each time that it passes, up to an hour.

    Parameters
    ----------
    monotonic : callable
        Gives seconds that never go back.
    every_seconds : float
        How long a key has to wait after it passed for the first time.
    """

    def __init__(self, monotonic: Callable[[], float], *, every_seconds: float = 60.0) -> None:
        self._monotonic = monotonic
        self._every_seconds = every_seconds
        # When it last passed, how many did not since, and how long it has to wait.
        self._last: dict[str, tuple[float, int, float]] = {}

    def passes(self, key: str) -> int | None:
        """Give how many did not pass since the last that did, if this one passes; None if it does not."""
        now = self._monotonic()
        passed_at, n_suppressed, wait = self._last.pop(key, (-float("inf"), 0, self._every_seconds))
        if now - passed_at < wait:
            self._last[key] = (passed_at, n_suppressed + 1, wait)
            return None
        longest = max(self._every_seconds, _LONGEST_SECONDS)
        self._last[key] = (now, 0, min(2 * wait, longest) if n_suppressed else self._every_seconds)
        if len(self._last) > _MAX_KEYS:
            del self._last[next(iter(self._last))]
        return n_suppressed


def times_before(n_suppressed: int) -> str:
    """Say at a line's end how often the like of it was left out since the last one; nothing where never."""
    return f" (and {n_suppressed} {'time' if n_suppressed == 1 else 'times'} before)" if n_suppressed else ""
