"""What people are notified of: an alert and a summary in words; numbers and times as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from monitor.alerting.alert import Alert, ChannelShare, LevelChange
from monitor.alerting.alert_age import Summary
from monitor.text import first_of

__all__ = [
    "alert_text",
    "channel_text",
    "clock_text",
    "duration_text",
    "level_text",
    "named_channels",
    "number_text",
    "summary_text",
    "time_text",
    "value_text",
    "values_text",
]

_N_CHANNELS = 3  # named in an alert's line
_MOST_DIGITS = 7
_UNITS = {"percent": " %", "ms": " ms", "milliseconds": " ms", "celsius": " °C"}
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
        if alert.note:
            facts.append(f"by=[{alert.note}]")
    if alert.levels:
        facts.append(f"levels=[{'; '.join(level_text(level) for level in alert.levels[:_N_CHANNELS])}]")
    channels = "; ".join(
        f"{channel_text(channel)} ({channel.share:.0%})" for channel in named_channels(alert.channels)
    )
    return f"episode {event} {' '.join(facts)} channels=[{channels}]"


def summary_text(summary: Summary) -> str:
    """Say in a line what was withheld for good, with the facts as fields."""
    first = first_of(summary.entities, _N_ENTITIES)
    return (
        f"caught up episodes={summary.n_episodes} entities={len(summary.entities)} "
        f"opened_from={time_text(summary.first_opened_ms)} "
        f"resolved_until={time_text(summary.last_resolved_ms)} "
        f"first=[{first}]: these episodes were over before they were found, and are not notified separately; "
        f"`barograph episodes` lists them"
    )


def channel_text(channel: ChannelShare) -> str:
    """Say in a line what one channel shows, what is usual, and when: since then, or at that step alone."""
    actual, expected = values_text(channel.channel, channel.actual, channel.expected)
    text = f"{channel.channel} is {actual}"
    if not math.isnan(channel.expected):
        text += f", usually {expected}{' at this time of day' if channel.of_season else ''}"
    if channel.since_ms:
        text += f", since {clock_text(channel.since_ms)}"
    elif channel.at_ms:
        text += f", at {clock_text(channel.at_ms)}"
    return text


def named_channels(channels: Sequence[ChannelShare], most: int = _N_CHANNELS) -> list[ChannelShare]:
    """Give the first channels, those that have no share only where none has any."""
    blamed = [channel for channel in channels if channel.share > 0]
    return list(blamed or channels)[:most]


def level_text(level: LevelChange) -> str:
    """Say in a line from where to where one channel has gone for good."""
    before, after = values_text(level.channel, level.before, level.after)
    return f"{level.channel} {before} -> {after}"


def values_text(channel: str, first: float, second: float) -> tuple[str, str]:
    """Write two values of a channel; where three digits do not tell them apart, with as many as do."""
    for digits in range(3, _MOST_DIGITS + 1):
        texts = value_text(channel, first, digits), value_text(channel, second, digits)
        if texts[0] != texts[1] or first == second:
            break
    return texts


def value_text(channel: str, value: float, digits: int = 3) -> str:
    """Write a value with its unit, where the end of the metric's name says which it is."""
    words = channel.split("{", 1)[0].split("_")
    per_second = "/s" if words[-1] == "total" else ""
    if math.isnan(value):
        return "-"
    if "bytes" in words:
        number = number_text(value, digits)
        prefix = number[-1] if number[-1] in "kMGT" else ""
        return f"{number.removesuffix(prefix)} {prefix}B{per_second}"
    unit = words[-2] if per_second and len(words) > 1 else words[-1]
    if unit == "seconds":  # seconds counted in a second are a ratio
        return number_text(value, digits) if per_second else _seconds_text(value, digits)
    return f"{number_text(value, digits)}{_UNITS.get(unit, '')}{per_second}"


def number_text(value: float, digits: int = 3) -> str:
    """Write a value with so many digits and an SI prefix; `-` where there is none."""
    if math.isnan(value):
        return "-"
    rounded = float(f"{value:.{digits - 1}e}")
    for bound, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(rounded) >= bound:
            return f"{rounded / bound:.{digits}g}{prefix}"
    return f"{rounded:.{digits}g}" if abs(value) >= 5e-4 or digits > 3 else "0"


def _seconds_text(value: float, digits: int) -> str:
    if 0 < abs(value) < 1:
        return f"{number_text(1000 * value, digits)} ms"
    return f"{value:.0f} s" if abs(value) >= 1000 and digits == 3 else f"{value:.{digits}g} s"


def clock_text(time_ms: int) -> str:
    """Write the time of day of an event, UTC; with seconds where it is not a full minute."""
    return (
        datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%H:%M:%S" if time_ms % 60_000 else "%H:%M")
        + " UTC"
    )


def duration_text(duration_ms: int) -> str:
    """Write how long something lasted, by its two largest units."""
    seconds = round(duration_ms / 1000)
    if seconds < 600:
        return f"{seconds} s"
    minutes, hours = seconds // 60, seconds // 3600
    if hours < 2:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def time_text(time_ms: int) -> str:
    """Write an event time to the second, UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
