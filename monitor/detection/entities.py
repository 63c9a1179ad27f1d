"""Which series belong to a watch, to which of its entities, and as which channel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from monitor.sample import FORGOTTEN, UNKNOWN, Kind, Series, SeriesTable, series_text

__all__ = ["EntityTable", "resolution_of"]

# In place of a row: a series that the watch would take, had it room; one to be placed when it comes again; one
# whose channel the model does not know.
REFUSED, VACANT, IGNORED = -2, -3, -4

# The smallest change that means something, by the unit that ends a metric's name. For a counter
# it is the smallest increase in one step: one event, where the name tells no unit.
_RESOLUTION = {"bytes": 65536.0, "seconds": 0.01, "ratio": 0.01}
_ONE_EVENT = 1.0
_UNKNOWN_UNIT = 0.1


def resolution_of(channel: str, step_seconds: float) -> float:
    """Give a channel's smallest meaningful change in its own unit; for counters, as a rate per second."""
    name = channel.split("{", 1)[0]
    counter = name.endswith("_total")
    unit = name.removesuffix("_total").rsplit("_", 1)[-1]
    if counter:
        return _RESOLUTION.get(unit, _ONE_EVENT) / step_seconds
    return _RESOLUTION.get(unit, _UNKNOWN_UNIT)


