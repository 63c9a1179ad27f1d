"""Where alerts go: one file an outside system, all behind one Protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import Summary

__all__ = ["Outlet"]


class Outlet(Protocol):
    """Takes alerts as they open and as they resolve."""

    def deliver(self, alerts: Sequence[Alert]) -> None:
        """Hand over alerts, in the order of event time."""
        ...

    def send_summary(self, summary: Summary) -> None:
        """Say what was kept quiet because it was over too long ago; comes twice where the daemon is killed at that moment."""
        ...
