"""Recorded samples, replayed in the order of their event times at a chosen speed.

`monitor/files/` reads the files; here is only the time at which their samples arrive.
"""

from __future__ import annotations

import math
import threading

import numpy as np

from monitor.clock import Clock
from monitor.files.metric_files import Recorded
from monitor.sample import Columns, no_samples
from monitor.sources.position import Position
from monitor.sources.source import Batch

__all__ = ["ReplaySource"]

# In a poll at full speed: large enough for arrays to pay, small enough to stop quickly.
_BATCH_SAMPLES = 4096


class ReplaySource:
    """Recorded samples as a stream; event time passes `speed` times as fast as real time.

    Parameters
    ----------
    speed : float
        1 is real time; infinity is as fast as the daemon can.
    after_ms : int, optional
        Continue after this event time: the position of a checkpoint.
    """

    def __init__(
        self, recorded: Recorded, clock: Clock, *, speed: float = math.inf, after_ms: int | None = None
    ) -> None:
        self._columns = recorded.columns
        self._n_bad = recorded.n_bad
        self._clock = clock
        self._speed = speed
        times = recorded.columns.time_ms
        self._next = 0 if after_ms is None else int(np.searchsorted(times, after_ms, side="right"))
        self._from_ms = int(times[min(self._next, len(times) - 1)]) if len(times) else 0
        self._started: float | None = None
        self._never = threading.Event()

    def poll(self, timeout_seconds: float) -> Batch:
        """Give the samples that are due; at full speed the next few thousand, equal times kept together."""
        if self._started is None:
            self._started = self._clock.monotonic()
        n_bad, self._n_bad = self._n_bad, ()
        times = self._columns.time_ms
        if self._next >= len(times):
            self._clock.wait(self._never, timeout_seconds)
            return Batch(no_samples(), self._now_after_the_end(), finished=True, n_bad=n_bad)
        if math.isinf(self._speed):
            last = min(self._next + _BATCH_SAMPLES, len(times)) - 1
            now_ms = int(times[last])
        else:
            until_next = (int(times[self._next]) - self._event_now()) / 1000 / self._speed
            self._clock.wait(self._never, min(max(until_next, 0.0), timeout_seconds))
            now_ms = math.floor(self._event_now())
        end = int(np.searchsorted(times, now_ms, side="right"))
        chosen = slice(self._next, end)
        self._next = max(end, self._next)
        return Batch(
            Columns(self._columns.series[chosen], times[chosen], self._columns.value[chosen]),
            now_ms,
            finished=self._next >= len(times),
            n_bad=n_bad,
        )

    def position(self) -> Position:
        """Give the event time up to which samples were returned; None before the first and after the last."""
        is_underway = 0 < self._next < len(self._columns)
        return Position(int(self._columns.time_ms[self._next - 1]) if is_underway else None)

    def commit(self, position: Position) -> None:
        """Files stay as they are."""

    def close(self) -> None:
        """Nothing to close: files are read whole at the start."""

    def _now_after_the_end(self) -> int:
        """Give the time after the last sample: it advances at the chosen speed, but not at full speed."""
        if not len(self._columns):
            return 0
        return int(self._columns.time_ms[-1]) if math.isinf(self._speed) else math.floor(self._event_now())

    def _event_now(self) -> float:
        assert self._started is not None
        return self._from_ms + (self._clock.monotonic() - self._started) * 1000 * self._speed
