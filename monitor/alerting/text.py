"""What people are told: an alert and a summary in words; numbers and times as a person reads them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from monitor.alerting.alert import Alert, ChannelShare, LevelChange
from monitor.alerting.alert_age import Summary

__all__ = ["alert_text", "channel_text", "level_text", "number_text", "summary_text", "time_text"]

_N_CHANNELS = 3  # named in an alert's line
_N_ENTITIES = 5  # named in a summary; `barograph episodes` has all of them


def alert_text(alert: Alert) -> str:
    """Say in a line what has become of an episode, with the facts as fields."""
    facts = [
        f"watch={alert.watch}",
        f"entity={alert.entity}",
        f"since={time_text(alert.since_ms)}",
        f"score={alert.score:.2f}",
    ]
    if alert.revision:
        facts.append(f"revision={alert.revision}")
    if alert.resolved_ms is None:
        event = "amended" if alert.amends else "opened"
        facts.append(f"limit={alert.limit:.2f}{' provisional=yes' if alert.provisional else ''}")
    else:
        event = "amended" if alert.amends else "resolved"
        if alert.reason == "retracted":
            event = "retracted"
        facts.append(f"resolved={time_text(alert.resolved_ms)} reason={alert.reason}")
    if alert.levels:
        facts.append(f"levels=[{'; '.join(level_text(level) for level in alert.levels[:_N_CHANNELS])}]")
    channels = "; ".join(channel_text(channel) for channel in alert.channels[:_N_CHANNELS])
    return f"episode {event} {' '.join(facts)} channels=[{channels}]"


def summary_text(summary: Summary) -> str:
    """Say in a line what was withheld for good, with the facts as fields."""
    first = ", ".join(summary.entities[:_N_ENTITIES])
    n_more = len(summary.entities) - _N_ENTITIES
    if n_more > 0:
        first += f" and {n_more} more"
    return (
        f"caught up episodes={summary.n_episodes} entities={len(summary.entities)} "
        f"opened_from={time_text(summary.first_opened_ms)} "
        f"resolved_until={time_text(summary.last_resolved_ms)} "
        f"first=[{first}]: these episodes were over before they were found, and are not notified separately; "
        f"`barograph episodes` lists them"
    )


def channel_text(channel: ChannelShare) -> str:
    """Say in a line what one channel shows."""
    values = f"actual {number_text(channel.actual)} expected {number_text(channel.expected)}"
    return f"{channel.channel} {channel.share:.0%} {values}"


def level_text(level: LevelChange) -> str:
    """Say in a line from where to where one channel has gone for good."""
    return f"{level.channel} {number_text(level.before)} -> {number_text(level.after)}"


def number_text(value: float) -> str:
    """Write a value with three digits and an SI prefix; `-` where there is none."""
    if math.isnan(value):
        return "-"
    for bound, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= bound:
            return f"{value / bound:.3g}{prefix}"
    return f"{value:.3g}" if abs(value) >= 5e-4 else "0"


def time_text(time_ms: int) -> str:
    """Write an event time to the second, UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
