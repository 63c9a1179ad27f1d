"""Which series a watch takes, which entity and channel each of them is, and what its values mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from monitor.sample import Kind, Series, series_text

__all__ = ["SeriesSelector"]


class SeriesSelector:
    """The rules of one watch.

    Parameters
    ----------
    metrics, ignore : sequence of str
        Patterns (`*` and `?`) of metric names that the watch takes, and of those among them that it leaves
        out.
    match : mapping
        Patterns that labels must match; an absent label is an empty one.
    by : tuple of str
        Labels whose values make an entity; empty: every series is its own entity.
    """

    def __init__(
        self, *, metrics: Sequence[str], match: Mapping[str, str], by: tuple[str, ...], ignore: Sequence[str]
    ) -> None:
        self._metrics = tuple(metrics)
        self._ignore = tuple(ignore)
        self._match = dict(match)
        self._by = by
        self._counters: tuple[str, ...] = ()
        self._gauges: tuple[str, ...] = ()

    def set_kinds(self, counters: Sequence[str], gauges: Sequence[str]) -> None:
        """Take metrics of these patterns as counters, and as gauges, whatever their format says.

        Where a name matches both it is a gauge.
        """
        self._counters = tuple(counters)
        self._gauges = tuple(gauges)

    def kind_of(self, series: Series) -> Kind:
        """Tell what the values of a series mean to this watch."""
        if _matches(series.name, self._gauges):
            return Kind.GAUGE
        return Kind.COUNTER if _matches(series.name, self._counters) else series.kind

    @property
    def is_by_series(self) -> bool:
        """Whether each series is its own entity."""
        return not self._by

    def select(self, series: Series) -> tuple[str, str] | None:
        """Name the entity and the channel of a series; None where the watch does not take it."""
        labels = dict(series.labels)
        if not self._takes(series.name, labels):
            return None
        if not self._by:
            return str(series), "value"
        entity = _entity_name({label: labels[label] for label in self._by})
        rest = tuple((label, value) for label, value in series.labels if label not in self._by)
        return entity, series_text(series.name, rest)

    def _takes(self, name: str, labels: Mapping[str, str]) -> bool:
        if not _matches(name, self._metrics) or _matches(name, self._ignore):
            return False
        if not all(fnmatchcase(labels.get(label, ""), pattern) for label, pattern in self._match.items()):
            return False
        return all(label in labels for label in self._by)  # without one it belongs to no entity of this watch


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _entity_name(values: Mapping[str, str]) -> str:
    """Name an entity: the value of its only label, else `label=value` for each.

    Different values give different names, whatever they contain.
    """
    if len(values) == 1:
        return next(iter(values.values()))
    escaped = ((label, re.sub(r"([\\,=])", r"\\\1", value)) for label, value in values.items())
    return ",".join(f"{label}={value}" for label, value in escaped)
