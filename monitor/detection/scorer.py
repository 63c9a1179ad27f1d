"""Closed steps to scores: the windows of all entities of a watch at once, by the champion and its baselines.

Nothing is judged before an entity has shown `W + 100` steps, in training or here: until then
it is *warming*. A watch without a model is judged by the baselines alone.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.detector import WARMING_STEPS, Detector
from models.levels import on_present_level
from models.limits import Limit, limit_for_budget
from models.row_arrays import RowArrays, row_array
from monitor.detection.entities import EntityTable, resolution_of
from monitor.detection.levels import LevelTracker
from monitor.detection.recent_steps import RecentSteps
from monitor.detection.scored_step import ScoredStep, scale_block, score_step, snapshot_of
from monitor.detection.settings import WatchSettings
from monitor.detection.steps import ClosedSteps

__all__ = ["Rescored", "Scorer", "ScorerRows"]


class ScorerRows(RowArrays):
    """What a scorer keeps of each entity besides its detector and its steps."""

    elevated_since = row_array(np.int64, "channels")  # ms; 0 where the channel's error is normal
    frozen_limit = row_array(np.float64, fill=np.nan)  # NaN where the current limit counts

    def elevate(self, since_ms: NDArray[np.int64]) -> None:
        """Set since when channels (n, C) are elevated. Snapshots refer to the old array: it is replaced."""
        self.elevated_since = since_ms

    def correct(self, rows: NDArray[np.int64], since_ms: NDArray[np.int64]) -> None:
        """Correct since when the channels of some entities (m, C) are elevated."""
        self.elevated_since = self.elevated_since.copy()
        self.elevated_since[rows] = since_ms

    def thaw_all(self) -> None:
        """Let the current limit count for all entities."""
        self.frozen_limit = np.full_like(self.frozen_limit, np.nan)

    def shift_time(self, n_ms: int) -> None:
        """Move all times back by so much."""
        is_elevated = self.elevated_since > 0
        self.elevated_since = np.where(is_elevated, np.maximum(self.elevated_since - n_ms, 1), 0)


class Rescored(Protocol):
    """What a second scoring of some entities' newest steps has come to."""

    detector: Detector
    elevated_since: NDArray[np.int64]


