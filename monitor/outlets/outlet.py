"""What every outlet does: it takes alerts and summaries to one outside system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import Summary

__all__ = ["Outlet"]


class Outlet(Protocol):
    """Takes alerts as they open, as late data amends them, and as they resolve.

    A daemon that is killed between a delivery and its checkpoint delivers the same again, so alerts and
    summaries may come twice.
    """

    def deliver(self, alerts: Sequence[Alert]) -> None:
        """Deliver alerts, in the order of event time."""
        ...

    def send_summary(self, summary: Summary) -> None:
        """Say which episodes were withheld because they were over too long ago."""
        ...
