"""When each watch is trained again, by its interval or its cron expression; in UTC."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from monitor.clock import Clock
from monitor.config.watch import RetrainConfig
from monitor.training.gate import TrainingOutcome

__all__ = ["TrainingScheduler", "first_run", "latest_run", "trigger_of"]

log = logging.getLogger(__name__)


def trigger_of(retrain: RetrainConfig) -> Any:
    """Build the trigger that gives a schedule's fire times, in UTC."""
    if retrain.cron:
        return CronTrigger.from_crontab(retrain.cron, timezone=UTC)
    return IntervalTrigger(seconds=retrain.interval_seconds, timezone=UTC)


def first_run(retrain: RetrainConfig, *, last_made: float | None, now: float) -> datetime:
    """Give the time of the first training of a daemon that starts now; an overdue one runs soon, not at once.

    Parameters
    ----------
    last_made : float, optional
        When the newest model was made, in seconds since the epoch. None where there is none: then an interval
        is overdue, while a cron expression waits for its next time.
    """
    soon = _at(now + retrain.retry_seconds)
    if retrain.cron:
        overdue = last_made is not None and _next_cron(retrain, last_made) < _at(now)
        return soon if overdue else _next_cron(retrain, now)
    due = soon if last_made is None else _at(last_made + retrain.interval_seconds)
    return min(max(due, soon), latest_run(retrain, now))


def latest_run(retrain: RetrainConfig, now: float) -> datetime:
    """Give the latest time of the next training; a later one was set before the clock was set back."""
    if retrain.cron:
        return _next_cron(retrain, now)
    return _at(now + max(retrain.interval_seconds, retrain.retry_seconds))


class TrainingScheduler:
    """Trains watches at their times, one after the other.

    Runs that were missed while the machine slept are made up for once. A run that is due while the same watch
    is still being trained is skipped. A failed run is repeated after `retry_seconds`, unless the schedule's
    next run comes sooner.

    Parameters
    ----------
    schedules : mapping
        By watch; one without a schedule is never trained.
    train : callable
        Trains the watch of a name and gives the outcome, in a thread of the scheduler; it must end soon after
        `stop` is set.
    last_made : mapping
        When each watch's newest model was made, in seconds since the epoch.
    on_skipped : callable
        Called with the watch of each run that was skipped.
    """

    def __init__(
        self,
        schedules: Mapping[str, RetrainConfig],
        train: Callable[[str, threading.Event], TrainingOutcome],
        *,
        last_made: Mapping[str, float | None],
        clock: Clock,
        on_skipped: Callable[[str], None] = lambda watch: None,
    ) -> None:
        self._schedules = {watch: retrain for watch, retrain in schedules.items() if retrain.is_scheduled}
        self._train = train
        self._clock = clock
        self._stop = threading.Event()
        self._retry_jobs: dict[str, str] = {}  # by watch: the job that repeats a failed run
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(max_workers=1)},  # one training at a time
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        )
        self._scheduler.add_listener(lambda event: on_skipped(event.job_id), EVENT_JOB_MAX_INSTANCES)
        for watch, retrain in self._schedules.items():
            first = first_run(retrain, last_made=last_made.get(watch), now=clock.now())
            self._scheduler.add_job(
                self._run, trigger_of(retrain), args=[watch], id=watch, next_run_time=first
            )
            log.info("training scheduled watch=%s first=%s", watch, first.isoformat(timespec="seconds"))

    def start(self) -> None:
        """Begin to run trainings at their times."""
        self._scheduler.start()

    def next_run(self, watch: str) -> datetime:
        """Give the time of a watch's next training."""
        return self._scheduler.get_job(watch).next_run_time  # type: ignore[no-any-return]

    def check(self) -> None:
        """Bring runs forward that are in the far future since the clock was set back."""
        for watch, retrain in self._schedules.items():
            latest = latest_run(retrain, self._clock.now())
            if self.next_run(watch) > latest:
                time_text = latest.isoformat(timespec="seconds")
                log.warning("clock was set back watch=%s: the next training is at %s", watch, time_text)
                self._scheduler.modify_job(watch, next_run_time=latest)

    def close(self) -> None:
        """End the training that runs, and start no other."""
        self._stop.set()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def _run(self, watch: str) -> None:
        if self._stop.is_set():
            return
        outcome = self._train(watch, self._stop)
        if outcome.result in ("promoted", "refused") or self._stop.is_set():
            return
        retry_at = _at(self._clock.now() + self._schedules[watch].retry_seconds)
        if self.next_run(watch) <= retry_at:
            return
        # A job of its own: the scheduler may still be about to set the next time of the one that runs.
        with contextlib.suppress(JobLookupError, KeyError):
            self._scheduler.remove_job(self._retry_jobs[watch])
        self._retry_jobs[watch] = self._scheduler.add_job(
            self._run, "date", args=[watch], run_date=retry_at
        ).id


def _next_cron(retrain: RetrainConfig, after: float) -> datetime:
    return trigger_of(retrain).get_next_fire_time(None, _at(after)) or _at(after) + timedelta(days=366)


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
