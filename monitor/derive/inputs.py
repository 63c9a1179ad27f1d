"""The series that derived channels are made of: where in the grid each lies, and what it is part of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.derive.rules import DeriveRule, Part, Role
from monitor.sample import Kind, Series

__all__ = ["DerivedInputs", "Terms", "rules_without_series"]

_RATES_OF_COUNTERS = ("sum", "max", "avg")  # a ratio and a quantile of counters are none
_FIELDS = ("row", "column", "rule", "channel", "role", "bound", "is_count")


@dataclass(frozen=True, slots=True)
class Terms:
    """What all series are to derived channels, in parallel arrays of shape (M,).

    The series in a cell (`row`, `column`) of the grid is part of a row's derived `channel` by a `rule`, in a
    `role`, as the bucket up to a `bound`. `is_count`: the cell holds a rate of something counted.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    rule: NDArray[np.int64]
    channel: NDArray[np.int64]
    role: NDArray[np.int64]
    bound: NDArray[np.float64]
    is_count: NDArray[np.bool_]

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Terms:
        """Give the chosen terms."""
        return Terms(*(getattr(self, name)[which] for name in _FIELDS))

    def of_rows(self, rows: NDArray[np.int64]) -> Terms:
        """Give the terms of some rows, numbered by their index there, in their order."""
        new_row = np.full(max(self.row.max(initial=-1), rows.max(initial=-1)) + 1, -1)
        new_row[rows] = np.arange(len(rows))
        here = np.flatnonzero(new_row[self.row] >= 0)
        terms = replace(self.take(here), row=new_row[self.row[here]])
        return terms.take(np.lexsort((terms.bound, terms.role, terms.row, terms.channel)))

    def __len__(self) -> int:
        return len(self.row)


