"""Fakes for this project's tests and for those of its users: a clock, a source, and samples as text."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from monitor.sample import Columns, SeriesTable, labels_of, no_samples
from monitor.sources.position import PartitionPosition, Position
from monitor.sources.source import Batch

__all__ = ["FakeClock", "ListSource", "samples"]


class FakeClock:
    """A clock that moves only when a test advances it, or waits on it."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        """Give the seconds since the epoch."""
        return self._now

    def monotonic(self) -> float:
        """Give the seconds that have passed."""
        return self._monotonic

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Let the time pass at once; tell whether `stop` is set."""
        self.advance(max(0.0, seconds))
        return stop.is_set()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator or NTP does; no time passes."""
        self._now += seconds


class ListSource:
    """A source of batches from a list; an empty, finished batch follows the last.

    Parameters
    ----------
    resumed : Position, optional
        Continue behind it.
    """

    def __init__(self, batches: Sequence[Batch], *, resumed: Position | None = None) -> None:
        n_done = resumed.partitions["list/0"].offset if resumed and resumed.partitions else 0
        self._batches = list(batches[n_done:])
        self._n_done = n_done
        self._last_ms: int | None = resumed.time_ms if resumed else None
        self.committed: list[Position] = []
        self.closed = False

    def poll(self, timeout_seconds: float) -> Batch:
        """Give the next batch at once."""
        if not self._batches:
            return Batch(no_samples(), self._last_ms or 0, finished=True)
        batch = self._batches.pop(0)
        self._n_done += 1
        self._last_ms = batch.now_ms
        return batch

    def position(self) -> Position:
        """Give the number of batches that were handed out, and the time of the last."""
        return Position(self._last_ms, {"list/0": PartitionPosition(self._n_done, self._n_done)})

    def commit(self, position: Position) -> None:
        """Remember what was committed."""
        self.committed.append(position)

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


def samples(
    text: str,
    table: SeriesTable,
    *,
    name: str = "metric",
    step_seconds: float = 1.0,
    start_ms: int = 0,
    **labels: str,
) -> Columns:
    """Write a series as text: one value a step, `_` where no sample came.

    Example: `samples("0 1 2 _ 4", table, step_seconds=10, host="web1")`
    """
    words = text.split()
    present = [index for index, word in enumerate(words) if word != "_"]
    number = table.intern(name, labels_of(labels))
    return Columns(
        np.full(len(present), number, np.int32),
        start_ms + np.array([round(index * step_seconds * 1000) for index in present], np.int64),
        np.array([float(words[index]) for index in present], np.float64),
    )
