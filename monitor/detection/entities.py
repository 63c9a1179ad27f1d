"""The rows and channels of a watch: which entity and channel each series is, and how much room there is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from models.scaling import smallest_departures
from monitor.derive.inputs import DerivedInputs
from monitor.derive.rules import DeriveRule, kind_of_input
from monitor.detection.selector import SeriesSelector
from monitor.sample import FORGOTTEN, UNKNOWN, Kind, Series, SeriesTable

__all__ = ["EntityTable", "channels_by_row", "grid_shape", "resolution_of", "resolutions"]

# In place of a row. UNKNOWN: a series that the watch does not take.
REFUSED = -2  # one that it would take, had it room
VACANT = -3  # one that is to be located when it comes again
IGNORED = -4  # one whose channel the model does not know

# The smallest change that means something, by the unit that ends a metric's name. For a counter
# it is the smallest increase in one step: one event, where the name has no unit.
_RESOLUTION = {"bytes": 65536.0, "seconds": 0.01, "ratio": 0.01, "percent": 0.1}
_LEAST_INCREASE = 1.0
_UNKNOWN_UNIT = 0.1
# Up to it a channel's own steps say nothing: a flag that goes from 0 to 1 says all it can.
_WHOLE_CHANGE = 1.0
_N_EXPLAINED = 10_000  # series that a watch's rules are compared with where none matches: some 50 ms


def resolution_of(channel: str, step_seconds: float, *, is_counter: bool = False) -> float:
    """Give a channel's smallest meaningful change in its own unit; for counters, as a rate per second.

    A name that ends in `_total` is a counter's.
    """
    name, unit = _name_and_unit(channel)
    if is_counter or name.endswith("_total"):
        return _RESOLUTION.get(unit, _LEAST_INCREASE) / step_seconds
    return _RESOLUTION.get(unit, _UNKNOWN_UNIT)


def resolutions(
    names: Sequence[str], counters: Collection[str], values: NDArray[np.float64], step_seconds: float
) -> NDArray[np.float64]:
    """Give the smallest meaningful change of entities' channels (n, C) by their names and their history.

    Where the name says no unit it is not below the smallest departure from rest that the channel has shown,
    if that is more than 1.

    Parameters
    ----------
    names : sequence of str
        Of the C channels; or, where each series is its own entity, of the n series, with one channel.
    counters : collection of str
        The names among them that are counters or deltas, besides those that end in `_total`.
    values : ndarray, shape (T, n, C)
        In the channels' own units; NaN is a gap.
    """
    by_name = [resolution_of(name, step_seconds, is_counter=name in counters) for name in names]
    says_nothing = [not _says_change(name) for name in names]
    n_rows, n_channels = values.shape[1:]
    shape = (1, n_channels) if len(names) == n_channels else (n_rows, 1)
    floor = np.broadcast_to(np.reshape(by_name, shape), (n_rows, n_channels))
    departures = smallest_departures(values)
    learned = np.reshape(says_nothing, shape) & (departures > _WHOLE_CHANGE)
    return np.where(learned, np.fmax(floor, departures), floor)


def _says_change(channel: str) -> bool:
    """Tell whether a name says what change means something: by its unit, or as one event of a `_total`."""
    name, unit = _name_and_unit(channel)
    return unit in _RESOLUTION or name.endswith("_total")


def _name_and_unit(channel: str) -> tuple[str, str]:
    name = channel.split("{", 1)[0]
    return name, name.removesuffix("_total").rsplit("_", 1)[-1]


class EntityTable:
    """A watch's entities and channels, numbered as they appear, and the row and channel of every series.

    Parameters
    ----------
    metrics, match, by, ignore
        Which series the watch takes, as `SeriesSelector` says.
    entities, channels : sequence of str
        Known already, from a bundle or a checkpoint, in its order.
    fixed : bool, optional
        Whether new channels are ignored, and counted in `n_ignored`; if left out, where channels are given.
    max_series : int, optional
        Entities times columns of the grid that there is room for: arrays hold a cell for each. A series that
        would need more is refused and counted in `n_refused`; those that have a row keep it.

    Attributes
    ----------
    row_of, column_of, kind : ndarray
        By series number: its row and column in the grid, and what its values mean. A row below 0 says why
        there is none: `UNKNOWN`, `REFUSED`, `VACANT` or `IGNORED`. Columns are channels, but where there are
        derived ones: then `inputs` knows them.
    inputs : DerivedInputs or None
        Where the series lie that derived channels are made of; None where there are no such channels.
    n_ignored, n_refused : int
        Series that have no row for these reasons now.
    counters : set of str
        Channels that are counters or deltas, as far as a series of them has come; where each series is its
        own entity, such entities.
    version : int
        Of the rows' and channels' numbers: it grows whenever they change.
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
        fixed: bool | None = None,
        max_series: int | None = None,
    ) -> None:
        self._selector = SeriesSelector(metrics=metrics, match=match, by=by, ignore=ignore)
        self.entities = list(entities)
        self.channels = list(channels)
        self.fixed = bool(channels) if fixed is None else fixed
        self.max_series = max_series
        self._rows = {name: row for row, name in enumerate(self.entities)}
        self.inputs: DerivedInputs | None = None
        self._numbers = {name: number for number, name in enumerate(self.channels)}
        self.row_of = np.empty(0, np.int32)
        self.column_of = np.empty(0, np.int32)
        self.kind = np.empty(0, np.int8)
        self.n_ignored = 0
        self.n_refused = 0
        self.last_refused: Series | None = None
        self.counters: set[str] = set()
        self.version = 0
        self._retained: frozenset[str] = frozenset()
        self._is_lasting = np.empty(0, bool)  # by row, as far as it is known

    def set_kinds(self, counters: Sequence[str], gauges: Sequence[str]) -> None:
        """Take metrics of these patterns as counters, and as gauges; to be called before any series is there.

        As `SeriesSelector.set_kinds`.
        """
        self._selector.set_kinds(counters, gauges)

    def derive(self, rules: Sequence[DeriveRule]) -> None:
        """Let channels be derived by these rules; to be called before any series is there.

        The series that they are made of are no channels themselves.
        """
        self.inputs = DerivedInputs(rules, self.channels)

    def adopt(self, entities: Sequence[str], channels: Sequence[str]) -> NDArray[np.int64]:
        """Append the entities that another model knows, and take its channels; every series is located anew.

        The rows that there are keep their numbers. Channels are matched by name: from now on they are those
        of the model, in its order, and fixed.

        Returns
        -------
        ndarray, shape (C,)
            The number that each channel had before; -1 for one that is new.
        """
        for name in entities:
            if name not in self._rows:
                self._rows[name] = len(self.entities)
                self.entities.append(name)
        order = np.array([self._numbers.get(name, -1) for name in channels], np.int64)
        self.channels = list(channels)
        self._numbers = {name: number for number, name in enumerate(self.channels)}
        if self.inputs is not None:
            self.inputs.adopt(channels, order)
        self.version += 1
        self.fixed = True
        self.retain(entities)
        self.row_of = np.empty(0, np.int32)
        self.column_of = np.empty(0, np.int32)
        self.kind = np.empty(0, np.int8)
        self.n_ignored = 0
        self.n_refused = 0
        return order

    def retain(self, entities: Sequence[str]) -> None:
        """Never drop these entities, which the model knows."""
        self._retained = frozenset(entities)
        self._is_lasting = np.empty(0, bool)

    def lasting(self) -> NDArray[np.bool_]:
        """Tell which entities are never dropped; shape (n,)."""
        new = self.entities[len(self._is_lasting) :]
        if new:
            self._is_lasting = np.concatenate([self._is_lasting, [name in self._retained for name in new]])
        return self._is_lasting

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these entities and number them anew, in this order.

        Refused series may find room then.
        """
        new_row = np.full(len(self.entities), VACANT, np.int32)
        new_row[rows] = np.arange(len(rows))
        is_located = self.row_of >= 0
        self.row_of[is_located] = new_row[self.row_of[is_located]]
        self.row_of[self.row_of == REFUSED] = VACANT
        self.n_refused = 0
        self.entities = [self.entities[row] for row in rows.tolist()]
        self._rows = {name: row for row, name in enumerate(self.entities)}
        if self._selector.is_by_series:
            self.counters &= self._rows.keys()
        if self.inputs is not None:
            self.inputs.keep_rows(rows)
        self._is_lasting = np.empty(0, bool)
        self.version += 1

    def forget_series(self, numbers: NDArray[np.int32]) -> list[tuple[int, int]]:
        """Drop the rows of series that have lost their numbers: other series may be given these.

        Returns
        -------
        list of tuple
            Rows and columns of the cells that are free by that.
        """
        numbers = numbers[numbers < len(self.row_of)]
        freed = []
        if self.inputs is not None:
            located = numbers[self.row_of[numbers] >= 0]
            cells = zip(self.row_of[located].tolist(), self.column_of[located].tolist(), strict=True)
            freed = [cell for cell in cells if self.inputs.forget(*cell)]
        self.n_ignored -= int((self.row_of[numbers] == IGNORED).sum())
        self.n_refused -= int((self.row_of[numbers] == REFUSED).sum())
        self.row_of[numbers] = VACANT
        return freed

    def fix_channels(self) -> None:
        """Ignore new channels from now on: the model has its inputs."""
        self.fixed = True

    def update(self, table: SeriesTable, series: NDArray[np.int32] | None = None) -> None:
        """Locate the series that the table has gained, and those of `series` (n,) that are vacant."""
        located = [self._locate(table[number]) for number in range(len(self.row_of), len(table))]
        if located:
            rows, columns, kinds = zip(*located, strict=True)
            self.row_of = np.concatenate([self.row_of, np.array(rows, np.int32)])
            self.column_of = np.concatenate([self.column_of, np.array(columns, np.int32)])
            self.kind = np.concatenate([self.kind, np.array(kinds, np.int8)])
        if series is not None:
            vacant = series[self.row_of[series] == VACANT]
            for number in dict.fromkeys(vacant.tolist()):
                self.row_of[number], self.column_of[number], self.kind[number] = self._locate(table[number])

    def select(self, series: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Tell which samples, by their series numbers, the watch takes."""
        return self.row_of[series] >= 0

    def refused(self, series: NDArray[np.int32]) -> int:
        """Count the samples, by their series numbers, that the watch would take, had it room."""
        return int((self.row_of[series] == REFUSED).sum()) if self.n_refused else 0

    @property
    def n_matching(self) -> int:
        """Series known that match, also those without room or with a channel unknown to the model."""
        return int(((self.row_of != UNKNOWN) & (self.row_of != VACANT)).sum())

    def explain_no_match(self, table: SeriesTable) -> str:
        """Say why the watch takes none of the series in the table; the first ten thousand are compared."""
        known = (table[number] for number in range(len(table)) if table[number] is not FORGOTTEN)
        return f"{table.n_known} seen, {self._selector.explain(list(islice(known, _N_EXPLAINED)))}"

    def resolutions(
        self, rows: Sequence[int], values: NDArray[np.float64], step_seconds: float
    ) -> NDArray[np.float64]:
        """Give the smallest meaningful change (n, C) of some entities by their history (T, n, C)."""
        if self._selector.is_by_series:
            names = [self.entities[row] for row in rows]
        else:
            names = self.channels[: values.shape[2]]
        return resolutions(names, self.counters, values, step_seconds)

    def is_rate(self, n_rows: int, n_channels: int) -> NDArray[np.bool_]:
        """Tell which cells (n, C) hold a rate of something counted, which is never below 0."""
        rows, channels = self.row_of, self.column_of
        is_counter = (self.kind == Kind.COUNTER) & (rows >= 0)
        if self.inputs is not None:
            of_rates = self.inputs.rates()
            rows = np.concatenate([rows[is_counter], of_rates.row])
            channels = np.concatenate([self.inputs.channel_of(channels[is_counter]), of_rates.channel])
            is_counter = channels >= 0
        rates = np.zeros((n_rows, n_channels), bool)
        here = is_counter & (rows < n_rows) & (channels < n_channels)
        rates[rows[here], channels[here]] = True
        return rates

    def take(self, rows: NDArray[np.int64]) -> EntityTable:
        """Give a table of some entities alone, numbered in this order; it takes no series but theirs."""
        other = EntityTable(
            metrics=(),
            match={},
            by=(),
            entities=[self.entities[row] for row in rows.tolist()],
            channels=self.channels,
        )
        # Of its series it knows which channels are rates.
        is_rate = self.is_rate(len(self.entities), len(self.channels))[rows]
        row, channel = np.nonzero(is_rate)
        other.row_of, other.column_of = row.astype(np.int32), channel.astype(np.int32)
        other.kind = np.full(len(row), Kind.COUNTER, np.int8)
        return other

    def _locate(self, series: Series) -> tuple[int, int, Kind]:
        """Give a series' row, column and kind; a new entity or channel is added where there is room."""
        if series is FORGOTTEN:
            return VACANT, UNKNOWN, series.kind
        selected = self._selector.select(series)
        if selected is None:
            return UNKNOWN, UNKNOWN, series.kind
        kind = self._selector.kind_of(series)
        entity, channel = selected
        row = self._rows.get(entity)
        parts = self.inputs.parts_of(series) if self.inputs is not None else []
        names = dict.fromkeys(part.channel for part in parts) if parts else (channel,)
        taken = [name for name in names if name in self._numbers or not self.fixed]
        # A derived channel is not made of a series of its own name, unless that is one of its parts.
        is_hidden = not parts and self.inputs is not None and self.inputs.is_derived(channel)
        if not taken or is_hidden:
            self.n_ignored += 1
            return IGNORED, UNKNOWN, kind
        new = [name for name in taken if name not in self._numbers]
        n_new_columns = len(new) + int(bool(parts) and self.inputs is not None and self.inputs.is_full(row))
        if not _has_room(self, n_new_rows=int(row is None), n_new_columns=n_new_columns):
            self.n_refused += 1
            self.last_refused = series
            return REFUSED, UNKNOWN, kind
        for name in new:
            self._numbers[name] = len(self.channels)
            self.channels.append(name)
            if self.inputs is not None:
                self.inputs.add_channel(name)
        if row is None:
            row = self._rows[entity] = len(self.entities)
            self.entities.append(entity)
        if self.inputs is not None and parts:
            if not self._selector.is_set_as_gauge(series):
                kind = kind_of_input(series, [self.inputs.rules[part.rule] for part in parts], kind)
            numbered = [(part, self._numbers[part.channel]) for part in parts if part.channel in taken]
            self.counters |= self.inputs.counted([part for part, _ in numbered], kind)
            return row, self.inputs.add_series(row, series, numbered, kind), kind
        if kind is not Kind.GAUGE:
            self.counters.add(entity if self._selector.is_by_series else channel)
        number = self._numbers[channel]
        return row, number if self.inputs is None else self.inputs.column_of[number], kind


def grid_shape(table: EntityTable) -> tuple[int, int]:
    """Give the rows and columns that the grid of a watch needs now."""
    n_columns = len(table.channels) if table.inputs is None else table.inputs.n_columns
    return len(table.entities), n_columns


def channels_by_row(table: EntityTable) -> dict[int, frozenset[int]]:
    """Give the channels of each entity that has any series, by their numbers."""
    channels: dict[int, set[int]] = {}
    here = table.row_of >= 0
    rows, columns = table.row_of[here].tolist(), table.column_of[here]
    of_series = columns if table.inputs is None else table.inputs.channel_of(columns)
    derived = () if table.inputs is None else table.inputs.derived_cells()
    for row, channel in (*zip(rows, of_series.tolist(), strict=True), *derived):
        if channel >= 0:
            channels.setdefault(row, set()).add(channel)
    return {row: frozenset(found) for row, found in channels.items()}


def _has_room(table: EntityTable, *, n_new_rows: int, n_new_columns: int) -> bool:
    if table.max_series is None or not (n_new_rows or n_new_columns):
        return True
    n_rows, n_columns = grid_shape(table)
    return (n_rows + n_new_rows) * (n_columns + n_new_columns) <= table.max_series
