"""Alerts as log lines: one when an episode opens, one when it resolves, one when late data corrects it."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from datetime import UTC, datetime

from monitor.pipeline import Alert, ChannelShare
from monitor.quiet import Summary

__all__ = ["LogOutlet", "channel_text", "number_text", "time_text"]

log = logging.getLogger(__name__)

_N_ENTITIES = 5  # named in a summary; `barograph episodes` has all of them


class LogOutlet:
    """Writes each alert to the log, explained."""

    def deliver(self, alerts: Sequence[Alert]) -> None:
        """Log alerts, one event a line."""
        for alert in alerts:
            facts = f"watch={alert.watch} entity={alert.entity} since={time_text(alert.since_ms)} score={alert.score:.2f}"
            if alert.revision:
                facts += f" revision={alert.revision}"
            channels = "; ".join(channel_text(channel) for channel in alert.channels[:3])
            if alert.resolved_ms is None:
                limit = f"limit={alert.limit:.2f}{' provisional=yes' if alert.provisional else ''}"
                if alert.amends:
                    log.info("episode amended %s %s channels=[%s]", facts, limit, channels)
                else:
                    log.warning("episode opened %s %s channels=[%s]", facts, limit, channels)
            else:
                end = f"resolved={time_text(alert.resolved_ms)} reason={alert.reason}"
                what = "retracted" if alert.reason == "retracted" else "amended" if alert.amends else "resolved"
                log.info("episode %s %s %s channels=[%s]", what, facts, end, channels)

    def sum_up(self, summary: Summary) -> None:
        """Log what was kept quiet, in one line."""
        named = ", ".join(summary.entities[:_N_ENTITIES])
        n_more = len(summary.entities) - _N_ENTITIES
        log.warning(
            "caught up episodes=%d entities=%d opened_from=%s resolved_until=%s first=[%s%s]: they were over before they were found, "
            "and are not told one by one; `barograph episodes` lists them",
            summary.n_episodes,
            len(summary.entities),
            time_text(summary.first_opened_ms),
            time_text(summary.last_resolved_ms),
            named,
            f" and {n_more} more" if n_more > 0 else "",
        )


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
