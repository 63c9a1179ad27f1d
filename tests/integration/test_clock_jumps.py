"""A machine's clock that jumps: its own live source, through the pipeline, by a hand-moved clock."""

from __future__ import annotations

import threading

import pytest

from monitor.config.explain import parse_config
from monitor.daemon.build import build_daemon
from monitor.testing import FakeClock

HOUR = 3600.0
START = 1_700_000_000.0


@pytest.fixture
def daemon(tmp_path):
    """Make a daemon that watches this machine by a hand-moved clock, one reading and one step a second."""
    clock, started = FakeClock(START), []

    def make():
        config = parse_config(
            {
                "data_dir": str(tmp_path),
                "checkpoint_seconds": 1e-9,
                "source": {"host": {"host": "demo"}},
                "web": {"listen": "127.0.0.1:0"},
                "watch": [
                    {
                        "name": "w",
                        "metrics": ["host_load1"],
                        "step_seconds": 1.0,
                        "window_length": 8,
                        "lateness_seconds": 1.0,
                    }
                ],
            },
            origin="test",
        )
        for before in started:
            before.close()  # one at a time: each holds the data directory
        started[:] = [build_daemon(config, outlets=[], clock=clock)]
        return started[-1], clock

    yield make
    for one in started:
        one.close()


def run(daemon, n_polls):
    """Let the daemon's loop turn so many times."""
    stop, poll, n_left = threading.Event(), daemon.loop.source.poll, n_polls

    def counted(timeout_seconds):
        nonlocal n_left
        n_left -= 1
        if n_left == 0:
            stop.set()
        return poll(timeout_seconds)

    daemon.loop.source.poll = counted
    daemon.run(stop)
    daemon.loop.source.poll = poll


def delay_of(daemon, clock):
    """Tell how far the watermark trails the clock."""
    (watch,) = daemon.loop.pipeline.watches
    return clock.now() - watch.grid.watermark_ms / 1000


def test_a_clock_that_jumps_ahead_and_back_does_not_stop_the_steps(daemon):
    one, clock = daemon()
    run(one, 10)
    clock.jump(HOUR)
    run(one, 5)
    clock.jump(-HOUR)
    run(one, 10)

    assert 0 <= delay_of(one, clock) <= 2.0


def test_a_clock_that_is_put_right_after_the_start_does_not_stop_the_steps(daemon):
    one, clock = daemon()
    run(one, 10)
    clock.jump(-HOUR)
    run(one, 10)

    assert 0 <= delay_of(one, clock) <= 2.0


def test_a_checkpoint_from_a_clock_that_was_ahead_does_not_stop_the_steps(daemon):
    one, clock = daemon()
    run(one, 10)
    clock.jump(-HOUR)

    again, _ = daemon()
    run(again, 10)

    assert 0 <= delay_of(again, clock) <= 2.0


def test_a_clock_that_jumps_ahead_for_good_leaves_a_gap_and_goes_on(daemon):
    one, clock = daemon()
    run(one, 10)
    clock.jump(HOUR)
    run(one, 10)

    assert 0 <= delay_of(one, clock) <= 2.0
