"""What derived channels are made of, and which series are part of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Literal

from monitor.sample import Kind, Series, series_text

__all__ = ["DeriveKind", "DeriveRule", "Part", "Role", "kind_of_input"]

DeriveKind = Literal["sum", "max", "avg", "ratio", "quantile"]
_BOUND = "le"  # the label that holds a bucket's upper bound


class Role(IntEnum):
    """What a series is to a derived channel."""

    VALUE = 0  # what is added up, a bucket, a ratio's numerator
    OVER = 1  # a ratio's denominator


@dataclass(frozen=True, slots=True)
class Part:
    """A series as part of a derived channel.

    `rule` is the number of the rule; `bound` the upper bound of a bucket, NaN where it is none.
    """

    rule: int
    channel: str
    role: Role
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeriveRule:
    """One derived channel, or one for each value of the labels `by`.

    Attributes
    ----------
    of, match : str, mapping
        Patterns (`*` and `?`) of the metric's name and of labels; an absent label is an empty one.
    over, over_match : str, mapping
        The same of a ratio's denominator.
    quantile : float
        Between 0 and 1, of a histogram.
    """

    name: str
    kind: DeriveKind
    of: str
    match: Mapping[str, str]
    by: tuple[str, ...]
    over: str
    over_match: Mapping[str, str]
    quantile: float

    def parts_of(self, series: Series, number: int) -> list[Part]:
        """Give what a series is to this rule, the `number`-th of its watch: nothing, or one part or two."""
        labels = dict(series.labels)
        roles = []
        if _fits(series.name, labels, self.of, self.match):
            roles.append(Role.VALUE)
        if self.kind == "ratio" and _fits(series.name, labels, self.over, self.over_match):
            roles.append(Role.OVER)
        bound = _bound_of(labels) if self.kind == "quantile" else math.nan
        if bound is None:
            return []
        kept = tuple((label, value) for label, value in series.labels if label in self.by)
        channel = series_text(self.name, kept)
        return [Part(number, channel, role, bound) for role in roles]


def kind_of_input(series: Series, rules: Sequence[DeriveRule], kind: Kind) -> Kind:
    """Tell what the values of a series that some rules take mean, which is said to be of a kind.

    A histogram's buckets are counters, also where no type says so.
    """
    is_bucket = series.name.endswith("_bucket") and any(rule.kind == "quantile" for rule in rules)
    return Kind.COUNTER if is_bucket and kind is Kind.GAUGE else kind


def _fits(name: str, labels: Mapping[str, str], pattern: str, match: Mapping[str, str]) -> bool:
    return fnmatchcase(name, pattern) and all(
        fnmatchcase(labels.get(label, ""), wanted) for label, wanted in match.items()
    )


def _bound_of(labels: Mapping[str, str]) -> float | None:
    """Read a bucket's upper bound; None where there is none."""
    try:
        bound = float(labels.get(_BOUND, ""))
    except ValueError:
        return None
    return None if math.isnan(bound) else bound
