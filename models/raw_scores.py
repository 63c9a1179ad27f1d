"""Raw scores of the network's error: a few numbers for each window, and each channel's share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from models.dataset import fill_gaps, padded
from models.network import Autoencoder
from models.row_arrays import RowArrays, row_array

__all__ = [
    "ERROR_CAP",
    "MIN_ERROR",
    "TAIL_STEPS",
    "ErrorScale",
    "NetworkRawScores",
    "RowErrorScales",
    "fit_error_scale",
    "high_error",
    "raw_score_windows",
]

TAIL_STEPS = (
    4  # the newest steps, with a raw score of their own; the last step alone is copied by the network
)
ERROR_CAP = 20.0  # of a channel's error over its scale: one broken channel must not dominate all others
_FLOOR_SHARE = 0.5  # of the median over channels: a channel constant in training must not dominate
_SHRINKAGE = 0.1  # of the error's covariance towards its mean variance, so that it can be inverted
# Least scale of an error, in scaled units: a network that rebuilds a constant exactly must not find the
# smallest change enormous.
MIN_ERROR = 0.05
_BLOCK = 512  # windows scored at once: their working set stays in the cache


@dataclass(frozen=True, slots=True)
class ErrorScale:
    """The scale of normal errors, from held-out windows.

    `window` and `tail`, shape (C,): the 99 % quantile of the root mean square error of a normal
    window and of its newest four steps; (B, C) where windows differ. `mean` (W,) and `precision`
    (W, W) are those of the error windows of a univariate watch, and empty for multivariate ones.
    """

    window: NDArray[np.float64]
    tail: NDArray[np.float64]
    mean: NDArray[np.float64]
    precision: NDArray[np.float64]


class RowErrorScales(RowArrays):
    """Each entity's own scale of normal errors, by channel; NaN where it is not known.

    A channel that is hard to rebuild on one entity may be easy on another: with one scale for all, an
    unusual error of the second is lost among usual errors of the first. Shapes are (n, C).
    """

    window = row_array(np.float64, "channels", fill=np.nan)
    tail = row_array(np.float64, "channels", fill=np.nan)
    pca = row_array(np.float64, "channels", fill=np.nan)

    def network(self, rows: NDArray[np.int64], of_all: ErrorScale) -> ErrorScale:
        """Give the network's scale for windows of some entities (B,): their own, or that of all."""
        return replace(
            of_all,
            window=_own_or(self.window[rows], of_all.window),
            tail=_own_or(self.tail[rows], of_all.tail),
        )

    def pca_scale(self, rows: NDArray[np.int64], of_all: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the windowed PCA's scale (B, C) for windows of some entities: their own, or that of all."""
        return _own_or(self.pca[rows], of_all)


@dataclass(frozen=True, slots=True)
class NetworkRawScores:
    """What the network computes for B windows.

    `raw_scores` (B, R): window RMS, tail RMS and, for one channel, Mahalanobis distance.
    `channel_error` (B, C): each channel's error over its scale, 0 where it was not measured.
    `expected` (B, C): the reconstruction of the newest step, scaled.
    """

    raw_scores: NDArray[np.float64]
    channel_error: NDArray[np.float64]
    expected: NDArray[np.float32]


def error_windows(
    network: Autoencoder, windows: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give errors (B, W, C), NaN where nothing was measured, and the newest step's reconstruction (B, C)."""
    errors, expected = np.empty_like(windows), np.empty((len(windows), windows.shape[2]), np.float32)
    with torch.inference_mode():
        for start in range(0, len(windows), _BLOCK):
            block = windows[start : start + _BLOCK]
            output = network(torch.from_numpy(padded(fill_gaps(np.ascontiguousarray(block))))).numpy()[
                : len(block)
            ]
            errors[start : start + _BLOCK] = block - output  # NaN stays NaN: a gap has no error
            expected[start : start + _BLOCK] = output[:, -1]
    return errors, expected


def fit_error_scale(errors: NDArray[np.float32]) -> ErrorScale:
    """Fit from the error windows (B, W, C) of windows that the network was not trained on."""
    if errors.shape[2] > 1:
        mean, precision = np.empty(0), np.empty((0, 0))
    else:
        flat = np.nan_to_num(errors[:, :, 0].astype(np.float64))
        mean = flat.mean(axis=0)
        covariance = np.atleast_2d(np.cov(flat, rowvar=False)) if len(flat) > 1 else np.eye(flat.shape[1])
        ridge = max(_SHRINKAGE * np.trace(covariance) / len(covariance), MIN_ERROR**2)
        precision = np.linalg.inv(covariance + ridge * np.eye(len(covariance)))
    in_window, in_tail = _rms(errors, axis=1), _rms(errors[:, -TAIL_STEPS:], axis=1)
    return ErrorScale(high_error(in_window), high_error(in_tail), mean, precision)


def raw_score_windows(
    network: Autoencoder, windows: NDArray[np.float32], scale: ErrorScale
) -> NetworkRawScores:
    """Give the raw scores of windows (B, W, C); NaN cells are masked out of each."""
    errors, expected = error_windows(network, windows)
    in_window = np.minimum(_rms(errors, axis=1) / scale.window, ERROR_CAP)  # (B, C)
    in_tail = np.minimum(_rms(errors[:, -TAIL_STEPS:], axis=1) / scale.tail, ERROR_CAP)
    raw_scores = [_rms(in_window, axis=1), _rms(in_tail, axis=1)]
    if scale.mean.size:
        centred = np.nan_to_num(errors[:, :, 0] - scale.mean)
        raw_scores.append(
            np.sqrt(np.einsum("bi,ij,bj->b", centred, scale.precision, centred) / len(scale.mean))
        )
    return NetworkRawScores(np.stack(raw_scores, axis=1), np.nan_to_num(in_window), expected)


def high_error(rms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the 99 % quantile (C,) of root mean square errors (B, C), but not too small a one."""
    never = np.isnan(rms).all(axis=0)
    high = np.nanquantile(np.where(never, 0.0, rms), 0.99, axis=0)
    typical = np.median(high[~never]) if (~never).any() else 0.0
    return np.asarray(np.maximum(high, max(_FLOOR_SHARE * typical, MIN_ERROR)))


def _own_or(own: NDArray[np.float64], of_all: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(own), of_all, own)


def _rms(values: NDArray[np.floating], axis: int) -> NDArray[np.float64]:
    """Give the root mean square over the measured cells; NaN where there is none."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).astype(np.float64) ** 2
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(total.sum(axis=axis) / known.sum(axis=axis)))
