"""What training gives to a detector: network, scale of errors, and the weights of raw scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.baselines import WindowPca
from models.dataset import gather_windows, index_windows
from models.forecast import ForecastBand
from models.network import Autoencoder
from models.raw_scores import ErrorScale, RowErrorScales, error_windows, fit_error_scale, high_error

__all__ = ["Trained", "fit_row_error_scales", "min_thresholds", "raw_score_weights"]

_LEAST_WINDOWS = 100  # that a 99 % quantile is from


@dataclass(frozen=True, slots=True)
class Trained:
    """The result of training; serving never changes it."""

    network: Autoencoder
    error_scale: ErrorScale
    pca: WindowPca | None  # multivariate watches only
    forecast_band: ForecastBand | None = None  # of a network with a forecast head


def fit_row_error_scales(
    scales: RowErrorScales, row: int, steps: NDArray[np.float32], trained: Trained, window_length: int
) -> None:
    """Measure a row's own scales by its held-out steps (T, 1, C), where there are windows enough.

    Too few would make a channel's usual errors unusual, and the row keeps the scale of all.
    """
    assert trained.pca is not None
    index = index_windows(steps, window_length)
    if len(index) < _LEAST_WINDOWS:
        return
    windows = gather_windows(steps, index, window_length)
    errors, _ = error_windows(trained.network, windows)
    own = fit_error_scale(errors)
    scales.window[row], scales.tail[row] = own.window, own.tail
    scales.pca[row] = high_error(trained.pca.channel_error(windows))


def min_thresholds(trained: Trained | None) -> NDArray[np.float64]:
    """Give for each column the least raw score that may be out of the ordinary where channels were at rest.

    It is about half of what normal noise comes to. The scale of a channel at rest is the smallest
    change that means something: what stays well within it means nothing.
    """
    if trained is None:
        return np.array([0.1, 0.5])  # neighbour, Gaussian
    if trained.pca is not None:
        return np.array([0.5, 0.5, 0.5])
    return np.array([0.5, 0.5, 0.5, 0.1, 0.5])


def raw_score_weights(trained: Trained | None) -> NDArray[np.float64]:
    """Give the weight of each column of raw scores; the baselines with memory are the last columns."""
    if trained is None:
        return np.array([1 / 2, 1 / 2])  # neighbour, Gaussian
    if trained.pca is not None:
        return np.array([1 / 3, 1 / 3, 1 / 3])  # network's window and tail, PCA
    # Network's window, tail, Mahalanobis; neighbour, Gaussian.
    return np.array([1 / 9, 1 / 9, 1 / 9, 1 / 3, 1 / 3])
