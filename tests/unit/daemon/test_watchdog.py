from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from monitor.daemon.watchdog import EXIT_CODE, StallTimer

ROOT = Path(__file__).parents[3]
CHILD = """
import logging, sys, threading
from monitor.clock import SystemClock
from monitor.daemon.watchdog import Watchdog, end_process

logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s")
clock = SystemClock()
ticked_at = clock.monotonic()
dog = Watchdog(lambda: ticked_at, clock, stalled_after_seconds=0.3, on_stalled=end_process)

def a_loop_that_hangs():
    PREPARE
    threading.Event().wait()

a_loop_that_hangs()
"""


def child(prepare="pass", **options):
    code = CHILD.replace("PREPARE", prepare)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        **options,
    )


def test_a_loop_that_hangs_ends_the_process_and_the_log_says_where():
    ended = child(stderr=subprocess.PIPE)

    _, said = ended.communicate(timeout=60)

    assert ended.returncode == EXIT_CODE == 70
    assert (
        "CRITICAL loop hangs seconds=0; the process ends with code 70, to be started again. It hangs here:"
        in said
    )
    assert "in a_loop_that_hangs" in said


def test_a_log_that_hangs_too_does_not_keep_the_process():
    ended = child("logging.getLogger().handlers[0].acquire()", stderr=subprocess.PIPE)

    ended.communicate(timeout=60)

    assert ended.returncode == EXIT_CODE


def test_a_loop_that_turns_is_left_alone():
    stall_timer = StallTimer(3.0, now=0.0)

    assert [stall_timer.check(ticked_at=now - 1.0, now=now) for now in (3.0, 6.0, 9.0)] == [0.0, 0.0, 0.0]


def test_the_time_without_a_turn_adds_up_and_begins_anew_with_the_next_turn():
    stall_timer = StallTimer(3.0, now=0.0)

    assert [
        stall_timer.check(ticked_at, now)
        for ticked_at, now in ((1.0, 3.0), (1.0, 6.0), (1.0, 9.5), (9.6, 12.0), (9.6, 15.0))
    ] == [
        0.0,
        3.0,
        6.5,
        0.0,
        3.0,
    ]


def test_a_process_that_was_stopped_for_an_hour_is_not_hung():
    stall_timer = StallTimer(3.0, now=0.0)
    stall_timer.check(ticked_at=1.0, now=3.0)

    assert stall_timer.check(ticked_at=1.0, now=3603.0) == 6.0
