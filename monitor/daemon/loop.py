"""The loop: poll, step, deliver, count, render; one thread owns all state."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence

from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import AlertAgeFilter
from monitor.clock import Clock
from monitor.daemon.limit_log import log_refusals
from monitor.daemon.notifier import Notifier
from monitor.detection.pipeline import Decision, Pipeline
from monitor.log_limit import RateLimit
from monitor.metrics.exposition import Exposition
from monitor.metrics.instruments import Metrics
from monitor.outlets.outlet import Outlet
from monitor.sources.position import Position
from monitor.sources.source import Source
from monitor.web.server import Health

__all__ = ["run"]

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0  # the longest that a stop signal waits
_RENDER_SECONDS = 1.0  # a scrape's text is at most so old: scrapes come every few seconds
_REFUSED_SECONDS = 600.0  # between two log lines that say of one limit that it is reached
_COMMIT_SECONDS = 5.0  # also without progress: a commit is what tells a fenced member of a Kafka group that it is one


def run(
    source: Source,
    pipeline: Pipeline,
    outlets: Sequence[Outlet],
    *,
    metrics: Metrics,
    exposition: Exposition,
    health: Health,
    clock: Clock,
    stop: threading.Event,
    exit_at_end: bool = False,
    save: Callable[[Position, Sequence[Alert]], None] = lambda position, undelivered: None,
    save_seconds: float = math.inf,
    after_step: Callable[[Decision], None] = lambda decision: None,
    undelivered: Sequence[Alert] = (),
    record: Callable[[Sequence[Alert], bool], None] = lambda alerts, notified: None,
    age_filter: AlertAgeFilter | None = None,
) -> None:
    """Move samples through the pipeline until `stop` is set, or the source ends where that is asked for.

    Parameters
    ----------
    save : callable
        Keeps the pipeline's state, the source's position, and the alerts that the outlets were
        not given yet: called behind the outlets, when they were given alerts, every `save_seconds`
        of real time, and when the loop ends in order.
    between : callable
        Called behind each step's outlets, with what it did: the place for what may change between two steps.
    undelivered : sequence of Alert
        What an earlier run kept so.
    record : callable
        Writes alerts down, and whether outlets are told: called before they are.
    quiet : Quiet, optional
        Sifts out what is too old to be told; its state is to be kept with the pipeline's. All is told where there is none.

    Outlets come first, then the state is kept, then the source is told: what is lost in between
    is told again, and never passed over. An episode's end is told only when its opening has been
    kept as told: else a daemon that dies behind both would raise again what is over.
    """
    age_filter = age_filter or AlertAgeFilter({})
    teller = Notifier(outlets, record, save, age_filter)
    refusals = RateLimit(clock.monotonic, every_seconds=_REFUSED_SECONDS)
    position = source.position()
    saved_at = committed_at = clock.monotonic()
    rendered_at = -_RENDER_SECONDS
    ended = said_idle = False
    teller.notify(undelivered, position)
    while not stop.is_set():
        batch = source.poll(_POLL_SECONDS)
        started = clock.monotonic()
        decision = pipeline.process(
            batch.columns, batch.now_ms, finished=batch.finished, complete_ms=batch.complete_ms, delivered_ms=batch.delivered_ms
        )
        filtered = teller.filter(decision, pipeline, batch.now_ms)
        notifies = bool(filtered.notified or filtered.summary)
        if notifies:
            position = source.position()
            teller.notify(filtered.notified, position, filtered.summary)
        after_step(decision)
        finished_at = clock.monotonic()
        metrics.batch_done(
            decision,
            [watch.view() for watch in pipeline.watches],
            batch.n_bad,
            duration_seconds=finished_at - started,
            now=clock.now(),
            withheld=age_filter.withheld,
        )
        metrics.count_withheld(filtered.withheld)
        metrics.source_polled(batch.report, ready=batch.ready)
        log_refusals(decision, pipeline, metrics, refusals)
        for name, n_steps in ((name, report.n_steps_back) for name, report in decision.reports.items() if report.n_steps_back):
            log.warning("clock set back watch=%s steps=%d: its steps begin anew", name, n_steps)
        if len(batch.columns) and not said_idle:
            said_idle = True
            for name in (name for name, report in decision.reports.items() if not report.n_samples):
                log.info("watch idle watch=%s: no series of it yet", name)
        due = finished_at - saved_at >= save_seconds
        if due and not notifies:  # before it is shown: what a scrape has seen outlives the daemon
            position = source.position()
            save(position, ())
        if due or notifies:
            saved_at = finished_at
        ended_now = batch.finished and not ended
        if finished_at - rendered_at >= _RENDER_SECONDS or ended_now:
            exposition.render([watch.view() for watch in pipeline.watches], age_filter.withheld)
            rendered_at = finished_at
        health.ticked_at, health.ready = finished_at, batch.ready
        if ended_now:
            ended = True
            log.info("source ended")
            if exit_at_end:
                break
        if due or notifies or finished_at - committed_at >= _COMMIT_SECONDS:
            source.commit(position)
            committed_at = finished_at
    position = source.position()
    save(position, ())
    source.commit(position)
