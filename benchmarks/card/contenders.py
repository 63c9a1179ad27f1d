"""Rivals in plain numpy: each is fitted on training rows and gives one causal raw score for each row.

All of them are given the same scaled rows as the product's network: median and robust spread of the training
rows, clipped. Gaps hold the last value before them. Parameters are the same for all sets.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from models.baselines import GaussianBaseline, NeighbourBaseline, WindowPca

__all__ = [
    "Contender",
    "EwmaZScore",
    "KMeansWindows",
    "NearestWindow",
    "PcaWindows",
    "Polynomial",
    "RandomScore",
    "SeasonalNaive",
    "ThreeSigma",
    "WindowedGaussian",
    "flat",
    "over_channels",
    "sample_windows",
    "smoothed",
    "windows_by_row",
]

Rows = NDArray[np.float32]  # (T, n, C), scaled, without gaps
WINDOW = 32  # of the product
_CAP = 20.0  # of a channel's deviation, as in the product
_SMOOTHING = 0.2  # of point-like residuals, as in the product's windowed Gaussian: about ten rows
_SAMPLE = 4000  # windows to fit on, at most


class Contender(Protocol):
    """One way to give rows a raw score."""

    def fit(self, train: Rows) -> None:
        """Learn from training rows (T, n, C); what is fitted never changes after that."""

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Give raw scores (T, n) of consecutive rows; each depends on its own row and earlier ones only.

        NaN where too little came before.
        """


class RandomScore:
    """Uniform noise: what a detector gets without looking."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def fit(self, train: Rows) -> None:
        """Learn nothing."""

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Give a number between 0 and 1 for each row."""
        return np.random.default_rng(self._seed).random(values.shape[:2])


class EwmaZScore:
    """Distance from an exponential mean in exponential standard deviations, of some twenty rows each."""

    RATE = 0.05

    def fit(self, train: Rows) -> None:
        """Learn nothing: the mean follows the rows."""

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Give the deviations, smoothed."""
        mean = values[0].astype(np.float64)
        variance = np.ones(values.shape[1:])
        deviations = np.empty(values.shape)
        for t, row in enumerate(values):
            delta = row - mean
            deviations[t] = np.abs(delta) / np.maximum(np.sqrt(variance), 0.1)
            mean = mean + self.RATE * delta
            variance = (1 - self.RATE) * (variance + self.RATE * delta**2)
        return over_channels(smoothed(deviations))


class ThreeSigma:
    """Distance from the training mean in training standard deviations: the textbook rule, not smoothed."""

    def fit(self, train: Rows) -> None:
        """Learn mean and standard deviation of each channel."""
        self._mean = train.mean(axis=0)
        self._sd = np.maximum(train.std(axis=0), 0.1)

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Give the largest deviation of any channel."""
        return np.asarray((np.abs(values - self._mean) / self._sd).max(axis=2), np.float64)


class WindowedGaussian:
    """The product's own windowed Gaussian, alone."""

    def fit(self, train: Rows) -> None:
        """Learn nothing: it learns as it scores."""

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Score and learn row by row."""
        n_steps, n_rows, n_channels = values.shape
        baseline = GaussianBaseline(n_rows, channels=n_channels)
        every_row = np.arange(n_rows)
        scores = np.empty((n_steps, n_rows))
        for t in range(n_steps):
            scores[t] = baseline.raw_score(every_row, values[t])
            baseline.learn(every_row, values[t])
        return scores


class SeasonalNaive:
    """Distance from the row one day earlier; from the row before, where a day has fewer than three rows."""

    def __init__(self, step_seconds: float) -> None:
        rows = round(86400 / step_seconds)
        self._period = rows if rows >= 3 else 1

    def fit(self, train: Rows) -> None:
        """Learn nothing."""

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Give the distances, smoothed; NaN within the first day."""
        residuals = np.full(values.shape, np.nan)
        residuals[self._period :] = np.abs(values[self._period :] - values[: -self._period])
        scores = np.full(values.shape[:2], np.nan)
        scores[self._period :] = over_channels(smoothed(residuals[self._period :]))
        return scores


