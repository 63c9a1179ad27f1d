"""Tables as columns of samples, whatever file they come from: wide, long, or rows with labels.

A wide table has a time column and a column for each metric; the stem of the file's name becomes the label
`entity`. A long one has columns for time, name and value; every other column is a label. A table whose times
repeat row after row is neither: its columns of text are labels, and its columns of numbers metrics.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.files.cells import holds_numbers, read_numbers
from monitor.files.label_text import name_and_labels
from monitor.files.layout import NoMetricsError, Reading, few
from monitor.files.times import Times, read_times
from monitor.sample import Columns, Kind, concatenate, labels_of, no_samples

__all__ = [
    "TableData",
    "intern_rows",
    "is_records",
    "listed",
    "read_table",
    "table_of_records",
    "time_column_of",
]

_TIME_NAMES = (
    "timestamp", "time", "datetime", "date time", "date_time", "ts", "clock", "_time", "@timestamp",
    "last check", "epoch", "date",
)  # fmt: skip
_NAME_NAMES = ("name", "metric", "__name__", "metric_name", "metric name", "series", "item", "key", "key_")
_VALUE_NAMES = ("value", "_value", "val", "last value")
_N_SHOWN_NAMES = 8


@dataclass(frozen=True, slots=True)
class TableData:
    """A table: names and pyarrow arrays of its columns, and the delimiter if it was text.

    `counters` are the metrics that the file itself calls counters.
    """

    names: list[str]
    columns: list[Any]
    delimiter: str = ""
    header_has_labels: bool = False  # as in Grafana's files: cpu{host="web1"}
    counters: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def __getitem__(self, name: str) -> Any:
        return self.columns[self.names.index(name)]

    def take(self, mask: NDArray[np.bool_]) -> TableData:
        """Give the rows where `mask` is true."""
        import pyarrow as pa

        rows = [column.filter(pa.array(mask)) for column in self.columns]
        return replace(self, columns=rows)


def read_table(table: TableData, reading: Reading, *, time_unit: str = "") -> Columns:
    """Read a table.

    Parameters
    ----------
    time_unit : str
        The unit that the file's format defines; without it the settings decide.

    Raises
    ------
    NoMetricsError
        If it has no time column.
    SourceError
        If two columns have one name, `where` asks for a column that is not there, nothing but the time is
        numeric, or numbers or times cannot be read surely.
    """
    names = table.names
    time_name = time_column_of(names, reading)
    if len(set(names)) < len(names):
        raise SourceError(
            f"{reading.file} has two columns of one name ({listed(names)}): they cannot be told apart. "
            "Rename one of them."
        )
    if time_name != "timestamp":
        reading.say(f'time column "{time_name}"')
    if not len(table):
        reading.tally.remarks.append(f"{reading.file} has no rows")
        return no_samples()
    chosen = _where(table, reading)
    if chosen is None:
        return no_samples()
    long = _long_columns(chosen, time_name)
    if long is not None:
        return _from_long(chosen, time_name, long, reading, time_unit)
    return _from_wide(chosen, time_name, reading, time_unit)


def is_records(document: Any) -> bool:
    """Tell whether JSON is a list of objects with a time: a table, row by row."""
    rows = document if isinstance(document, list) else []
    are_objects = bool(rows) and all(isinstance(row, dict) for row in rows)
    return are_objects and any(_plain(str(name)) in _TIME_NAMES for name in rows[0])


def table_of_records(documents: Sequence[Any], reading: Reading) -> TableData:
    """Make a table of objects, a row for each; what an object lacks is empty.

    Raises
    ------
    SourceError
        If the documents are no lists of flat objects.
    """
    import pyarrow as pa

    rows = [row for document in documents for row in (document if isinstance(document, list) else [document])]
    try:
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = [_column_of([row.get(name) for row in rows]) for name in names]
    except (AttributeError, TypeError, pa.ArrowException) as error:
        raise SourceError(
            f"{reading.file} is no list of flat objects: it cannot be read as a table"
        ) from error
    return TableData(names, columns)


def _column_of(cells: list[Any]) -> Any:
    import pyarrow as pa

    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds <= {int} or kinds <= {int, float} or kinds <= {bool}:
        return pa.array(
            cells, pa.bool_() if kinds == {bool} else pa.int64() if kinds == {int} else pa.float64()
        )
    return pa.array(["" if cell is None else str(cell) for cell in cells], pa.string())


def time_column_of(names: Sequence[str], reading: Reading) -> str:
    """Find the time column: the configured one, else the first that is called like a time.

    Raises
    ------
    NoMetricsError
        If there is none.
    """
    wanted = reading.layout.time_column
    is_long = {"time", "name", "value"} <= set(names)
    if wanted != "auto":
        if wanted in names or is_long:
            return wanted if wanted in names and not is_long else "time"
        raise NoMetricsError(
            f'{reading.file} has no column "{wanted}". It has: {listed(names)}. '
            "Set source.replay.time_column, or give a long file with the columns time, name, value."
        )
    if is_long:
        return "time"
    if names and all(name.replace(".", "", 1).isdecimal() for name in names):
        raise NoMetricsError(
            f"{reading.file} has no header: its first row is {listed(names)}. Put a row with the names of "
            "the columns above it, such as: timestamp,cpu"
        )
    plain = {_plain(name): name for name in reversed(names)}
    for candidate in _TIME_NAMES:
        if candidate in plain:
            return plain[candidate]
    bins = [name for name in names if re.match(r"bin\(", name)]  # CloudWatch Logs Insights
    if bins:
        return bins[0]
    raise NoMetricsError(
        f'{reading.file} has no column "timestamp", nor another that is called like a time. '
        f"It has: {listed(names)}. "
        "Set source.replay.time_column, or give a long file with the columns time, name, value."
    )


def listed(names: Sequence[str]) -> str:
    """List a table's columns for a message."""
    return ", ".join(names[:_N_SHOWN_NAMES]) + (", ..." if len(names) > _N_SHOWN_NAMES else "")


