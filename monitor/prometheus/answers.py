"""Answers of the API to columns of samples. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from monitor.prometheus.errors import QueryRefusedError, UnavailableError
from monitor.prometheus.kinds import MetricKinds
from monitor.prometheus.ranges import TimeRange
from monitor.sample import Columns, SeriesTable, concatenate, labels_of, no_samples

__all__ = ["Answer", "export_answer", "matrix_answer", "names_in", "without_duplicates"]

_VALUES = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf, None: np.nan}


@dataclass(frozen=True, slots=True)
class Answer:
    """Samples, and how many native histograms were left out: they are no numbers."""

    columns: Columns
    n_histograms: int = 0


def names_in(result: Iterable[Mapping[str, Any]]) -> set[str]:
    """Give the names of the metrics in an answer."""
    return {series["metric"]["__name__"] for series in result if "__name__" in series.get("metric", {})}


def matrix_answer(
    result: Sequence[Mapping[str, Any]], span: TimeRange, table: SeriesTable, kinds: MetricKinds, *, name: str
) -> Answer:
    """Read the series of `query` or `query_range`; samples outside the range are left out.

    Parameters
    ----------
    name : str
        The metric's name where the answer has none, as behind `rate(...)`; empty: that is an error.

    Raises
    ------
    QueryRefusedError
        If a series has no name.
    UnavailableError
        If the answer is damaged.
    """
    parts = []
    n_histograms = 0
    try:
        for series in result:
            n_histograms += len(series.get("histograms", ()))
            values = series.get("values", ())
            if not values:
                continue
            seconds, texts = zip(*values, strict=True)
            times_ms = np.round(np.array(seconds, np.float64) * 1000).astype(np.int64)
            value = np.fromiter(map(float, texts), np.float64, len(texts))
            number = _number(series["metric"], table, kinds, name)
            parts.append(_within(span, number, times_ms, value))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnavailableError(f"the answer is damaged: {error!r}") from error
    return Answer(concatenate(parts), n_histograms)


def export_answer(lines: Iterable[bytes], span: TimeRange, table: SeriesTable, kinds: MetricKinds) -> Answer:
    """Read the lines of VictoriaMetrics' export; samples outside the range are left out.

    Raises
    ------
    UnavailableError
        If a line is damaged.
    """
    parts = []
    try:
        for line in lines:
            series = orjson.loads(line)
            times_ms = np.array(series["timestamps"], np.int64)
            value = np.array([_VALUES.get(v, v) for v in series["values"]], np.float64)
            if len(times_ms) != len(value):
                raise ValueError(f"{len(times_ms)} times and {len(value)} values")
            if len(times_ms):
                parts.append(_within(span, _number(series["metric"], table, kinds, ""), times_ms, value))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnavailableError(f"the export is cut off or damaged: {error!r}") from error
    return Answer(concatenate(parts))


def without_duplicates(parts: Iterable[Columns]) -> Columns:
    """Join samples in order of time; of a series and time that come twice, as by two queries, one is kept."""
    columns = concatenate(parts)
    if not len(columns):
        return no_samples()
    order = np.lexsort((columns.series, columns.time_ms))
    series, time_ms = columns.series[order], columns.time_ms[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (series[1:] != series[:-1]) | (time_ms[1:] != time_ms[:-1])
    return Columns(series[is_new], time_ms[is_new], columns.value[order][is_new])


def _number(metric: Mapping[str, str], table: SeriesTable, kinds: MetricKinds, name: str) -> int:
    """Give the number of a series by its labels."""
    own_name = metric.get("__name__", name)
    labels = labels_of({label: value for label, value in metric.items() if label != "__name__"})
    if not own_name:
        raise QueryRefusedError(
            "the result has no metric name. Name it, as in "
            '`label_replace(rate(x[5m]), "__name__", "x_rate", "", "")`, or set it as `query` of a watch'
        )
    return table.intern(own_name, labels, kinds.kind_of(own_name, labels))


def _within(span: TimeRange, number: int, times_ms: Any, value: Any) -> Columns:
    chosen = (times_ms >= span.from_ms) & (times_ms < span.to_ms)
    n_samples = int(chosen.sum())
    return Columns(np.full(n_samples, number, np.int32), times_ms[chosen], value[chosen])
