"""The alert budget, and the limit on surprise that follows from it."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Budget", "Limit", "OwnLimits", "PeakHistogram", "block_peaks", "limit_for_budget"]

_PERIODS = {"hour": 3600.0, "day": 86400.0, "week": 7 * 86400.0, "month": 30 * 86400.0}
_BUDGET = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*/\s*(hour|day|week|month)(\s+per\s+entity)?\s*$")

_BIN_WIDTH = 0.05  # of the peak histogram, in surprise
_N_BINS = 600  # up to a surprise of 30
_START_BLOCKS = 100.0
# Below it surprise is a share of the ordinary 98 %, and no limit may lie there: -log10(0.02).
_MIN_LIMIT = 1.7
_ROUNDING = 1e-6  # of a count: sums of weights are not exact
_UPPER = 0.8  # quantile that, with the median, gives the tail's scale
_MIN_TAIL_SCALE = 0.1  # in surprise; a few equal peaks must not put the limit right above them
# A calibrated surprise is -log10 of a probability: no heavier tail is real.
_MAX_TAIL_SCALE = 1 / math.log(10)
# Peaks that a new histogram starts with, so that a limit exists from the first block on: quantiles
# of block maxima of surprise on normal series. A few real blocks outweigh them.
_PRIOR_PEAKS = (1.0, 1.3, 1.6, 1.9, 2.3, 3.0)


@dataclass(frozen=True, slots=True)
class Budget:
    """How many false episodes a watch may raise: `count` per `period_seconds`, all entities together.

    With `per_entity`, each entity may raise that many.
    """

    count: float
    period_seconds: float
    per_entity: bool = False

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Parse `"1/week"` or `"3/day per entity"`; periods are hour, day, week and month (30 days)."""
        match = _BUDGET.match(text)
        if match is None or float(match[1]) == 0:
            raise ValueError(
                f'{text!r} is not a budget: write "1/week", "3/day" or "1/week per entity" '
                f"(hour, day, week, month)"
            )
        return cls(float(match[1]), _PERIODS[match[2]], match[3] is not None)

    def rate_per_second(self, n_entities: int) -> float:
        """Give the false episodes allowed per second, all entities together."""
        rate = self.count / self.period_seconds
        return rate * n_entities if self.per_entity else rate


@dataclass(frozen=True, slots=True)
class Limit:
    """The surprise that spends the budget; provisional while less than one period was seen."""

    value: float
    provisional: bool


class PeakHistogram:
    """Highest surprise in each block of event time, over all entities of a watch, in bounded memory.

    A block is as long as the shortest episode and its rest, so that it holds one episode at
    most, and errors of neighbouring steps count once.

    Parameters
    ----------
    block_seconds : float
        Event time that one peak stands for.
    """

    def __init__(self, block_seconds: float) -> None:
        self.block_seconds = block_seconds
        self.counts = np.zeros(_N_BINS)
        self.total = np.zeros(1)  # blocks seen, unweighted, without the prior ones
        self._count(np.array(_PRIOR_PEAKS), 1.0)

    def add(self, peaks: NDArray[np.float64]) -> None:
        """Count the peaks of finished blocks, in surprise, during operation."""
        self._count(peaks, 1.0)
        self.total += len(peaks)

    def start(self, peaks: NDArray[np.float64]) -> None:
        """Count the peaks of a calibration, with a total weight of 100 blocks at least.

        Its history was chosen as normal. What follows was not, and many faint faults in the
        first hours must not outweigh it.
        """
        if len(peaks):
            self._count(peaks, max(1.0, _START_BLOCKS / len(peaks)))
            self.total += len(peaks)

    @property
    def n_blocks(self) -> float:
        """Blocks seen so far."""
        return float(self.total[0])

    def quantile(self, q: float) -> float:
        """Give the surprise below which a share `q` of the peaks lies."""
        cumulative = np.cumsum(self.counts)
        return float((np.searchsorted(cumulative, q * cumulative[-1]) + 0.5) * _BIN_WIDTH)

    def exceeded_by(self, share: float) -> float:
        """Give the lowest surprise that no more than a share of the peaks seen reach; 0 before the first."""
        seen = np.maximum(self.counts - _binned(np.array(_PRIOR_PEAKS)), 0.0)
        reached = np.cumsum(seen[::-1])[::-1]  # by the peaks of a bin and above
        too_often = np.flatnonzero(reached > share * reached[0] + _ROUNDING)
        return float(_BIN_WIDTH * (too_often[-1] + 1)) if too_often.size else 0.0

    def _count(self, peaks: NDArray[np.float64], weight: float) -> None:
        self.counts += weight * _binned(peaks)


