"""A limit for each row that nothing another row shows can change: for scoring what happens to be there."""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray

from models.limits import Budget, PeakHistogram, limit_for_budget

__all__ = ["OwnLimits"]


class OwnLimits:
    """The limit of each row, by the peaks known at the start and those that the row itself shows.

    The budget is shared by a number of entities that stays the same, however many rows there are.

    Parameters
    ----------
    known : PeakHistogram
        The peaks at the start, as of a calibration; it is left as it is.
    n_entities : int
        Entities that share the budget.
    """

    def __init__(self, known: PeakHistogram, budget: Budget, *, n_entities: int, n_rows: int) -> None:
        self._known = copy.deepcopy(known)
        self._budget = budget
        self._n_entities = n_entities
        self._peaks: list[PeakHistogram | None] = []  # None: the row has shown none yet
        self.values = np.empty(0)  # (n,), in surprise
        self._at_start = self._limit(known)
        self.grow(n_rows)

    def grow(self, n_rows: int) -> None:
        """Make room for more rows, which have the limit of the start."""
        n_more = n_rows - len(self._peaks)
        self._peaks += [None] * n_more
        self.values = np.concatenate([self.values, np.full(n_more, self._at_start)])

    def start(self, row: int, peaks: NDArray[np.float64]) -> None:
        """Count the block peaks of a row's calibration."""
        self._of_row(row).start(peaks)
        self.values[row] = self._limit(self._of_row(row))

    def add(self, rows: NDArray[np.int64], peaks: NDArray[np.float64]) -> None:
        """Count a finished block of each of some distinct rows."""
        for index, row in enumerate(rows.tolist()):
            self._of_row(row).add(peaks[index : index + 1])
            self.values[row] = self._limit(self._of_row(row))

    def _of_row(self, row: int) -> PeakHistogram:
        peaks = self._peaks[row]
        if peaks is None:
            peaks = self._peaks[row] = copy.deepcopy(self._known)
        return peaks

    def _limit(self, peaks: PeakHistogram) -> float:
        return limit_for_budget(peaks, self._budget, n_entities=self._n_entities).value
