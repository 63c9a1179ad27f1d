"""When a watch is trained again, and the child process that does it: `barograph train`, at the lowest priority.

A child can be ended, its memory returns to the system whole, and its GIL is its own. What
comes of it is a file; what serves changes only when the daemon has read that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from models.errors import BundleError
from models.registry import Registry
from monitor.clock import Clock
from monitor.config import RetrainConfig, WatchConfig
from monitor.retrain import Outcome, refusals

__all__ = ["ChildEnd", "TrainingScheduler", "first_run", "latest_run", "run_child", "train_in_child", "trigger_of"]

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2  # real time between two looks at a child
_GRACE_SECONDS = 3.0  # from SIGTERM to SIGKILL: a training has nothing to put in order
_LAST_BYTES = 4096  # of a child's stderr, in which its last words stand


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
        train: Callable[[WatchConfig, threading.Event], Outcome],
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


def train_in_child(watch: WatchConfig, command: Sequence[str], result_file: Path, registry: Registry, stop: threading.Event) -> Outcome:
    """Run a training as a child process, read what came of it, and let the challenger serve if nothing speaks against it.

    Parameters
    ----------
    command : sequence of str
        Writes an outcome to `result_file`.
    """

    def ended(result: Any, reason: str) -> Outcome:
        return Outcome(watch=watch.name, result=result, reason=reason, seconds=time.monotonic() - started)

    started = time.monotonic()
    timeout_seconds = watch.retrain.timeout_seconds
    try:
        champion = registry.champion()
        result_file.parent.mkdir(parents=True, exist_ok=True)
        result_file.unlink(missing_ok=True)
        child = run_child(command, timeout_seconds=timeout_seconds, stop=stop)
    except (OSError, BundleError) as error:
        return ended("failed", f"the training could not be started: {error}")
    if child.ended_by == "stop":
        return ended("skipped", "the daemon was stopped")
    if child.ended_by == "timeout":
        return ended("timed_out", f"not over after {timeout_seconds:g} s. Raise timeout_seconds, or lower max_steps or epochs.")
    try:
        outcome = Outcome.from_json(result_file.read_bytes())
    except (OSError, ValueError):
        return ended("failed", f"the training {child.how}, and left no result: {child.last_words or 'it said nothing'}")
    return _settled(replace(outcome, seconds=time.monotonic() - started), registry, champion)


def _settled(outcome: Outcome, registry: Registry, champion: str | None) -> Outcome:
    """Decide on a candidate by its numbers, and let it serve where they are good."""
    if outcome.result != "candidate" or outcome.version is None or outcome.gate is None:
        return outcome if outcome.result != "candidate" else replace(outcome, result="failed", reason="the candidate has no numbers")
    against = refusals(outcome.gate)
    if against:
        return replace(outcome, result="refused", reason="; ".join(against))
    try:
        if registry.champion() != champion:
            return replace(outcome, result="skipped", reason=f"{registry.champion()} was promoted meanwhile: it was not compared with that")
        registry.load(outcome.version)  # whole, and scoring as it did when it was saved
        registry.promote(outcome.version)
    except BundleError as error:
        return replace(outcome, result="failed", reason=str(error))
    return replace(outcome, result="promoted")


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child process ended: by itself, or by us; its exit code (negative: the signal); the last line of its stderr."""

    ended_by: str  # "itself", "timeout", "stop"
    code: int
    last_words: str

    @property
    def how(self) -> str:
        """Say how it ended, in words."""
        return f"was killed by {signal.Signals(-self.code).name}" if self.code < 0 else f"ended with exit code {self.code}"


def run_child(command: Sequence[str], *, timeout_seconds: float, stop: threading.Event) -> ChildEnd:
    """Run a command in a session of its own until it ends, its time is over, or `stop` is set; then end all of its group.

    Raises
    ------
    OSError
        If it cannot be started.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with tempfile.TemporaryFile() as stderr:
        child = subprocess.Popen(  # noqa: S603 - our own command line
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True, env=environment
        )
        deadline = time.monotonic() + timeout_seconds
        ended_by = "itself"
        while child.poll() is None:
            if stop.wait(_POLL_SECONDS):
                ended_by = "stop"
            elif time.monotonic() >= deadline:
                ended_by = "timeout"
            if ended_by != "itself":
                _end_group(child)
                break  # whatever the kernel still does with it: the daemon's own end does not wait for that
        code = child.poll()
        return ChildEnd(ended_by, -signal.SIGKILL if code is None else code, _last_line(stderr))


def _end_group(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(_GRACE_SECONDS)
        except ProcessLookupError:
            child.wait()  # it has just ended by itself
            return
        except subprocess.TimeoutExpired:
            continue


def _last_line(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST_BYTES))
    lines = file.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _next_cron(retrain: RetrainConfig, after: float) -> datetime:
    return trigger_of(retrain).get_next_fire_time(None, _at(after)) or _at(after) + timedelta(days=366)


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
