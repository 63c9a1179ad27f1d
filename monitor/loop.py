"""The loop: poll, step, deliver, count, render; one thread owns all state."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence

from monitor.clock import Clock
from monitor.metrics import Exposition, Metrics
from monitor.outlets import Outlet
from monitor.pipeline import Decision, Pipeline
from monitor.sources import Source
from monitor.web import Health

__all__ = ["run"]

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0  # the longest that a stop signal waits
_RENDER_SECONDS = 1.0  # a scrape's text is at most so old: scrapes come every few seconds
_SAVE_SECONDS = 1.0  # between two checkpoints at least, however many episodes open and resolve


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
    save: Callable[[], None] = lambda: None,
    save_seconds: float = math.inf,
    between: Callable[[Decision], None] = lambda decision: None,
) -> None:
    """Move samples through the pipeline until `stop` is set, or the source ends where that is asked for.

    Parameters
    ----------
    save : callable
        Keeps the pipeline's state: called behind the outlets every `save_seconds` of real time,
        when episodes opened or resolved, and when the loop ends in order.
    between : callable
        Called behind each step's outlets, with what it did: the place for what may change between two steps.
    """
    saved_at = clock.monotonic()
    unsaved = False  # episodes opened or resolved since then: a daemon that is killed must not forget them
    rendered_at = -_RENDER_SECONDS
    ended = said_idle = False
    while not stop.is_set():
        batch = source.poll(_POLL_SECONDS)
        started = clock.monotonic()
        decision = pipeline.step(batch.columns, batch.now_ms, finished=batch.finished)
        for outlet in outlets:
            outlet.deliver(decision.alerts)
        between(decision)
        finished_at = clock.monotonic()
        metrics.batch_done(decision, pipeline.watches, batch.n_bad, duration_seconds=finished_at - started, now=clock.now())
        for name, n_steps in ((name, report.n_steps_back) for name, report in decision.reports.items() if report.n_steps_back):
            log.warning("clock set back watch=%s steps=%d: its steps begin anew", name, n_steps)
        if len(batch.columns) and not said_idle:
            said_idle = True
            for name in (name for name, report in decision.reports.items() if not report.n_samples):
                log.info("watch idle watch=%s: no series of it yet", name)
        unsaved = unsaved or bool(decision.alerts)
        if finished_at - saved_at >= (min(save_seconds, _SAVE_SECONDS) if unsaved else save_seconds):
            save()  # before it is shown: what a scrape has seen outlives the daemon
            saved_at, unsaved = finished_at, False
        ended_now = batch.finished and not ended
        if finished_at - rendered_at >= _RENDER_SECONDS or ended_now:
            exposition.render(pipeline.watches)
            rendered_at = finished_at
        health.ticked_at, health.ready = finished_at, True
        if ended_now:
            ended = True
            log.info("source ended")
            if exit_at_end:
                break
    save()
