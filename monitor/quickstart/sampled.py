"""Series of the last hours as they were sampled, and what their values do: rest, rise, or move. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sampled", "clock_like", "moves", "only_rises", "sampled_of", "spacing_seconds", "trends"]

_CLOCK_TOLERANCE = 0.02  # of a second in each second: a time stamp, an uptime
_TREND_MS = 20 * 3_600_000
_TREND_SHARE = 0.8  # of all that a level moved in a day is left at the end
_LEAST_MOVES = 2  # changes of a value among the points: fewer are a restart, or a new version


@dataclass(frozen=True, slots=True)
class Sampled:
    """A series at the same points of time as the others; NaN where it had no value.

    `values` has shape (T,).
    """

    name: str
    labels: Mapping[str, str]  # without `__name__`
    values: NDArray[np.float64]
    step_ms: int


def sampled_of(
    result: Sequence[Mapping[str, Any]], first_ms: int, step_ms: int, n_points: int
) -> list[Sampled]:
    """Read the series of an answer of `query_range`."""
    series = []
    for entry in result:
        labels = {label: text for label, text in entry.get("metric", {}).items() if label != "__name__"}
        values = np.full(n_points, np.nan)
        for seconds, text in entry.get("values", ()):
            place = round((float(seconds) * 1000 - first_ms) / step_ms)
            if 0 <= place < n_points:
                values[place] = float(text)
        series.append(Sampled(entry.get("metric", {}).get("__name__", ""), labels, values, step_ms))
    return series


def moves(series: Collection[Sampled]) -> bool:
    """Tell whether any of a metric's series changes its value more than once."""
    return any(np.count_nonzero(np.diff(_finite(member.values))) >= _LEAST_MOVES for member in series)


def only_rises(series: Collection[Sampled]) -> bool:
    """Tell whether a metric looks like a counter: its series rise, and fall to nearly nothing if at all."""
    n_rises = n_falls = 0
    for member in series:
        values = _finite(member.values)
        if np.any(values < 0):
            return False
        change = np.diff(values)
        n_rises += int(np.count_nonzero(change > 0))
        n_falls += int(np.count_nonzero((change < 0) & (values[1:] > 0.1 * values[:-1])))
    return n_rises >= _LEAST_MOVES and n_falls == 0


def clock_like(series: Collection[Sampled]) -> bool:
    """Tell whether a metric is a time: it rises by a second a second (or by a thousand)."""
    n_like = 0
    for member in series:
        rate = np.diff(member.values) / (member.step_ms / 1000)
        rate = rate[np.isfinite(rate)]
        if rate.size < _LEAST_MOVES:
            continue
        usual = float(np.median(rate))
        n_like += any(abs(usual / unit - 1) < _CLOCK_TOLERANCE for unit in (1.0, 1000.0))
    return n_like > len(series) / 2


def trends(series: Collection[Sampled]) -> bool:
    """Tell whether most of a metric's series go in one direction for a day: back and forth makes a rhythm."""
    n_long = n_trends = 0
    for member in series:
        change = np.diff(_finite(member.values))
        if len(change) * member.step_ms < _TREND_MS or not np.any(change):
            continue  # in less than a day a rhythm looks like a trend
        n_long += 1
        n_trends += bool(abs(change.sum()) > _TREND_SHARE * np.abs(change).sum())
    return n_trends > n_long / 2


def spacing_seconds(result: Sequence[Mapping[str, Any]]) -> float | None:
    """Give the usual time between raw samples of some series; None where no series has two."""
    apart: Counter[float] = Counter()
    for entry in result:
        times = np.array([float(seconds) for seconds, _ in entry.get("values", ())])
        apart.update(np.round(np.diff(times), 1).tolist())
    if not apart:
        return None
    return float(np.median(np.repeat(list(apart), list(apart.values()))))


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[np.isfinite(values)]
