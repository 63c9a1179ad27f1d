"""From raw score to surprise: for each entity and kind of raw score, a decayed histogram and its tail.

Surprise is `-log10` of the probability that normal operation has a raw score this high. Below
the 98 % quantile `u0` it rises linearly from 0 at the median; above, the excess is assumed to
be exponential with scale `beta`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.row_arrays import RowArrays, row_array

__all__ = ["MAX_SURPRISE", "MEMORY_STEPS", "TailBank", "tails_of_memories"]

MEMORY_STEPS = 4000.0  # steps after which a raw score's weight has fallen to 1/e

# The tail starts at the 98 % quantile and its scale is floored at 5 % of the quantile's distance
# from the lowest raw score: measured best, with alerts included in the history, on labelled series.
_TAIL_SHARE = 0.02
_SCALE_FLOOR_SHARE = 0.05
# Of a typical raw score: where it never changed, a change of a tenth of a per cent is no alert.
_SCALE_FLOOR_OF_RAW_SCORE = 0.002
_IQR_OF_NORMAL = 1.349  # interquartile range of a normal distribution of standard deviation 1
_SURPRISE_AT_TAIL = -math.log10(_TAIL_SHARE)
# Of the lowest threshold: where raw scores hardly vary, the tail's scale is no smaller than this share of it.
_SCALE_FLOOR_OF_THRESHOLD = 0.2
MAX_SURPRISE = 30.0  # beyond it a probability means nothing

# Bins of a raw score's logarithm, in units of its spread around a typical value: narrow in the middle, where
# normal raw scores lie, and ever wider outwards, so that 96 on either side reach any value.
_N_BINS = 193
_MIDDLE = _N_BINS // 2
_BINS_PER_UNIT = 12.0  # of asinh(distance in spreads): the middle bin is a twelfth of a spread wide
_MIN_SPREAD, _MAX_SPREAD = 0.01, 0.5  # of a logarithm
_FARTHEST_LOG = 50.0  # logarithms beyond overflow nothing and mean nothing
# A short history starts with the weight of a longer one: otherwise a fault too faint to be noticed would
# soon be more than 2 % of the history, and count as the tail of normal.
_START_SHARE = 0.5  # of the memory
_REFRESH_STEPS = 50  # between two fits; fitting at each step would cost 50 times as much and change nothing


class TailBank(RowArrays):
    """The tails of `n_rows` entities by `n_raw_scores` kinds of raw scores.

    While an episode is open its row is *frozen*: it still learns, but surprise is computed from
    the fit before the episode. `thaw` then either restores what was known before the episode, or
    keeps what was learned during it.

    A *young* row has shown fewer than `young_steps`. Its tail is not known yet: it learns each raw
    score as it is, and keeps what it learned in episodes. Otherwise a tail that was fitted on too
    little would raise alerts forever.

    Parameters
    ----------
    memory_steps : float
        Steps after which a raw score's weight has fallen to 1/e.
    young_steps : float
        Steps for which a row is young; 0: never.
    max_learned : float
        Surprise that a raw score is learned as, at most, where its row is neither young nor frozen.
    """

    counts = row_array(np.float32, "raw_scores", _N_BINS)
    weight = row_array(np.float64, fill=1.0)  # of the next step; grows instead of letting all counts decay
    reference = row_array(np.float64, "raw_scores", fill=1.0)  # a typical raw score: the bins' centre
    spread = row_array(np.float64, "raw_scores", fill=_MAX_SPREAD)  # of the raw scores' logarithm
    n_learned = row_array(np.int64)  # steps, from a number on that differs between rows
    median = row_array(np.float64, "raw_scores")
    threshold = row_array(np.float64, "raw_scores", fill=np.inf)  # u0; infinite until fitted
    scale = row_array(np.float64, "raw_scores", fill=1.0)  # beta
    frozen = row_array(np.bool_)
    # No threshold lies below: raw scores of deviations too small to matter.
    min_threshold = row_array(np.float64, "raw_scores")

    def __init__(
        self,
        n_rows: int,
        n_raw_scores: int,
        *,
        memory_steps: float = MEMORY_STEPS,
        young_steps: float = 0.0,
        max_learned: float = 3.0,
    ) -> None:
        super().__init__(n_rows, raw_scores=n_raw_scores)
        self.memory_steps = memory_steps
        self.young_steps = young_steps
        self.max_learned = max_learned
        self._saved: dict[int, tuple[NDArray[np.float32], float, int]] = {}  # of frozen rows

    def start(self, row: int, raw_scores: NDArray[np.float64]) -> None:
        """Calibrate one row from its history of raw scores.

        Parameters
        ----------
        raw_scores : ndarray, shape (n_steps, n_raw_scores)
            Oldest first; NaN where not judged. A kind of raw score with a shorter history has
            NaN in its first steps.
        """
        known = np.isfinite(raw_scores)
        for r in range(raw_scores.shape[1]):
            is_positive = known[:, r] & (raw_scores[:, r] > 0)
            positive = raw_scores[is_positive, r]
            if positive.size:
                low, middle, high = np.quantile(np.log(positive), [0.25, 0.5, 0.75])
                self.reference[row, r] = math.exp(middle)
                self.spread[row, r] = np.clip((high - low) / _IQR_OF_NORMAL, _MIN_SPREAD, _MAX_SPREAD)
        self.counts[row] = 0.0
        self.weight[row] = 1.0
        growth = math.exp(1 / self.memory_steps)
        bins = self._bins(raw_scores, np.array([row]))
        for r in range(raw_scores.shape[1]):
            steps = np.flatnonzero(known[:, r])
            weights = growth ** (steps - len(raw_scores)).astype(np.float64)
            counts = np.bincount(bins[steps, r], weights, _N_BINS)
            gain = max(1.0, _START_SHARE * self.memory_steps / max(counts.sum(), 1e-12))
            self.counts[row, r] = counts * gain
        # Fits are spread over the steps by the raw scores, not by row: an entity's row may change.
        self.n_learned[row] = len(raw_scores) + zlib.crc32(raw_scores.tobytes()) % _REFRESH_STEPS
        self._fit(np.array([row]))

    def surprise(self, rows: NDArray[np.int64], raw_scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the surprise of raw scores (n, n_raw_scores); NaN where it is NaN or its tail is unknown."""
        median, threshold, scale = self.median[rows], self.threshold[rows], self.scale[rows]
        with np.errstate(invalid="ignore"):
            below = _SURPRISE_AT_TAIL * (raw_scores - median) / np.maximum(threshold - median, 1e-12)
            above = _SURPRISE_AT_TAIL + (raw_scores - threshold) / (scale * math.log(10))
            surprise = np.clip(np.where(raw_scores > threshold, above, below), 0.0, MAX_SURPRISE)
        return np.where(np.isfinite(threshold), surprise, np.nan)

    def learn(self, rows: NDArray[np.int64], raw_scores: NDArray[np.float64]) -> None:
        """Count one step's raw scores (n, n_raw_scores) of distinct rows; NaN is ignored.

        Unless the row is frozen or young, a raw score counts at most as the one with a surprise
        of `max_learned`: the tail follows the raw scores, but a few extreme ones do not stretch it.
        """
        known = np.isfinite(raw_scores)
        furthest = self.threshold[rows] + self.scale[rows] * math.log(10) * (
            self.max_learned - _SURPRISE_AT_TAIL
        )
        free = ~self.frozen[rows]
        is_capped = free & ~self.is_young(rows)
        raw_scores = np.where(is_capped[:, None], np.minimum(raw_scores, furthest), raw_scores)
        bins = self._bins(raw_scores, rows)
        index, column = np.nonzero(known)
        self.counts[rows[index], column, bins[index, column]] += self.weight[rows[index]]
        self.weight[rows] *= math.exp(1 / self.memory_steps)
        self.n_learned[rows] += 1
        heavy = rows[self.weight[rows] > 1e6]
        if heavy.size:  # float32 holds 7 digits: restart from weight 1 long before they run out
            self.counts[heavy] /= self.weight[heavy, None, None]
            self.weight[heavy] = 1.0
        due = rows[free & (self.n_learned[rows] % _REFRESH_STEPS == 0)]
        if due.size:
            self._fit(due)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give every array by name, what was saved of frozen rows among them."""
        rows = sorted(self._saved)
        saved = [self._saved[row] for row in rows]
        saved_counts = np.array([counts for counts, _, _ in saved], np.float32)
        return super().state() | {
            "saved.rows": np.array(rows, np.int64),
            "saved.counts": saved_counts.reshape(len(rows), *self.counts.shape[1:]),
            "saved.weight": np.array([weight for _, weight, _ in saved], np.float64),
            "saved.n_learned": np.array([n_learned for _, _, n_learned in saved], np.int64),
        }

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Copy arrays that `state` gave."""
        names = ("saved.rows", "saved.counts", "saved.weight", "saved.n_learned")
        saved = {
            int(row): (counts.copy(), float(weight), int(n_learned))
            for row, counts, weight, n_learned in zip(*(arrays[name] for name in names), strict=True)
        }
        super().load_state(arrays)
        self._saved = saved

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these rows and number them anew, in this order."""
        super().keep_rows(rows)
        new_row = {row: number for number, row in enumerate(rows.tolist())}
        self._saved = {new_row[row]: saved for row, saved in self._saved.items() if row in new_row}

    def put(self, rows: NDArray[np.int64], other: Self, of_rows: NDArray[np.int64] | None = None) -> None:
        """Write rows of `other` into these rows; none of them is frozen then."""
        super().put(rows, other, of_rows)
        self.frozen[rows] = False
        for row in rows.tolist():
            self._saved.pop(row, None)

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """Copy the fit, which surprise is judged by."""
        return {"median": self.median.copy(), "threshold": self.threshold.copy(), "scale": self.scale.copy()}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Judge surprise by the fit of a snapshot."""
        self.median = snapshot["median"].copy()
        self.threshold = snapshot["threshold"].copy()
        self.scale = snapshot["scale"].copy()

    def freeze(self, row: int) -> None:
        """Judge this row by its present fit until it is thawed, and save what it knows."""
        self.frozen[row] = True
        self._saved[row] = (self.counts[row].copy(), float(self.weight[row]), int(self.n_learned[row]))

    def is_frozen(self, row: int) -> bool:
        """Say whether this row is judged by an earlier fit."""
        return bool(self.frozen[row])

    def is_young(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which rows (n,) have shown too few steps for their tail to be known."""
        return np.asarray(self.n_learned[rows] < self.young_steps)

    def thaw(self, row: int, *, keep: bool) -> None:
        """End a freeze: restore what was known before it, or `keep` what was learned since.

        A young row keeps it in either case.
        """
        counts, weight, n_learned = self._saved.pop(row)
        self.frozen[row] = False
        if not keep and n_learned >= self.young_steps:
            self.counts[row], self.weight[row], self.n_learned[row] = counts, weight, n_learned
        self._fit(np.array([row]))

    def _blank(self, n_rows: int) -> Self:
        return type(self)(
            n_rows,
            self.counts.shape[1],
            memory_steps=self.memory_steps,
            young_steps=self.young_steps,
            max_learned=self.max_learned,
        )

    def _bins(self, raw_scores: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            distance = np.log(raw_scores / self.reference[rows]) / self.spread[rows]
        position = np.arcsinh(np.nan_to_num(distance, nan=0.0)) * _BINS_PER_UNIT + _MIDDLE
        return np.asarray(np.clip(np.rint(position), 0, _N_BINS - 1), np.int64)

    def _edges(self, rows: NDArray[np.int64], position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the raw scores at bin positions (n, n_raw_scores, k); bin i is from i - 0.5 to i + 0.5."""
        logarithm = self.spread[rows][..., None] * np.sinh((position - _MIDDLE) / _BINS_PER_UNIT)
        factor = np.exp(np.clip(logarithm, -_FARTHEST_LOG, _FARTHEST_LOG))
        return np.asarray(self.reference[rows][..., None] * factor)

    def _fit(self, rows: NDArray[np.int64]) -> None:
        counts = self.counts[rows].astype(np.float64)
        cumulative = np.cumsum(counts, axis=-1)
        known = cumulative[..., -1] > 0
        tail_from = _quantile(cumulative, 1 - _TAIL_SHARE)
        positions = np.stack([_quantile(cumulative, 0.5), tail_from, np.argmax(counts > 0, axis=-1)], axis=-1)
        median, threshold, lowest = np.moveaxis(self._edges(rows, positions), -1, 0)
        number = np.arange(_N_BINS, dtype=np.float64)
        share_above = np.clip(number + 0.5 - tail_from[..., None], 0.0, 1.0)  # of each bin
        centres = self._edges(rows, number + 0.5 - share_above / 2)  # of what lies above
        above = counts * share_above
        threshold = np.maximum(threshold, self.min_threshold[rows])
        total_excess = (above * np.maximum(centres - threshold[..., None], 0.0)).sum(axis=-1)
        excess = total_excess / np.maximum(above.sum(axis=-1), 1e-12)
        self.median[rows] = np.where(known, median, 0.0)
        self.threshold[rows] = np.where(known, threshold, np.inf)
        floor = np.maximum(
            _SCALE_FLOOR_OF_RAW_SCORE * self.reference[rows],
            _SCALE_FLOOR_OF_THRESHOLD * self.min_threshold[rows],
        )
        floor = np.maximum(_SCALE_FLOOR_SHARE * (threshold - lowest), floor)
        self.scale[rows] = np.maximum(excess, floor)


def tails_of_memories(n_rows: int, n_raw_scores: int) -> TailBank:
    """Give the tails of baselines with a memory: they learn out of an alarm that too little history raised.

    Rare high raw scores must not wear away from them either. A network and a PCA stay as they were fitted:
    with these settings the first faults became their tail (3 of a recording's 12 caught, not 12).
    """
    return TailBank(n_rows, n_raw_scores, young_steps=MEMORY_STEPS, max_learned=5.0)


def _quantile(cumulative: NDArray[np.float64], q: float) -> NDArray[np.float64]:
    """Find the bin position at which the cumulative counts, shape (..., bins), reach a share `q`."""
    target = q * cumulative[..., -1]
    index = np.minimum((cumulative < target[..., None]).sum(axis=-1), _N_BINS - 1)
    upper = np.take_along_axis(cumulative, index[..., None], -1)[..., 0]
    lower = np.where(
        index > 0, np.take_along_axis(cumulative, np.maximum(index - 1, 0)[..., None], -1)[..., 0], 0.0
    )
    return np.asarray(index - 0.5 + (target - lower) / np.maximum(upper - lower, 1e-12))
