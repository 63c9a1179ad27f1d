"""Closed steps to scores: the windows of all entities of a watch at once, by the champion and its companions.

Nothing is judged before an entity has shown `W + 100` steps, in training or here: until then
it is *warming*. A watch without a model is judged by the companions alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.baselines import HIGH_DEVIATION
from models.bundle import Bundle
from models.dataset import windows_of
from models.detector import WARMING_STEPS, BlockRawScores, Detector
from models.limits import Budget, Limit, limit_for_budget
from models.settings import ModelSettings
from monitor.detection.entities import EntityTable, resolution_of
from monitor.detection.scored_step import Reason, ScoredStep
from monitor.detection.steps import ClosedSteps, Reclosed

__all__ = ["Scorer"]
_ARRAYS = ("recent", "n_seen", "last_seen", "known_since", "elevated_since", "frozen_limit")


class Scorer:
    """Judges one watch; owns its detector and the newest steps of every entity.

    Parameters
    ----------
    champion : Bundle, optional
        The model; without one the companions calibrate themselves and judge alone.
    gone_ms : int, optional
        An entity that has been stale for so long has no share in the budget any more, until it comes back.
    """

    def __init__(
        self,
        entities: EntityTable,
        settings: ModelSettings,
        budget: Budget,
        *,
        step_ms: int,
        stale_ms: int,
        block_steps: int,
        champion: Bundle | None = None,
        gone_ms: int | None = None,
    ) -> None:
        self._entities = entities
        self._settings = settings
        self._budget = budget
        self._step_ms = step_ms
        self._stale_ms = stale_ms
        self._gone_ms = gone_ms
        self._newest_step = -1
        self._block_steps = block_steps
        self.detector: Detector | None = champion.detector if champion else None
        self._window = settings.window_length
        self._recent = np.empty((0, 0, 0))  # (up to W + 99, n, C), own units
        self._n_seen = np.empty(0, np.int64)  # steps in which an entity showed something
        self._last_seen = np.empty(0, np.int64)  # step number; -1 before an entity's first sample
        self._known_since = np.empty(0, np.int64)  # step number before the first in which the entity had a place
        self._elevated_since = np.empty((0, 0), np.int64)
        self._frozen_limit = np.empty(0)  # NaN where the current limit counts
        self.keeps_snapshot = False
        self.snapshot: dict[str, NDArray[np.generic]] = {}  # what the step just judged was judged by; empty where that is not kept

    @property
    def limit(self) -> Limit | None:
        """The limit in force for entities without an open episode; None before anything is calibrated."""
        if self.detector is None or not self.detector.calibrated.any():
            return None
        sharing = self.detector.calibrated
        if self._gone_ms is not None:
            # By their own rows: what it comes to is the same whether those that are gone are still kept or not.
            sharing = sharing.copy()
            gone = self.stale_from_ms() + self._gone_ms <= (self._newest_step + 1) * self._step_ms
            sharing[: len(gone)] &= ~gone[: len(sharing)]
        return limit_for_budget(self.detector.peaks, self._budget, n_entities=max(1, int(sharing.sum())))

    def limits(self) -> NDArray[np.float64]:
        """Give each entity's limit (n,): the one its open episode froze, else the current one."""
        limit = self.limit
        return np.where(np.isnan(self._frozen_limit), np.inf if limit is None else limit.value, self._frozen_limit)

    def missing_steps(self) -> NDArray[np.int64]:
        """Tell how many steps each entity (n,) still needs before it can be judged."""
        return np.where(self._calibrated, 0, np.maximum(self._window + WARMING_STEPS - self._n_seen, 0))

    def stale_from_ms(self) -> NDArray[np.int64]:
        """Tell from when on each entity (n,) is stale, if nothing comes of it; one that never came waits from its first step."""
        last = np.where(self._last_seen >= 0, self._last_seen, self._known_since)
        return (last + 1) * self._step_ms + self._stale_ms

    @property
    def _calibrated(self) -> NDArray[np.bool_]:
        return np.zeros(len(self._n_seen), bool) if self.detector is None else self.detector.calibrated

    def score(self, closed: ClosedSteps) -> Iterator[ScoredStep]:
        """Judge steps in order. After each, before the next, call `learn`.

        Network and windowed PCA read the whole block in one batch; what depends on order
        (memories, tails) goes step by step.
        """
        self._make_room(closed.values.shape[1], closed.values.shape[2], closed.first_step)
        start = 0
        while start < len(closed.values):
            n_steps = min(len(closed.values) - start, self._steps_to_next_calibration(closed, start))
            part = ClosedSteps(closed.first_step + start, closed.step_ms, closed.values[start : start + n_steps])
            yield from self._score_block(part)
            self._remember(part)
            self._calibrate_ready(part)
            start += n_steps

    def learn(self, step: ScoredStep, frozen: NDArray[np.bool_]) -> None:
        """Let the entities learn the step just judged; those `frozen` (n,) in an episode only in their shadow."""
        if self.detector is None:
            return
        here = self._rows_here
        if here.size:
            self.detector.learn(here, self._raw_scores_here, self._windows_here, step.surprise[here], ~frozen[here])

    def freeze(self, row: int) -> None:
        """Judge an entity by what is known now, until it is thawed: an episode begins."""
        if self.detector is None:
            return  # a value outside its hard range needs no detector
        self._frozen_limit[row] = self.limits()[row]
        self.detector.tails.freeze(row)

    def thaw(self, row: int, *, keep: bool) -> None:
        """End a freeze; `keep` what was seen meanwhile as the new normal, or go back to what was known."""
        self._frozen_limit[row] = np.nan
        if self.detector is not None and self.detector.tails.is_frozen(row):
            self.detector.tails.thaw(row, keep=keep)

    def shift_time(self, n_steps: int) -> None:
        """Move every time that is remembered back by so many steps: the clock that they came from was ahead."""
        self._last_seen = np.where(self._last_seen >= 0, np.maximum(self._last_seen - n_steps, 0), self._last_seen)
        self._known_since = self._known_since - n_steps
        self._newest_step -= n_steps
        elevated = self._elevated_since > 0
        self._elevated_since = np.where(elevated, np.maximum(self._elevated_since - n_steps * self._step_ms, 1), 0)

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Let go of all but these entities, which are numbered anew, in this order, and judged as they would have been."""
        if self.detector is not None:
            self.detector.keep_rows(rows[rows < self.detector.n_rows])
        rows = rows[rows < len(self._n_seen)]
        self._recent = self._recent[:, rows]
        for name in ("n_seen", "last_seen", "known_since", "elevated_since", "frozen_limit"):
            setattr(self, f"_{name}", getattr(self, f"_{name}")[rows])

    def patch(self, reclosed: Reclosed, *, n_rows: int, n_channels: int) -> tuple[int, NDArray[np.int64]] | None:
        """Put what the newest steps are now in place of what they were; give the first step that differs, and the rows.

        None where nothing differs.
        """
        next_step = reclosed.first_step + len(reclosed.values)
        self._make_room(n_rows, n_channels, next_step)
        n_steps = min(len(reclosed.values), len(self._recent))
        new, rows = reclosed.values[len(reclosed.values) - n_steps :], reclosed.rows
        old = self._recent[len(self._recent) - n_steps :, rows]
        differs = (new != old) & ~(np.isnan(new) & np.isnan(old))  # (T, m, C)
        if not differs.any():
            return None
        self._recent[len(self._recent) - n_steps :, rows] = new
        seen, saw = ~np.isnan(new).all(axis=2), ~np.isnan(old).all(axis=2)
        newest = np.where(seen, np.arange(next_step - n_steps, next_step)[:, None], -1).max(axis=0)
        self._n_seen = self._n_seen.copy()  # moments hold the arrays that were
        self._n_seen[rows] += seen.sum(axis=0) - saw.sum(axis=0)
        self._last_seen = self._last_seen.copy()
        self._last_seen[rows] = np.maximum(self._last_seen[rows], newest)
        first = int(np.argmax(differs.any(axis=(1, 2))))
        return next_step - n_steps + first, rows[differs.any(axis=(0, 2))]

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give every array by name, the detector's among them."""
        arrays: dict[str, NDArray[np.generic]] = {name: getattr(self, f"_{name}") for name in _ARRAYS}
        if self.detector is not None:
            arrays |= {f"detector.{name}": array for name, array in self.detector.state().items()}
        return arrays

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over arrays that `state` gave."""
        for name in _ARRAYS:
            setattr(self, f"_{name}", arrays[name].copy())
        self._newest_step = int(np.max(self._last_seen, initial=-1))
        of_detector = {name.removeprefix("detector."): array for name, array in arrays.items() if name.startswith("detector.")}
        if of_detector:
            n_rows, n_channels = of_detector["scaling.centre"].shape
            if self.detector is None:
                self.detector = self._untrained_detector(n_rows, n_channels)
            elif self.detector.n_rows < n_rows:
                self.detector.grow(n_rows)
            self.detector.load_state(of_detector)

    def replace_rows(self, rows: NDArray[np.int64], second: Scorer) -> None:
        """Go on with some entities where a second judging of their newest steps has come to."""
        self._elevated_since = self._elevated_since.copy()  # scored steps hold the array that was
        self._elevated_since[rows] = second._elevated_since
        if self.detector is not None and second.detector is not None:
            self.detector.gaussian.deviation[rows] = second.detector.gaussian.deviation

    def take_over(self, old: Scorer, frozen: NDArray[np.bool_]) -> None:
        """Go on where another scorer was: with its newest steps, and the `frozen` (n,) entities frozen anew.

        Nothing of what the old one knew of surprise is kept: weights, scaling, tails and limit
        come with the new model, which has re-scored the past before. Entities that it does
        not know are calibrated at once, where enough was seen of them.
        """
        for name in ("recent", "n_seen", "last_seen", "known_since", "elevated_since"):
            setattr(self, f"_{name}", getattr(old, f"_{name}"))
        self._newest_step = old._newest_step
        self._frozen_limit = np.full(len(self._n_seen), np.nan)
        newest = int(np.max(self._last_seen, initial=-1))
        self._make_room(len(self._entities.entities), len(self._entities.channels), newest + 1)
        shown = (~np.isnan(self._recent).all(axis=2)).sum(axis=0)
        ready = np.flatnonzero(~self._calibrated & (shown >= self._window + WARMING_STEPS))
        if self.detector is not None and ready.size:
            self._calibrate(self.detector, ready)
        for row in np.flatnonzero(frozen).tolist():
            self.freeze(row)

    def _untrained_detector(self, n_rows: int, n_channels: int) -> Detector:
        channels = self._entities.channels[:n_channels]
        return Detector(
            self._settings,
            n_rows=n_rows,
            resolution=np.array([resolution_of(channel, self._step_ms / 1000) for channel in channels]),
            step_seconds=self._step_ms / 1000,
            block_steps=self._block_steps,
        )

    def _score_block(self, block: ClosedSteps) -> Iterator[ScoredStep]:
        values = np.concatenate([self._recent[len(self._recent) - min(len(self._recent), self._window - 1) :], block.values])
        n_before = len(values) - len(block.values)
        if n_before < self._window - 1:
            blank = np.full((self._window - 1 - n_before, *values.shape[1:]), np.nan)
            values = np.concatenate([blank, values])
        detector = self.detector
        scaled = raw_scores = None
        if detector is not None:
            scaled = detector.scaling.apply(values)
            scaled[:, ~detector.calibrated] = np.nan
            raw_scores = detector.raw_score_block(scaled)
        for t in range(len(block.values)):
            self._begin_step()
            yield self._score_step(block, t, scaled, raw_scores)

    def _begin_step(self) -> None:
        self._limits_here = self.limits()
        if self.keeps_snapshot and self.detector is not None:
            self.snapshot = {
                "limits": self._limits_here,
                **{name: getattr(self, f"_{name}") for name in ("n_seen", "last_seen", "elevated_since")},
                **{f"detector.{name}": array for name, array in self.detector.snapshot().items()},
            }

    def _score_step(self, block: ClosedSteps, t: int, scaled: NDArray[np.float32] | None, raw_scores: BlockRawScores | None) -> ScoredStep:
        actual, time_ms = block.values[t], block.end_ms(t)
        n_rows, n_channels = actual.shape
        number = self._newest_step = block.first_step + t
        seen = ~np.isnan(actual).all(axis=1)
        self._n_seen = self._n_seen + seen
        self._last_seen = np.where(seen, number, self._last_seen)
        reason = np.full(n_rows, Reason.WARMING, np.int8)
        surprise = np.full(n_rows, np.nan)
        channel_error, expected = np.zeros((n_rows, n_channels)), np.full((n_rows, n_channels), np.nan)
        self._rows_here = np.empty(0, np.int64)
        if self.detector is not None and scaled is not None and raw_scores is not None:
            detector = self.detector
            at = np.flatnonzero(raw_scores.index.end == t + self._window - 1)
            rows = raw_scores.index.row[at]
            self._rows_here = rows
            self._windows_here = windows_of(scaled, self._window)[t, rows]
            self._raw_scores_here = detector.complete_raw_scores(rows, raw_scores.raw_scores[at], self._windows_here)
            surprise[rows] = detector.surprise(rows, self._raw_scores_here)
            reason[detector.calibrated & (self._n_seen >= self._window)] = Reason.GAP
            reason[rows] = Reason.JUDGED
            if detector.trained is not None:
                channel_error[rows], expected[rows] = raw_scores.channel_error[at], raw_scores.expected[at]
            else:
                channel_error[rows], expected[rows] = detector.gaussian.deviation[rows] / HIGH_DEVIATION, detector.gaussian.mean[rows]
            expected = detector.scaling.invert(expected)
        stale = (self._last_seen >= 0) & ((number - self._last_seen) * self._step_ms > self._stale_ms)
        reason[stale & (reason != Reason.JUDGED)] = Reason.STALE
        elevated = channel_error > 1.0
        self._elevated_since = np.where(elevated, np.where(self._elevated_since > 0, self._elevated_since, time_ms), 0)
        return ScoredStep(time_ms, reason, surprise, surprise / self._limits_here, channel_error, self._elevated_since, actual, expected)

    def _remember(self, block: ClosedSteps) -> None:
        # Reading needs a window; a model that takes over calibrates entities that are new to it from the rest.
        n_kept = self._window + WARMING_STEPS
        self._recent = np.concatenate([self._recent, block.values])[-n_kept:]

    def _steps_to_next_calibration(self, block: ClosedSteps, start: int) -> int:
        """Count the steps up to the one behind which an entity can be calibrated, so that blocks of any size agree."""
        waiting = np.flatnonzero(~self._calibrated)
        n_steps = len(block.values) - start
        if not waiting.size:
            return n_steps
        seen = ~np.isnan(block.values[start:, waiting]).all(axis=2)  # (T, n_waiting)
        n_seen = self._n_seen[waiting] + np.cumsum(seen, axis=0)
        ready = (seen & (n_seen >= self._window + WARMING_STEPS)).any(axis=1)
        return int(np.argmax(ready)) + 1 if ready.any() else n_steps

    def _calibrate_ready(self, block: ClosedSteps) -> None:
        number = block.first_step + len(block.values) - 1
        long_enough = (self._last_seen == number) & (self._n_seen >= self._window + WARMING_STEPS)
        ready = np.flatnonzero(long_enough & ~self._calibrated)
        if not ready.size:
            return
        if self.detector is None:
            self._entities.fix_channels()
            self.detector = self._untrained_detector(len(self._n_seen), self._recent.shape[2])
        self._calibrate(self.detector, ready)

    def _calibrate(self, detector: Detector, rows: NDArray[np.int64]) -> None:
        resolution = self._entities.series_resolution(rows.tolist(), self._step_ms / 1000)
        detector.calibrate(rows, self._recent[:, rows], resolution=resolution)

    def _make_room(self, n_rows: int, n_channels: int, first_step: int) -> None:
        more_rows, more_channels = n_rows - len(self._n_seen), n_channels - self._elevated_since.shape[1]
        if more_rows or more_channels:
            both = ((0, more_rows), (0, more_channels))
            self._elevated_since = np.pad(self._elevated_since, both)
            self._recent = np.pad(self._recent, ((0, 0), *both), constant_values=np.nan)
            self._n_seen = np.pad(self._n_seen, (0, more_rows))
            self._last_seen = np.pad(self._last_seen, (0, more_rows), constant_values=-1)
            self._known_since = np.pad(self._known_since, (0, more_rows), constant_values=first_step - 1)
            self._frozen_limit = np.pad(self._frozen_limit, (0, more_rows), constant_values=np.nan)
        if self.detector is not None and self.detector.n_rows < n_rows:
            self.detector.grow(n_rows)
