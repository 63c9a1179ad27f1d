"""The baselines: detectors that need no training; together with the network they beat each alone.

Each gives one raw score for each closed step of its entities. Memory is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.dataset import fill_gaps, padded
from models.raw_scores import high_error
from models.row_arrays import RowArrays, row_array

__all__ = ["HIGH_DEVIATION", "GaussianBaseline", "NeighbourBaseline", "WindowPca"]

_SMOOTHING = 0.2  # of the windowed Gaussian's raw score: about ten steps
# The 99 % quantile of the Gaussian's raw score for normal noise: mean 0.8, standard deviation 0.2.
HIGH_DEVIATION = 1.3
_NORMAL_DEVIATION = 0.8
_GAUSSIAN_MEMORY_STEPS = 6400.0  # of its mean and spread
_MIN_SD = 0.1  # in scaled units: keeps the first change of a constant channel finite
_DEVIATION_CAP = 20.0  # as for the network's channel errors
_KEPT_VARIANCE = 0.9
_NOWHERE = 1e6  # fills the free places of the neighbours' memory: far from every clipped window
_BLOCK_ROWS = 64  # entities compared at once: their differences stay in the cache


class GaussianBaseline(RowArrays):
    """How far each channel lies from its slow mean, in slow standard deviations, smoothed.

    Arrays have shape (n, C). The raw score is the root mean square over channels.
    """

    mean = row_array(np.float64, "channels")
    variance = row_array(np.float64, "channels", fill=1.0)
    n_seen = row_array(np.float64, "channels")
    deviation = row_array(np.float64, "channels")  # smoothed |x - mean| / sd

    def raw_score(self, rows: NDArray[np.int64], step: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the raw scores (n,) of one step (n, C) of distinct rows; NaN where nothing was measured."""
        known = ~np.isnan(step)
        spread = np.maximum(np.sqrt(self.variance[rows]), _MIN_SD)
        now = np.minimum(np.abs(np.where(known, step, 0.0) - self.mean[rows]) / spread, _DEVIATION_CAP)
        before = self.deviation[rows]
        smoothed = np.where(known, (1 - _SMOOTHING) * before + _SMOOTHING * now, before)
        self.deviation[rows] = smoothed
        n_known = known.sum(axis=1)
        squared = np.where(known, smoothed**2, 0.0).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(n_known > 0, np.sqrt(squared / n_known), np.nan)

    def learn(self, rows: NDArray[np.int64], step: NDArray[np.float32]) -> None:
        """Update the slow mean and spread of distinct rows by one step (n, C)."""
        known = ~np.isnan(step)
        n_seen = self.n_seen[rows] + known
        rate = np.where(known, 1.0 / np.clip(n_seen, 1.0, _GAUSSIAN_MEMORY_STEPS), 0.0)
        delta = np.where(known, step, 0.0) - self.mean[rows]
        self.mean[rows] += rate * delta
        # Welford's update for the first steps, an exponential average once memory is full.
        variance = self.variance[rows]
        followed = (1 - rate) * (variance + rate * delta**2)
        self.variance[rows] = np.where(known & (n_seen > 1), followed, variance)
        self.n_seen[rows] = n_seen

    def settle(self, rows: NDArray[np.int64], channels: NDArray[np.bool_]) -> None:
        """Let the smoothed deviation of some rows' channels (m, C) be normal at most: their centre moved."""
        deviation = self.deviation[rows]
        self.deviation[rows] = np.where(channels, np.minimum(deviation, _NORMAL_DEVIATION), deviation)

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """Copy what raw scores are measured against, and how far they are smoothed."""
        return {
            "mean": self.mean.copy(),
            "variance": self.variance.copy(),
            "deviation": self.deviation.copy(),
        }

    def restore(self, snapshot: Mapping[str, NDArray[Any]], *, begins: bool) -> None:
        """Measure against a snapshot; restore the smoothed deviation only if a run of snapshots `begins`."""
        self.mean = snapshot["mean"].copy()
        self.variance = snapshot["variance"].copy()
        if begins:
            self.deviation = snapshot["deviation"].copy()


