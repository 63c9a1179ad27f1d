"""One watch: its entities, its grid, its scorer, its episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.alerting.alert import Alert, ChannelShare, ResolveReason
from monitor.alerting.corrections import Correction, correct
from monitor.alerting.episodes import Changes, EpisodeBook, Phase
from monitor.detection.coverage import Coverage
from monitor.detection.entities import EntityTable
from monitor.detection.grid import Grid
from monitor.detection.metric_rules import MetricRules
from monitor.detection.report import WatchReport, count_step, count_suppressed
from monitor.detection.rescorer import Rescorer
from monitor.detection.scored_step import ScoredStep
from monitor.detection.scorer import Scorer
from monitor.detection.snapshots import Snapshot, Snapshots
from monitor.detection.steps import ClosedSteps, LocatedSamples
from monitor.detection.view import WatchView
from monitor.sample import Columns, SeriesTable

__all__ = ["Watch"]

_FORGET_AT_LEAST = 256  # entities that are gone are let go together, so many and a quarter of all at least
_MAX_SECOND_CELLS = 1 << 18  # judged a second time at once: bounds the arrays, as the grid's own bound does
_N_TOP_CHANNELS = 5  # named in an alert: more than one screen line explains nothing


class Watch:
    """One watch: its places, its grid, its scorer, its episodes."""

    def __init__(
        self,
        name: str,
        entities: EntityTable,
        grid: Grid,
        scorer: Scorer,
        book: EpisodeBook,
        metric_rules: MetricRules | None = None,
        *,
        revision_steps: int = 0,
    ) -> None:
        self.name = name
        self.entities = entities
        self.grid = grid
        self.scorer = scorer
        self.book = book
        self.metric_rules = metric_rules or MetricRules(())
        self.snapshots = Snapshots(revision_steps)
        scorer.keeps_snapshot = revision_steps > 0
        self.open_alerts: dict[int, Alert] = {}  # by entity row
        self.last_scored: ScoredStep | None = None
        self.notified_until_ms = 0  # event time up to which an earlier run has told everything
        self.on_scored: Callable[[ScoredStep], None] = lambda scored: None  # told each step, for offline scoring
        # Told, for rows (m,), each step (m entities) that was judged again.
        self.on_revised: Callable[[NDArray[np.int64], ScoredStep], None] = lambda rows, scored: None
        self.out_of_range = np.empty(0, bool)  # at the newest step, by entity row
        self.forgets = False  # entities that are gone, once they are many
        self.on_forgotten: Callable[[NDArray[np.int64]], None] = lambda kept: None  # told the rows that are left, as they were numbered
        self._coverage = Coverage()
        self.on_closed: Callable[[ClosedSteps], None] = lambda closed: None  # told each block once it is judged, for the history

    def view(self) -> WatchView:
        """Give what others may see of the watch now."""
        return WatchView(
            name=self.name,
            entities=self.entities.entities,
            channels=self.entities.channels,
            entities_version=self.entities.version,
            max_series=self.entities.max_series,
            n_ignored=self.entities.n_ignored,
            n_refused=self.entities.n_refused,
            open_alerts=self.open_alerts,
            last_scored=self.last_scored,
            is_open=self.book.is_open,
            out_of_range=self.out_of_range,
            limit=self.scorer.limit,
            limits=self.scorer.limits(),
            missing_steps=self.scorer.missing_steps(),
            watermark_ms=self.grid.watermark_ms,
            closed_until_ms=self.grid.closed_until_ms,
            longest_delay_ms=self.grid.longest_delay_ms,
        )

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give every array that the past has shaped, by stage and name."""
        return {
            f"{stage}/{name}": array
            for stage, part in (("grid", self.grid), ("scorer", self.scorer), ("book", self.book), ("moments", self.snapshots))
            for name, array in part.state().items()
        }

    def load_state(
        self, arrays: Mapping[str, NDArray[Any]], open_alerts: Mapping[int, Alert], snapshots: Mapping[str, Any] | None = None
    ) -> None:
        """Take over what `state` gave, the alerts that were open, and what the moments said of themselves."""

        def of_stage(stage: str) -> dict[str, NDArray[Any]]:
            return {name.removeprefix(f"{stage}/"): array for name, array in arrays.items() if name.startswith(f"{stage}/")}

        self.grid.load_state(of_stage("grid"))
        self.scorer.load_state(of_stage("scorer"))
        self.book.load_state(of_stage("book"))
        if snapshots is not None:
            self.snapshots.load(of_stage("moments"), snapshots)
        self.open_alerts = dict(open_alerts)

    def process(
        self, columns: Columns, table: SeriesTable, now_ms: int, *, latest_ms: int, finished: bool, complete_ms: int | None = None
    ) -> tuple[list[Alert], WatchReport]:
        """Take samples, close what the watermark passes, judge it, turn scores into alerts.

        No sample is later than `latest_ms`: it would have been refused.
        """
        report = WatchReport()
        self.entities.update(table, columns.series)
        chosen = np.flatnonzero(self.entities.select(columns.series))
        report.n_refused = self.entities.refused(columns.series)
        series = columns.series[chosen]
        report.n_samples = int((~np.isnan(columns.value[chosen])).sum())  # the ends of series are none
        located = LocatedSamples(
            self.entities.row_of[series],
            self.entities.channel_of[series],
            columns.time_ms[chosen],
            columns.value[chosen],
            self.entities.kind[series],
        )
        ahead = complete_ms is None and self.grid.watermark_ms is not None and self.grid.watermark_ms > latest_ms
        if len(chosen) and ahead:
            # Steps are closed that no sample could be in yet: the clock was ahead, and all would be late until it is there again.
            report.n_steps_back = self.grid.restart_at(int(located.time_ms.min()))
            self.scorer.shift_time(report.n_steps_back)
            self.book.shift_time(report.n_steps_back * self.grid.step_ms)
            self.snapshots.clear()
            self._coverage = Coverage()
        n_before = self.grid.n_conflicting
        report.n_late = self.grid.add(located, opens=complete_ms is None)
        n_rows, n_channels = len(self.entities.entities), len(self.entities.channels)
        revised = self._revise(n_rows, n_channels, report)
        report.n_conflicting = self.grid.n_conflicting - n_before
        alerts: list[Alert] = []
        for closed in self.grid.close(now_ms, n_rows=n_rows, n_channels=n_channels, finished=finished, complete_ms=complete_ms):
            alerts += self.judge(closed, report)
        if self.grid.closed_until_ms is not None:
            alerts += self._let_go(self.grid.closed_until_ms, report)
        gone = self._gone()
        self._count_coverage(gone, now_ms, report, finished=finished)
        if self.forgets:
            self._forget(gone, report)
        return [*revised, *(alert for alert in alerts if (alert.resolved_ms or alert.opened_ms) > self.notified_until_ms)], report

    def judge(self, closed: ClosedSteps, report: WatchReport) -> list[Alert]:
        """Judge closed steps, and turn their scores into alerts."""
        alerts = self._let_go(closed.end_ms(0), report)  # the grid may have skipped a long silence
        for scored in self.scorer.score(closed):
            alerts += self._judge(scored, report)
            alerts += self._let_go(scored.time_ms + closed.step_ms, report)
        self.on_closed(closed)
        return alerts

    def swap(self, scorer: Scorer) -> None:
        """Let another scorer judge from the next step on; it takes over the newest steps, and open episodes stay open."""
        scorer.take_over(self.scorer, self.book.frozen)
        scorer.keeps_snapshot = self.scorer.keeps_snapshot
        self.scorer = scorer
        self.snapshots.clear()  # what one model has judged, another does not judge again

    def _revise(self, n_rows: int, n_channels: int, report: WatchReport) -> list[Alert]:
        """Take what came late for closed steps; judge the windows that it lies in again, and correct the episodes.

        Every step is judged by what it was judged by the first time, and nothing is learned.
        """
        reclosed = self.grid.revise(n_rows=n_rows, n_channels=n_channels)
        if reclosed is None:
            return []
        report.n_revised = reclosed.n_samples
        changed = self.scorer.patch(reclosed, n_rows=n_rows, n_channels=n_channels)
        until_step = reclosed.first_step + len(reclosed.values)
        snapshots = self.snapshots.newest(until_step - changed[0]) if changed else []
        if changed is None or not snapshots:
            return []
        calibrated = snapshots[0].scorer["detector.calibrated"]
        rows = changed[1][changed[1] < len(calibrated)]
        rows = rows[calibrated[rows]]  # the others were not judged yet
        alerts: list[Alert] = []
        n_together = max(1, _MAX_SECOND_CELLS // (len(snapshots) * n_channels))
        for start in range(0, len(rows), n_together):
            together = rows[start : start + n_together]
            values = reclosed.values[len(reclosed.values) - len(snapshots) :, np.searchsorted(reclosed.rows, together)]
            alerts += self._judge_again(together, ClosedSteps(until_step - len(snapshots), self.grid.step_ms, values), snapshots, report)
        return alerts

    def _judge_again(self, rows: NDArray[np.int64], closed: ClosedSteps, snapshots: Sequence[Snapshot], report: WatchReport) -> list[Alert]:
        """Let some entities live through the newest steps a second time, and go on from there."""
        notifies = closed.end_ms(len(closed.values) - 1) > self.notified_until_ms
        second = self._second(rows, snapshots)
        if notifies:
            second.on_scored = lambda scored: self.on_revised(rows, scored)
        judged = WatchReport()
        events = second.judge(closed, judged)
        self.scorer.replace_rows(rows, second.scorer)
        if self.last_scored is not None and second.last_scored is not None and self.last_scored.time_ms == second.last_scored.time_ms:
            self.last_scored = self.last_scored.with_rows(rows, second.last_scored)
            self.out_of_range = self.out_of_range.copy()
            self.out_of_range[rows] = second.out_of_range
            self._coverage.take(self.last_scored.time_ms, self.last_scored.judged)
        corrections = self._correct(rows, second, events, snapshots[0], now_ms=closed.end_ms(len(closed.values) - 1))
        notified = [one for correction in corrections for one in correction.notified] if notifies else []
        report.n_judged_again += judged.n_scored if notifies else 0
        for kind in (kind for kind, _ in notified if kind is not None):
            report.revised[kind] = report.revised.get(kind, 0) + 1
        return [alert for _, alert in notified]

    def _second(self, rows: NDArray[np.int64], snapshots: Sequence[Snapshot]) -> Watch:
        """Give a watch over some entities alone that stands where the first of these moments was."""
        names = [self.entities.entities[row] for row in rows.tolist()]
        places = EntityTable(metrics=(), match={}, by=(), entities=names, channels=self.entities.channels)
        scorer = Rescorer(self.scorer, rows, [snapshot.scorer for snapshot in snapshots])
        book = self.book.for_rows({name: array[rows] for name, array in snapshots[0].book.items()})
        second = Watch(self.name, places, self.grid, scorer, book, self.metric_rules, revision_steps=len(snapshots))
        second.open_alerts = {at: snapshots[0].open_alerts[row] for at, row in enumerate(rows.tolist()) if row in snapshots[0].open_alerts}
        return second

    def _correct(
        self, rows: NDArray[np.int64], second: Watch, events: Sequence[Alert], since: Snapshot, *, now_ms: int
    ) -> list[Correction]:
        """Hold what a second judging has found against what was told, and let the entities go on from it."""
        found = {alert.identity: alert for alert in (*since.open_alerts.values(), *events, *second.open_alerts.values())}
        known = {alert.identity for alert in since.open_alerts.values()}
        was = [
            alert
            for alert in (*self.snapshots.over, *self.open_alerts.values())
            if alert.identity in known or alert.opened_ms >= since.time_ms
        ]
        row_of = {self.entities.entities[row]: (at, row) for at, row in enumerate(rows.tolist())}
        corrections, stands = [], np.zeros(len(rows), bool)
        for entity in sorted({alert.entity for alert in (*was, *found.values())} & set(row_of)):
            at, row = row_of[entity]
            is_pending = bool(second.book.phase[at] == Phase.PENDING)
            correction = correct(_of_entity(was, entity), _of_entity(found.values(), entity), now_ms=now_ms, is_pending=is_pending)
            self.open_alerts.pop(row, None)
            if correction.is_open is not None:
                self.open_alerts[row] = correction.is_open
            stands[at] = correction.stands
            corrections.append(correction)
        gone_by = {alert.identity for alert in was if alert.entity in row_of}
        over = [alert for correction in corrections for alert in correction.over]
        self.snapshots.over = [alert for alert in self.snapshots.over if alert.identity not in gone_by] + over
        self._follow(rows[~stands], second.book.for_rows({name: array[~stands] for name, array in second.book.state().items()}), over)
        owners = {identity: alert for correction in corrections for identity, alert in correction.owners.items()}
        for n_back, snapshot in enumerate(reversed(second.snapshots.newest(len(second.snapshots))), start=1):
            open_alerts = {at: _notified_as(alert, owners) for at, alert in snapshot.open_alerts.items()}
            self.snapshots.replace_rows(n_back, rows, replace(snapshot, open_alerts=open_alerts), with_episodes=~stands)
        return corrections

    def _follow(self, rows: NDArray[np.int64], book: EpisodeBook, over: Sequence[Alert]) -> None:
        """Let some entities be where another book says; freeze and thaw them accordingly."""
        old, was_frozen = self.book.phase[rows], self.book.frozen[rows]
        self.book.replace_rows(rows, book)
        is_frozen = self.book.frozen[rows]
        for row in rows[is_frozen & ~was_frozen].tolist():
            self.scorer.freeze(row)
        newest = {alert.entity: alert for alert in sorted(over, key=lambda alert: alert.opened_ms)}
        for at in np.flatnonzero(was_frozen & ~is_frozen).tolist():
            ended = newest.get(self.entities.entities[rows[at]])
            self.scorer.thaw(int(rows[at]), keep=old[at] == Phase.PENDING or (ended is not None and ended.reason == "accepted"))

    def _let_go(self, time_ms: int, report: WatchReport) -> list[Alert]:
        """Resolve the episodes of entities that are gone at a time: before the samples of the step that ends then.

        So who comes back in that step has been gone, whether the silence came in one batch or in many.
        """
        if not self.book.frozen.any():
            return []
        stale_from_ms = self.scorer.stale_from_ms()
        changes = self.book.expire(stale_from_ms, time_ms)
        self._freeze_and_thaw(changes)
        count_suppressed(changes, report)
        gone_from_ms = self.book.gone_from_ms(stale_from_ms)
        return [self._resolved(row, int(gone_from_ms[row]), "gone") for row in changes.gone.tolist()]

    def _gone(self) -> NDArray[np.bool_]:
        """Tell which entities (n,) have been stale for so long that nobody waits for them."""
        if self.grid.closed_until_ms is None:
            return np.zeros(0, bool)
        return self.book.gone_from_ms(self.scorer.stale_from_ms()) <= self.grid.closed_until_ms

    def _forget(self, gone: NDArray[np.bool_], report: WatchReport) -> None:
        """Let go of the rows of entities that are gone, once they are many: the others are numbered anew.

        Not those with an episode, those that the model knows, and those that have just come back.
        """
        n_rows = len(self.entities.entities)
        # All arrays are copied: seldom enough to cost nothing, often enough that room is not wasted, or missed.
        n_worth = n_rows // 16 if self.entities.n_refused else max(_FORGET_AT_LEAST, n_rows // 4)
        if np.count_nonzero(gone) < max(1, n_worth):
            return
        forgotten = gone & ~self.entities.lasting()[: len(gone)] & ~self.grid.waiting(len(gone))
        forgotten[: len(self.book.phase)] &= ~self.book.frozen[: len(gone)]
        if np.count_nonzero(forgotten) < max(1, n_worth):
            return
        rows = np.flatnonzero(~np.pad(forgotten, (0, n_rows - len(forgotten))))
        for part in (self.entities, self.grid, self.scorer, self.book, self.snapshots, self._coverage):
            part.keep_rows(rows)
        to = {row: at for at, row in enumerate(rows.tolist())}
        self.open_alerts = {to[row]: alert for row, alert in self.open_alerts.items()}
        self.out_of_range = self.out_of_range[rows[rows < len(self.out_of_range)]]
        self.last_scored = self.last_scored and self.last_scored.taken(rows)
        self.on_forgotten(rows)
        report.n_forgotten = n_rows - len(rows)

    def _count_coverage(self, gone: NDArray[np.bool_], now_ms: int, report: WatchReport, *, finished: bool) -> None:
        """Count who should be judged (it has shown enough, in training or here, and is not gone), and who among them is."""
        detector = self.scorer.detector
        expected = np.zeros(0, bool) if detector is None else detector.calibrated.copy()
        expected[: len(gone)] &= ~gone[: len(expected)]
        delay_ms = self.grid.longest_delay_ms
        n_judged = self._coverage.count(expected, newest_ms=self.grid.newest_ms, now_ms=now_ms, longest_delay_ms=delay_ms)
        report.n_expected = int(expected.sum())
        report.n_judged = 0 if finished else n_judged  # nothing will be judged any more, however fresh the last step is

    def _judge(self, scored: ScoredStep, report: WatchReport) -> list[Alert]:
        broken = self.metric_rules.out_of_range(scored, self.entities.channels)
        vetoed = self.metric_rules.below_min_deviation(scored, self.entities.channels) & ~broken
        scored = replace(scored, score=np.where(broken, np.fmax(scored.score, 1.0), scored.score))
        if self.scorer.snapshot:
            book = self.book.snapshot(len(scored.score))
            self.snapshots.append(Snapshot(scored.time_ms, self.scorer.snapshot, book, dict(self.open_alerts)))
        changes = self.book.update(scored.time_ms, np.where(scored.judged | broken, scored.score, np.nan), vetoed=vetoed)
        self._freeze_and_thaw(changes)
        self.scorer.learn(scored, self.book.frozen)
        if scored.time_ms <= self.notified_until_ms:
            report.n_repeated += 1
        else:
            count_step(scored, changes, report)
            self.last_scored, self.out_of_range = scored, broken
            self.on_scored(scored)
        self._coverage.take(scored.time_ms, scored.judged)
        alerts = []
        for row in changes.opened.tolist():
            alerts.append(self._opened(row, scored))
            self.open_alerts[row] = alerts[-1]
        for row, alert in self.open_alerts.items():
            if scored.score[row] > alert.score:
                self.open_alerts[row] = self._at_peak(alert, row, scored)
        alerts += [self._resolved(row, scored.time_ms, "recovered") for row in changes.recovered.tolist()]
        alerts += [self._resolved(row, scored.time_ms, "accepted") for row in changes.accepted.tolist()]
        return alerts

    def _freeze_and_thaw(self, changes: Changes) -> None:
        for row in changes.lapsed.tolist():
            self.scorer.thaw(row, keep=True)
        for row in changes.engaged.tolist():
            self.scorer.freeze(row)
        for row in [*changes.recovered.tolist(), *changes.gone.tolist()]:
            self.scorer.thaw(row, keep=False)
        for row in changes.accepted.tolist():
            self.scorer.thaw(row, keep=True)

    def _opened(self, row: int, scored: ScoredStep) -> Alert:
        limit = self.scorer.limit
        return Alert(
            watch=self.name,
            entity=self.entities.entities[row],
            since_ms=int(self.book.over_since_ms[row]),
            opened_ms=scored.time_ms,
            score=float(scored.score[row]),
            limit=float(self.scorer.limits()[row]),
            provisional=limit is None or limit.provisional,
            channels=self._top_channels(row, scored),
        )

    def _at_peak(self, alert: Alert, row: int, scored: ScoredStep) -> Alert:
        return replace(alert, score=float(scored.score[row]), channels=self._top_channels(row, scored))

    def _resolved(self, row: int, time_ms: int, reason: ResolveReason) -> Alert:
        alert = self.open_alerts.pop(row)
        resolved = replace(alert, resolved_ms=max(time_ms, alert.opened_ms), reason=reason)  # the clock may have been set back
        if self.snapshots.n_steps:
            self.snapshots.ended(resolved)
        return resolved

    def _top_channels(self, row: int, scored: ScoredStep) -> tuple[ChannelShare, ...]:
        squared = scored.channel_error[row] ** 2
        total = max(float(squared.sum()), 1e-12)
        return tuple(
            ChannelShare(
                channel=self.entities.channels[channel],
                share=float(squared[channel]) / total,
                actual=float(scored.actual[row, channel]),
                expected=float(scored.expected[row, channel]),
                since_ms=int(scored.elevated_since_ms[row, channel]),
            )
            for channel in np.argsort(-squared, kind="stable")[:_N_TOP_CHANNELS].tolist()
        )


def _of_entity(alerts: Iterable[Alert], entity: str) -> list[Alert]:
    return sorted((alert for alert in alerts if alert.entity == entity), key=lambda alert: alert.opened_ms)


def _notified_as(alert: Alert, owners: Mapping[str, Alert]) -> Alert:
    """Give an alert of a second judging under the name, and with the revision, that it is told by."""
    owner = owners.get(alert.identity, alert)
    return replace(alert, opened_ms=owner.opened_ms, revision=owner.revision)
