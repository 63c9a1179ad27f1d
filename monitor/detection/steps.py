"""Samples on their way into the grid, and the steps that come out of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOCATED_FIELDS", "ClosedSteps", "GapMode", "LocatedSamples", "Reclosed", "join_located", "no_located"]

GapMode = Literal["skip", "hold", "zero", "interpolate"]
LOCATED_FIELDS = ("row", "channel", "time_ms", "value", "kind")


@dataclass(frozen=True, slots=True)
class LocatedSamples:
    """Samples of one watch: parallel arrays of entity row, channel, event time (ms), value, and what the value means (`Kind`).

    A value is finite, or NaN where the series ends at that time.
    """

    row: NDArray[np.int32]
    channel: NDArray[np.int32]
    time_ms: NDArray[np.int64]
    value: NDArray[np.float64]
    kind: NDArray[np.int8]

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> LocatedSamples:
        """Give the chosen samples."""
        return LocatedSamples(self.row[which], self.channel[which], self.time_ms[which], self.value[which], self.kind[which])

    def renumbered(self, rows: NDArray[np.int64]) -> LocatedSamples:
        """Give the samples with their rows numbered by their place in `rows` (m,), which ascend."""
        return replace(self, row=np.searchsorted(rows, self.row).astype(np.int32))


@dataclass(frozen=True, slots=True)
class ClosedSteps:
    """Consecutive closed steps: `values` (T, n, C) in the channels' own units, counters and deltas as rates per second, NaN a gap.

    `first_step` is the grid number of the first; step k ends at `(k + 1) * step_ms`.
    """

    first_step: int
    step_ms: int
    values: NDArray[np.float64]

    def end_ms(self, t: int) -> int:
        """Give the event time at which the t-th of these steps ends."""
        return (self.first_step + t + 1) * self.step_ms


@dataclass(frozen=True, slots=True)
class Reclosed:
    """Closed steps as they are with what came late for them: `values` (T, m, C) of the entity rows (m,) that it is of.

    They reach from `first_step` to the newest closed step.
    """

    first_step: int
    rows: NDArray[np.int64]
    values: NDArray[np.float64]
    n_samples: int


def no_located() -> LocatedSamples:
    """Give no samples."""
    return LocatedSamples(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int8))


def join_located(*parts: LocatedSamples) -> LocatedSamples:
    """Give the samples of all parts, one part behind the other."""
    return LocatedSamples(*(np.concatenate([getattr(part, name) for part in parts]) for name in LOCATED_FIELDS))