def intern_rows(
    name: str | NDArray[Any],
    labels: Mapping[str, NDArray[Any]],
    n_rows: int,
    reading: Reading,
    *,
    splits: bool = False,
    counters: Container[str] = (),
) -> NDArray[np.int32]:
    """Number the series of rows: a name, or one for each row, and the texts of each label, shape (n,).

    `splits`: a name may have labels in braces, and a series without any gets the label `entity`. The names
    in `counters` are known to be counters.
    """
    import pandas as pd

    identity = pd.DataFrame({"": name, **labels}, index=range(n_rows))
    codes, distinct = pd.MultiIndex.from_frame(identity.astype(str)).factorize()
    label_names = list(labels)
    numbers = []
    for key in distinct:
        series_name, *values = key
        known = dict(zip(label_names, values, strict=True))
        if splits:
            series_name, own = name_and_labels(series_name)
            known = {**own, **known} or {"entity": reading.stem}
        kind = Kind.COUNTER if series_name in counters else None
        numbers.append(reading.table.intern(str(series_name), labels_of(known), kind))
    return np.asarray(np.array(numbers, np.int32)[codes])


def _where(table: TableData, reading: Reading) -> TableData | None:
    """Choose the rows that `where` asks for; None where there are none."""
    for column, value in (reading.layout.where or {}).items():
        if column not in table.names:
            raise SourceError(
                f'{reading.file} has no column "{column}", which `where` asks for. '
                f"It has: {listed(table.names)}"
            )
        texts = _texts(table[column])
        table = table.take(np.asarray(texts == value))
        if not len(table):
            values = ", ".join(few(sorted(set(texts.tolist()))))
            reading.tally.remarks.append(
                f'{reading.file} has no row with {column} = "{value}"; it has {values}'
            )
            return None
    return table


