"""One suite for the machine's clock and the hand-moved one, so that the fake cannot drift away."""

import threading

import pytest

from monitor.clock import SystemClock
from monitor.testing import FakeClock

EVERY_CLOCK = pytest.mark.parametrize(
    "clock", [SystemClock(), FakeClock(1_700_000_000.0)], ids=["system", "fake"]
)


@EVERY_CLOCK
def test_a_wait_that_is_over_already_returns_at_once(clock):
    before = clock.monotonic()

    assert clock.wait(threading.Event(), -3600.0) is False
    assert clock.wait(threading.Event(), 0.0) is False
    assert clock.monotonic() - before < 60.0


@EVERY_CLOCK
def test_a_wait_tells_that_it_was_asked_to_stop(clock):
    stop = threading.Event()
    stop.set()

    assert clock.wait(stop, 0.0) is True


@EVERY_CLOCK
def test_monotonic_time_never_goes_back(clock):
    readings = [clock.monotonic() for _ in range(100)]

    assert readings == sorted(readings)


def test_waiting_on_the_fake_clock_lets_both_times_pass():
    clock = FakeClock(100.0)

    clock.wait(threading.Event(), 2.5)

    assert (clock.now(), clock.monotonic()) == (102.5, 2.5)


def test_setting_the_fake_wall_clock_back_lets_no_time_pass():
    clock = FakeClock(100.0)

    clock.jump(-60.0)

    assert (clock.now(), clock.monotonic()) == (40.0, 0.0)
