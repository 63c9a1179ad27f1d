"""When each watch is trained."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest

from monitor.config.watch import RetrainConfig
from monitor.testing import FakeClock
from monitor.training.gate import TrainingOutcome
from monitor.training.schedule import TrainingScheduler, first_run, latest_run, trigger_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)  # a Thursday
HOUR = 3600.0


def every(seconds, **more):
    return RetrainConfig(interval_seconds=seconds, retry_seconds=600.0, **more)


def cron(text):
    return RetrainConfig(cron=text, retry_seconds=600.0)


def fire_times(retrain, n, *, after=NOON):
    trigger, times, previous = trigger_of(retrain), [], None
    now = after
    for _ in range(n):
        previous = trigger.get_next_fire_time(previous, now)
        now = previous
        times.append(previous)
    return times


def at(day, hour, minute=0):
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


# Times


def test_a_cron_expression_is_in_utc_whatever_zone_the_machine_is_in(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert fire_times(cron("30 3 * * *"), 2) == [at(2, 3, 30), at(3, 3, 30)]
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_days_of_the_week_are_named():
    assert fire_times(cron("0 4 * * sun"), 2) == [at(4, 4), at(11, 4)]  # the 4th is a Sunday


def test_an_interval_goes_on_from_its_last_time():
    trigger = trigger_of(every(HOUR))

    assert trigger.get_next_fire_time(at(1, 13), at(1, 15, 30)) == at(
        1, 14
    )  # made up for; the scheduler takes the missed ones together
    assert trigger.get_next_fire_time(at(1, 15), at(1, 15, 30)) == at(1, 16)


@pytest.mark.parametrize(
    ("retrain", "last_made", "first"),
    [
        (every(HOUR), at(1, 11, 30), at(1, 12, 30)),  # an hour after the last
        (every(HOUR), at(1, 2), at(1, 12, 10)),  # overdue: soon, but not at once
        (every(HOUR), None, at(1, 12, 10)),
        (every(HOUR), at(30, 0), at(1, 13)),  # made in the future: the clock was set back since
        (cron("0 18 * * *"), at(1, 11), at(1, 18)),
        (
            cron("0 18 * * *"),
            datetime(2025, 12, 31, 17, tzinfo=UTC),
            at(1, 12, 10),
        ),  # yesterday evening's was missed
        (cron("0 18 * * *"), None, at(1, 18)),
    ],
)
def test_the_first_run_of_a_daemon_that_starts_at_noon(retrain, last_made, first):
    made = None if last_made is None else last_made.timestamp()

    assert first_run(retrain, last_made=made, now=NOON.timestamp()) == first


def scheduled(retrain, train=lambda watch, stop: None, *, clock, **more):
    return TrainingScheduler({"w": retrain}, train, last_made={}, clock=clock, **more)


def test_a_clock_that_is_set_back_does_not_put_trainings_off_by_as_much():
    clock = FakeClock(NOON.timestamp())
    clock.jump(365 * 24 * HOUR)  # the machine started with a wrong clock
    scheduler = scheduled(every(HOUR), clock=clock)
    assert scheduler.next_run("w").year == 2027

    clock.jump(-365 * 24 * HOUR)
    scheduler.check()

    assert scheduler.next_run("w") == at(1, 13)


def test_a_clock_that_goes_right_changes_no_time():
    clock = FakeClock(NOON.timestamp())
    scheduler = scheduled(every(HOUR), clock=clock)
    before = scheduler.next_run("w")

    clock.advance(300)
    scheduler.check()

    assert scheduler.next_run("w") == before
    assert latest_run(every(HOUR), clock.now()) >= before


def test_watches_without_a_schedule_are_left_alone():
    scheduler = TrainingScheduler(
        {"w": RetrainConfig()}, lambda watch, stop: None, last_made={}, clock=FakeClock(0.0)
    )

    scheduler.start()
    scheduler.check()
    scheduler.close()


# The running scheduler; its own clock is the machine's, so everything here is due at once


def outcome(result, watch="w"):
    return TrainingOutcome(watch=watch, result=result, reason="because")


class Trainer:
    """Lets the test wait for runs, and hold one of them up."""

    def __init__(self, results=("promoted",)):
        self.results = list(results)
        self.runs = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.may_end.set()
        self.names, self.n_now, self.n_together = [], 0, 0

    def __call__(self, watch, stop):
        self.n_now += 1
        self.n_together = max(self.n_together, self.n_now)
        self.names.append(watch)
        self.runs.release()
        while not (self.may_end.wait(0.01) or stop.is_set()):
            pass
        self.n_now -= 1
        return outcome(self.results.pop(0) if len(self.results) > 1 else self.results[0], watch)

    def wait(self, n):
        for _ in range(n):
            assert self.runs.acquire(timeout=20.0)


class OverdueClock(FakeClock):
    """A day behind the machine: what is due for it is overdue for the scheduler."""

    def __init__(self):
        super().__init__(time.time() - 86400.0)


def test_what_is_overdue_runs_once_and_not_as_often_as_it_was_missed():
    trainer = Trainer()
    scheduler = scheduled(every(HOUR), trainer, clock=OverdueClock())
    scheduler.start()
    try:
        trainer.wait(1)
        assert scheduler.next_run("w") > datetime.now(UTC)
        assert trainer.names == ["w"]  # of some 23 missed runs
    finally:
        scheduler.close()


@pytest.mark.parametrize("result", ["failed", "timed_out", "skipped"])
def test_a_failure_is_tried_again_before_the_next_run(result):
    trainer = Trainer([result, "promoted"])
    scheduler = scheduled(
        RetrainConfig(interval_seconds=7 * 24 * HOUR, retry_seconds=600.0), trainer, clock=OverdueClock()
    )
    scheduler.start()
    try:
        trainer.wait(2)  # by a clock that is a day behind, ten minutes later is long ago
    finally:
        scheduler.close()
    assert trainer.names == ["w", "w"]


def test_a_refusal_waits_for_the_next_run():
    trainer = Trainer(["refused"])
    clock = OverdueClock()
    scheduler = scheduled(
        RetrainConfig(interval_seconds=7 * 24 * HOUR, retry_seconds=600.0), trainer, clock=clock
    )
    scheduler.start()
    try:
        trainer.wait(1)
    finally:
        scheduler.close()
    assert trainer.names == ["w"]


def test_one_training_at_a_time_over_all_watches():
    trainer = Trainer()
    schedules = {name: every(HOUR) for name in ("first", "second", "third")}
    scheduler = TrainingScheduler(schedules, trainer, last_made={}, clock=OverdueClock())
    scheduler.start()
    try:
        trainer.wait(3)
    finally:
        scheduler.close()

    assert sorted(trainer.names) == ["first", "second", "third"]
    assert trainer.n_together == 1


def test_a_run_that_is_due_while_the_last_one_goes_on_is_skipped_and_counted():
    trainer, skipped = Trainer(), threading.Event()
    trainer.may_end.clear()
    names = []

    def on_skipped(name):
        names.append(name)
        skipped.set()

    scheduler = scheduled(every(HOUR), trainer, clock=OverdueClock(), on_skipped=on_skipped)
    scheduler.start()
    try:
        trainer.wait(1)
        scheduler._scheduler.modify_job("w", next_run_time=datetime.now(UTC))
        assert skipped.wait(20.0)
    finally:
        scheduler.close()

    assert names == ["w"]
    assert trainer.names == ["w"]


def test_closing_ends_the_training_that_runs():
    trainer = Trainer()
    trainer.may_end.clear()
    scheduler = scheduled(every(HOUR), trainer, clock=OverdueClock())
    scheduler.start()
    trainer.wait(1)

    scheduler.close()

    assert trainer.n_now == 0
