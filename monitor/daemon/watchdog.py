"""Ends a process whose loop hangs, so that its supervisor restarts it; the log says where it hung.

A thread of its own checks the time of the loop's last turn. A loop that hangs in C with the interpreter
locked stops this thread too: then nothing is served either, and the supervisor's own probe must notice it.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import traceback
from collections.abc import Callable

from monitor.clock import Clock

__all__ = ["EXIT_CODE", "StallTimer", "Watchdog", "end_process"]

log = logging.getLogger(__name__)

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h: neither a failure (1) nor wrong settings (2)
_N_CHECKS = 20  # within the time after which the loop counts as hung
_LOG_SECONDS = 5.0  # the log itself may hang: it is waited for no longer


class StallTimer:
    """Counts how long the loop has not turned while this process could run.

    The time in which the process itself was stopped or got no processor does not count.

    Parameters
    ----------
    check_seconds : float
        Real time between two checks; a longer pause counts as twice this time.
    """

    def __init__(self, check_seconds: float, now: float) -> None:
        self._check_seconds = check_seconds
        self._checked_at = now
        self._ticked_at = -math.inf
        self._waited = 0.0

    def check(self, ticked_at: float, now: float) -> float:
        """Give the seconds since the loop's last turn, which was at `ticked_at`."""
        passed = min(now - self._checked_at, 2 * self._check_seconds)
        self._waited = self._waited + passed if ticked_at == self._ticked_at else 0.0
        self._ticked_at = ticked_at
        self._checked_at = now
        return self._waited


class Watchdog:
    """Watches the loop of the thread that creates it, until it is closed.

    Parameters
    ----------
    ticked_at : callable
        Gives the monotonic time of the loop's last turn.
    stalled_after_seconds : float
        Real time without a turn after which the loop counts as hung.
    on_stalled : callable
        Called then, once, in the watchdog's thread.
    """

    def __init__(
        self,
        ticked_at: Callable[[], float],
        clock: Clock,
        *,
        stalled_after_seconds: float,
        on_stalled: Callable[[], None],
    ) -> None:
        self._ticked_at = ticked_at
        self._clock = clock
        self._stalled_after_seconds = stalled_after_seconds
        self._on_stalled = on_stalled
        self._watched_thread = threading.get_ident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        check_seconds = self._stalled_after_seconds / _N_CHECKS
        stall_timer = StallTimer(check_seconds, self._clock.monotonic())
        while not self._clock.wait(self._stop, check_seconds):
            waited = stall_timer.check(self._ticked_at(), self._clock.monotonic())
            if waited >= self._stalled_after_seconds:
                logger = threading.Thread(target=self._log, args=(waited,), daemon=True)
                logger.start()
                logger.join(_LOG_SECONDS)
                self._on_stalled()
                return

    def _log(self, waited: float) -> None:
        frame = sys._current_frames().get(self._watched_thread)
        stack = "" if frame is None else "".join(traceback.format_stack(frame))
        log.critical(
            "loop hangs seconds=%.0f; the process ends with code %d, to be started again. It hangs here:\n%s",
            waited,
            EXIT_CODE,
            stack,
        )


def end_process() -> None:
    """End the process at once: the checkpoint is on the disk, and the next daemon resumes from it."""
    os._exit(EXIT_CODE)
