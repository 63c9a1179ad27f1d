"""What follows an error of the Kafka client: how long to pause, and whether to build a new client."""

from __future__ import annotations

import logging

from monitor.clock import Clock
from monitor.kafka.client import ClientError
from monitor.log_limit import RateLimit, times_before

__all__ = ["Backoff"]

log = logging.getLogger(__name__)

_SHORTEST_PAUSE_SECONDS = 0.5  # after the first error; doubled with each one that follows it
_LONGEST_PAUSE_SECONDS = 10.0


class Backoff:
    """Counts the errors in a row; a pause doubles with each of them.

    A client is kept through `max_consecutive` errors of one name (see `ClientError`), and replaced at the
    next.

    Parameters
    ----------
    limit : RateLimit
        By which the log lines of each error's name are limited.
    """

    def __init__(self, clock: Clock, limit: RateLimit) -> None:
        self._clock = clock
        self._limit = limit
        self._last_error = ""
        self._n_same = 0  # errors of that name in a row
        self._n_failures = 0  # errors in a row, whatever their names
        self._pause_until = -float("inf")

    @property
    def is_failing(self) -> bool:
        """Whether the last call to the client failed."""
        return self._n_failures > 0

    def seconds_left(self) -> float:
        """Give the seconds until the next call may be made; 0 when the pause is over."""
        return max(0.0, self._pause_until - self._clock.monotonic())

    def fail(self, error: ClientError, *, is_open: bool) -> bool:
        """Begin a pause after an error, log it, and tell whether the client must be replaced.

        Parameters
        ----------
        is_open : bool
            Whether there is a client. An error while opening one replaces none.
        """
        self._n_failures += 1
        self._n_same = self._n_same + 1 if error.name == self._last_error else 1
        self._last_error = error.name
        is_replaced = is_open and self._n_same > error.max_consecutive
        pause = min(_SHORTEST_PAUSE_SECONDS * 2 ** min(self._n_failures - 1, 10), _LONGEST_PAUSE_SECONDS)
        self._pause_until = self._clock.monotonic() + pause
        n_suppressed = self._limit.passes(f"failed {error.name}")
        if n_suppressed is not None:
            reaction = "the client is closed and opened again" if is_replaced else "trying again"
            log.error(
                "kafka failed error=%s: %s; %s in %.1f s%s",
                error.name, error.text, reaction, pause, times_before(n_suppressed),
            )  # fmt: skip
        if is_replaced:
            self._n_same = 0
        return is_replaced

    def succeed(self) -> None:
        """End the row of errors. A pause that has begun is not cut short."""
        if self._n_failures:
            log.info("kafka recovered after %d errors", self._n_failures)
        self._last_error = ""
        self._n_same = 0
        self._n_failures = 0
