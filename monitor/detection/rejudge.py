"""Closed steps that late samples have changed: judged again, and their episodes corrected.

Each step is judged by its snapshot, which is what it was judged by the first time, and nothing is learned.
Pure like the first judging: what becomes of an entity's alerts is `alerting.corrections`' decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from monitor.alerting.alert import Alert
from monitor.alerting.corrections import Correction, correct
from monitor.alerting.episodes import EpisodeBook, Phase
from monitor.detection.judge import Judge
from monitor.detection.report import WatchReport
from monitor.detection.rescorer import Rescorer
from monitor.detection.scored_step import ScoredStep
from monitor.detection.scorer import Scorer
from monitor.detection.snapshots import Snapshot, Snapshots
from monitor.detection.steps import ClosedSteps, Reclosed
from monitor.detection.view import WatchObserver

__all__ = ["Rejudge"]

_MAX_CELLS = 1 << 18  # judged a second time at once: bounds the arrays, as the grid's own bound does


class Rejudge:
    """Judges a watch's newest steps again and lets its judge and scorer continue from the result.

    Parameters
    ----------
    judge : Judge
        Has judged the steps the first time; its open alerts, episodes and snapshots are corrected.
    scorer : Scorer
        The judge's.
    notified_until_ms : int
        Event time up to which an earlier run has reported everything: corrections up to it are made, and
        not reported.
    """

    def __init__(
        self, judge: Judge, scorer: Scorer, observers: Sequence[WatchObserver], *, notified_until_ms: int
    ) -> None:
        self._judge = judge
        self._scorer = scorer
        self._observers = observers
        self._notified_until_ms = notified_until_ms

    def process(
        self, reclosed: Reclosed, report: WatchReport, *, n_rows: int, n_channels: int
    ) -> list[Alert]:
        """Judge again the windows that these steps changed, and give the alerts that follow."""
        report.n_revised = reclosed.n_samples
        next_step = reclosed.first_step + len(reclosed.values)
        self._scorer.make_room(n_rows, n_channels, next_step)
        changed = self._scorer.recent.patch(reclosed)
        if changed is None:
            return []
        first_step, rows = changed
        snapshots = self._judge.snapshots.newest(next_step - first_step)
        if not snapshots:
            return []
        calibrated = snapshots[0].scorer["detector.calibrated"]
        rows = rows[rows < len(calibrated)]
        rows = rows[calibrated[rows]]  # the others were not judged yet
        values = reclosed.values[len(reclosed.values) - len(snapshots) :]
        alerts: list[Alert] = []
        n_together = max(1, _MAX_CELLS // (len(snapshots) * n_channels))
        for start in range(0, len(rows), n_together):
            together = rows[start : start + n_together]
            of_rows = values[:, np.searchsorted(reclosed.rows, together)]
            closed = ClosedSteps(next_step - len(snapshots), self._scorer.settings.step_ms, of_rows)
            alerts += self._judge_rows(together, closed, snapshots, report)
        return alerts

    def _judge_rows(
        self,
        rows: NDArray[np.int64],
        closed: ClosedSteps,
        snapshots: Sequence[Snapshot],
        report: WatchReport,
    ) -> list[Alert]:
        """Judge some entities' newest steps again, and let them continue from the result."""
        now_ms = closed.end_ms(len(closed.values) - 1)
        notifies = now_ms > self._notified_until_ms
        scorer = Rescorer(self._scorer, rows, [snapshot.scorer for snapshot in snapshots])
        judge = self._judge_of(rows, scorer, snapshots, notifies=notifies)
        judged = WatchReport()
        events = judge.process(closed, judged)
        self._scorer.replace_rows(rows, scorer)
        self._judge.replace_rows(rows, judge)
        corrections = self._correct(rows, judge, events, snapshots[0], now_ms=now_ms)
        if not notifies:
            return []
        report.n_judged_again += judged.n_scored
        alerts = []
        for kind, alert in (notified for correction in corrections for notified in correction.notified):
            alerts.append(alert)
            if kind is not None:
                report.revised[kind] = report.revised.get(kind, 0) + 1
        return alerts

    def _judge_of(
        self, rows: NDArray[np.int64], scorer: Rescorer, snapshots: Sequence[Snapshot], *, notifies: bool
    ) -> Judge:
        """Build a judge over some entities alone that stands where the first of some snapshots was."""
        first = snapshots[0]
        open_alerts = {
            index: first.open_alerts[row]
            for index, row in enumerate(rows.tolist())
            if row in first.open_alerts
        }

        def rescored(step: ScoredStep) -> None:
            for observer in self._observers:
                observer.on_rescored(rows, step)

        return Judge(
            self._judge.name,
            self._judge.entities.take(rows),
            scorer,
            self._judge.book.for_rows({name: array[rows] for name, array in first.book.items()}),
            self._judge.metric_rules.another(),
            snapshots=Snapshots(len(snapshots)),
            observers=[WatchObserver(on_scored=rescored)] if notifies else [],
            open_alerts=open_alerts,
        )

    def _correct(
        self, rows: NDArray[np.int64], again: Judge, events: Sequence[Alert], since: Snapshot, *, now_ms: int
    ) -> list[Correction]:
        """Compare the episodes of a second judging with those that are known, and correct what differs.

        Parameters
        ----------
        again, events
            The second judge over `rows` (m,), and the alerts that it gave.
        since : Snapshot
            Where the second judging began.
        """
        judge = self._judge
        newest = {  # of each episode what was said last
            alert.identity: alert
            for alert in (*since.open_alerts.values(), *events, *again.open_alerts.values())
        }
        revised = _by_entity(newest.values())
        began_open = {alert.identity for alert in since.open_alerts.values()}
        known = _by_entity(
            alert
            for alert in (*judge.snapshots.over, *judge.open_alerts.values())
            if alert.identity in began_open or alert.opened_ms >= since.time_ms
        )
        index_of = {judge.entities.entities[row]: index for index, row in enumerate(rows.tolist())}
        corrections = []
        stands = np.zeros(len(rows), bool)
        for entity in sorted((known.keys() | revised.keys()) & index_of.keys()):
            index = index_of[entity]
            is_pending = bool(again.book.phase[index] == Phase.PENDING)
            correction = correct(
                known.get(entity, []), revised.get(entity, []), now_ms=now_ms, is_pending=is_pending
            )
            judge.correct_open_alert(int(rows[index]), correction.is_open)
            stands[index] = correction.stands
            corrections.append(correction)
        replaced = {alert.identity for entity in known.keys() & index_of.keys() for alert in known[entity]}
        over = [alert for correction in corrections for alert in correction.over]
        judge.snapshots.replace_over(replaced, over)
        changed = ~stands
        book = again.book.for_rows({name: array[changed] for name, array in again.book.state().items()})
        self._follow(rows[changed], book, over)
        owners = {
            identity: alert for correction in corrections for identity, alert in correction.owners.items()
        }
        self._correct_snapshots(rows, again.snapshots, owners, with_episodes=changed)
        return corrections

    def _follow(self, rows: NDArray[np.int64], book: EpisodeBook, over: Sequence[Alert]) -> None:
        """Put some entities into the phases that another book has for them; freeze and thaw them accordingly.

        `over` are their alerts that have ended: whether the newest was accepted decides what a thaw keeps.
        """
        live = self._judge.book
        old, was_frozen = live.phase[rows], live.frozen[rows]
        live.put(rows, book)
        is_frozen = live.frozen[rows]
        for row in rows[is_frozen & ~was_frozen].tolist():
            self._scorer.freeze(row)
            since_ms = int(live.over_since_ms[row])
            n_behind = self._scorer.recent.newest_step + 1 - since_ms // self._scorer.settings.step_ms
            past = self._scorer.recent.values
            self._scorer.levels.begin(row, since_ms, past[: len(past) - n_behind])
        newest = {alert.entity: alert for alert in sorted(over, key=lambda alert: alert.opened_ms)}
        for index in np.flatnonzero(was_frozen & ~is_frozen).tolist():
            row = int(rows[index])
            ended = newest.get(self._judge.entities.entities[row])
            was_accepted = ended is not None and ended.reason == "accepted"
            self._scorer.thaw(row, keep=old[index] == Phase.PENDING or was_accepted)

    def _correct_snapshots(
        self,
        rows: NDArray[np.int64],
        corrected: Snapshots,
        owners: Mapping[str, Alert],
        *,
        with_episodes: NDArray[np.bool_],
    ) -> None:
        """Put what the second judging's steps were judged by in place of what the first one's were.

        `owners` gives, by its identity, the alert that each episode of the second judging is notified as.
        """
        newest_first = reversed(corrected.newest(len(corrected)))
        for n_back, snapshot in enumerate(newest_first, start=1):
            open_alerts = {row: _notified_as(alert, owners) for row, alert in snapshot.open_alerts.items()}
            as_notified = replace(snapshot, open_alerts=open_alerts)
            self._judge.snapshots.replace_rows(n_back, rows, as_notified, with_episodes=with_episodes)


def _by_entity(alerts: Iterable[Alert]) -> dict[str, list[Alert]]:
    """Give alerts by entity, each entity's in the order of opening."""
    by_entity: dict[str, list[Alert]] = {}
    for alert in alerts:
        by_entity.setdefault(alert.entity, []).append(alert)
    for of_entity in by_entity.values():
        of_entity.sort(key=lambda alert: alert.opened_ms)
    return by_entity


def _notified_as(alert: Alert, owners: Mapping[str, Alert]) -> Alert:
    """Give an alert of a second judging with the name and the revision that it is notified by."""
    owner = owners.get(alert.identity, alert)
    return replace(alert, opened_ms=owner.opened_ms, revision=owner.revision)