def _binned(peaks: NDArray[np.float64]) -> NDArray[np.int64]:
    bins = np.clip((peaks / _BIN_WIDTH).astype(np.int64), 0, _N_BINS - 1)
    return np.bincount(bins, minlength=_N_BINS)


def block_peaks(surprise: NDArray[np.float64], block_steps: int) -> NDArray[np.float64]:
    """Give the highest surprise of each whole block of one row's steps (T,); the newest ends last."""
    n_blocks = len(surprise) // block_steps
    blocks = surprise[len(surprise) - n_blocks * block_steps :].reshape(n_blocks, block_steps)
    judged = ~np.isnan(blocks).all(axis=1)
    return np.nanmax(blocks[judged], axis=1) if judged.any() else np.empty(0)


def limit_for_budget(peaks: PeakHistogram, budget: Budget, *, n_entities: int) -> Limit:
    """Choose the surprise that normal operation exceeds as often as the budget allows.

    Counts episodes, not steps: one peak stands for a block as long as an episode and its
    rest. Assumes a history without incidents: with incidents the limit is too high, never
    too low.

    Peaks above their median are assumed to be exponential, which extrapolates beyond the
    largest peak seen: P(peak > s) = 1/2 exp(-(s - median) / scale). The limit is never below
    the peak that was itself exceeded as often as the budget allows.

    Parameters
    ----------
    peaks : PeakHistogram
        From steps judged while no episode was open.
    n_entities : int
        Entities that share the budget.

    References
    ----------
    Siffer et al. (2017), "Anomaly Detection in Streams with Extreme Value Theory", KDD,
    section 3, for extrapolating a tail beyond the largest observation; its exponential case
    was within noise of the general one on labelled series.
    """
    median = peaks.quantile(0.5)
    # From two quantiles instead of the mean: blocks with a faint fault must not stretch the tail.
    spread = (peaks.quantile(_UPPER) - median) / math.log(0.5 / (1 - _UPPER))
    scale = min(max(spread, _MIN_TAIL_SCALE), _MAX_TAIL_SCALE)
    blocks_per_second = n_entities / peaks.block_seconds
    # Of the blocks, those that may exceed the limit.
    allowed_share = budget.rate_per_second(n_entities) / blocks_per_second
    value = median + scale * max(0.0, math.log(0.5 / allowed_share))
    value = max(value, peaks.exceeded_by(allowed_share), _MIN_LIMIT)
    history_seconds = peaks.n_blocks * peaks.block_seconds / max(1, n_entities)
    return Limit(value, provisional=history_seconds < budget.period_seconds)


class OwnLimits:
    """The limit of each row, by the peaks known at the start and those that the row itself shows.

    For scoring what happens to be there: nothing that another row shows changes a row's limit.

    The budget is shared by a number of entities that stays the same, however many rows there are.

    Parameters
    ----------
    known : PeakHistogram
        The peaks at the start, as of a calibration; it is left as it is.
    n_entities : int
        Entities that share the budget.
    """

    def __init__(self, known: PeakHistogram, budget: Budget, *, n_entities: int, n_rows: int) -> None:
        self._known = copy.deepcopy(known)
        self._budget = budget
        self._n_entities = n_entities
        self._peaks: list[PeakHistogram | None] = []  # None: the row has shown none yet
        self.values = np.empty(0)  # (n,), in surprise
        self._at_start = self._limit(known)
        self.grow(n_rows)

    def grow(self, n_rows: int) -> None:
        """Make room for more rows, which have the limit of the start."""
        n_more = n_rows - len(self._peaks)
        self._peaks += [None] * n_more
        self.values = np.concatenate([self.values, np.full(n_more, self._at_start)])

    def start(self, row: int, peaks: NDArray[np.float64]) -> None:
        """Count the block peaks of a row's calibration."""
        self._of_row(row).start(peaks)
        self.values[row] = self._limit(self._of_row(row))

    def add(self, rows: NDArray[np.int64], peaks: NDArray[np.float64]) -> None:
        """Count a finished block of each of some distinct rows."""
        for index, row in enumerate(rows.tolist()):
            self._of_row(row).add(peaks[index : index + 1])
            self.values[row] = self._limit(self._of_row(row))

    def _of_row(self, row: int) -> PeakHistogram:
        peaks = self._peaks[row]
        if peaks is None:
            peaks = self._peaks[row] = copy.deepcopy(self._known)
        return peaks

    def _limit(self, peaks: PeakHistogram) -> float:
        return limit_for_budget(peaks, self._budget, n_entities=self._n_entities).value
