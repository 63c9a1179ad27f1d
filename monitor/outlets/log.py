"""Alerts as log lines: one when an episode opens, one when it resolves."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from datetime import UTC, datetime

from monitor.pipeline import Alert, ChannelShare

__all__ = ["LogOutlet", "channel_text", "number_text", "time_text"]

log = logging.getLogger(__name__)


class LogOutlet:
    """Writes each alert to the log, explained."""

    def deliver(self, alerts: Sequence[Alert]) -> None:
        """Log alerts, one event a line."""
        for alert in alerts:
            facts = f"watch={alert.watch} entity={alert.entity} since={time_text(alert.since_ms)} score={alert.score:.2f}"
            channels = "; ".join(channel_text(channel) for channel in alert.channels[:3])
            if alert.resolved_ms is None:
                limit = f"limit={alert.limit:.2f}{' provisional=yes' if alert.provisional else ''}"
                log.warning("episode opened %s %s channels=[%s]", facts, limit, channels)
            else:
                end = f"resolved={time_text(alert.resolved_ms)} reason={alert.reason}"
                log.info("episode resolved %s %s channels=[%s]", facts, end, channels)


def channel_text(channel: ChannelShare) -> str:
    """Say in a line what one channel shows."""
    return f"{channel.channel} {channel.share:.0%} actual {number_text(channel.actual)} expected {number_text(channel.expected)}"


def number_text(value: float) -> str:
    """Write a value with three digits and an SI prefix, as a person reads it; `-` where there is none."""
    if math.isnan(value):
        return "-"
    for bound, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= bound:
            return f"{value / bound:.3g}{prefix}"
    return f"{value:.3g}" if abs(value) >= 5e-4 else "0"


def time_text(time_ms: int) -> str:
    """Write an event time as a person reads it, UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
