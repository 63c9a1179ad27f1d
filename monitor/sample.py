"""Samples as columns, and the table that gives every series its number.

Behind the decoders the daemon handles arrays only: a series' name and labels are interned once, and
everything downstream addresses the series by its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from monitor.text import escape_quotes

__all__ = [
    "FORGOTTEN",
    "STALE_NAN",
    "UNKNOWN",
    "Columns",
    "HostReading",
    "Kind",
    "Labels",
    "Series",
    "SeriesTable",
    "concatenate",
    "in_range",
    "is_stale",
    "kind_of",
    "labels_of",
    "no_samples",
    "series_text",
]

# Prometheus' mark that a series has ended: one of many NaNs, and only its bits distinguish it.
STALE_BITS = 0x7FF0000000000002
STALE_NAN = float(np.array(STALE_BITS, np.int64).view(np.float64))

UNKNOWN = -1  # in place of the number of a series that has none

Labels = tuple[tuple[str, str], ...]  # sorted by label name
HostReading = tuple[str, Labels, float]  # metric name, labels, value: one sample, before it is in columns
_MAX_VALUE = float(np.finfo(np.float32).max)  # 3.4e38: networks calculate in float32


class Kind(IntEnum):
    """What a series' values mean: a level, a count that only grows, or a count since the sample before."""

    GAUGE = 0
    COUNTER = 1
    DELTA = 2


@dataclass(frozen=True, slots=True)
class Series:
    """One metric with one full set of labels."""

    name: str
    labels: Labels
    kind: Kind

    def __str__(self) -> str:
        """Give the series in Prometheus' notation, as messages and channel names show it."""
        return series_text(self.name, self.labels)


def series_text(name: str, labels: Labels) -> str:
    """Write a name and labels in Prometheus' notation: `name{key="value"}`."""
    if not labels:
        return name
    inside = ",".join(f'{key}="{escape_quotes(value)}"' for key, value in labels)
    return f"{name}{{{inside}}}"


def labels_of(labels: Mapping[str, str]) -> Labels:
    """Order labels by name, leaving out empty values (to Prometheus an empty label is no label)."""
    return tuple(sorted((key, value) for key, value in labels.items() if value != ""))


def kind_of(name: str) -> Kind:
    """Give `COUNTER` for OpenMetrics' suffix `_total`, and `GAUGE` for every other name."""
    return Kind.COUNTER if name.endswith("_total") else Kind.GAUGE


FORGOTTEN = Series("", (), Kind.GAUGE)  # in the table at each number that is free


class SeriesTable:
    """Gives each distinct series a number, counted up from 0; the numbers of forgotten series are reused.

    Parameters
    ----------
    max_series : int, optional
        How many are known at most; each further one gets the number `UNKNOWN`.

    Attributes
    ----------
    last_refused : Series or None
        The newest one that got no number.
    """

    def __init__(self, max_series: int | None = None) -> None:
        self.max_series = max_series
        self.last_refused: Series | None = None
        self._numbers: dict[tuple[str, Labels], int] = {}
        self._series: list[Series] = []  # by number
        self._free: list[int] = []
        self._asked: list[int] = []  # by number: the turn in which it was last interned
        self._turn = 0

    def intern(self, name: str, labels: Labels, kind: Kind | None = None) -> int:
        """Return the number of a series, the next one if it is new; `UNKNOWN` if there is no room for it.

        `kind` counts only for a new series; without it the name's suffix decides.
        """
        key = (name, labels)
        number = self._numbers.get(key)
        if number is None:
            series = Series(name, labels, kind_of(name) if kind is None else kind)
            if len(self._numbers) == self.max_series:
                self.last_refused = series
                return UNKNOWN
            number = self._numbers[key] = self._number_for(series)
        self._asked[number] = self._turn
        return number

    def forget(self) -> NDArray[np.int32]:
        """Forget the series that were not interned since the last call; give their numbers, which are free then.

        Every holder of numbers must drop these; columns that were made before are void.
        """
        numbers = [number for number in self._numbers.values() if self._asked[number] < self._turn]
        for number in numbers:
            series = self._series[number]
            del self._numbers[series.name, series.labels]
            self._series[number] = FORGOTTEN
        self._free += numbers
        self._turn += 1
        return np.array(numbers, np.int32)

    @property
    def n_known(self) -> int:
        """Series that have a number now."""
        return len(self._numbers)

    def _number_for(self, series: Series) -> int:
        if self._free:
            number = self._free.pop()
            self._series[number] = series
            return number
        self._series.append(series)
        self._asked.append(self._turn)
        return len(self._series) - 1

    def __getitem__(self, number: int) -> Series:
        return self._series[number]

    def __len__(self) -> int:
        """Give the number that the next series gets where none is free."""
        return len(self._series)


@dataclass(frozen=True, slots=True)
class Columns:
    """Samples as three parallel arrays of shape (n,).

    `series` int32, the number in the `SeriesTable`, `UNKNOWN` where that was full; `time_ms` int64, event
    time since the epoch in UTC; `value` float64, NaN for a gap that the producer wrote down.
    """

    series: NDArray[np.int32]
    time_ms: NDArray[np.int64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.series)


def is_stale(value: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which values are marks of a series' end, not other NaNs."""
    return np.asarray(np.ascontiguousarray(value).view(np.int64) == STALE_BITS)


def no_samples() -> Columns:
    """Give columns of length 0."""
    return Columns(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64))


def concatenate(parts: Iterable[Columns]) -> Columns:
    """Join columns end to end."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return no_samples()
    if len(filled) == 1:
        return filled[0]
    return Columns(
        np.concatenate([part.series for part in filled]),
        np.concatenate([part.time_ms for part in filled]),
        np.concatenate([part.value for part in filled]),
    )


def in_range(value: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which values can be calculated with: neither NaN nor infinite nor beyond what float32 holds."""
    return np.asarray(np.abs(value) <= _MAX_VALUE)
