"""The parts of the service are started, run and stopped in order; they are made up here."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

from monitor.clock import SystemClock
from monitor.daemon.daemon import Daemon
from monitor.web.server import Health


class Part:
    """Writes down what is called of it."""

    def __init__(self, name, diary):
        self._name, self._diary = name, diary

    def __getattr__(self, method):
        return lambda *arguments, **options: self._diary.append(f"{self._name}.{method}")


class MadeUpLoop:
    def __init__(self, diary, run=lambda: None):
        self.retraining, self.source = Part("retraining", diary), Part("source", diary)
        self.health, self.clock = Health(ticked_at=0.0), SystemClock()
        self._diary, self._run = diary, run

    def run(self, stop, *, exit_at_end):
        self._diary.append(f"loop.run exit_at_end={exit_at_end}")
        self._run()


def daemon_of(loop, diary, *, on_stalled=None, stalled_after_seconds=60.0):
    return Daemon(
        loop,
        Part("web", diary),
        SimpleNamespace(release=lambda: diary.append("lock.release")),
        alert_history=Part("alert_history", diary),
        on_stalled=on_stalled,
        stalled_after_seconds=stalled_after_seconds,
    )


def test_trainings_start_before_the_loop_and_the_lock_is_released_last():
    diary = []
    daemon = daemon_of(MadeUpLoop(diary), diary)

    daemon.run(threading.Event(), exit_at_end=True)
    daemon.close()

    assert diary == [
        "retraining.start",
        "loop.run exit_at_end=True",
        "retraining.close",
        "web.close",
        "source.close",
        "alert_history.close",
        "lock.release",
    ]


def test_a_loop_that_hangs_is_reported_once():
    diary, stalled = [], threading.Event()
    loop = MadeUpLoop(diary, run=lambda: stalled.wait(20.0))
    daemon = daemon_of(loop, diary, on_stalled=stalled.set, stalled_after_seconds=0.1)
    started = time.monotonic()

    daemon.run(threading.Event())
    daemon.close()

    assert stalled.is_set()
    assert time.monotonic() - started < 15.0


def test_nobody_watches_over_the_loop_unless_asked_to():
    n_threads = []
    loop = MadeUpLoop([], run=lambda: n_threads.append(threading.active_count()))
    before = threading.active_count()

    daemon_of(loop, []).run(threading.Event())

    assert n_threads == [before]
