"""Which series a watch takes, which entity and channel each of them is, and what its values mean."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from monitor.sample import Kind, Series, series_text

__all__ = ["SeriesSelector"]

_N_NAMED = 10  # names, labels or values in an explanation


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
        if self.is_set_as_gauge(series):
            return Kind.GAUGE
        return Kind.COUNTER if _matches(series.name, self._counters) else series.kind

    def is_set_as_gauge(self, series: Series) -> bool:
        """Tell whether the user says that a series is a gauge."""
        return _matches(series.name, self._gauges)

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
        if not self._fits(labels):
            return False
        return all(label in labels for label in self._by)  # without one it belongs to no entity of this watch

    def _fits(self, labels: Mapping[str, str]) -> bool:
        return all(fnmatchcase(labels.get(label, ""), pattern) for label, pattern in self._match.items())

    def explain(self, seen: Sequence[Series]) -> str:
        """Say which rule none of these series fulfils, and what there is instead.

        Assumes that the watch takes none of them. Of the rules, in the order name, `ignore`, `match`, labels
        of `by`, the first is named that leaves no series over.
        """
        if not seen:
            return "the source has brought none"
        named = [series for series in seen if _matches(series.name, self._metrics)]
        if not named:
            wanted = self._metrics[0].replace("*", "").replace("?", "")
            return f"none named {_either(self._metrics)}; " + _instead(
                "names", (series.name for series in seen), wanted
            )
        taken = [dict(series.labels) for series in named if not _matches(series.name, self._ignore)]
        if not taken:
            return f"and `ignore` leaves out all that are named {_either(self._metrics)}"
        return self._explain_labels(taken)

    def _explain_labels(self, taken: Sequence[Mapping[str, str]]) -> str:
        """Say which labels none of some series has; each is given by all its labels."""
        for label, pattern in self._match.items():
            if not any(fnmatchcase(labels.get(label, ""), pattern) for labels in taken):
                values = [labels[label] for labels in taken if label in labels]
                if values:
                    return f'none with {label}="{pattern}"; ' + _instead(
                        f"values of `{label}`", values, pattern
                    )
                return _without_label(label, taken)
        fitting = [labels for labels in taken if self._fits(labels)]
        if not fitting:
            together = ", ".join(f'{label}="{pattern}"' for label, pattern in self._match.items())
            return f"none with all of {together}"
        for label in self._by:
            if not any(label in labels for labels in fitting):
                return _without_label(label, fitting)
        return f"none with all the labels {', '.join(f'`{label}`' for label in self._by)}"


def _without_label(label: str, series: Iterable[Mapping[str, str]]) -> str:
    return f"none with label `{label}`; " + _instead(
        "labels", (key for labels in series for key in labels), label
    )


def _instead(what: str, seen: Iterable[str], wanted: str) -> str:
    """List what there is, the most frequent first, and what is most like that which is wanted."""
    names = [name for name, _ in Counter(seen).most_common()]
    if not names:
        return f"no {what} seen"
    shown = ", ".join(names[:_N_NAMED]) + (", ..." if len(names) > _N_NAMED else "")
    nearest = difflib.get_close_matches(wanted, names, n=1, cutoff=0.0)
    return f"{what} seen: {shown}; the nearest is `{nearest[0]}`"


def _either(patterns: Sequence[str]) -> str:
    return " or ".join(patterns)


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
