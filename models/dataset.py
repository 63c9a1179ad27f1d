"""Windows of closed steps: which of them can be judged, and what fills their gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

__all__ = [
    "WindowIndex",
    "fill_gaps",
    "gather_futures",
    "gather_windows",
    "index_windows",
    "padded",
    "windows_of",
]

T = TypeVar("T", bound=np.generic)
F = TypeVar("F", np.float32, np.float64)

_ROWS_TOGETHER = 16  # matrix products of fewer rows take other code paths
MIN_KNOWN_SHARE = 0.5  # of a window's cells; a window with less shows its gaps more than its metrics


@dataclass(frozen=True, slots=True)
class WindowIndex:
    """Windows by their newest step and their entity, both of shape (n_windows,)."""

    end: NDArray[np.int64]
    row: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.end)

    def take(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> WindowIndex:
        """Give the chosen windows."""
        return WindowIndex(self.end[which], self.row[which])


def windows_of(steps: NDArray[F], window_length: int) -> NDArray[F]:
    """View steps of shape (T, n, C) as windows of shape (T - W + 1, n, W, C), without a copy."""
    return sliding_window_view(steps, window_length, axis=0).transpose(0, 1, 3, 2)


def index_windows(steps: NDArray[np.float32], window_length: int) -> WindowIndex:
    """Find the windows of steps (T, n, C) that can be judged, oldest first.

    A window can be judged if its newest step was measured, and at least half of the cells of
    those channels that have any value in it. A channel without values does not count against it.
    """
    if len(steps) < window_length:
        return WindowIndex(np.empty(0, np.int64), np.empty(0, np.int64))
    known = ~np.isnan(steps)  # (T, n, C)
    counted = np.concatenate(
        [np.zeros((1, *known.shape[1:]), np.int32), np.cumsum(known, axis=0, dtype=np.int32)]
    )
    in_window = counted[window_length:] - counted[:-window_length]  # (T - W + 1, n, C)
    enough = in_window.sum(axis=-1) >= MIN_KNOWN_SHARE * window_length * (in_window > 0).sum(axis=-1)
    end, row = np.nonzero(enough & known[window_length - 1 :].any(axis=-1))
    return WindowIndex(end + window_length - 1, row)


def gather_windows(steps: NDArray[np.float32], index: WindowIndex, window_length: int) -> NDArray[np.float32]:
    """Copy the indexed windows of steps (T, n, C); shape (n_windows, W, C), NaN in gaps."""
    return windows_of(steps, window_length)[index.end - window_length + 1, index.row]


def gather_futures(
    steps: NDArray[np.float32], index: WindowIndex, horizon: int, until: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Copy the steps that follow the indexed windows of steps (T, n, C).

    Parameters
    ----------
    until : ndarray, shape (n,)
        The first step of each entity that must not be seen.

    Returns
    -------
    ndarray, shape (n_windows, horizon, C)
        NaN in gaps, and from `until` or the last step on.
    """
    at = index.end[:, None] + 1 + np.arange(horizon)  # (n_windows, horizon)
    futures: NDArray[np.float32] = steps[np.minimum(at, len(steps) - 1), index.row[:, None]]
    futures[at >= np.minimum(until, len(steps))[index.row][:, None]] = np.nan
    return futures


def fill_gaps(windows: NDArray[F]) -> NDArray[F]:
    """Fill NaN in windows (B, W, C): with the last value before it, else the first after it, else 0.

    In scaled units 0 is the median. Filled cells are masked in loss and error: they only make
    the network's input complete.
    """
    known = ~np.isnan(windows)
    if known.all():
        return windows
    steps = np.arange(windows.shape[1])[None, :, None]
    before = np.maximum.accumulate(np.where(known, steps, -1), axis=1)
    after = np.where(known, steps, windows.shape[1])[:, ::-1]
    after = np.minimum.accumulate(after, axis=1)[:, ::-1]
    source = np.where(before >= 0, before, np.minimum(after, windows.shape[1] - 1))
    filled: NDArray[F] = np.take_along_axis(windows, source, axis=1)
    filled[np.isnan(filled)] = 0.0
    return filled


def padded(windows: NDArray[T]) -> NDArray[T]:
    """Repeat the last of the windows (B, ...) up to a multiple of 16.

    Matrix products round differently for a few rows than for many. Padded like this, a
    window's result is bit-equal whichever windows it is computed with.
    """
    n_missing = -len(windows) % _ROWS_TOGETHER
    return np.concatenate([windows, np.repeat(windows[-1:], n_missing, axis=0)]) if n_missing else windows
