"""Robust scaling per entity and channel, and its inverse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.row_arrays import RowArrays, row_array

__all__ = ["CLIP", "Scaling", "fit_scaling", "fit_scaling_and_rest", "smallest_departures"]

CLIP = 10.0  # scaled values are kept within +-10, so that one broken sample cannot swamp a window
_IQR_OF_NORMAL = 1.349  # interquartile range of a normal distribution of standard deviation 1
_MIN_SD_SHARE = 0.2  # keeps a channel that rests most of the time from being all spikes
_FEWEST_CHANGES = 8  # four times away and back: one incident must not say what a channel's steps are
_CONSTANT_SHARE = 0.01  # of its own value: the smallest change that counts on a constant channel


class Scaling(RowArrays):
    """Centre and scale of `n` entities' channels, both of shape (n, C), in the channels' own units."""

    centre = row_array(np.float64, "channels")
    scale = row_array(np.float64, "channels", fill=1.0)

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Scale values of shape (..., n, C) to about unit spread, clipped at +-10; NaN stays NaN."""
        return np.clip((values - self.centre) / self.scale, -CLIP, CLIP).astype(np.float32)

    def move(self, row: int, shift: NDArray[np.float64]) -> None:
        """Let one row's centre lie `shift` (C,) higher. Snapshots refer to the old array: it is replaced."""
        self.centre = self.centre.copy()
        self.centre[row] += shift

    def restore(self, centre: NDArray[np.float64]) -> None:
        """Scale around the centre (n, C) of a snapshot."""
        self.centre = centre

    def invert(self, scaled: NDArray[np.floating]) -> NDArray[np.float64]:
        """Bring scaled values of shape (..., n, C) back to the channels' own units."""
        return scaled * self.scale + self.centre


def fit_scaling(values: NDArray[np.float64], resolution: NDArray[np.float64]) -> Scaling:
    """Fit centre (median) and scale (robust spread) of each entity's channels.

    Parameters and result as for `fit_scaling_and_rest`.
    """
    scaling, _ = fit_scaling_and_rest(values, resolution)
    return scaling


def fit_scaling_and_rest(
    values: NDArray[np.float64], resolution: NDArray[np.float64]
) -> tuple[Scaling, NDArray[np.bool_]]:
    """Fit the scaling, and tell which channels (n, C) are at rest: constant most of the time.

    Parameters
    ----------
    values : ndarray, shape (n_steps, n, C)
        History in the channels' own units; NaN is a gap.
    resolution : ndarray, shape (C,) or (n, C)
        The smallest change of each channel that means something, in its own unit. It floors
        the scale of a channel that was constant, or nearly always at rest, so that an event
        is a small step.
    """
    empty = np.isnan(values).all(axis=0)
    with np.errstate(invalid="ignore"):
        known = np.where(empty, 0.0, values)
        low, centre, high = np.nanquantile(known, [0.25, 0.5, 0.75], axis=0)
        spread = (high - low) / _IQR_OF_NORMAL
        scale = np.maximum(spread, _MIN_SD_SHARE * np.nanstd(known, axis=0))
    floor = np.maximum(np.abs(centre) * _CONSTANT_SHARE, resolution)
    at_rest = np.asarray(spread <= 1e-9 * np.maximum(1.0, np.abs(centre)))
    scale = np.where(at_rest, np.maximum(scale, floor), scale)
    return Scaling.of(centre=centre, scale=scale), at_rest


def smallest_departures(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the smallest distance from its median that each channel has shown; shape (n, C).

    NaN where a channel has changed less than eight times: that is too rare to say.

    Parameters
    ----------
    values : ndarray, shape (n_steps, n, C)
        History in the channels' own units; NaN is a gap.
    """
    known = np.where(np.isnan(values).all(axis=0), 0.0, values)
    centre = np.nanmedian(known, axis=0)
    distance = np.abs(known - centre)
    departs = distance > 1e-9 * np.maximum(1.0, np.abs(centre))  # False for a gap
    smallest = np.where(departs, distance, np.inf).min(axis=0, initial=np.inf)
    n_changes = (np.abs(np.diff(known, axis=0)) > 0).sum(axis=0)
    return np.where(np.isfinite(smallest) & (n_changes >= _FEWEST_CHANGES), smallest, np.nan)