class EntityTable:
    """A watch's places for series: entity rows and channels, numbered as they appear.

    Parameters
    ----------
    metrics, ignore : sequence of str
        Patterns (`*` and `?`) of metric names that the watch takes, and of those among them
        that it leaves out.
    match : mapping
        Patterns that labels must match; an absent label is an empty one.
    by : tuple of str
        Labels whose values make an entity; empty: every series is its own entity.
    entities, channels : sequence of str
        Known already, from a bundle, in its order. Given channels are fixed: a series with
        another one is ignored and counted in `n_ignored`.

    Attributes
    ----------
    max_series : int or None
        Entities times channels that there is room for: arrays hold a place for each. A series that
        would need more is refused and counted in `n_refused`; those that have a place keep it.
    """

    def __init__(
        self,
        *,
        metrics: Sequence[str],
        match: Mapping[str, str],
        by: tuple[str, ...],
        ignore: Sequence[str] = (),
        entities: Sequence[str] = (),
        channels: Sequence[str] = (),
    ) -> None:
        self._metrics = tuple(metrics)
        self._ignore = tuple(ignore)
        self._match = dict(match)
        self._by = by
        self.entities = list(entities)
        self.channels = list(channels)
        self.fixed = bool(channels)
        self.max_series: int | None = None
        self._rows = {name: row for row, name in enumerate(self.entities)}
        self._columns = {name: column for column, name in enumerate(self.channels)}
        self.row_of = np.empty(0, np.int32)  # by series number; UNKNOWN where the watch does not want it, or another of the above
        self.channel_of = np.empty(0, np.int32)
        self.kind = np.empty(0, np.int8)
        self.n_ignored = 0
        self.n_refused = 0
        self.last_refused: Series | None = None
        self.version = 0  # of the rows' numbers
        self._lasting: frozenset[str] = frozenset()
        self._is_lasting = np.empty(0, bool)  # by row

    def adopt(self, entities: Sequence[str], channels: Sequence[str]) -> None:
        """Take in what another model knows, behind what is known here, and fix the channels; every series is placed anew.

        Rows and channels that there are keep their numbers.
        """
        for name in entities:
            if name not in self._rows:
                self._rows[name] = len(self.entities)
                self.entities.append(name)
        for name in channels:
            if name not in self._columns:
                self._columns[name] = len(self.channels)
                self.channels.append(name)
        self.fixed = True
        self.retain(entities)
        self.row_of = self.channel_of = np.empty(0, np.int32)
        self.kind = np.empty(0, np.int8)
        self.n_ignored = self.n_refused = 0

    def retain(self, entities: Sequence[str]) -> None:
        """Never let go of these, whom the model knows."""
        self._lasting = frozenset(entities)
        self._is_lasting = np.empty(0, bool)

    def lasting(self) -> NDArray[np.bool_]:
        """Tell which entities are never let go; shape (n,)."""
        new = self.entities[len(self._is_lasting) :]
        if new:
            self._is_lasting = np.concatenate([self._is_lasting, [name in self._lasting for name in new]])
        return self._is_lasting

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Let go of all but these entities, which are numbered anew, in this order; there is room for others then."""
        to = np.full(len(self.entities), VACANT, np.int32)
        to[rows] = np.arange(len(rows))
        located = self.row_of >= 0
        self.row_of[located] = to[self.row_of[located]]
        self.row_of[self.row_of == REFUSED] = VACANT
        self.n_refused = 0
        self.entities = [self.entities[row] for row in rows.tolist()]
        self._rows = {name: row for row, name in enumerate(self.entities)}
        self._is_lasting = np.empty(0, bool)
        self.version += 1

    def forget_series(self, numbers: NDArray[np.int32]) -> None:
        """Take note that series have lost their numbers, which others may be given."""
        numbers = numbers[numbers < len(self.row_of)]
        self.n_ignored -= int((self.row_of[numbers] == IGNORED).sum())
        self.n_refused -= int((self.row_of[numbers] == REFUSED).sum())
        self.row_of[numbers] = VACANT

    def fix_channels(self) -> None:
        """Take no more channels from now on: the model has its inputs."""
        self.fixed = True

    def update(self, table: SeriesTable, series: NDArray[np.int32] | None = None) -> None:
        """Place the series that the table has gained, and those of `series` (n,) that have lost their place."""
        located = [self._place(table[number]) for number in range(len(self.row_of), len(table))]
        if located:
            rows, channels, kinds = zip(*located, strict=True)
            self.row_of = np.concatenate([self.row_of, np.array(rows, np.int32)])
            self.channel_of = np.concatenate([self.channel_of, np.array(channels, np.int32)])
            self.kind = np.concatenate([self.kind, np.array(kinds, np.int8)])

        if series is not None:
            vacant = series[self.row_of[series] == VACANT]
            for number in dict.fromkeys(vacant.tolist()):
                self.row_of[number], self.channel_of[number], self.kind[number] = self._place(table[number])

    def select(self, series: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Tell which samples, by their series numbers, the watch takes."""
        return self.row_of[series] >= 0

    def refused(self, series: NDArray[np.int32]) -> int:
        """Count the samples, by their series numbers, that the watch would take, had it room."""
        return int((self.row_of[series] == REFUSED).sum()) if self.n_refused else 0

    def series_resolution(self, rows: Sequence[int], step_seconds: float) -> NDArray[np.float64] | None:
        """Give the smallest meaningful change (n, 1) of some entities where each series is its own: its name tells the unit.

        None where entities have channels: a channel's name tells, the same for all of them.
        """
        if self._by:
            return None
        return np.array([[resolution_of(self.entities[row], step_seconds)] for row in rows])

    def _place(self, series: Series) -> tuple[int, int, Kind]:
        if series is FORGOTTEN:
            return VACANT, UNKNOWN, series.kind
        labels = dict(series.labels)
        if not self._wants(series.name, labels):
            return UNKNOWN, UNKNOWN, series.kind
        if self._by:
            entity = _entity_name({label: labels[label] for label in self._by})
            rest = tuple((label, value) for label, value in series.labels if label not in self._by)
            channel = series_text(series.name, rest)
        else:
            entity, channel = str(series), "value"
        column, row = self._columns.get(channel), self._rows.get(entity)
        if column is None and self.fixed:
            self.n_ignored += 1
            return IGNORED, UNKNOWN, series.kind
        n_places = (len(self.entities) + (row is None)) * (len(self.channels) + (column is None))
        if self.max_series is not None and n_places > self.max_series and (row is None or column is None):
            self.n_refused += 1
            self.last_refused = series
            return REFUSED, UNKNOWN, series.kind
        if column is None:
            column = self._columns[channel] = len(self.channels)
            self.channels.append(channel)
        if row is None:
            row = self._rows[entity] = len(self.entities)
            self.entities.append(entity)
        return row, column, series.kind

    def _wants(self, name: str, labels: Mapping[str, str]) -> bool:
        if not _matches(name, self._metrics) or _matches(name, self._ignore):
            return False
        if not all(fnmatchcase(labels.get(label, ""), pattern) for label, pattern in self._match.items()):
            return False
        return all(label in labels for label in self._by)  # else it belongs to no entity of this watch


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _entity_name(values: Mapping[str, str]) -> str:
    """Name an entity: the value of its one label, else `label=value` for each, told apart whatever they hold."""
    if len(values) == 1:
        return next(iter(values.values()))
    escaped = ((label, re.sub(r"([\\,=])", r"\\\1", value)) for label, value in values.items())
    return ",".join(f"{label}={value}" for label, value in escaped)
