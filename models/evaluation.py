"""Two models on the same held-out steps: calibrated error, blocks over the limit, injected faults.

Both are measured by the same scale: the divisor of errors, the places and the sizes of faults.
A model with a wide error scale of its own does not seem better for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from models.dataset import index_windows
from models.detector import Detector
from models.raw_scores import ERROR_CAP, error_windows
from models.scaling import CLIP

__all__ = [
    "FAULT_KINDS",
    "FaultKind",
    "Faults",
    "blocks_over_limit",
    "calibrated_error",
    "inject_faults",
    "poisson_bound",
]

FaultKind = Literal["spike", "level", "drift", "flat", "uncorrelated"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

_MAX_WINDOWS = 4000  # compared at most; more do not change the second digit of their mean
_SIZES = (3.0, 6.0, 12.0)  # of faults, in robust standard deviations: from barely to clearly visible
_SPIKE_STEPS = 2
_CHANNEL_SHARE = 0.25  # of an entity's channels that a fault changes: a single one of many is no incident
_SHOWN_SHARE = 0.9  # of the steps around a fault that must have values
_FEW = 500.0  # up to here the Poisson distribution is summed; beyond it is close to normal
_SIGMAS = 3.09  # of a normal distribution: 99.9 % lie below


def calibrated_error(
    detector: Detector, values: NDArray[np.float64], rows: NDArray[np.int64], divisor: NDArray[np.float64]
) -> float:
    """Give the root mean square of a network's reconstruction error on windows of some rows.

    The error of a window's channel is the root mean square over its measured steps, in the
    channel's own unit, divided by `divisor`, and capped as in raw scores. A cell that scaling
    clips counts with its full distance.

    Parameters
    ----------
    values : ndarray, shape (T, n, C)
        Held-out steps in the channels' own units; NaN is a gap.
    rows : ndarray
        The rows of `values`, and of the detector, that are compared.
    divisor : ndarray, shape (n, C)
        A normal error of each row's channels, in their own units; the same for all models
        compared. Channels where it is NaN are left out.

    Returns
    -------
    float
        1 is about a normal window's highest error. Infinite if the network's output is not
        finite; NaN without a window.
    """
    assert detector.trained is not None
    window_length = detector.settings.window_length
    chosen = values[:, rows]
    index = index_windows(np.where(np.isnan(chosen), np.nan, 0.0).astype(np.float32), window_length)
    index = index.take(np.linspace(0, len(index) - 1, min(len(index), _MAX_WINDOWS)).astype(np.int64))
    if not len(index):
        return math.nan
    windows = sliding_window_view(chosen, window_length, axis=0)  # (T - W + 1, n, C, W)
    windows = windows[index.end - window_length + 1, index.row].transpose(0, 2, 1)  # (B, W, C)
    row = rows[index.row]
    centre = detector.scaling.centre[row][:, None]  # (B, 1, C)
    scale = detector.scaling.scale[row][:, None]
    scaled = np.clip((windows - centre) / scale, -CLIP, CLIP).astype(np.float32)
    errors, _ = error_windows(detector.trained.network, scaled)
    reconstruction = (scaled.astype(np.float64) - errors) * scale + centre
    squared = ((windows - reconstruction) / divisor[row][:, None]) ** 2
    known = ~np.isnan(windows) & ~np.isnan(divisor[row])[:, None]
    if not np.isfinite(squared[known]).all():
        return math.inf
    n_known = known.sum(axis=1)  # (B, C)
    of_channel = np.sqrt(np.where(known, squared, 0.0).sum(axis=1) / np.maximum(n_known, 1))
    return float(np.sqrt(np.mean(np.minimum(of_channel[n_known > 0], ERROR_CAP) ** 2)))


def blocks_over_limit(score: NDArray[np.float64], block_steps: int) -> tuple[int, int]:
    """Count the blocks in which the score of a step reached 1, and all blocks that were judged.

    Blocks, not steps: the limit is chosen so that blocks as long as an episode and its rest
    exceed it as often as the budget allows. Errors of neighbouring steps are correlated.

    Parameters
    ----------
    score : ndarray, shape (T, n)
        NaN where not judged. Blocks are counted for each entity, the newest ending at the last step.
    """
    n_blocks = len(score) // block_steps
    blocks = score[len(score) - n_blocks * block_steps :].reshape(n_blocks, block_steps, score.shape[1])
    judged = ~np.isnan(blocks).all(axis=1)
    with np.errstate(invalid="ignore"):
        over = (blocks >= 1.0).any(axis=1)
    return int(over.sum()), int(judged.sum())


def poisson_bound(expected: float) -> int:
    """Give the 99.9 % quantile of a Poisson distribution with mean `expected`."""
    if expected > _FEW:
        return math.ceil(expected + _SIGMAS * math.sqrt(expected))
    number, term = 0, math.exp(-expected)
    below = term
    while below < 0.999:
        number += 1
        term *= expected / number
        below += term
    return number


@dataclass(frozen=True, slots=True)
class Faults:
    """K stretches of an entity's steps, each with one fault from step `first` on.

    `values` (steps, K, C): an empty window, an unchanged window, and the fault. `row` (K,) is
    the entity's row in the history, `kind` (K,) an index into `FAULT_KINDS`.
    """

    values: NDArray[np.float64]
    row: NDArray[np.int64]
    kind: NDArray[np.int64]
    first: int

    def __len__(self) -> int:
        return len(self.row)


def inject_faults(
    values: NDArray[np.float64],
    rows: NDArray[np.int64],
    scale: NDArray[np.float64],
    *,
    window_length: int,
    fault_steps: int,
    n_each: int,
    seed: int,
) -> Faults:
    """Inject faults of every kind into copies of held-out steps, at places given by the seed.

    Spike, level and drift move a quarter of the entity's channels by 3, 6 or 12 of `scale`,
    up or down. A flat line repeats their last value. Lost correlation replaces their values by
    those of another time: each channel alone is normal.

    Parameters
    ----------
    values : ndarray, shape (T, n, C)
        Held-out steps in the channels' own units.
    rows : ndarray
        The rows that faults may be injected into.
    scale : ndarray, shape (n, C)
        Robust standard deviation of each row's channels.
    fault_steps : int
        Steps from a fault's beginning to the end of its stretch.
    n_each : int
        Faults of each kind.

    Returns
    -------
    Faults
        Empty if no stretch of the steps has enough values.
    """
    length = window_length + fault_steps
    n_channels = values.shape[2]
    shown = ~np.isnan(values).all(axis=2)  # (T, n)
    counted = np.concatenate([np.zeros((1, shown.shape[1]), np.int64), np.cumsum(shown, axis=0)])
    within = (
        counted[length:] - counted[:-length]
        if len(values) >= length
        else np.empty((0, shown.shape[1]), np.int64)
    )
    enough = np.zeros(within.shape, bool)
    enough[:, rows] = within[:, rows] >= _SHOWN_SHARE * length
    starts, of_row = np.nonzero(enough)
    n_faults = n_each * len(FAULT_KINDS) if len(starts) else 0
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(starts), size=n_faults) if n_faults else np.empty(0, np.int64)
    kind = np.arange(n_faults) % len(FAULT_KINDS)
    row = of_row[chosen]
    out = np.full((window_length + length, n_faults, n_channels), np.nan)
    for number in range(n_faults):
        start = int(starts[chosen[number]])
        stretch = values[start : start + length, row[number]].copy()  # (length, C)
        channels = rng.permutation(n_channels)[: max(1, round(_CHANNEL_SHARE * n_channels))]
        size = (
            _SIZES[number // len(FAULT_KINDS) % len(_SIZES)]
            * rng.choice([-1.0, 1.0])
            * scale[row[number], channels]
        )
        elsewhere = int(rng.choice(starts[of_row == row[number]]))
        other = values[elsewhere : elsewhere + length, row[number]]
        _disturb(stretch, window_length, FAULT_KINDS[kind[number]], channels, size, other, rng)
        out[window_length:, number] = stretch
    return Faults(out, row, kind, first=2 * window_length)


def _disturb(
    stretch: NDArray[np.float64],
    first: int,
    kind: FaultKind,
    channels: NDArray[np.int64],
    size: NDArray[np.float64],
    other: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Inject one fault into a stretch (steps, C) from step `first` on, in place."""
    n_steps = len(stretch) - first
    if kind == "spike":
        stretch[first : first + _SPIKE_STEPS, channels] += size
    elif kind == "level":
        stretch[first:, channels] += size
    elif kind == "drift":
        stretch[first:, channels] += np.linspace(0.0, 1.0, n_steps)[:, None] * size
    elif kind == "flat":
        before = stretch[:first, channels]
        last = first - 1 - np.argmax(~np.isnan(before[::-1]), axis=0)  # the last step with a value
        stretch[first:, channels] = stretch[last, channels]
    elif stretch.shape[1] > 1:
        stretch[first:, channels] = other[first:, channels]
    else:  # a single channel is correlated only with itself: shuffle its order in time
        stretch[first:] = stretch[first + rng.permutation(n_steps)]
