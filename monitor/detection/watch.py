"""One watch: from samples to alerts, through its entities, its grid and its judge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.season import accept_season
from monitor.alerting.alert import Alert, LevelChange
from monitor.alerting.episodes import EpisodeBook
from monitor.detection.bounds import BoundForecast
from monitor.detection.entities import EntityTable, grid_shape
from monitor.detection.grid import Grid
from monitor.detection.judge import Judge
from monitor.detection.levels import level_changes
from monitor.detection.metric_rules import MetricRules
from monitor.detection.rejudge import Rejudge
from monitor.detection.report import WatchReport
from monitor.detection.scored_step import ScoredStep
from monitor.detection.scorer import Scorer
from monitor.detection.snapshots import Snapshots
from monitor.detection.steps import ClosedSteps, LocatedSamples
from monitor.detection.view import WatchObserver, WatchView
from monitor.sample import Columns, SeriesTable

__all__ = ["Watch"]

_FORGET_AT_LEAST = 256  # entities that are gone are dropped together: so many, and a quarter of all, at least


class Watch:
    """One watch's stages, and the way of samples through them.

    Parameters
    ----------
    revision_steps : int
        The newest steps that late samples may have judged again.
    live : bool
        For a stream without end: drop entities that are gone, once they are many, and number the other rows
        anew; and forecast when channels leave their valid range.
    """

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
        live: bool = False,
    ) -> None:
        self.name = name
        self.entities = entities
        self.grid = grid
        self.scorer = scorer
        self.book = book
        self.snapshots = Snapshots(revision_steps)
        metric_rules = metric_rules or MetricRules(())
        self._bounds = BoundForecast(metric_rules)
        self._observers: list[WatchObserver] = []
        self._judge = Judge(
            name,
            entities,
            scorer,
            book,
            metric_rules,
            snapshots=self.snapshots,
            observers=self._observers,
        )
        self._live = live

    @property
    def open_alerts(self) -> Mapping[int, Alert]:
        """Open episodes by row, each with its highest score so far."""
        return self._judge.open_alerts

    @property
    def last_scored(self) -> ScoredStep | None:
        """The newest step; None before the first, also behind a restart."""
        return self._judge.last_scored

    def observe(self, observer: WatchObserver) -> None:
        """Let an observer be called from now on, behind those that are there."""
        self._observers.append(observer)

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
            open_alerts=self._judge.open_alerts,
            last_scored=self._judge.last_scored,
            is_open=self.book.is_open,
            out_of_range=self._judge.out_of_range,
            limit=self.scorer.limit,
            limits=self.scorer.limits(),
            missing_steps=self.scorer.missing_steps(),
            watermark_ms=self.grid.watermark_ms,
            closed_until_ms=self.grid.closed_until_ms,
            longest_delay_ms=self.grid.longest_delay_ms,
            hours_to_bound=self._bounds.hours,
            coverage=self._judge.coverage.view(),
        )

    def process(
        self,
        columns: Columns,
        table: SeriesTable,
        now_ms: int,
        *,
        latest_ms: int,
        finished: bool,
        complete_ms: int | None = None,
        notified_until_ms: int = 0,
    ) -> tuple[list[Alert], WatchReport]:
        """Take samples, close the steps that the watermark passes, judge them, and give the alerts by that.

        Parameters
        ----------
        now_ms : int
            The source's event time.
        latest_ms : int
            No sample is later: it would have been refused.
        finished : bool
            The source has come to its end: close every open step.
        complete_ms : int, optional
            Event time up to which the source has been read, where it says so.
        notified_until_ms : int
            Event time up to which an earlier run has reported everything: such steps fill windows, and none
            of their alerts is given.
        """
        report = WatchReport()
        located = self._locate(columns, table, report)
        # Steps are closed that no sample could be in yet: the clock was ahead, and has been set back. Without
        # a new beginning every sample would be late until the clock is there again.
        ahead = (
            complete_ms is None and self.grid.watermark_ms is not None and self.grid.watermark_ms > latest_ms
        )
        if len(located.row) and ahead:
            self._set_clock_back(int(located.time_ms.min()), report)
        n_conflicting = self.grid.n_conflicting
        report.n_late = self.grid.add(located, opens=complete_ms is None)
        n_rows, n_columns = grid_shape(self.entities)
        revised: list[Alert] = []
        reclosed = self.grid.revise(n_rows=n_rows, n_channels=n_columns)
        if reclosed is not None:
            rejudge = Rejudge(self._judge, self.scorer, self._observers, notified_until_ms=notified_until_ms)
            n_channels = len(self.entities.channels)
            revised = rejudge.process(reclosed, report, n_rows=n_rows, n_channels=n_channels)
        report.n_conflicting = self.grid.n_conflicting - n_conflicting
        alerts: list[Alert] = []
        blocks = self.grid.close(
            now_ms, n_rows=n_rows, n_channels=n_columns, finished=finished, complete_ms=complete_ms
        )
        for closed in blocks:
            alerts += self._judge.process(closed, report, notified_until_ms=notified_until_ms)
        if self.grid.closed_until_ms is not None:
            alerts += self._judge.expire(self.grid.closed_until_ms, report)
        gone = self._gone()
        self._count_coverage(gone, now_ms, report, finished=finished)
        if self._live:
            self._forget(gone, report)
            if self.grid.closed_until_ms is not None:
                self._bounds.update(
                    self.scorer.detector,
                    self.scorer.recent,
                    self.entities.entities,
                    self.entities.channels,
                    self.grid.closed_until_ms,
                )
        unreported = [alert for alert in alerts if (alert.resolved_ms or alert.opened_ms) > notified_until_ms]
        return [*revised, *unreported], report

    def judge(self, closed: ClosedSteps, report: WatchReport) -> list[Alert]:
        """Judge closed steps that come from elsewhere than the grid, as from a history."""
        return self._judge.process(closed, report)

    def accept(self, identity: str, note: str) -> Alert | None:
        """End an open episode as accepted by an operator, and judge its entity around what it shows now.

        Where channels have another level than before the episode, the entity is judged around that one.
        Otherwise what was learned in the episode is kept, and its peak counts as normal up to what is gross.
        None where no such episode is open.

        Parameters
        ----------
        note : str
            Who says so, and why.
        """
        row = next((row for row, alert in self.open_alerts.items() if alert.identity == identity), None)
        if row is None:
            return None
        scorer, time_ms = self.scorer, (self.scorer.recent.newest_step + 1) * self.grid.step_ms
        of_season = any(channel.of_season for channel in self.open_alerts[row].channels)
        newest = scorer.levels.newest_steps(row, scorer.recent)
        shift = scorer.levels.declared(row, newest)
        scorer.thaw(row, keep=not shift.any())
        levels: tuple[LevelChange, ...] = ()
        if shift.any():
            scorer.levels.declare(row, shift, scorer.recent)
            levels = level_changes(shift, newest, self.entities.channels)
        elif scorer.detector is not None:
            scorer.detector.records.accept(row)
        if of_season and scorer.detector is not None:
            accept_season(scorer.detector.season, row)
        return self._judge.accept(row, time_ms, levels, note)

    def swap(self, scorer: Scorer, order: NDArray[np.int64]) -> None:
        """Let another scorer judge from the next step on.

        It takes over the newest steps, and open episodes stay open.

        Parameters
        ----------
        order : ndarray, shape (C,)
            The number that each channel had up to now, as `EntityTable.adopt` gives it.
        """
        scorer.take_over(self.scorer, self.book.frozen, order)
        self.scorer = scorer
        self.grid.rearrange_channels(order)
        self._judge.use(scorer, order)
        self._bounds.begin_anew(order)
        self.snapshots.clear()  # what was judged by one model is not judged again by another
        for observer in self._observers:
            observer.on_rearranged(order)

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these entities, which are numbered anew in this order; their scores stay the same."""
        for part in (
            self.entities,
            self.grid,
            self.scorer,
            self.book,
            self.snapshots,
            self._judge,
            self._bounds,
        ):
            part.keep_rows(rows)
        for observer in self._observers:
            observer.on_forgotten(rows)

    def forget_series(self, numbers: NDArray[np.int32]) -> None:
        """Drop what is known of series (k,) that have lost their numbers."""
        freed = self.entities.forget_series(numbers)
        if freed:
            rows, columns = np.array(freed, np.int64).T
            self.grid.forget_cells(rows, columns)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give every array that the past has shaped, by stage and name."""
        parts = (
            ("grid", self.grid),
            ("scorer", self.scorer),
            ("book", self.book),
            ("moments", self.snapshots),
            ("coverage", self._judge.coverage),
        )
        return {f"{stage}/{name}": array for stage, part in parts for name, array in part.state().items()}

    def load_state(
        self,
        arrays: Mapping[str, NDArray[Any]],
        open_alerts: Mapping[int, Alert],
        snapshots: Mapping[str, Any] | None = None,
    ) -> None:
        """Take over what `state` gave, the alerts that were open, and what the snapshots' `about` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If something is missing or does not fit.
        """
        self.grid.load_state(_of_stage("grid", arrays))
        self.scorer.load_state(_of_stage("scorer", arrays))
        self.book.load_state(_of_stage("book", arrays))
        self._judge.coverage.load_state(_of_stage("coverage", arrays))
        if snapshots is not None:
            self.snapshots.load(_of_stage("moments", arrays), snapshots)
        self._judge.load_open_alerts(open_alerts)

    def _locate(self, columns: Columns, table: SeriesTable, report: WatchReport) -> LocatedSamples:
        """Choose the samples that are the watch's, and give each its row and channel."""
        self.entities.update(table, columns.series)
        chosen = np.flatnonzero(self.entities.select(columns.series))
        series, values = columns.series[chosen], columns.value[chosen]
        report.n_refused = self.entities.refused(columns.series)
        report.n_samples = int((~np.isnan(values)).sum())  # the end of a series is NaN
        return LocatedSamples(
            self.entities.row_of[series],
            self.entities.column_of[series],
            columns.time_ms[chosen],
            values,
            self.entities.kind[series],
        )

    def _set_clock_back(self, first_ms: int, report: WatchReport) -> None:
        """Begin anew at an event time, and move all times back with it: the clock had been ahead."""
        report.n_steps_back = self.grid.restart_at(first_ms)
        self.scorer.shift_time(report.n_steps_back)
        self.book.shift_time(report.n_steps_back * self.grid.step_ms)
        self._judge.forget_snapshots()

    def _gone(self) -> NDArray[np.bool_]:
        """Tell which entities (n,) have been stale for so long that their absence is normal."""
        if self.grid.closed_until_ms is None:
            return np.zeros(0, bool)
        return self.book.gone_from_ms(self.scorer.stale_from_ms()) <= self.grid.closed_until_ms

    def _forget(self, gone: NDArray[np.bool_], report: WatchReport) -> None:
        """Drop the rows of entities that are gone, once they are many; the others are numbered anew.

        Those with an episode stay, those that the model knows, and those that have just come back.
        """
        n_rows = len(self.entities.entities)
        # All arrays are copied: rarely enough to be cheap, often enough that no room is wasted or missing.
        n_worth = n_rows // 16 if self.entities.n_refused else max(_FORGET_AT_LEAST, n_rows // 4)
        if np.count_nonzero(gone) < max(1, n_worth):
            return
        forgotten = gone & ~self.entities.lasting()[: len(gone)] & ~self.grid.waiting(len(gone))
        forgotten[: len(self.book.phase)] &= ~self.book.frozen[: len(gone)]
        if np.count_nonzero(forgotten) < max(1, n_worth):
            return
        rows = np.flatnonzero(~np.pad(forgotten, (0, n_rows - len(forgotten))))
        self.keep_rows(rows)
        report.n_forgotten = n_rows - len(rows)

    def _count_coverage(
        self, gone: NDArray[np.bool_], now_ms: int, report: WatchReport, *, finished: bool
    ) -> None:
        """Find the entities that should be judged, and count those among them that are.

        An entity should be judged once it has shown enough, in training or here, unless it is gone.
        """
        detector = self.scorer.detector
        expected = np.zeros(0, bool) if detector is None else detector.calibrated.copy()
        expected[: len(gone)] &= ~gone[: len(expected)]
        coverage = self._judge.coverage
        coverage.update(
            expected,
            filling_ms=self.scorer.recent.seen.filling_ms(
                self.grid.step_ms, self.scorer.settings.window_length
            ),
            newest_ms=self.grid.newest_ms,
            now_ms=now_ms,
            longest_delay_ms=self.grid.longest_delay_ms,
            step_ms=self.grid.step_ms,
            finished=finished,
        )
        report.n_matching = self.entities.n_matching
        report.has_just_begun = coverage.has_just_begun
        report.n_expected, report.n_judged = coverage.n_expected, coverage.n_judged


def _of_stage(stage: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    prefix = f"{stage}/"
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
