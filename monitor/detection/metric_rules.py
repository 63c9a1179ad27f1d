"""What a user knows of a metric: which way is bad, how much matters, which values are never right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from monitor.detection.scored_step import ScoredStep

__all__ = ["MetricRule", "MetricRules", "ValueRange"]

Direction = Literal["both", "above", "below"]


@dataclass(frozen=True, kw_only=True)
class MetricRule:
    """One `[[watch.metric]]` table; of several that fit a channel the first counts."""

    name: str  # pattern of metric names
    direction: Direction = "both"  # only this side of the expected value is anomalous
    min_deviation: float = 0.0  # smallest difference that matters, in the metric's unit
    min_deviation_ratio: float = 0.0  # the same, as a share of the expected value
    valid_min: float = -np.inf  # values beyond are anomalous whatever the score says
    valid_max: float = np.inf


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The lowest and the highest value that each channel of each entity can have, (n, C) each."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def of_row(self, row: int) -> ValueRange:
        """Give the range of one entity, (C,) each."""
        return ValueRange(self.low[row], self.high[row])

    def clip(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Give the nearest values that are possible; NaN stays NaN."""
        return np.asarray(np.clip(values, self.low, self.high), np.float64)

    def is_outside(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which values are not possible."""
        with np.errstate(invalid="ignore"):
            return np.asarray((values < self.low) | (values > self.high))


class MetricRules:
    """The rules of a watch, laid out over its channels, all arrays (C,)."""

    def __init__(self, rules: Sequence[MetricRule]) -> None:
        self._rules = tuple(rules)
        self._channels: tuple[str, ...] = ()
        self._lay_out(())

    def below_min_deviation(self, step: ScoredStep, channels: Sequence[str]) -> NDArray[np.bool_]:
        """Tell which entities (n,) have no channel whose deviation matters, however high their score."""
        if not self._rules:
            return np.zeros(len(step.score), bool)
        self._lay_out(tuple(channels))
        with np.errstate(invalid="ignore"):
            difference = step.actual - step.expected
            matters = np.abs(difference) >= np.maximum(
                self._min_deviation, self._min_ratio * np.abs(step.expected)
            )
            right_side = np.where(self._side == 0, True, np.sign(difference) == self._side)
        unknown = np.isnan(difference)  # nothing can be said of it: it does not veto
        return np.asarray(~((step.channel_error > 1.0) & ((matters & right_side) | unknown)).any(axis=1))

    def out_of_range(self, step: ScoredStep, channels: Sequence[str]) -> NDArray[np.bool_]:
        """Tell which entities (n,) show a value outside its valid range; judged or not."""
        if not self._rules:
            return np.zeros(len(step.score), bool)
        self._lay_out(tuple(channels))
        with np.errstate(invalid="ignore"):
            return np.asarray(((step.actual < self._valid_min) | (step.actual > self._valid_max)).any(axis=1))

    def valid_range(self, channels: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the lowest and the highest valid value of each channel, (C,) each; infinite where not set."""
        self._lay_out(tuple(channels))
        return self._valid_min, self._valid_max

    def value_range(self, channels: Sequence[str], is_rate: NDArray[np.bool_]) -> ValueRange:
        """Give the values that are possible; those of a rate (n, C) of something counted are not below 0."""
        low, high = self.valid_range(channels[: is_rate.shape[1]])
        return ValueRange(np.where(is_rate, np.maximum(low, 0.0), low), np.broadcast_to(high, is_rate.shape))

    def _lay_out(self, channels: tuple[str, ...]) -> None:
        if channels == self._channels and channels:
            return
        self._channels = channels
        rules = [self._rule_of(channel.split("{", 1)[0]) for channel in channels]
        self._side = np.array([{"both": 0, "above": 1, "below": -1}[rule.direction] for rule in rules])
        self._min_deviation = np.array([rule.min_deviation for rule in rules])
        self._min_ratio = np.array([rule.min_deviation_ratio for rule in rules])
        self._valid_min = np.array([rule.valid_min for rule in rules])
        self._valid_max = np.array([rule.valid_max for rule in rules])

    def _rule_of(self, name: str) -> MetricRule:
        return next((rule for rule in self._rules if fnmatchcase(name, rule.name)), MetricRule(name=name))
