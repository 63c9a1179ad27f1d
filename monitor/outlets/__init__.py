"""Where alerts go: one file an outside system, all behind one Protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.pipeline import Alert

__all__ = ["Outlet"]


class Outlet(Protocol):
    """Takes alerts as they open and as they resolve."""

    def deliver(self, alerts: Sequence[Alert]) -> None:
        """Hand over alerts, in the order of event time."""
        ...