class Polynomial:
    """Distance from a parabola through the sixteen rows before, continued by one row."""

    DEGREE, N_ROWS = 2, 16

    def __init__(self) -> None:
        place = np.arange(self.N_ROWS) - self.N_ROWS  # the row to forecast is at 0
        powers = np.vander(place, self.DEGREE + 1, increasing=True)
        self._weights = np.linalg.pinv(powers)[0].astype(np.float32)  # value of the parabola at 0

    def fit(self, train: Rows) -> None:
        """Learn the usual error of each channel."""
        residuals = self._residuals(train)
        self._scale = np.maximum(np.quantile(residuals[self.N_ROWS :], 0.99, axis=0), 0.05)

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Give the errors in their usual sizes, smoothed."""
        scores = over_channels(smoothed(self._residuals(values) / self._scale))
        scores[: self.N_ROWS] = np.nan
        return scores

    def _residuals(self, values: Rows) -> NDArray[np.float64]:
        residuals = np.zeros(values.shape)
        before = sliding_window_view(values[:-1], self.N_ROWS, axis=0)  # (T - N, n, C, N)
        residuals[self.N_ROWS :] = np.abs(values[self.N_ROWS :] - before @ self._weights)
        return residuals


class NearestWindow:
    """The product's own distance to the nearest earlier window, alone: 64 windows are kept."""

    N_WINDOWS = 64

    def fit(self, train: Rows) -> None:
        """Learn nothing: it learns as it scores."""

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Score and learn row by row."""
        n_steps, n_rows, n_channels = values.shape
        baseline = NeighbourBaseline(n_rows, self.N_WINDOWS, WINDOW, n_channels)
        every_row = np.arange(n_rows)
        scores = np.full((n_steps, n_rows), np.nan)
        for t in range(WINDOW - 1, n_steps):
            windows = np.ascontiguousarray(values[t - WINDOW + 1 : t + 1].transpose(1, 0, 2))
            scores[t] = baseline.raw_score(every_row, windows)
            baseline.learn(every_row, windows)
        return scores


class PcaWindows:
    """The product's own windowed PCA, alone; for one channel too."""

    def fit(self, train: Rows) -> None:
        """Learn the directions of three quarters of the windows, and usual errors of the newest quarter."""
        windows = windows_by_row(train, WindowPca.N_STEPS)
        n_older = int(0.75 * len(windows))
        older, newer = sample_windows(windows[:n_older]), sample_windows(windows[n_older:])
        self._pca = WindowPca.fit(older, newer)

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Give the distance of each window from the directions."""
        scores = np.full(values.shape[:2], np.nan)
        windows = windows_by_row(values, WindowPca.N_STEPS)
        for row in range(values.shape[1]):
            scores[WindowPca.N_STEPS - 1 :, row] = self._pca.raw_score(np.ascontiguousarray(windows[:, row]))
        return scores


class KMeansWindows:
    """Distance of a window to the nearest of sixteen centres of the entity's own training windows."""

    N_CENTRES, N_ROUNDS = 16, 20

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def fit(self, train: Rows) -> None:
        """Learn the centres of each entity by Lloyd's rounds, from windows drawn at random."""
        rng = np.random.default_rng(self._seed)
        windows = windows_by_row(train, WINDOW)
        self._centres = [
            self._centres_of(flat(sample_windows(windows[:, row : row + 1])), rng)
            for row in range(train.shape[1])
        ]

    def score(self, values: Rows) -> NDArray[np.float64]:
        """Give root mean square distances to the nearest centre."""
        scores = np.full(values.shape[:2], np.nan)
        windows = windows_by_row(values, WINDOW)
        for row, centres in enumerate(self._centres):
            for start in range(0, len(windows), _SAMPLE):
                cells = flat(windows[start : start + _SAMPLE, row])
                nearest = np.sqrt(np.maximum(_squared(cells, centres).min(axis=1), 0) / cells.shape[1])
                scores[WINDOW - 1 + start : WINDOW - 1 + start + len(cells), row] = nearest
        return scores

    def _centres_of(self, cells: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        centres = cells[rng.choice(len(cells), min(self.N_CENTRES, len(cells)), replace=False)]
        for _ in range(self.N_ROUNDS):
            nearest = _squared(cells, centres).argmin(axis=1)
            for number in range(len(centres)):
                if (nearest == number).any():
                    centres[number] = cells[nearest == number].mean(axis=0)
        return centres


def windows_by_row(values: Rows, length: int) -> Rows:
    """View rows (T, n, C) as windows (T - W + 1, n, W, C)."""
    return sliding_window_view(values, length, axis=0).transpose(0, 1, 3, 2)


def over_channels(deviations: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give the root mean square over channels of deviations (T, n, C), each capped; (T, n)."""
    return np.sqrt((np.minimum(deviations, _CAP).astype(np.float64) ** 2).mean(axis=2))


def smoothed(deviations: NDArray[np.floating]) -> NDArray[np.float64]:
    """Smooth deviations (T, ...) exponentially over about ten rows, each capped before."""
    out = np.minimum(deviations, _CAP).astype(np.float64)
    for t in range(1, len(out)):
        out[t] = (1 - _SMOOTHING) * out[t - 1] + _SMOOTHING * out[t]
    return out


def sample_windows(windows: Rows) -> Rows:
    """Copy windows (T, n, W, C), spread evenly over time and entities, as (B, W, C)."""
    n_all = windows.shape[0] * windows.shape[1]
    chosen = np.linspace(0, n_all - 1, min(n_all, _SAMPLE)).astype(np.int64)
    return np.ascontiguousarray(windows[chosen // windows.shape[1], chosen % windows.shape[1]])


def flat(windows: Rows) -> NDArray[np.float32]:
    """Copy windows (B, W, C) as (B, W * C)."""
    return np.ascontiguousarray(windows).reshape(len(windows), -1)


def _squared(cells: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give squared distances (B, K)."""
    return (cells**2).sum(axis=1)[:, None] - 2 * cells @ centres.T + (centres**2).sum(axis=1)[None]
