"""Places of curves, ticks and bars: the template draws them as SVG, and escapes every text itself. Pure.

Across, places are shares of the width, in thousandths of it for curves and percent for everything else; down,
0 is the top and 100 the bottom. So a drawing fits any width, and its texts keep their size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bar", "Chart", "Curve", "Tick", "bars_of", "chart_of", "time_ticks"]

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
_TIME_STEPS = (
    *(1_000 * n for n in (1, 2, 5, 10, 15, 30)),
    *(_MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * n for n in (1, 2, 3, 6, 12)),
    *(_DAY * n for n in (1, 2, 7, 14, 28, 91, 182, 364)),
)
_MARGIN = 0.08  # of the range of the values, above and below


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, in percent, and its text."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time: where it begins and how long it is, in percent, with what it says when asked."""

    start: float
    width: float
    kind: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve by its kind, as the points of polylines: a new one begins behind each gap."""

    kind: str
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over time with their axes, and stretches of time behind them."""

    title: str
    description: str
    curves: tuple[Curve, ...]
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    bars: tuple[Bar, ...]


def chart_of(
    title: str,
    description: str,
    time_ms: NDArray[np.int64],
    curves: Sequence[tuple[str, NDArray[np.floating]]],
    *,
    text_of: Callable[[float], str],
    bars: Sequence[Bar] = (),
) -> Chart:
    """Lay out curves (T,) over the same times, each with the kind that it is drawn as."""
    stacked = np.concatenate([values for _, values in curves]).astype(np.float64)
    finite = stacked[np.isfinite(stacked)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-9):  # a constant curve lies in the middle
        low, high = low - max(abs(low) * 0.1, 0.5), high + max(abs(high) * 0.1, 0.5)
    ticks = _value_ticks(low, high)
    margin = _MARGIN * (high - low)
    low, high = low - margin, high + margin
    first_ms, last_ms = int(time_ms[0]), max(int(time_ms[-1]), int(time_ms[0]) + 1)
    across = (time_ms - first_ms) / (last_ms - first_ms) * 1000

    def down(values: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.asarray(100 * (high - values) / (high - low))

    return Chart(
        title=title,
        description=description,
        curves=tuple(Curve(kind, _pieces(across, down(values))) for kind, values in curves),
        rows=tuple(Tick(round(float(down(np.array(value))), 2), text_of(value)) for value in ticks),
        columns=time_ticks(first_ms, last_ms, most=4),
        bars=tuple(bars),
    )


def bars_of(
    spans: Iterable[tuple[float, float, str]], first_ms: int, last_ms: int, kind: str
) -> tuple[Bar, ...]:
    """Lay out stretches of time, each from, to and what it says; what lies outside is cut off."""
    length = max(1, last_ms - first_ms)
    bars = []
    for start_ms, end_ms, title in spans:
        start, end = max(start_ms, first_ms), min(end_ms, last_ms)
        if end >= start:
            place = 100 * (start - first_ms) / length
            bars.append(Bar(round(place, 3), round(100 * (end - start) / length, 3), kind, title))
    return tuple(bars)


def time_ticks(first_ms: int, last_ms: int, *, most: int) -> tuple[Tick, ...]:
    """Give round times between two, UTC, at most so many."""
    length = max(1, last_ms - first_ms)
    step_ms = next((step for step in _TIME_STEPS if length / step <= most), _TIME_STEPS[-1])
    times = range(-(-first_ms // step_ms) * step_ms, last_ms + 1, step_ms)
    return tuple(
        Tick(round(100 * (time - first_ms) / length, 2), _tick_text(time, step_ms)) for time in times
    )


def _tick_text(time_ms: int, step_ms: int) -> str:
    time = datetime.fromtimestamp(time_ms / 1000, UTC)
    if step_ms >= _DAY:
        return f"{time:%b} {time.day}"
    if step_ms < _MINUTE:
        return f"{time:%H:%M:%S}"
    return f"{time:%b} {time.day}" if step_ms >= 3 * _HOUR and time.hour == 0 else f"{time:%H:%M}"


def _value_ticks(low: float, high: float) -> list[float]:
    """Give two to five round values between two."""
    rough = (high - low) / 3
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _pieces(across: NDArray[np.floating], down: NDArray[np.floating]) -> tuple[str, ...]:
    known = np.isfinite(down)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
    return tuple(
        " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across[start:end], down[start:end], strict=True))
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    )
