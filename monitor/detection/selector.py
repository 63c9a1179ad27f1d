"""Which series a watch takes, and which entity and channel each of them is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from monitor.sample import Series, series_text

__all__ = ["SeriesSelector"]


class SeriesSelector:
    """The rules of one watch; they hold no state.

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
