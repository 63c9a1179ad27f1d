"""One closed step of all entities of a watch, scored."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reason", "ScoredStep"]


class Reason(IntEnum):
    """Why an entity was not judged at a step; JUDGED when it was."""

    JUDGED = 0
    WARMING = 1  # too little has been seen of it
    GAP = 2  # too much of the window is missing
    STALE = 3  # nothing has come for longer than stale_seconds


@dataclass(frozen=True, slots=True)
class ScoredStep:
    """One closed step of all entities. Rows are entities; n of them, C channels.

    `score` is surprise over limit, NaN where not judged. `channel_error` is each channel's
    error over its normal error; `elevated_since_ms` when it last rose above it (0: it has
    not). `actual` and `expected` are in the channels' own units, NaN where there is none.
    """

    time_ms: int
    reason: NDArray[np.int8]
    surprise: NDArray[np.float64]
    score: NDArray[np.float64]
    channel_error: NDArray[np.float64]
    elevated_since_ms: NDArray[np.int64]
    actual: NDArray[np.float64]
    expected: NDArray[np.float64]

    def taken(self, rows: NDArray[np.int64]) -> ScoredStep:
        """Give the step of these entities only, in this order."""
        rows = rows[rows < len(self.reason)]
        return ScoredStep(self.time_ms, *(getattr(self, one.name)[rows] for one in fields(self)[1:]))

    def with_rows(self, rows: NDArray[np.int64], other: ScoredStep) -> ScoredStep:
        """Give the step with some entities replaced by those of another scored step, in their order."""
        arrays = {one.name: getattr(self, one.name).copy() for one in fields(self) if one.name != "time_ms"}
        for name, array in arrays.items():
            array[rows] = getattr(other, name)
        return ScoredStep(self.time_ms, **arrays)

    @property
    def judged(self) -> NDArray[np.bool_]:
        """True where the entity was judged; shape (n,)."""
        return np.isin(self.reason, Reason.JUDGED)
