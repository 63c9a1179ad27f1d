"""When a watch is trained again, and the child process that does it: `barograph train`, at the lowest priority.

A child can be ended, its memory returns to the system whole, and its GIL is its own. What
comes of it is a file; what serves changes only when the daemon has read that.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from monitor.clock import Clock
from monitor.config.watch import RetrainConfig, WatchConfig
from monitor.training.gate import TrainingOutcome

__all__ = ["TrainingScheduler", "first_run", "latest_run", "trigger_of"]

log = logging.getLogger(__name__)


def trigger_of(retrain: RetrainConfig) -> Any:
    """Build the trigger that gives a schedule's fire times, in UTC."""
    if retrain.cron:
        return CronTrigger.from_crontab(retrain.cron, timezone=UTC)
    return IntervalTrigger(seconds=retrain.interval_seconds, timezone=UTC)


def first_run(retrain: RetrainConfig, *, last_made: float | None, now: float) -> datetime:
    """Tell when a daemon that starts now trains first; what is overdue is done soon, but not at once.

    Parameters
    ----------
    last_made : float, optional
        When the newest model was made; None where there is none: that is overdue for an
        interval, while a cron expression names times of its own.
    """
    soon = _at(now + retrain.retry_seconds)
    if retrain.cron:
        overdue = last_made is not None and _next_cron(retrain, last_made) < _at(now)
        return soon if overdue else _next_cron(retrain, now)
    due = soon if last_made is None else _at(last_made + retrain.interval_seconds)
    return min(max(due, soon), latest_run(retrain, now))


def latest_run(retrain: RetrainConfig, now: float) -> datetime:
    """Tell when the next run must be at the latest; a later one was set before the clock was put back."""
    if retrain.cron:
        return _next_cron(retrain, now)
    return _at(now + max(retrain.interval_seconds, retrain.retry_seconds))


class TrainingScheduler:
    """Trains watches at their times, one after the other.

    A run that is due while the machine slept is made up for once; one that is due while the
    same watch is still being trained is left out. After a failure it is tried again after
    `retry_seconds`, unless the schedule itself comes sooner.

    Parameters
    ----------
    train : callable
        Trains one watch and tells what came of it, in a thread of the scheduler; it must end
        soon after `stop` is set.
    last_made : mapping
        When each watch's newest model was made.
    on_left_out : callable
        Told the watch of each run that was left out.
    """

    def __init__(
        self,
        watches: Sequence[WatchConfig],
        train: Callable[[WatchConfig, threading.Event], TrainingOutcome],
        *,
        last_made: Mapping[str, float | None],
        clock: Clock,
        on_left_out: Callable[[str], None] = lambda watch: None,
    ) -> None:
        self._watches = {watch.name: watch for watch in watches if watch.retrain.is_scheduled}
        self._train = train
        self._clock = clock
        self._stop = threading.Event()
        self._again: dict[str, str] = {}  # by watch: the job that makes up for one that failed
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(max_workers=1)},  # one training at a time
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        self._scheduler.add_listener(lambda event: on_left_out(event.job_id), EVENT_JOB_MAX_INSTANCES)
        for name, watch in self._watches.items():
            first = first_run(watch.retrain, last_made=last_made.get(name), now=clock.now())
            self._scheduler.add_job(self._run, trigger_of(watch.retrain), args=[watch], id=name, next_run_time=first)
            log.info("training scheduled watch=%s first=%s", name, first.isoformat(timespec="seconds"))

    def start(self) -> None:
        """Begin to keep the times."""
        self._scheduler.start()

    def next_run(self, watch: str) -> datetime:
        """Tell when a watch is trained next."""
        return self._scheduler.get_job(watch).next_run_time  # type: ignore[no-any-return]

    def check(self) -> None:
        """Bring runs forward that a clock which was put back has left in the far future."""
        for name, watch in self._watches.items():
            latest = latest_run(watch.retrain, self._clock.now())
            if self.next_run(name) > latest:
                log.warning("clock was put back watch=%s: the next training is at %s", name, latest.isoformat(timespec="seconds"))
                self._scheduler.modify_job(name, next_run_time=latest)

    def close(self) -> None:
        """End the training that runs, and keep no more times."""
        self._stop.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def _run(self, watch: WatchConfig) -> None:
        if self._stop.is_set():
            return
        outcome = self._train(watch, self._stop)
        again = _at(self._clock.now() + watch.retrain.retry_seconds)
        if outcome.result in ("promoted", "refused") or self._stop.is_set() or self.next_run(watch.name) <= again:
            return
        # A job of its own: the scheduler may still be about to set the next time of the one that runs.
        with contextlib.suppress(JobLookupError, KeyError):
            self._scheduler.remove_job(self._again[watch.name])
        self._again[watch.name] = self._scheduler.add_job(self._run, "date", args=[watch], run_date=again).id


def _next_cron(retrain: RetrainConfig, after: float) -> datetime:
    return trigger_of(retrain).get_next_fire_time(None, _at(after)) or _at(after) + timedelta(days=366)


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
