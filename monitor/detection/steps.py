"""The grid's own types: samples located in it, closed steps, and steps that late samples have changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.row_arrays import rearranged
from monitor.sample import Kind

__all__ = [
    "ClosedSteps",
    "GapMode",
    "LocatedSamples",
    "Reclosed",
    "join_located",
    "latest_of_steps",
    "load_located",
    "no_located",
]

GapMode = Literal["skip", "hold", "zero", "interpolate"]
_FIELDS = ("row", "channel", "time_ms", "value", "kind")


@dataclass(frozen=True, slots=True)
class LocatedSamples:
    """Samples of one watch, in parallel arrays of shape (n,).

    Each has an entity row, a channel, its event time (ms), its value, and what the value means (`Kind`).
    A value is finite, or NaN where the series ends at that time.
    """

    row: NDArray[np.int32]
    channel: NDArray[np.int32]
    time_ms: NDArray[np.int64]
    value: NDArray[np.float64]
    kind: NDArray[np.int8]

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> LocatedSamples:
        """Give the chosen samples."""
        return LocatedSamples(
            self.row[which], self.channel[which], self.time_ms[which], self.value[which], self.kind[which]
        )

    def renumbered(self, rows: NDArray[np.int64]) -> LocatedSamples:
        """Give the samples with each row as its index in `rows` (m,), which are ascending and contain it."""
        return replace(self, row=np.searchsorted(rows, self.row).astype(np.int32))

    def rearranged(self, order: NDArray[np.int64]) -> LocatedSamples:
        """Give the samples with their channels in another order; those of channels that it lacks are dropped.

        Parameters
        ----------
        order : ndarray, shape (C,)
            The present number of each new channel; -1 for one that has no samples yet.
        """
        known = np.flatnonzero(order >= 0)
        new = np.full(max(order.max(initial=-1), self.channel.max(initial=-1)) + 1, -1, np.int32)
        new[order[known]] = known
        moved = replace(self, channel=new[self.channel])
        return moved.take(moved.channel >= 0)

    def state(self, prefix: str) -> dict[str, NDArray[np.generic]]:
        """Give the arrays by `prefix.name`."""
        return {f"{prefix}.{name}": getattr(self, name) for name in _FIELDS}


@dataclass(frozen=True, slots=True)
class ClosedSteps:
    """Consecutive closed steps.

    `values` (T, n, C) are in the channels' own units, counters and deltas as rates per second; NaN is a gap.
    `first_step` is the grid number of the first; step k ends at `(k + 1) * step_ms`.
    """

    first_step: int
    step_ms: int
    values: NDArray[np.float64]

    def end_ms(self, t: int) -> int:
        """Give the event time at which the t-th of these steps ends."""
        return (self.first_step + t + 1) * self.step_ms

    def rearranged(self, order: NDArray[np.int64]) -> ClosedSteps:
        """Give the steps with their channels (C,) in another order by their numbers; -1 is one of gaps."""
        return replace(self, values=rearranged(self.values, order, axis=2, fill=np.nan))


@dataclass(frozen=True, slots=True)
class Reclosed:
    """Closed steps with their late samples: `values` (T, m, C) of the entity rows (m,) that had any.

    They reach from `first_step` to the newest closed step. `n_samples` came late for them.
    """

    first_step: int
    rows: NDArray[np.int64]
    values: NDArray[np.float64]
    n_samples: int


def no_located() -> LocatedSamples:
    """Give no samples."""
    return LocatedSamples(
        np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int8)
    )


def load_located(arrays: Mapping[str, NDArray[Any]], prefix: str) -> LocatedSamples:
    """Give the samples whose arrays `state` gave, as copies."""
    return LocatedSamples(*(arrays[f"{prefix}.{name}"].copy() for name in _FIELDS))


def join_located(*parts: LocatedSamples) -> LocatedSamples:
    """Give the samples of all parts, one part behind the other."""
    if not parts:
        return no_located()
    return LocatedSamples(*(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS))


def latest_of_steps(samples: LocatedSamples, step_ms: int) -> tuple[LocatedSamples, int]:
    """Keep what stands for each series and step: its latest sample, and of several at one time the largest.

    Of deltas one for each time is kept, since they add up; and besides the values the latest end of the
    series.

    Returns
    -------
    LocatedSamples
        Those kept, by row, channel and time.
    int
        How many samples gave another value for a series and time than one that was there.
    """
    step = samples.time_ms // step_ms
    is_end = np.isnan(samples.value)
    cell = np.where((samples.kind == Kind.DELTA) & ~is_end, samples.time_ms, step)
    order = np.lexsort((samples.value, samples.time_ms, is_end, step, samples.channel, samples.row))
    is_last = np.ones(len(order), bool)
    is_last[:-1] = False
    for key in (samples.row, samples.channel, cell, is_end):
        in_order = key[order]
        is_last[:-1] |= in_order[1:] != in_order[:-1]
    earlier = order[:-1][~is_last[:-1]]
    later = order[1:][~is_last[:-1]]  # the next sample of the same series and step
    is_same_time = samples.time_ms[earlier] == samples.time_ms[later]
    differs = samples.value[earlier] < samples.value[later]  # an end is NaN: never
    return samples.take(order[is_last]), int((is_same_time & differs).sum())
