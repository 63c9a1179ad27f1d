"""Closed steps to alerts: scores, episodes, and which entities may learn meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.detector import Detector
from models.limits import Limit
from monitor.alerting.alert import Alert, ChannelShare, LevelChange, ResolveReason
from monitor.alerting.episodes import Changes, EpisodeBook
from monitor.detection.attribution import at_peak, explain, is_higher
from monitor.detection.coverage import Coverage
from monitor.detection.entities import EntityTable
from monitor.detection.levels import StepLevels, level_changes
from monitor.detection.metric_rules import MetricRules, ValueRange
from monitor.detection.report import WatchReport, count_step, count_suppressed
from monitor.detection.scored_step import ScoredStep
from monitor.detection.snapshots import Snapshot, Snapshots
from monitor.detection.steps import ClosedSteps
from monitor.detection.view import WatchObserver

__all__ = ["Judge", "StepScorer"]


class StepScorer(Protocol):
    """What a judge needs of a scorer: of the live one, and of one that scores steps a second time."""

    @property
    def detector(self) -> Detector | None:
        """What judges the steps; None before anything is calibrated."""

    @property
    def limit(self) -> Limit | None:
        """The limit in force for entities without an open episode; None before anything is calibrated."""

    @property
    def levels(self) -> StepLevels:
        """The levels that its entities are judged around."""

    def limits(self) -> NDArray[np.float64]:
        """Give each entity's limit (n,)."""

    def stale_from_ms(self) -> NDArray[np.int64]:
        """Tell from when on each entity (n,) is stale, if no more samples come."""

    def score(self, closed: ClosedSteps) -> Iterator[ScoredStep]:
        """Score steps in order; each is passed to `learn` before the next one is asked for."""

    def learn(self, step: ScoredStep, frozen: NDArray[np.bool_]) -> None:
        """Learn a step; entities that are `frozen` (n,) only in their shadow."""

    def freeze(self, row: int) -> None:
        """Judge an entity by what is known now, until it is thawed."""

    def thaw(self, row: int, *, keep: bool) -> None:
        """End a freeze, and keep or drop what was seen meanwhile."""


