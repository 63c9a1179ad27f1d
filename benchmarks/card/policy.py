"""The product's calibration, limit and episodes around any raw score: all contenders are judged alike.

A contender's raw scores take the place of the detector's. Tails, peaks, limits, freezing and episodes are the
product's own classes with the product's own settings; with one channel tails learn as the product's do there.
Levels and the time of day are the product's detection, not its policy: contenders have neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.detector import WARMING_STEPS
from models.limits import PeakHistogram, block_peaks, limit_for_budget
from models.peak_records import PeakRecords
from models.tail import TailBank, tails_of_memories
from monitor.alerting.episodes import Changes, EpisodeBook
from monitor.detection.settings import WatchSettings

from .measures import Episode

__all__ = ["Verdicts", "judge_raw"]


@dataclass(frozen=True)
class Verdicts:
    """Episodes of each entity, and scores (T, n), by row of the raw scores; 0 where nothing was judged."""

    episodes: list[list[Episode]]
    scores: NDArray[np.float64]


class _Calibration:
    """Tails and peaks of `n` entities, as a detector keeps them for its own raw scores."""

    def __init__(self, n_rows: int, settings: WatchSettings, *, n_channels: int) -> None:
        self.tails = tails_of_memories(n_rows, 1) if n_channels == 1 else TailBank(n_rows, 1)
        self.records = PeakRecords(n_rows)
        self.peaks = PeakHistogram(settings.block_steps * settings.step_seconds)
        self.calibrated = np.zeros(n_rows, bool)
        self._settings = settings
        self._block_peak = np.zeros(n_rows)
        self._block_length = np.zeros(n_rows, np.int64)
        self._frozen_limit = np.full(n_rows, np.nan)

    def start(self, row: int, raw: NDArray[np.float64]) -> None:
        """Calibrate an entity by its raw scores (T,), where there are enough of them."""
        if np.isfinite(raw).sum() < WARMING_STEPS:
            return
        self.calibrated[row] = True
        self.tails.start(row, raw[:, None])
        surprise = self.tails.surprise(np.full(len(raw), row), raw[:, None])[:, 0]
        of_blocks = block_peaks(surprise, self._settings.block_steps)
        self.records.start(row, of_blocks, len(of_blocks) * self._settings.block_steps)
        self.peaks.start(of_blocks)

    def limits(self) -> NDArray[np.float64]:
        """Give each entity's limit (n,): the one that its episode froze, else the current one."""
        if not self.calibrated.any():
            return np.full(len(self.calibrated), np.inf)
        budget = self._settings.budget
        limit = limit_for_budget(self.peaks, budget, n_entities=int(self.calibrated.sum()))
        floor = self.records.floor(budget.rate_per_second(1) * self._settings.step_seconds)
        current = np.maximum(limit.value, floor)
        return np.where(np.isnan(self._frozen_limit), current, self._frozen_limit)

    def learn(
        self, raw: NDArray[np.float64], surprise: NDArray[np.float64], frozen: NDArray[np.bool_]
    ) -> None:
        """Learn a step of raw scores (n,); frozen entities learn in their shadow alone."""
        rows = np.flatnonzero(self.calibrated & np.isfinite(raw))
        self.tails.learn(rows, raw[rows, None])
        free = ~frozen[rows]
        self.records.count(rows, surprise[rows], free)
        self._block_length[rows] = np.where(free, self._block_length[rows] + 1, 0)
        self._block_peak[rows] = np.where(free, np.fmax(self._block_peak[rows], surprise[rows]), 0.0)
        full = rows[self._block_length[rows] >= self._settings.block_steps]
        if full.size:
            self.peaks.add(self._block_peak[full])
            self.records.add(full, self._block_peak[full])
            self._block_length[full], self._block_peak[full] = 0, 0.0

    def freeze_and_thaw(self, changes: Changes, limits: NDArray[np.float64]) -> None:
        """Follow what a step changed, as the product's judge does."""
        for row in changes.lapsed.tolist():
            self._thaw(row, keep=True)
        for row in changes.engaged.tolist():
            self._frozen_limit[row] = limits[row]
            self.tails.freeze(row)
        for row in [*changes.recovered.tolist(), *changes.gone.tolist()]:
            self._thaw(row, keep=False)
        for row in changes.accepted.tolist():
            self._thaw(row, keep=True)

    def _thaw(self, row: int, *, keep: bool) -> None:
        self._frozen_limit[row] = np.nan
        if self.tails.is_frozen(row):
            self.tails.thaw(row, keep=keep)


def judge_raw(
    raw: NDArray[np.float64], n_calibration: int, settings: WatchSettings, *, n_channels: int = 1
) -> Verdicts:
    """Judge raw scores as the product judges its own.

    Parameters
    ----------
    raw : ndarray, shape (T, n)
        Higher is stranger; not below 0. NaN where nothing can be said. The scored row itself and earlier
        ones are all that a score may depend on.
    n_calibration : int
        The first rows calibrate and are not judged. An entity with too few raw scores there is calibrated
        once it has shown enough.
    n_channels : int
        That the raw scores are of.
    """
    n_steps, n_rows = raw.shape
    state = _Calibration(n_rows, settings, n_channels=n_channels)
    for row in range(n_rows):
        state.start(row, raw[:n_calibration, row])
    book = EpisodeBook(settings.alert)
    scores = np.zeros((n_steps, n_rows))
    opened: list[int] = [-1] * n_rows
    episodes: list[list[Episode]] = [[] for _ in range(n_rows)]
    every_row = np.arange(n_rows)
    for t in range(n_calibration, n_steps):
        surprise = state.tails.surprise(every_row, raw[t, :, None])[:, 0]
        limits = state.limits()
        scores[t] = np.nan_to_num(surprise / limits)
        changes = book.update((t + 1) * settings.step_ms, np.where(np.isnan(surprise), np.nan, scores[t]))
        state.freeze_and_thaw(changes, limits)
        state.learn(raw[t], surprise, book.frozen)
        for row in changes.opened.tolist():
            opened[row] = t
        for row in [*changes.recovered.tolist(), *changes.accepted.tolist()]:
            episodes[row].append(Episode(opened[row], max(opened[row] + 1, t)))
            opened[row] = -1
        if not state.calibrated.all() and t % WARMING_STEPS == 0:
            for row in np.flatnonzero(~state.calibrated).tolist():
                state.start(row, raw[: t + 1, row])
    for row, start in enumerate(opened):
        if start >= 0:  # open at the end
            known = np.flatnonzero(np.isfinite(raw[:, row]))
            episodes[row].append(Episode(start, max(start + 1, int(known[-1]) + 1)))
    return Verdicts(episodes, scores)
