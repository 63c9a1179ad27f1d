"""One closed step of all entities of a watch, scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Learnable", "Reason", "ScoredStep"]


class Reason(IntEnum):
    """Why an entity was not judged at a step; JUDGED when it was."""

    JUDGED = 0
    WARMING = 1  # too few steps of it have been seen
    GAP = 2  # too much of the window is missing
    STALE = 3  # no sample has come for longer than stale_seconds


@dataclass(frozen=True, slots=True)
class Learnable:
    """What the detector can learn from one step: the windows of m entities, and their R raw scores.

    `rows` (m,) are the entities that were judged; `raw_scores` (m, R) and `windows` (m, W, C) run parallel to it.
    """

    rows: NDArray[np.int64]
    raw_scores: NDArray[np.float64]
    windows: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ScoredStep:
    """One closed step of all entities. Rows are entities; n of them, C channels.

    `score` is surprise over limit, NaN where not judged. `channel_error` is each channel's
    error over its normal error; `elevated_since_ms` is when that last rose above 1, or 0.
    `actual` and `expected` are in the channels' own units, NaN where there is no value.

    `learnable` and `snapshot` are for the judge alone and are dropped behind it: windows take
    much memory. `snapshot` is what the step was judged by, by name and with a row first; None
    where steps are not judged again.
    """

    time_ms: int
    reason: NDArray[np.int8]
    surprise: NDArray[np.float64]
    score: NDArray[np.float64]
    channel_error: NDArray[np.float64]
    elevated_since_ms: NDArray[np.int64]
    actual: NDArray[np.float64]
    expected: NDArray[np.float64]
    learnable: Learnable | None = None
    snapshot: Mapping[str, NDArray[Any]] | None = None

    @property
    def judged(self) -> NDArray[np.bool_]:
        """True where the entity was judged; shape (n,)."""
        return np.asarray(self.reason == Reason.JUDGED)

    def without_inputs(self) -> ScoredStep:
        """Give the step without what only the judge needs."""
        return replace(self, learnable=None, snapshot=None)

    def take(self, rows: NDArray[np.int64]) -> ScoredStep:
        """Give the step of these entities only, in this order and without inputs; rows beyond the last are ignored."""
        rows = rows[rows < len(self.reason)]
        return ScoredStep(
            self.time_ms,
            reason=self.reason[rows],
            surprise=self.surprise[rows],
            score=self.score[rows],
            channel_error=self.channel_error[rows],
            elevated_since_ms=self.elevated_since_ms[rows],
            actual=self.actual[rows],
            expected=self.expected[rows],
        )

    def with_rows(self, rows: NDArray[np.int64], other: ScoredStep) -> ScoredStep:
        """Give the step, without inputs, with some entities replaced by all those of another one, in their order."""
        return ScoredStep(
            self.time_ms,
            reason=_with_rows(self.reason, rows, other.reason),
            surprise=_with_rows(self.surprise, rows, other.surprise),
            score=_with_rows(self.score, rows, other.score),
            channel_error=_with_rows(self.channel_error, rows, other.channel_error),
            elevated_since_ms=_with_rows(self.elevated_since_ms, rows, other.elevated_since_ms),
            actual=_with_rows(self.actual, rows, other.actual),
            expected=_with_rows(self.expected, rows, other.expected),
        )


def _with_rows(array: NDArray[Any], rows: NDArray[np.int64], other: NDArray[Any]) -> NDArray[Any]:
    changed = array.copy()
    changed[rows] = other
    return changed