class Scorer:
    """Scores the steps of one watch; owns its detector and the newest steps of every entity.

    Parameters
    ----------
    detector : Detector, optional
        The champion's; without one the baselines calibrate themselves and judge alone.
    apart : bool
        Judge each entity by what it shows itself: the budget is shared by the entities that the champion
        knows, whichever are there.
    """

    def __init__(
        self,
        entities: EntityTable,
        settings: WatchSettings,
        detector: Detector | None = None,
        *,
        apart: bool = False,
    ) -> None:
        self.settings = settings
        self.detector = detector
        n_known = 0 if detector is None else int(detector.calibrated.sum())
        self._n_apart = max(1, n_known) if apart else 0
        if detector is not None and apart:
            detector.judge_apart(settings.budget, n_entities=self._n_apart)
        self._entities = entities
        self._window = settings.window_length
        # A window to judge; the rest calibrates entities that are new to a model that takes over.
        n_kept = self._window + WARMING_STEPS
        self.recent = RecentSteps(n_kept)
        self._rows = ScorerRows(0, channels=0)
        self.levels = LevelTracker(settings, lambda: self.detector)
        self._gone_ms = round(settings.alert.accept_after_seconds * 1000)

    @property
    def limit(self) -> Limit | None:
        """The limit in force for entities without an open episode; None before anything is calibrated.

        An entity that has been stale for so long that its absence is normal has no share in the budget.
        """
        if self.detector is None or not self.detector.calibrated.any():
            return None
        end_ms = (self.recent.newest_step + 1) * self.settings.step_ms
        n_sharing = int(_sharing(self.detector, self.stale_from_ms() + self._gone_ms, end_ms).sum())
        return limit_for_budget(self.detector.peaks, self.settings.budget, n_entities=max(1, n_sharing))

    def limits(self) -> NDArray[np.float64]:
        """Give each entity's limit (n,): the one its open episode froze, else the current one.

        That is the watch's limit, or the peak that the entity itself has shown too often for the budget.
        """
        limit, frozen = self.limit, self._rows.frozen_limit
        current = np.full(len(frozen), np.inf)
        if limit is not None and self.detector is not None:
            floor = self.detector.min_limits(self.settings.budget)
            own = self.detector.own_limits
            value = limit.value if own is None else own.values[: len(frozen)]
            current = np.maximum(value, floor[: len(frozen)])
        return np.where(np.isnan(frozen), current, frozen)

    def missing_steps(self) -> NDArray[np.int64]:
        """Tell how many steps each entity (n,) still needs before it can be judged."""
        missing = np.maximum(self._window + WARMING_STEPS - self.recent.seen.n_seen, 0)
        # A model brings rows for entities that no step has shown yet.
        calibrated = _calibrated(self.detector, len(missing))[: len(missing)]
        return np.where(calibrated, 0, missing)

    def stale_from_ms(self) -> NDArray[np.int64]:
        """Tell from when on each entity (n,) is stale, if no more samples come."""
        return self.recent.seen.stale_from_ms(self.settings.step_ms, self.settings.stale_ms)

    def score(self, closed: ClosedSteps) -> Iterator[ScoredStep]:
        """Score steps in order. Pass each to `learn` before the next one is asked for.

        Network and windowed PCA score the whole block in one batch; what depends on order
        (the other baselines, tails) goes step by step.
        """
        self.make_room(closed.values.shape[1], closed.values.shape[2], closed.first_step)
        start = 0
        while start < len(closed.values):
            values = closed.values[start:]
            waiting = np.flatnonzero(~_calibrated(self.detector, self.recent.seen.n_rows))
            n_missing = self._window + WARMING_STEPS - self.recent.seen.n_seen[waiting]
            n_steps = _steps_to_next_calibration(values[:, waiting], n_missing)
            values = values[:n_steps]
            part = ClosedSteps(closed.first_step + start, closed.step_ms, values)
            n_scored = yield from self._score_block(part)
            self.recent.append(values[:n_scored])
            if n_scored == n_steps:
                self._calibrate_ready(part)
            start += n_scored

    def learn(self, step: ScoredStep, frozen: NDArray[np.bool_]) -> None:
        """Let the entities learn a step that `score` gave.

        Those `frozen` (n,) in an episode learn only in their shadow tails.
        """
        self.levels.blame(step, frozen)
        learnable = step.learnable
        if self.detector is None or learnable is None or not learnable.rows.size:
            return
        rows = learnable.rows
        self.detector.learn(rows, learnable.raw_scores, learnable.windows, step.surprise[rows], ~frozen[rows])

    def freeze(self, row: int) -> None:
        """Judge an entity by what is known now, until it is thawed: an episode begins."""
        if self.detector is None:
            return  # a value outside its hard range needs no detector
        self._rows.frozen_limit[row] = self.limits()[row]
        self.detector.tails.freeze(row)

    def thaw(self, row: int, *, keep: bool) -> None:
        """End a freeze; `keep` what was seen meanwhile as the new normal, or go back to what was known."""
        self._rows.frozen_limit[row] = np.nan
        self.levels.end(row, (self.recent.newest_step + 1) * self.settings.step_ms)
        if self.detector is not None and self.detector.tails.is_frozen(row):
            self.detector.tails.thaw(row, keep=keep)

    def shift_time(self, n_steps: int) -> None:
        """Move all times back by so many steps: the clock that they came from was ahead."""
        self.recent.shift_time(n_steps)
        self.levels.shift_time(n_steps)
        self._rows.shift_time(n_steps * self.settings.step_ms)

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these entities, which are numbered anew in this order; their scores stay the same."""
        if self.detector is not None:
            self.detector.keep_rows(rows[rows < self.detector.n_rows])
        self.recent.keep_rows(rows)
        self._rows.keep_rows(rows)
        self.levels.rows.keep_rows(rows)

    def replace_rows(self, rows: NDArray[np.int64], rescored: Rescored) -> None:
        """Continue with some entities from where a second scoring of their newest steps has come to."""
        self._rows.correct(rows, rescored.elevated_since)
        if self.detector is not None:
            self.detector.gaussian.deviation[rows] = rescored.detector.gaussian.deviation
            self.detector.season.replace_rows(rows, rescored.detector.season)

    def take_over(self, old: Scorer, frozen: NDArray[np.bool_], order: NDArray[np.int64]) -> None:
        """Continue where another scorer was: with its newest steps, and `frozen` (n,) entities frozen anew.

        `order` (C,) has the number that each channel had there, -1 for one that is new.

        Nothing of what the old one knew of surprise is kept: weights, scaling, tails and limit
        come with the new model, which has re-scored the past before. Entities that it does
        not know are calibrated at once, where enough was seen of them. The old one is not used again.
        """
        self.recent, self._rows = old.recent, old._rows
        self._rows.thaw_all()
        self.levels.take_over(old.levels)
        self.recent.rearrange_channels(order)
        for rows in (self._rows, self.levels.rows):
            rows.rearrange("channels", order)
        next_step = int(np.max(self.recent.seen.last_seen, initial=-1)) + 1
        self.make_room(len(self._entities.entities), len(self._entities.channels), next_step)
        ready = np.flatnonzero(
            ~_calibrated(self.detector, self.recent.seen.n_rows)
            & (self.recent.n_shown() >= self._window + WARMING_STEPS)
        )
        if self.detector is not None and ready.size:
            _calibrate(self.detector, ready, self.recent, self._entities)
        for row in np.flatnonzero(frozen).tolist():
            self.freeze(row)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give every array by name, the detector's among them."""
        arrays = {**self.recent.state(), **self._rows.state(), **self.levels.state()}
        if self.detector is not None:
            arrays |= {f"detector.{name}": array for name, array in self.detector.state().items()}
        return arrays

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Copy arrays that `state` gave.

        Raises
        ------
        KeyError, ValueError
            If an array is missing or does not fit.
        """
        self.recent.load_state(arrays)
        self._rows.load_state(arrays)
        _, n_rows, n_channels = self.recent.values.shape
        self.levels.load_state(arrays, n_rows=n_rows, n_channels=n_channels)
        of_detector = {
            name.removeprefix("detector."): array
            for name, array in arrays.items()
            if name.startswith("detector.")
        }
        if of_detector:
            n_rows, n_channels = of_detector["scaling.centre"].shape
            if self.detector is None:
                self.detector = _untrained_detector(
                    self.settings, self._entities.channels[:n_channels], n_rows
                )
            elif self.detector.n_rows < n_rows:
                self.detector.grow(n_rows)
            self.detector.load_state(of_detector)

    def _score_block(self, block: ClosedSteps) -> Generator[ScoredStep, None, int]:
        """Score a block up to the first step at which a level changes, and return the number of steps."""
        detector, scaled = self.detector, None
        levels, n_before = self.levels.rows, self.levels.n_steps
        joint, jump = levels.joint, levels.jump
        past = self.recent.before(n_before, block.values)
        centre = None if detector is None else detector.scaling.centre
        past = on_present_level(past, block.first_step - n_before, joint, jump, centre)
        if detector is not None:
            scaled = scale_block(past[n_before - self._window + 1 :], detector)
        for t in range(len(block.values)):
            limits = self.limits()
            if detector is not None:
                end_ms = block.end_ms(t)
                sharing = _sharing(detector, self.stale_from_ms() + self._gone_ms, end_ms)
                detector.season.begin_step(
                    end_ms, budget=self.settings.budget, sharing=sharing, n_apart=self._n_apart
                )
            snapshot = None
            if self.settings.revision_steps and detector is not None:
                elevated = self._rows.elevated_since
                snapshot = snapshot_of(
                    limits,
                    self.recent.seen,
                    elevated,
                    detector,
                    joint=joint,
                    jump=jump,
                    followed_ms=levels.followed_ms,
                )
            self.recent.count_step(block.first_step + t, block.values[t])
            step = score_step(
                block,
                t,
                scaled,
                detector,
                self.recent.seen,
                elevated_since=self._rows.elevated_since,
                limits=limits,
                stale_ms=self.settings.stale_ms,
            )
            self._rows.elevate(step.elevated_since_ms)
            yield replace(step, past=past[t : t + n_before + 1], snapshot=snapshot)
            if levels.joint is not joint:
                return t + 1  # what was scaled ahead lies around the old level
        return len(block.values)

    def _calibrate_ready(self, block: ClosedSteps) -> None:
        newest_step = block.first_step + len(block.values) - 1
        seen = self.recent.seen
        long_enough = (seen.last_seen == newest_step) & (seen.n_seen >= self._window + WARMING_STEPS)
        ready = np.flatnonzero(long_enough & ~_calibrated(self.detector, self.recent.seen.n_rows))
        if not ready.size:
            return
        if self.detector is None:
            self._entities.fix_channels()
            channels = self._entities.channels[: self.recent.values.shape[2]]
            self.detector = _untrained_detector(self.settings, channels, seen.n_rows)
            if self._n_apart:
                self.detector.judge_apart(self.settings.budget, n_entities=self._n_apart)
        _calibrate(self.detector, ready, self.recent, self._entities)

    def make_room(self, n_rows: int, n_channels: int, first_step: int) -> None:
        """Make room for more entities and channels; new entities are known from `first_step` on."""
        self.recent.make_room(n_rows, n_channels, first_step)
        self._rows.grow(n_rows, channels=n_channels)
        self.levels.rows.grow(n_rows, channels=n_channels)
        if self.detector is not None and self.detector.n_rows < n_rows:
            self.detector.grow(n_rows)


def _calibrated(detector: Detector | None, n_rows: int) -> NDArray[np.bool_]:
    """Tell which entities (n,) can be judged."""
    return np.zeros(n_rows, bool) if detector is None else detector.calibrated


def _sharing(detector: Detector, gone_from_ms: NDArray[np.int64], end_ms: int) -> NDArray[np.bool_]:
    """Tell which of a detector's rows (n,) share the budget: those that are calibrated and not gone.

    By their own rows: the result is the same whether those that are gone are still kept or not.
    """
    sharing = detector.calibrated.copy()
    gone = gone_from_ms <= end_ms
    sharing[: len(gone)] &= ~gone[: len(sharing)]
    return sharing


def _steps_to_next_calibration(values: NDArray[np.float64], n_missing: NDArray[np.int64]) -> int:
    """Count the steps up to the next behind which an entity can be calibrated; all where there is none.

    Blocks are cut there, so that blocks of any size give the same scores.

    Parameters
    ----------
    values : ndarray, shape (T, n, C)
        Of the entities that are not calibrated yet.
    n_missing : ndarray, shape (n,)
        Steps that each must show still.
    """
    is_seen = ~np.isnan(values).all(axis=2)
    ready = (is_seen & (np.cumsum(is_seen, axis=0) >= n_missing)).any(axis=1)
    return int(np.argmax(ready)) + 1 if ready.any() else len(values)


def _untrained_detector(settings: WatchSettings, channels: Sequence[str], n_rows: int) -> Detector:
    """Build the detector of a watch without a model: the baselines, not calibrated yet."""
    step_seconds = settings.step_seconds
    return Detector(
        settings.model,
        n_rows=n_rows,
        resolution=np.array([resolution_of(channel, step_seconds) for channel in channels]),
        step_seconds=step_seconds,
        block_steps=settings.block_steps,
    )


def _calibrate(
    detector: Detector, rows: NDArray[np.int64], recent: RecentSteps, entities: EntityTable
) -> None:
    """Let a detector learn from the newest steps what is normal for some entities."""
    values = recent.values[:, rows]
    resolution = entities.resolutions(rows.tolist(), values, detector.step_seconds)
    numbers = recent.newest_step + 1 + np.arange(-len(values), 0)
    steps = np.broadcast_to(numbers[:, None], values.shape[:2])
    detector.calibrate(rows, values, resolution=resolution)
    detector.season.start(rows, detector.scaling.take(rows).apply(values), steps)