class NeighbourBaseline(RowArrays):
    """Root mean square distance of a window to the nearest earlier window of its entity that is kept.

    Their number is bounded, and they are spread over the past: every `stride`-th window is kept.
    When the memory is full, every second window is dropped and the stride doubles.
    """

    kept = row_array(np.float32, "windows", "cells", fill=_NOWHERE)  # cells: W * C, steps first
    n_kept = row_array(np.int64)
    stride = row_array(np.int64)
    n_seen = row_array(np.int64)

    def __init__(self, n_rows: int, n_windows: int, window_length: int, n_channels: int) -> None:
        super().__init__(n_rows, windows=n_windows, cells=window_length * n_channels)
        self._window_length = window_length
        self._first_stride = max(1, window_length // 4)
        self.stride[:] = self._first_stride
        self._latest: NDArray[np.float32] | None = None  # the windows kept when `restore` was first called

    def grow(self, n_rows: int, **sizes: int) -> None:
        """Make room for more rows, whose memory is empty."""
        n_before = self.n_rows
        super().grow(n_rows, **sizes)
        self.stride[n_before:] = self._first_stride

    def raw_score(self, rows: NDArray[np.int64], windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the distance (n,) of windows (n, W, C) of distinct rows; NaN where none is kept yet."""
        flat = fill_gaps(windows).reshape(len(rows), self.kept.shape[2])
        nearest = np.empty(len(rows))
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            difference = self.kept[rows[block]] - flat[block, None, :]  # (block, n_windows, W * C)
            nearest[block] = np.einsum("bmd,bmd->bm", difference, difference).min(axis=1)
        return np.where(self.n_kept[rows] > 0, np.sqrt(nearest / flat.shape[1]), np.nan)

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """Copy how full the memory is; `restore` finds its windows among those that are kept later."""
        return {"n_kept": self.n_kept.copy(), "stride": self.stride.copy()}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Compare only with windows that were kept at the snapshot; those dropped since stay away.

        Call it for one snapshot after the other, oldest first. Such a memory must not learn any more.
        """
        if self._latest is None:
            self._latest = self.kept.copy()
        # Each doubling of the stride since then has dropped every second window.
        n_kept = -(-snapshot["n_kept"] // (self.stride // snapshot["stride"]))
        for row in np.flatnonzero(n_kept != self.n_kept).tolist():
            self.kept[row] = _NOWHERE
            self.kept[row, : n_kept[row]] = self._latest[row, : n_kept[row]]
        self.n_kept = n_kept

    def learn(self, rows: NDArray[np.int64], windows: NDArray[np.float32]) -> None:
        """Keep those windows (n, W, C) of distinct rows that the stride selects."""
        due = np.flatnonzero(self.n_seen[rows] % self.stride[rows] == 0)
        self.n_seen[rows] += 1
        if not due.size:
            return
        chosen = rows[due]
        capacity = self.kept.shape[1]
        full = chosen[self.n_kept[chosen] == capacity]
        if full.size:
            n_left = (capacity + 1) // 2
            self.kept[full, :n_left] = self.kept[full, ::2]
            self.kept[full, n_left:] = _NOWHERE
            self.n_kept[full] = n_left
            self.stride[full] *= 2
        self.kept[chosen, self.n_kept[chosen]] = fill_gaps(windows[due]).reshape(len(due), -1)
        self.n_kept[chosen] += 1

    def _blank(self, n_rows: int) -> Self:
        _, n_windows, n_cells = self.kept.shape
        return type(self)(n_rows, n_windows, self._window_length, n_cells // self._window_length)


class WindowPca:
    """How far the newest ten steps lie outside the directions in which they normally vary.

    Fitted once on the scaled history of all entities; for multivariate watches only.
    """

    N_STEPS = 10

    def __init__(
        self, mean: NDArray[np.float64], components: NDArray[np.float64], error_scale: NDArray[np.float64]
    ) -> None:
        self.mean = mean  # (n_steps * C,)
        self.components = components  # (n_components, n_steps * C), orthonormal rows
        self.error_scale = error_scale  # (C,)

    @classmethod
    def fit(cls, windows: NDArray[np.float32], held_out: NDArray[np.float32]) -> WindowPca:
        """Fit on windows (B, W, C), keeping 90 % of the variance; scale errors by held-out windows."""
        flat = _newest(windows, cls.N_STEPS)
        mean = flat.mean(axis=0)
        _, singular, directions = np.linalg.svd(flat - mean, full_matrices=False)
        variance = np.cumsum(singular**2)
        n_components = (
            int(np.searchsorted(variance, _KEPT_VARIANCE * variance[-1])) + 1 if variance[-1] > 0 else 1
        )
        pca = cls(mean, directions[:n_components], np.ones(windows.shape[2]))
        pca.error_scale = high_error(pca.channel_error(held_out))
        return pca

    def raw_score(
        self, windows: NDArray[np.float32], error_scale: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Give the root mean square over channels of the scaled error of windows (B, W, C); shape (B,).

        Where windows have scales of their own, `error_scale` (B, C) has them.
        """
        scale = self.error_scale if error_scale is None else error_scale
        ratio = np.minimum(self.channel_error(windows) / scale, _DEVIATION_CAP)
        measured = (~np.isnan(windows[:, -self.N_STEPS :])).any(axis=1)  # (B, C)
        return np.asarray(
            np.sqrt(np.where(measured, ratio**2, 0.0).sum(axis=1) / np.maximum(measured.sum(axis=1), 1))
        )

    def channel_error(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give each channel's root mean square distance from the directions, (B, C)."""
        flat = padded(_newest(windows, self.N_STEPS) - self.mean)
        residual = (flat - (flat @ self.components.T) @ self.components)[: len(windows)]
        n_channels = windows.shape[2]
        squared = residual.reshape(len(windows), flat.shape[1] // n_channels, n_channels) ** 2
        return np.asarray(np.sqrt(squared.mean(axis=1)))


def _newest(windows: NDArray[np.float32], n_steps: int) -> NDArray[np.float64]:
    newest = fill_gaps(np.ascontiguousarray(windows[:, -n_steps:]))
    return newest.reshape(len(windows), newest.shape[1] * newest.shape[2]).astype(np.float64)
