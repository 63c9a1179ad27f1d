"""The highest peaks that each entity has shown: no limit may lie below what its budget cannot pay for.

Peaks are surprise. One peak stands for an episode, or for a block of steps without one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.row_arrays import RowArrays, row_array

__all__ = ["GROSS_SURPRISE", "PeakRecords"]

# One step in a million: it is notified however often the like of it came, and needs no longer history.
GROSS_SURPRISE = 6.0

_N_KEPT = 8
# Peaks of a height that an entity may show live, beyond its budget, before its limit rises to them. With none
# the budget would be kept to the letter, and two real incidents in a week would hide a third one. Measured on
# labelled sets: fewer cost recall, more cost the budget (docs/experiments.md).
_N_FREE = 3
_N_FREE_OF_CALIBRATION = 1  # the same for the history that was learned as normal
# A peak that comes again is never quite the same: this much above it counts as equal.
_MARGIN = 1.05


class PeakRecords(RowArrays):
    """The highest peaks of each row, live and of its calibration, with their age in judged steps."""

    highest = row_array(np.float32, _N_KEPT)  # live; 0 where there is none
    at_step = row_array(np.int64, _N_KEPT)  # of `n_judged`
    n_judged = row_array(np.int64)  # live steps
    calibrated = row_array(np.float32, _N_KEPT)  # descending; 0 where there is none
    n_calibrated = row_array(np.int64)  # steps that these are from
    of_episode = row_array(np.float32)  # peak of the episode that is open; 0 where there is none

    def start(self, row: int, peaks: NDArray[np.float64], n_steps: int) -> None:
        """Put in the block peaks of one row's calibration, which come from so many steps."""
        self.calibrated[row] = 0.0
        highest = np.sort(peaks)[::-1][:_N_KEPT]
        self.calibrated[row, : len(highest)] = highest
        self.n_calibrated[row] = n_steps

    def count(self, rows: NDArray[np.int64], surprise: NDArray[np.float64], free: NDArray[np.bool_]) -> None:
        """Count one judged step of distinct rows; those that are not `free` (n,) are in an episode.

        The peak of an episode is recorded once it has ended.
        """
        self.n_judged[rows] += 1
        in_episode = rows[~free]
        self.of_episode[in_episode] = np.fmax(self.of_episode[in_episode], surprise[~free])
        ended = rows[free & (self.of_episode[rows] > 0)]
        if ended.size:
            self.add(ended, self.of_episode[ended])
            self.of_episode[ended] = 0.0

    def add(self, rows: NDArray[np.int64], peaks: NDArray[np.floating]) -> None:
        """Record a peak (n,) of each of some distinct rows, where it is among their highest."""
        lowest = np.argmin(self.highest[rows], axis=1)
        is_higher = peaks > self.highest[rows, lowest]
        rows, lowest = rows[is_higher], lowest[is_higher]
        self.highest[rows, lowest] = peaks[is_higher]
        self.at_step[rows, lowest] = self.n_judged[rows]

    def accept(self, row: int) -> None:
        """Record the peak of a row's open episode as often as peaks are kept: the like of it is normal."""
        self.highest[row] = np.maximum(self.highest[row], self.of_episode[row])
        self.at_step[row] = self.n_judged[row]
        self.of_episode[row] = 0.0

    def n_calibrated_over(self, limits: NDArray[np.float64]) -> int:
        """Count the peaks of all rows' calibration that reach each row's limit (n,); at most 8 of a row."""
        return int(((self.calibrated > 0) & (self.calibrated >= limits[:, None])).sum())

    def floor(self, allowed_per_step: float) -> NDArray[np.float64]:
        """Give the surprise (n,) below which no row's limit may lie.

        It is the highest peak that the row has shown more often than its budget allows, live up to a
        surprise of 6 (and the margin), in a horizon in which the budget allows four at most; 0 where
        there is none.

        Parameters
        ----------
        allowed_per_step : float
            False episodes that the budget allows a row in one judged step.
        """
        horizon = (_N_KEPT - 1 - _N_FREE) / allowed_per_step  # steps
        is_recent = self.at_step > (self.n_judged - min(horizon, 2.0**62))[:, None]
        live = _ranked(
            np.where(is_recent, self.highest, 0.0),
            np.minimum(self.n_judged, horizon) * allowed_per_step + _N_FREE,
        )
        calibrated = _ranked(self.calibrated, self.n_calibrated * allowed_per_step + _N_FREE_OF_CALIBRATION)
        return _MARGIN * np.maximum(np.minimum(live, GROSS_SURPRISE), calibrated)


def _ranked(peaks: NDArray[np.float32], rank: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give of each row's peaks (n, 8) the one that `rank` (n,) others exceed; 0 where there is none."""
    descending = -np.sort(-peaks, axis=1)
    whole = np.floor(rank).astype(np.int64)
    chosen = np.take_along_axis(descending, np.minimum(whole, _N_KEPT - 1)[:, None], axis=1)[:, 0]
    return np.where(whole < _N_KEPT, chosen, 0.0).astype(np.float64)
