"""What a user knows of a metric: which way is bad, how much matters, which values are never right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # a step loads PyTorch, which takes seconds, and settings know these rules
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
    """The rules of a watch, laid out over its channels.

    Each method takes the names that say which metrics the values are of: the channels (C,); or, where
    each series is its own entity, the entities (n,), whose only channel is called `value` whatever it is.

    Parameters
    ----------
    by_series : bool
        Whether each series is its own entity.
    """

    def __init__(self, rules: Sequence[MetricRule], *, by_series: bool = False) -> None:
        self._rules = tuple(rules)
        self._by_series = by_series
        self._names: Sequence[str] = ()
        self._n_laid_out = -1
        self._lay_out(())

    def names_of(self, entities: Sequence[str], channels: Sequence[str]) -> Sequence[str]:
        """Give the names that the other methods take."""
        return entities if self._by_series else channels

    def another(self) -> MetricRules:
        """Give the same rules, to be laid out over other entities beside these."""
        return MetricRules(self._rules, by_series=self._by_series)

    def below_min_deviation(self, step: ScoredStep, names: Sequence[str]) -> NDArray[np.bool_]:
        """Tell which entities (n,) have no channel whose deviation matters, however high their score."""
        if not self._rules:
            return np.zeros(len(step.score), bool)
        self._lay_out(names)
        n = len(step.score) if self._by_series else 1
        with np.errstate(invalid="ignore"):
            difference = step.actual - step.expected
            matters = np.abs(difference) >= np.maximum(
                self._min_deviation[:n], self._min_ratio[:n] * np.abs(step.expected)
            )
            right_side = np.where(self._side[:n] == 0, True, np.sign(difference) == self._side[:n])
        unknown = np.isnan(difference)  # nothing can be said of it: it does not veto
        return np.asarray(~((step.channel_error > 1.0) & ((matters & right_side) | unknown)).any(axis=1))

    def out_of_range(self, step: ScoredStep, names: Sequence[str]) -> NDArray[np.bool_]:
        """Tell which entities (n,) show a value outside its valid range; judged or not."""
        if not self._rules:
            return np.zeros(len(step.score), bool)
        self._lay_out(names)
        n = len(step.score) if self._by_series else 1
        with np.errstate(invalid="ignore"):
            return np.asarray(
                ((step.actual < self._valid_min[:n]) | (step.actual > self._valid_max[:n])).any(axis=1)
            )

    def valid_range(self, names: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the lowest and the highest valid value, infinite where not set.

        Both have shape (1, C); or, where each series is its own entity, (n, 1). Without rules it is (1, 1).
        """
        if not self._rules:
            return np.full((1, 1), -np.inf), np.full((1, 1), np.inf)
        self._lay_out(names)
        return self._valid_min, self._valid_max

    def value_range(self, names: Sequence[str], is_rate: NDArray[np.bool_]) -> ValueRange:
        """Give the values that are possible; those of a rate (n, C) of something counted are not below 0."""
        n_rows, n_channels = is_rate.shape
        low, high = (bound[:n_rows, :n_channels] for bound in self.valid_range(names))
        return ValueRange(np.where(is_rate, np.maximum(low, 0.0), low), np.broadcast_to(high, is_rate.shape))

    def _lay_out(self, names: Sequence[str]) -> None:
        # A list of names only grows; where rows or channels are numbered anew, there is another list.
        if names is self._names and len(names) == self._n_laid_out:
            return
        self._names, self._n_laid_out = names, len(names)
        rules = [self._rule_of(name.split("{", 1)[0]) for name in names]
        shape = (-1, 1) if self._by_series else (1, -1)
        sides = [{"both": 0, "above": 1, "below": -1}[rule.direction] for rule in rules]
        self._side = np.reshape(sides, shape)
        self._min_deviation = np.reshape([rule.min_deviation for rule in rules], shape)
        self._min_ratio = np.reshape([rule.min_deviation_ratio for rule in rules], shape)
        self._valid_min = np.reshape([rule.valid_min for rule in rules], shape)
        self._valid_max = np.reshape([rule.valid_max for rule in rules], shape)

    def _rule_of(self, name: str) -> MetricRule:
        return next((rule for rule in self._rules if fnmatchcase(name, rule.name)), MetricRule(name=name))