class Judge:
    """Judges closed steps in order; the same for a watch's live steps and for some entities a second time.

    Parameters
    ----------
    name : str
        The watch's, for its alerts.
    entities : EntityTable
        Names of rows and channels.
    snapshots : Snapshots
        Where what each step was judged by is put, if it may be judged again.
    observers : sequence of WatchObserver
        Given what is judged; the sequence may grow meanwhile.
    open_alerts : mapping
        Alerts that are open at the first step, by row.

    Attributes
    ----------
    last_scored : ScoredStep or None
        The newest step, without inputs.
    out_of_range : ndarray, shape (n,)
        True where that step shows a value outside its valid range.
    """

    def __init__(
        self,
        name: str,
        entities: EntityTable,
        scorer: StepScorer,
        book: EpisodeBook,
        metric_rules: MetricRules,
        *,
        snapshots: Snapshots,
        observers: Sequence[WatchObserver],
        open_alerts: Mapping[int, Alert] | None = None,
    ) -> None:
        self.name = name
        self.entities = entities
        self.scorer = scorer
        self.book = book
        self.metric_rules = metric_rules
        self.snapshots = snapshots
        self.coverage = Coverage()
        self.open_alerts = dict(open_alerts or {})
        self.last_scored: ScoredStep | None = None
        self.out_of_range = np.empty(0, bool)
        self._observers = observers

    def process(self, closed: ClosedSteps, report: WatchReport, *, notified_until_ms: int = 0) -> list[Alert]:
        """Judge closed steps, and give the alerts that open and that resolve.

        Parameters
        ----------
        notified_until_ms : int
            Event time up to which an earlier run has reported everything: these steps count as repeated.
        """
        alerts = self.expire(closed.end_ms(0), report)  # the grid may have skipped a long silence
        is_rate = self.entities.is_rate(*closed.values.shape[1:])
        names = self.metric_rules.names_of(self.entities.entities, self.entities.channels)
        valid = self.metric_rules.value_range(names, is_rate)
        for scored in self.scorer.score(closed):
            is_repeated = scored.time_ms <= notified_until_ms
            alerts += self._judge_step(scored, report, valid, is_repeated=is_repeated)
            alerts += self.expire(scored.time_ms + closed.step_ms, report)
        for observer in self._observers:
            observer.on_closed(closed)
        return alerts

    def expire(self, time_ms: int, report: WatchReport) -> list[Alert]:
        """Resolve episodes of entities that are gone at a time: before the samples of the step ending then.

        An entity that comes back in that step was gone, whether the silence came in one batch or in many.
        """
        if not self.book.frozen.any():
            return []
        stale_from_ms = self.scorer.stale_from_ms()
        changes = self.book.expire(stale_from_ms, time_ms)
        self._freeze_and_thaw(changes)
        count_suppressed(changes, report)
        gone_from_ms = self.book.gone_from_ms(stale_from_ms)
        return [self._resolved(row, int(gone_from_ms[row]), "gone") for row in changes.gone.tolist()]

    def accept(self, row: int, time_ms: int, levels: tuple[LevelChange, ...], note: str) -> Alert:
        """End an open episode, because an operator says that what the entity shows is normal."""
        self.book.accept(row, time_ms)
        self.open_alerts[row] = replace(self.open_alerts[row], note=note)
        return self._resolved(row, time_ms, "accepted by operator", levels)

    def use(self, scorer: StepScorer, order: NDArray[np.int64]) -> None:
        """Judge by another scorer from the next step on; its channels (C,) by their present numbers."""
        self.scorer = scorer
        if self.last_scored is not None:
            self.last_scored = self.last_scored.rearranged(order)

    def forget_snapshots(self) -> None:
        """Judge no step again that was judged up to now, and measure coverage anew."""
        self.snapshots.clear()
        self.coverage = Coverage()

    def load_open_alerts(self, open_alerts: Mapping[int, Alert]) -> None:
        """Take over the alerts, by row, that were open when a state was written."""
        self.open_alerts = dict(open_alerts)

    def correct_open_alert(self, row: int, alert: Alert | None) -> None:
        """Let an entity have another open alert than it had, or none."""
        self.open_alerts.pop(row, None)
        if alert is not None:
            self.open_alerts[row] = alert

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these entities, which are numbered anew, in this order."""
        self.coverage.keep_rows(rows)
        new_row = {row: index for index, row in enumerate(rows.tolist())}
        self.open_alerts = {new_row[row]: alert for row, alert in self.open_alerts.items()}
        self.out_of_range = self.out_of_range[rows[rows < len(self.out_of_range)]]
        if self.last_scored is not None:
            self.last_scored = self.last_scored.take(rows)

    def replace_rows(self, rows: NDArray[np.int64], again: Judge) -> None:
        """Show some entities as another judge does that has judged their newest steps again."""
        last, corrected = self.last_scored, again.last_scored
        if last is None or corrected is None or last.time_ms != corrected.time_ms:
            return
        self.last_scored = last.with_rows(rows, corrected)
        self.out_of_range = self.out_of_range.copy()
        self.out_of_range[rows] = again.out_of_range
        self.coverage.take(self.last_scored.time_ms, self.last_scored.judged)

    def _judge_step(
        self, scored: ScoredStep, report: WatchReport, valid: ValueRange, *, is_repeated: bool
    ) -> list[Alert]:
        names = self.metric_rules.names_of(self.entities.entities, self.entities.channels)
        broken = self.metric_rules.out_of_range(scored, names)
        scored = replace(scored, expected=valid.clip(scored.expected))
        vetoed = self.metric_rules.below_min_deviation(scored, names) & ~broken
        scored = replace(scored, score=np.where(broken, np.fmax(scored.score, 1.0), scored.score))
        if scored.snapshot is not None:
            book = self.book.snapshot(len(scored.score))
            self.snapshots.append(Snapshot(scored.time_ms, scored.snapshot, book, dict(self.open_alerts)))
        score = np.where(scored.judged | broken, scored.score, np.nan)
        changes, shifts = self._update_book(scored, score, vetoed, broken)
        self._freeze_and_thaw(changes)
        higher = [row for row, alert in self.open_alerts.items() if is_higher(alert, scored, row)]
        shown = [*changes.opened.tolist(), *higher]
        # Before anything moves or learns: by what has judged the step.
        explained = (
            explain(scored, shown, self.entities.channels, valid, self.scorer.detector) if shown else {}
        )
        scored = self._move_levels(scored, changes, shifts)
        levels = {row: self._levels(scored, row, shift) for row, shift in shifts.items()}
        self.scorer.learn(scored, self.book.frozen)
        scored = scored.without_inputs()
        if is_repeated:
            report.n_repeated += 1
        else:
            count_step(scored, changes, report)
            self.last_scored, self.out_of_range = scored, broken
            for observer in self._observers:
                observer.on_scored(scored)
        self.coverage.take(scored.time_ms, scored.judged)
        return self._update_alerts(scored, changes, levels, explained)

    def _update_book(
        self,
        scored: ScoredStep,
        score: NDArray[np.float64],
        vetoed: NDArray[np.bool_],
        broken: NDArray[np.bool_],
    ) -> tuple[Changes, dict[int, NDArray[np.float64]]]:
        """Take a step's scores (n,) into the episodes.

        Returns
        -------
        tuple
            What changed; by row, the change of level (C,) of each episode that ended with one.
        """
        levelled, returning = np.zeros(len(score), bool), np.zeros(len(score), bool)
        second_since_ms = np.zeros(len(score), np.int64)
        self.book.grow(len(score))
        due = self.scorer.levels.due(scored, np.flatnonzero(self.book.is_open))
        shifts = dict(zip(due.tolist(), self.scorer.levels.changes(scored, due), strict=True))
        levelled[[row for row, shift in shifts.items() if shift.any()]] = True
        over = np.flatnonzero((score >= 1.0) & ~vetoed & ~self.book.frozen)
        if over.size:
            returning[over] = self.scorer.levels.returning(scored, over)
        is_over = (score >= 1.0) & ~vetoed & ~broken
        judged = np.flatnonzero(self.book.is_open & ~np.isnan(score))
        if judged.size:
            second_since_ms[judged] = self.scorer.levels.second_since_ms(
                scored, judged, is_over[judged], self.scorer.limits()
            )
        changes = self.book.update(
            scored.time_ms,
            score,
            vetoed=vetoed,
            levelled=levelled,
            returning=returning,
            second_since_ms=second_since_ms,
        )
        if changes.recovered.size:  # the score is low again: is the level back, too?
            rows = changes.recovered
            shifts |= dict(zip(rows.tolist(), self.scorer.levels.changes(scored, rows), strict=True))
            is_new = np.array([shifts[row].any() for row in rows.tolist()])
            both = np.sort(np.concatenate([changes.levelled, rows[is_new]]))
            changes = replace(changes, recovered=rows[~is_new], levelled=both)
        return changes, {row: shifts[row] for row in changes.levelled.tolist()}

    def _move_levels(
        self, scored: ScoredStep, changes: Changes, shifts: Mapping[int, NDArray[np.float64]]
    ) -> ScoredStep:
        """Let entities be judged around other levels; give the step without what they would learn of it.

        It was scaled around the old levels.
        """
        if scored.past is not None:
            for row in changes.engaged.tolist():
                self.scorer.levels.begin(row, scored.time_ms, scored.past)
            for row in changes.followed.tolist():
                self.scorer.levels.begin(row, scored.time_ms, scored.past, follows=True)
        for row in changes.returned.tolist():
            self.scorer.levels.go_back(row, scored)
        for row in changes.levelled.tolist():
            self.scorer.levels.accept(row, shifts[row], scored)
        moved = np.concatenate([changes.returned, changes.levelled])
        if not moved.size or scored.learnable is None:
            return scored
        return replace(scored, learnable=scored.learnable.without(moved))

    def _levels(self, scored: ScoredStep, row: int, shift: NDArray[np.float64]) -> tuple[LevelChange, ...]:
        past = scored.past
        return () if past is None else level_changes(shift, past[1:, row], self.entities.channels)

    def _update_alerts(
        self,
        scored: ScoredStep,
        changes: Changes,
        levels: Mapping[int, tuple[LevelChange, ...]],
        explained: Mapping[int, tuple[ChannelShare, ...]],
    ) -> list[Alert]:
        time_ms = scored.time_ms
        alerts = [self._resolved(row, time_ms, "another fault") for row in changes.followed.tolist()]
        alerts += [self._opened(row, scored, explained[row]) for row in changes.opened.tolist()]
        for row, alert in self.open_alerts.items():
            self.open_alerts[row] = at_peak(alert, scored, row, explained)
        alerts += [self._resolved(row, time_ms, "recovered") for row in changes.recovered.tolist()]
        alerts += [self._resolved(row, time_ms, "level changed", levels[row]) for row in sorted(levels)]
        alerts += [self._resolved(row, time_ms, "accepted") for row in changes.accepted.tolist()]
        return alerts

    def _freeze_and_thaw(self, changes: Changes) -> None:
        for row in changes.lapsed.tolist():
            self.scorer.thaw(row, keep=True)
        for row in changes.engaged.tolist():
            self.scorer.freeze(row)
        for row in np.concatenate([changes.recovered, changes.levelled, changes.gone]).tolist():
            self.scorer.thaw(row, keep=False)
        for row in changes.accepted.tolist():
            self.scorer.thaw(row, keep=True)

    def _opened(self, row: int, scored: ScoredStep, channels: tuple[ChannelShare, ...]) -> Alert:
        limit = self.scorer.limit
        alert = Alert(
            watch=self.name,
            entity=self.entities.entities[row],
            since_ms=int(self.book.over_since_ms[row]),
            opened_ms=scored.time_ms,
            score=float(scored.score[row]),
            limit=float(self.scorer.limits()[row]),
            provisional=limit is None or limit.provisional,
            channels=channels,
        )
        self.open_alerts[row] = alert
        return alert

    def _resolved(
        self, row: int, time_ms: int, reason: ResolveReason, levels: tuple[LevelChange, ...] = ()
    ) -> Alert:
        alert = self.open_alerts.pop(row)
        resolved_ms = max(time_ms, alert.opened_ms)  # the clock may have been set back
        resolved = replace(alert, resolved_ms=resolved_ms, reason=reason, levels=levels)
        if self.snapshots.n_steps:
            self.snapshots.ended(resolved)
        return resolved
