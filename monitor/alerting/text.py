"""An alert in words: channels, numbers and times as a person reads them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from monitor.alerting.alert import ChannelShare

__all__ = ["channel_text", "number_text", "time_text"]


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
