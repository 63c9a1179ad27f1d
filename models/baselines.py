"""The detectors beside the network: they need no training, and the mix beats each part.

Each is fed every closed step of its entities and gives one read a step. Memory is bounded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.dataset import fill_gaps, padded

__all__ = ["HIGH_DEVIATION", "GaussianBaseline", "NeighbourBaseline", "WindowPca"]

_SMOOTHING = 0.2  # of the windowed Gaussian's read: about ten steps
HIGH_DEVIATION = 1.3  # the 99 % quantile of that read for normal noise: mean 0.8, standard deviation 0.2
_GAUSSIAN_MEMORY_STEPS = 6400.0  # of its mean and spread
_MIN_SD = 0.1  # in scaled units: a channel at rest must not make its first move infinite
_DEVIATION_CAP = 20.0  # as for the network's channel errors
_KEPT_VARIANCE = 0.9
_NOWHERE = 1e6  # where free places of the neighbours' memory lie: far from every clipped window
_BLOCK_ROWS = 64  # entities compared at once: their differences stay in the cache


class GaussianBaseline:
    """How far each channel lies from its slow mean, in its slow standard deviation, smoothed.

    State arrays have shape (n, C). The read is the root mean square over channels.
    """

    STATE = ("mean", "variance", "n_seen", "deviation")

    def __init__(self, n_rows: int, n_channels: int) -> None:
        self.mean = np.zeros((n_rows, n_channels))
        self.variance = np.ones((n_rows, n_channels))
        self.n_seen = np.zeros((n_rows, n_channels))
        self.deviation = np.zeros((n_rows, n_channels))  # smoothed |x - mean| / sd

    def raw_score(self, rows: NDArray[np.int64], step: NDArray[np.float32]) -> NDArray[np.float64]:
        """Take one step (n, C) of distinct rows and give their reads (n,); NaN where nothing was measured."""
        known = ~np.isnan(step)
        spread = np.maximum(np.sqrt(self.variance[rows]), _MIN_SD)
        now = np.minimum(np.abs(np.where(known, step, 0.0) - self.mean[rows]) / spread, _DEVIATION_CAP)
        smoothed = np.where(
            known, (1 - _SMOOTHING) * self.deviation[rows] + _SMOOTHING * now, self.deviation[rows]
        )
        self.deviation[rows] = smoothed
        n_known = known.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(
                n_known > 0, np.sqrt(np.where(known, smoothed**2, 0.0).sum(axis=1) / n_known), np.nan
            )

    def learn(self, rows: NDArray[np.int64], step: NDArray[np.float32]) -> None:
        """Let the slow mean and spread of distinct rows follow one step (n, C)."""
        known = ~np.isnan(step)
        n_seen = self.n_seen[rows] + known
        rate = np.where(known, 1.0 / np.clip(n_seen, 1.0, _GAUSSIAN_MEMORY_STEPS), 0.0)
        delta = np.where(known, step, 0.0) - self.mean[rows]
        self.mean[rows] += rate * delta
        # Welford's update for the first steps, an exponential average once memory is full.
        self.variance[rows] = np.where(
            known & (n_seen > 1), (1 - rate) * (self.variance[rows] + rate * delta**2), self.variance[rows]
        )
        self.n_seen[rows] = n_seen


class NeighbourBaseline:
    """Distance of a window to the nearest earlier one of its entity, among a bounded number kept.

    Kept windows are spread over the past: every `stride`-th is kept, and the stride doubles
    each time the memory is full and every second one is let go.
    """

    STATE = ("kept", "n_kept", "stride", "n_seen")

    def __init__(self, n_rows: int, n_windows: int, window_length: int, n_channels: int) -> None:
        self.kept = np.full((n_rows, n_windows, window_length * n_channels), _NOWHERE, np.float32)
        self.n_kept = np.zeros(n_rows, np.int64)
        self._later: NDArray[np.float32] | None = None  # what `restore` has put aside, among the rest
        self.stride = np.full(n_rows, max(1, window_length // 4), np.int64)
        self.n_seen = np.zeros(n_rows, np.int64)

    def raw_score(self, rows: NDArray[np.int64], windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the root mean square distance (n,) of windows (n, W, C) of distinct rows; NaN while nothing is kept."""
        flat = fill_gaps(windows).reshape(len(rows), self.kept.shape[2])
        nearest = np.empty(len(rows))
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            difference = self.kept[rows[block]] - flat[block, None, :]  # (block, n_windows, W * C)
            nearest[block] = np.einsum("bmd,bmd->bm", difference, difference).min(axis=1)
        return np.where(self.n_kept[rows] > 0, np.sqrt(nearest / flat.shape[1]), np.nan)

    def restore(self, n_kept: NDArray[np.int64], stride: NDArray[np.int64]) -> None:
        """Know only what was kept when so many were, at that stride; of it what was let go since stays away.

        To be called for one moment after the other, oldest first; such a memory learns nothing any more.
        """
        if self._later is None:
            self._later = self.kept.copy()
        known = -(
            -n_kept // (self.stride // stride)
        )  # of those that were kept then every second was let go as often
        for row in np.flatnonzero(known != self.n_kept).tolist():
            self.kept[row] = _NOWHERE
            self.kept[row, : known[row]] = self._later[row, : known[row]]
        self.n_kept = known

    def learn(self, rows: NDArray[np.int64], windows: NDArray[np.float32]) -> None:
        """Offer windows (n, W, C) of distinct rows to the memory."""
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


class WindowPca:
    """How much of the newest ten steps lies outside the directions in which they vary normally.

    Fitted once on scaled history of all entities; for multivariate watches.
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
        """Fit on windows (B, W, C), keeping 90 % of the variance; errors are measured against held-out ones."""
        flat = _newest(windows, cls.N_STEPS)
        mean = flat.mean(axis=0)
        _, singular, directions = np.linalg.svd(flat - mean, full_matrices=False)
        variance = np.cumsum(singular**2)
        n_components = (
            int(np.searchsorted(variance, _KEPT_VARIANCE * variance[-1])) + 1 if variance[-1] > 0 else 1
        )
        pca = cls(mean, directions[:n_components], np.ones(windows.shape[2]))
        rms = pca._channel_error(held_out)
        high = np.quantile(rms, 0.99, axis=0)
        pca.error_scale = np.maximum(high, max(0.5 * float(np.median(high)), 1e-6))
        return pca

    def raw_score(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the root mean square over channels of the calibrated error, for windows (B, W, C); shape (B,)."""
        ratio = np.minimum(self._channel_error(windows) / self.error_scale, _DEVIATION_CAP)
        measured = (~np.isnan(windows[:, -self.N_STEPS :])).any(axis=1)  # (B, C)
        return np.asarray(
            np.sqrt(np.where(measured, ratio**2, 0.0).sum(axis=1) / np.maximum(measured.sum(axis=1), 1))
        )

    def _channel_error(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        flat = padded(_newest(windows, self.N_STEPS) - self.mean)
        residual = (flat - (flat @ self.components.T) @ self.components)[: len(windows)]
        n_channels = windows.shape[2]
        squared = residual.reshape(len(windows), flat.shape[1] // n_channels, n_channels) ** 2
        return np.asarray(np.sqrt(squared.mean(axis=1)))


def _newest(windows: NDArray[np.float32], n_steps: int) -> NDArray[np.float64]:
    newest = fill_gaps(np.ascontiguousarray(windows[:, -n_steps:]))
    return newest.reshape(len(windows), newest.shape[1] * newest.shape[2]).astype(np.float64)