class DerivedInputs:
    """Gives each series that a derived channel is made of a cell in the grid, beside the plain channels.

    A grid of a watch with derived channels has a column for each plain channel, and more for such series:
    as many as the entity with the most of them needs, whatever their labels are. A cell is free again once
    its series has been forgotten.

    Parameters
    ----------
    channels : sequence of str
        Those of the watch that are known already.

    Attributes
    ----------
    column_of : list of int
        By channel: its column in the grid, -1 for a derived one.
    n_columns : int
        Columns of the grid.
    version : int
        It grows whenever `terms` gives something else.
    """

    def __init__(self, rules: Sequence[DeriveRule], channels: Sequence[str] = ()) -> None:
        self.rules = tuple(rules)
        self.column_of: list[int] = []
        self.n_columns = 0
        self.version = 0
        self._arrays: Terms | None = None
        self._arrays_version = -1
        self._names = {rule.name for rule in rules}
        self._slot_columns: list[int] = []
        self._slots: dict[int, dict[str, int]] = {}  # by row: the slot of each series
        self._terms: dict[tuple[int, int], list[tuple[Part, int, bool]]] = {}  # by row and slot
        for channel in channels:
            self.add_channel(channel)

    def parts_of(self, series: Series) -> list[Part]:
        """Give what a series is to the derived channels; empty for a plain one."""
        return [part for number, rule in enumerate(self.rules) for part in rule.parts_of(series, number)]

    def is_derived(self, channel: str) -> bool:
        """Tell whether a channel is a derived one, by its name."""
        return channel.split("{", 1)[0] in self._names

    def counted(self, parts: Sequence[Part], kind: Kind) -> set[str]:
        """Name the channels that a series of this kind makes a rate of something counted."""
        rates = (part for part in parts if self.rules[part.rule].kind in _RATES_OF_COUNTERS)
        return {part.channel for part in rates} if kind is not Kind.GAUGE else set()

    def is_full(self, row: int | None) -> bool:
        """Tell whether another series of a row needs another column; None is a new row."""
        n_series = len(self._slots.get(row, {})) if row is not None else 0
        return n_series >= len(self._slot_columns)

    def channel_of(self, columns: NDArray[np.integer]) -> NDArray[np.int64]:
        """Give the channels that are in some columns (k,) of the grid; -1 for those of derived inputs."""
        channels = np.full(self.n_columns, -1)
        for channel, column in enumerate(self.column_of):
            if column >= 0:
                channels[column] = channel
        return np.asarray(channels[columns])

    def rates(self) -> Terms:
        """Give the terms by which a channel is a rate of something counted."""
        terms = self.terms()
        is_rate = np.array([rule.kind in _RATES_OF_COUNTERS for rule in self.rules])
        return terms.take(terms.is_count & is_rate[terms.rule])

    def add_channel(self, channel: str) -> None:
        """Give the next channel a column, if it is a plain one."""
        self.column_of.append(-1 if self.is_derived(channel) else self._new_column())

    def add_series(self, row: int, series: Series, parts: Sequence[tuple[Part, int]], kind: Kind) -> int:
        """Give a series of a row a cell, and remember to which channels its parts belong; give the column."""
        slots = self._slots.setdefault(row, {})
        text = str(series)
        slot = slots.get(text)
        if slot is None:
            taken = set(slots.values())
            slot = next(number for number in range(len(taken) + 1) if number not in taken)
            slots[text] = slot
            if slot == len(self._slot_columns):
                self._slot_columns.append(self._new_column())
        terms = [(part, channel, kind is not Kind.GAUGE) for part, channel in parts]
        if self._terms.get((row, slot)) != terms:
            self._terms[row, slot] = terms
            self.version += 1
        return self._slot_columns[slot]

    def forget(self, row: int, column: int) -> bool:
        """Free the cell of a series that has been forgotten; tell whether it was one of these."""
        if column not in self._slot_columns:
            return False
        slot = self._slot_columns.index(column)
        slots = self._slots.get(row, {})
        self._slots[row] = {text: number for text, number in slots.items() if number != slot}
        self._terms.pop((row, slot), None)
        self.version += 1
        return True

    def adopt(self, channels: Sequence[str], order: NDArray[np.int64]) -> None:
        """Take the channels of another model; series are given again, and get the cells that they had.

        Parameters
        ----------
        order : ndarray, shape (C,)
            The number that each channel had before; -1 for one that is new.
        """
        before, self.column_of = self.column_of, []
        for channel, old in zip(channels, order.tolist(), strict=True):
            if old >= 0:
                self.column_of.append(before[old])
            else:
                self.add_channel(channel)
        self._terms.clear()
        self.version += 1

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these rows and number them anew, in this order."""
        new_row = {row: index for index, row in enumerate(rows.tolist())}
        self._slots = {new_row[row]: slots for row, slots in self._slots.items() if row in new_row}
        self._terms = {(new_row[row], slot): of for (row, slot), of in self._terms.items() if row in new_row}
        self.version += 1

    def terms(self) -> Terms:
        """Give all terms, in the order of channel, row, role and bound."""
        if self._arrays is None or self._arrays_version != self.version:
            self._arrays, self._arrays_version = self._term_arrays(), self.version
        return self._arrays

    def _term_arrays(self) -> Terms:
        found = [
            (row, self._slot_columns[slot], part.rule, channel, part.role, part.bound, is_count)
            for (row, slot), of_series in self._terms.items()
            for part, channel, is_count in of_series
        ]
        kinds = (np.int64, np.int64, np.int64, np.int64, np.int64, np.float64, np.bool_)
        columns = zip(*found, strict=True) if found else ([] for _ in _FIELDS)
        terms = Terms(*(np.array(list(values), kind) for values, kind in zip(columns, kinds, strict=True)))
        return terms.take(np.lexsort((terms.bound, terms.role, terms.row, terms.channel)))

    def derived_cells(self) -> Iterator[tuple[int, int]]:
        """Give each row with each of its derived channels."""
        for (row, _), of_series in self._terms.items():
            for _, channel, _ in of_series:
                yield row, channel

    def state(self) -> dict[str, Any]:
        """Give everything as what JSON can hold; bounds as text, for it has neither NaN nor infinity."""
        terms = [
            [row, slot, part.rule, part.channel, int(part.role), repr(part.bound), channel, is_count]
            for (row, slot), of_series in self._terms.items()
            for part, channel, is_count in of_series
        ]
        return {
            "column_of": list(self.column_of),
            "slot_columns": list(self._slot_columns),
            "slots": [[row, dict(slots)] for row, slots in self._slots.items()],
            "terms": terms,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If something is missing or does not fit.
        """
        self.column_of = [int(column) for column in state["column_of"]]
        self._slot_columns = [int(column) for column in state["slot_columns"]]
        plain = [column for column in self.column_of if column >= 0]
        self.n_columns = max([*plain, *self._slot_columns], default=-1) + 1
        self._slots = {
            int(row): {str(text): int(slot) for text, slot in slots.items()} for row, slots in state["slots"]
        }
        self._terms = {}
        for row, slot, rule, name, role, bound, channel, is_count in state["terms"]:
            part = Part(int(rule), str(name), Role(role), float(bound))
            self._terms.setdefault((int(row), int(slot)), []).append((part, int(channel), bool(is_count)))
        self.version += 1

    def _new_column(self) -> int:
        self.n_columns += 1
        return self.n_columns - 1


def rules_without_series(inputs: DerivedInputs) -> list[DeriveRule]:
    """Give the rules that no series is part of now, or no series of a ratio's denominator."""
    terms = inputs.terms()
    needed = [Role.OVER if rule.kind == "ratio" else Role.VALUE for rule in inputs.rules]
    return [
        rule
        for number, rule in enumerate(inputs.rules)
        if not (terms.role[terms.rule == number] == needed[number]).any()
    ]
