"""The event time up to which the received samples are taken as complete; pure, with time passed in."""

from __future__ import annotations

from monitor.sources.position import NOTHING_YET

__all__ = ["ReceivedTime"]


class ReceivedTime:
    """The newest event time received, and how far it makes the source complete.

    While senders send, the newest sample decides, however old it is: a sender that catches up after an outage
    is not late by that. When none has sent for `idle_seconds`, time goes on as fast as the clock.

    Parameters
    ----------
    idle_seconds : float
        Real time without a sample after which the senders count as silent.
    newest_ms, complete_ms : int
        Of the run before; `NOTHING_YET` without one.
    now : float
        Monotonic seconds.
    """

    def __init__(
        self, *, idle_seconds: float, now: float, newest_ms: int = NOTHING_YET, complete_ms: int = NOTHING_YET
    ) -> None:
        self._idle_seconds = idle_seconds
        self._last_at = now  # a sender may have waited for this start: it is not silent yet
        self.newest_ms = newest_ms
        self.complete_ms = complete_ms

    def record(self, newest_ms: int | None, now: float) -> None:
        """Record that requests were read.

        Parameters
        ----------
        newest_ms : int or None
            Their newest credible event time; None where there is none.
        """
        self._last_at = now
        if newest_ms is not None:
            self.newest_ms = max(self.newest_ms, newest_ms)

    def advance(self, now: float, *, clock_ms: int) -> int:
        """Give the event time up to which samples are complete.

        It never goes back, and never passes the clock.
        """
        reached_ms = self.newest_ms
        silence = now - self._last_at - self._idle_seconds
        if silence > 0 and reached_ms != NOTHING_YET:
            reached_ms += round(silence * 1000)
        self.complete_ms = max(self.complete_ms, min(reached_ms, clock_ms))
        return self.complete_ms