def _long_columns(table: TableData, time_name: str) -> tuple[str, str] | None:
    """Find the columns of name and value, where a table has both; names are text."""
    exact = {"time", "name", "value"} <= set(table.names)
    if exact:
        return "name", "value"
    plain = {_plain(name): name for name in reversed(table.names) if name != time_name}
    value = next((plain[name] for name in _VALUE_NAMES if name in plain), None)
    name = next((plain[name] for name in _NAME_NAMES if name in plain), None)
    if value is None or name is None or not _is_text(table[name]):
        return None
    return None if holds_numbers(table[name]) else (name, value)


def _from_long(
    table: TableData, time_name: str, columns: tuple[str, str], reading: Reading, time_unit: str
) -> Columns:
    name_column, value_column = columns
    label_names = [name for name in table.names if name not in (time_name, name_column, value_column)]
    labels = {name.strip(): _texts(table[name]) for name in label_names}
    series = _texts(table[name_column])
    numbers = intern_rows(
        series, labels, len(table), reading, splits=table.header_has_labels, counters=table.counters
    )
    times = read_times(table[time_name], reading, unit=time_unit)
    (value,) = read_numbers([value_column], [table[value_column]], reading, delimiter=table.delimiter)
    reading.tally.count_bad("bad_value", value.n_texts)
    return Columns(numbers[times.good], times.time_ms, value.value[times.good])


def _from_wide(table: TableData, time_name: str, reading: Reading, time_unit: str) -> Columns:
    names = [
        name
        for name in table.names
        if name != time_name and not any(fnmatchcase(name, pattern) for pattern in reading.layout.exclude)
    ]
    read = read_numbers(names, [table[name] for name in names], reading, delimiter=table.delimiter)
    metrics = [(name, column) for name, column in zip(names, read, strict=True) if column.is_metric]
    metrics = [(name, column) for name, column in metrics if name or not np.isnan(column.value).all()]
    if not metrics:
        raise SourceError(
            f"{reading.file} has no numeric column beside the time. It has: {listed(table.names)}"
        )
    times = read_times(table[time_name], reading, unit=time_unit)
    texts = [name for name, column in zip(names, read, strict=True) if not column.is_metric]
    labels: dict[str, NDArray[Any]] = {}
    if texts and _times_repeat(times):
        labels = {name.strip(): _texts(table[name]) for name in texts}
        reading.say(f"labels {', '.join(few(texts))}")
    parts = []
    for name, column in metrics:
        reading.tally.count_bad("bad_value", column.n_texts)
        numbers = _series_of(name, labels, table, reading)[times.good]
        parts.append(Columns(numbers, times.time_ms, column.value[times.good]))
    return concatenate(parts)


def _series_of(
    column: str, labels: dict[str, NDArray[Any]], table: TableData, reading: Reading
) -> NDArray[np.int32]:
    """Number the series of a metric's column, row by row."""
    name, own = name_and_labels(column) if table.header_has_labels else (column, {})
    own = {"entity": reading.stem, **own}
    if not labels:
        return np.full(len(table), reading.table.intern(name, labels_of(own)), np.int32)
    whole = {key: np.full(len(table), value) for key, value in own.items()}
    return intern_rows(name, {**whole, **labels}, len(table), reading)


def _times_repeat(times: Times) -> bool:
    """Tell whether most rows share their time with another: one row a series, not one a time."""
    n_distinct = len(np.unique(times.time_ms))
    return n_distinct * 2 <= len(times.time_ms) and len(times.time_ms) > 1


def _plain(name: str) -> str:
    """Give a column's name as the lists above have it: in lower case, without a unit or zone in brackets."""
    return re.sub(r"\s*[\(\[].*[\)\]]$", "", name.strip()).casefold()


def _is_text(column: Any) -> bool:
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _texts(column: Any) -> NDArray[Any]:
    """Give a column as texts, empty where there is nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    texts = pc.fill_null(column.cast(pa.string()), "")
    return np.asarray(texts.to_pandas(), object)
