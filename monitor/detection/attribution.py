"""Which channels an alert names: those with the largest error at its highest score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from monitor.alerting.alert import Alert, ChannelShare
from monitor.detection.scored_step import ScoredStep

__all__ = ["N_TOP_CHANNELS", "at_peak", "top_channels"]

N_TOP_CHANNELS = 5  # named in an alert: more than one screen line explains nothing


def top_channels(step: ScoredStep, row: int, channels: Sequence[str]) -> tuple[ChannelShare, ...]:
    """Give the channels of one entity that add most to its squared error, largest first, at most five.

    The shares are of the error over all channels, so those of the named ones may add up to less than 1.
    """
    squared = step.channel_error[row] ** 2
    total = max(float(squared.sum()), 1e-12)
    largest = np.argsort(-squared, kind="stable")[:N_TOP_CHANNELS]
    return tuple(
        ChannelShare(
            channel=channels[channel],
            share=float(squared[channel]) / total,
            actual=float(step.actual[row, channel]),
            expected=float(step.expected[row, channel]),
            since_ms=int(step.elevated_since_ms[row, channel]),
        )
        for channel in largest.tolist()
    )


def at_peak(alert: Alert, step: ScoredStep, row: int, channels: Sequence[str]) -> Alert:
    """Give an open alert with a step's score and channels, if that score is its highest; else as it is."""
    if not step.score[row] > alert.score:  # NaN where the entity was not judged
        return alert
    return replace(alert, score=float(step.score[row]), channels=top_channels(step, row, channels))
