"""The clock as an argument: real time in the daemon, a hand-moved one in tests."""

from __future__ import annotations

import threading
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """The time, and a way to wait for it."""

    def now(self) -> float:
        """Give the seconds since the epoch, UTC; they jump where the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Give seconds that never go back, from an arbitrary start; for durations."""
        ...

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait for `seconds` or until `stop` is set; tell whether it was set."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Give the seconds since the epoch, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Give seconds that never go back."""
        return time.monotonic()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait for `seconds` or until `stop` is set; tell whether it was set."""
        return stop.wait(max(0.0, seconds))
