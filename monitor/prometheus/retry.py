"""How long to wait before a request is tried again, and a loop that does so."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TypeVar

from monitor.clock import Clock
from monitor.prometheus.errors import ApiError, UnavailableError

__all__ = ["LONGEST_RETRY_AFTER_SECONDS", "Retries", "RetryDelay", "StoppedError", "retry_after_seconds"]

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 30.0
# A server may ask for hours; it is asked again earlier, and says so again.
LONGEST_RETRY_AFTER_SECONDS = 300.0
_TIMEOUTS_IN_A_ROW = 2  # then it is not the moment that is wrong, but the size of what is asked for

_STOPPED = "stopped before the end. Repeat the command to continue"

_Given = TypeVar("_Given")


class StoppedError(ApiError):
    """A stop was asked for while a request waited to be tried again."""


class RetryDelay:
    """Doubles from failure to failure, and varies at random, so that clients do not come back together."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.n_failures = 0  # in a row

    def failed(self, retry_after: float | None) -> float:
        """Count a failure; give the seconds to wait, at least those that the server asks for."""
        # Beyond 2**10 the longest wait counts anyway, and the power would not fit a float in the end.
        doubled = _FIRST_SECONDS * 2.0 ** min(self.n_failures, 10)
        self.n_failures += 1
        seconds = min(doubled, _LONGEST_SECONDS) * (0.5 + 0.5 * self._rng.random())
        return max(seconds, min(retry_after or 0.0, LONGEST_RETRY_AFTER_SECONDS))

    def succeeded(self) -> None:
        """Begin anew with the shortest wait."""
        self.n_failures = 0


class Retries:
    """Makes requests, each again while the server does not answer.

    Parameters
    ----------
    max_failures : int
        In a row; the next one is raised.
    on_wait : callable
        Called with the failure and the seconds until the next attempt.
    """

    def __init__(
        self,
        clock: Clock,
        stop: threading.Event,
        rng: random.Random,
        *,
        max_failures: int,
        on_wait: Callable[[UnavailableError, float], None] = lambda error, seconds: None,
    ) -> None:
        self._clock = clock
        self._stop = stop
        self._rng = rng
        self._max_failures = max_failures
        self._on_wait = on_wait

    def run(self, ask: Callable[[], _Given], *, may_split: bool = False) -> _Given:
        """Make a request until it is answered, or refused for another reason.

        Parameters
        ----------
        may_split : bool
            Less could be asked for: timeouts are raised earlier.

        Raises
        ------
        StoppedError
            If a stop is asked for while it waits.
        ApiError
            As the request itself does.
        """
        delay = RetryDelay(self._rng)
        while True:
            if self._stop.is_set():
                raise StoppedError(_STOPPED)
            try:
                return ask()
            except UnavailableError as error:
                seconds = delay.failed(error.retry_after)
                if delay.n_failures > self._max_failures:
                    raise
                if may_split and error.is_timeout and delay.n_failures >= _TIMEOUTS_IN_A_ROW:
                    raise
                self._on_wait(error, seconds)
                if self._clock.wait(self._stop, seconds):
                    raise StoppedError(_STOPPED) from error


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """Read a `Retry-After` header (RFC 9110, section 10.2.3): seconds or a date; None where it is neither.

    Parameters
    ----------
    now : float
        Seconds since the epoch, which a date is compared with.
    """
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
