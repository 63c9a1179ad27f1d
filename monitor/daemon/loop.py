"""The loop: poll, judge, notify, checkpoint, commit; one thread owns all state."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import FilteredAlerts
from monitor.clock import Clock
from monitor.daemon.checkpoints import CheckpointKeeper
from monitor.daemon.judging_log import JudgingLog
from monitor.daemon.limit_log import LimitLog
from monitor.daemon.notifier import Notifier
from monitor.daemon.operator_requests import OperatorRequests
from monitor.daemon.retraining import Retraining
from monitor.daemon.watch_log import WatchLog
from monitor.detection.pipeline import Decision, Pipeline
from monitor.detection.view import WatchView
from monitor.metrics.exposition import Exposition
from monitor.metrics.instruments import Metrics
from monitor.sources.position import Position
from monitor.sources.source import Batch, Source
from monitor.web.server import Health

__all__ = ["Loop"]

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0  # the longest that a stop signal waits
_RENDER_SECONDS = 1.0  # the greatest age of a scrape's text: scrapes come every few seconds
_COMMIT_SECONDS = 5.0  # also without progress: a fenced member of a Kafka group learns of it by a commit


@dataclass(slots=True, kw_only=True)
class Loop:
    """Moves samples from the source through the pipeline to the outlets.

    The order is outlets, checkpoint, commit: a crash between two of them repeats a notification or a record,
    and never skips one. A checkpoint is saved after alerts were notified, when one is due, when another model
    has begun to judge, and when the loop ends in order.
    """

    source: Source
    pipeline: Pipeline
    notifier: Notifier
    checkpoints: CheckpointKeeper
    retraining: Retraining | None
    metrics: Metrics
    exposition: Exposition
    health: Health
    limit_log: LimitLog
    watch_log: WatchLog
    judging_log: JudgingLog
    clock: Clock
    operator_requests: OperatorRequests | None = None
    _position: Position = field(init=False)  # of the last checkpoint: nothing newer is committed
    _committed_at: float = field(init=False)
    _rendered_at: float = field(default=-math.inf, init=False)

    def run(self, stop: threading.Event, *, exit_at_end: bool = False) -> None:
        """Run until `stop` is set, or until the source ends where that is asked for."""
        self._position = self.source.position()
        self._committed_at = self.clock.monotonic()
        has_ended = False
        self.notifier.notify_undelivered(self._position)
        while not stop.is_set():
            batch = self.source.poll(_POLL_SECONDS)
            is_saved = self._process(batch)
            ends = batch.finished and not has_ended
            self._show(batch, renders=ends)
            if ends:
                has_ended = True
                self.judging_log.log_end()
                log.info("source ended")
                if exit_at_end:
                    break
            if is_saved or self.clock.monotonic() - self._committed_at >= _COMMIT_SECONDS:
                self._commit()
        self.notifier.update_open(self._views(), at_end=True)
        self._save()
        self._commit()
        if self.retraining is not None:
            self.retraining.finish()

    def _process(self, batch: Batch) -> bool:
        """Judge a batch and notify its alerts; return whether a checkpoint was saved."""
        started = self.clock.monotonic()
        accepted = self._take_requests()
        decision = self.pipeline.process(
            batch.columns,
            batch.now_ms,
            finished=batch.finished,
            complete_ms=batch.complete_ms,
            delivered_ms=batch.delivered_ms,
        )
        decision = replace(decision, alerts=(*accepted, *decision.alerts))
        filtered = self.notifier.filter(decision, self.pipeline, batch.now_ms)
        is_saved = False
        if filtered.notified or filtered.summary:
            self._position = self.source.position()
            self.notifier.notify(filtered.notified, self._position, filtered.summary)
            is_saved = True
        self.notifier.catch_up()
        if self.retraining is not None and self.retraining.after_step(decision):
            self._save()  # a checkpoint names the version that judges: a restart resumes with that
            is_saved = True
        views = self._views()
        self._count(batch, decision, filtered, views, duration_seconds=self.clock.monotonic() - started)
        self._log(batch, decision, views)
        # Before it is rendered: what a scrape has shown survives the daemon. So does what an operator has
        # accepted, also where nobody was notified of it: its request goes next.
        if not is_saved and (accepted or self.checkpoints.is_due()):
            self._save()
            is_saved = True
        if self.operator_requests is not None:
            self.operator_requests.finish()
        return is_saved

    def _take_requests(self) -> list[Alert]:
        """Do what operators ask for; give the alerts of the episodes that end by that."""
        if self.operator_requests is None:
            return []
        accepted = self.operator_requests.take()
        muted = self.operator_requests.muted()
        self.notifier.mute(muted, self.pipeline.watches)
        self.metrics.entities_muted(muted)
        return accepted

    def _count(
        self,
        batch: Batch,
        decision: Decision,
        filtered: FilteredAlerts,
        views: Sequence[WatchView],
        *,
        duration_seconds: float,
    ) -> None:
        """Count what a batch did."""
        self.metrics.batch_done(
            decision,
            views,
            batch.n_bad,
            duration_seconds=duration_seconds,
            now=self.clock.now(),
            withheld=self.notifier.withheld,
        )
        self.metrics.count_withheld(filtered.withheld)
        self.metrics.source_polled(batch.report, ready=batch.ready)
        self.metrics.series_known(self.pipeline.table)

    def _log(self, batch: Batch, decision: Decision, views: Sequence[WatchView]) -> None:
        """Log what an operator should know of a batch."""
        self.limit_log.log_refused(decision, self.pipeline)
        self.watch_log.log_unmatched(decision, self.pipeline, has_samples=len(batch.columns) > 0)
        self.watch_log.log_coverage(views)
        self.judging_log.count(batch, decision, self.pipeline)
        for name, report in decision.reports.items():
            if report.n_steps_back:
                log.warning(
                    "clock set back watch=%s steps=%d: its steps begin anew", name, report.n_steps_back
                )

    def _show(self, batch: Batch, *, renders: bool) -> None:
        """Render the text of a scrape where that is due, and report that the loop has turned."""
        now = self.clock.monotonic()
        if renders or now - self._rendered_at >= _RENDER_SECONDS:
            views = self._views()
            self.exposition.render(views, self.notifier.withheld)
            self.notifier.update_open(views)
            self._rendered_at = now
        self.health.tick(now, ready=batch.ready)

    def _views(self) -> list[WatchView]:
        return [watch.view() for watch in self.pipeline.watches]

    def _save(self) -> None:
        self._position = self.source.position()
        self.checkpoints.save(self._position)

    def _commit(self) -> None:
        self.source.commit(self._position)
        self._committed_at = self.clock.monotonic()
