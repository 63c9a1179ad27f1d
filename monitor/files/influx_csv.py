"""InfluxDB: annotated CSV of version 2, with its tables and yields; and the CSV of version 1's command line.

Series are called as the line protocol's decoder calls them: `<measurement>_<field>`, and tags are labels.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.files.cells import read_numbers
from monitor.files.layout import Reading, few
from monitor.files.tables import intern_rows
from monitor.files.text_tables import read_text_tables, rows_from
from monitor.files.times import read_times
from monitor.sample import Columns, concatenate, no_samples

__all__ = ["is_influx", "is_influx_1", "read_influx", "read_influx_1"]

_ANNOTATIONS = ("#datatype", "#group", "#default")
_HEADER = re.compile(r"^,?\"?result\"?,\"?table\"?,", re.MULTILINE)
_STRUCTURE = ("", "result", "table", "_start", "_stop", "_time", "_value", "_field", "_measurement")
_NUMERIC = ("double", "long", "unsignedLong", "boolean")


def is_influx(text: str) -> bool:
    """Tell whether a text is annotated CSV, with its annotations or without."""
    head = text.lstrip()[:2000]
    return head.startswith(_ANNOTATIONS) or _HEADER.match(head) is not None


def is_influx_1(text: str) -> bool:
    """Tell whether a text is CSV of `influx -format csv`."""
    names = next(csv.reader([text.lstrip().partition("\n")[0]]), [])
    return (names[:2] == ["name", "time"] and "value" not in names) or names[:3] == ["name", "tags", "time"]


@dataclass(slots=True)
class _Block:
    """A schema and the rows that follow it, as text; `line` is the header's number."""

    annotations: dict[str, list[str]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)

    def cells(self, name: str, columns: Mapping[str, Any]) -> NDArray[Any]:
        """Give a column's texts, the annotated default in place of empty ones."""
        texts = np.asarray(columns[name].to_pandas(), object)
        return np.asarray(np.where(texts == "", self.annotation("#default", name), texts), object)

    def annotation(self, kind: str, name: str) -> str:
        values = self.annotations.get(kind, [])
        place = self.names.index(name)
        return values[place] if place < len(values) else ""


def read_influx(text: str, reading: Reading) -> Columns:
    """Read annotated CSV; a new schema may begin anywhere in the file.

    Where the file has several results, `yield`s of one query, they are told apart by the label `result`.

    Raises
    ------
    SourceError
        If the file is an error of InfluxDB, or a table has neither times nor values.
    """
    parts = []
    blocks = list(_blocks(text))
    read = [(block, _columns_of(block, reading)) for block in blocks if block.names]
    results = {
        result
        for block, columns in read
        if "result" in columns
        for result in set(block.cells("result", columns).tolist())
    }
    results.discard("")  # only a file without annotations leaves it out
    for block, columns in read:
        parts.append(_read_block(block, columns, reading, shows_result=len(results) > 1))
    return concatenate(parts)


def _blocks(text: str) -> Iterator[_Block]:
    """Part a file at annotations, and at headers without them."""
    block = _Block()
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line.strip():
            continue
        if line.startswith(_ANNOTATIONS):
            if block.names:
                yield block
                block = _Block()
            kind, *values = next(csv.reader([line]))
            block.annotations[kind] = [kind, *values]
        elif not block.names or _HEADER.match(line):
            if block.names:
                yield block
                block = _Block()
            block.names = next(csv.reader([line]))
        else:
            block.rows.append(line)
    yield block


def _columns_of(block: _Block, reading: Reading) -> dict[str, Any]:
    text = "".join(f"{line}\n" for line in block.rows)
    return dict(zip(block.names, rows_from(text, len(block.names), ",", reading), strict=True))


def _read_block(block: _Block, columns: dict[str, Any], reading: Reading, *, shows_result: bool) -> Columns:
    if "error" in columns:
        errors = ", ".join(few([cell for cell in columns["error"].to_pylist() if cell]))
        raise SourceError(f"{reading.file} holds an error of InfluxDB: {errors}. Run the query again.")
    n_rows = len(columns[block.names[0]])
    if not n_rows:
        return no_samples()
    time_name = next((name for name in ("_time", "time", "_stop") if name in columns), None)
    if time_name is None:
        raise SourceError(
            f"{reading.file}: a table has no column _time: {', '.join(few(block.names))}. "
            "Keep _time in the query."
        )
    if time_name != "_time":
        reading.say(f'times from "{time_name}"')
    metrics = _metric_columns(block, columns, time_name)
    if not metrics:
        reading.tally.warnings.append(
            f"{reading.file}: a table has no numbers: {', '.join(few(block.names))}"
        )
        return no_samples()
    values = read_numbers(metrics, [columns[name] for name in metrics], reading, delimiter=",")
    times = read_times(columns[time_name], reading, unit="auto")
    tags = [name for name in block.names if name not in (*_STRUCTURE, time_name, *metrics)]
    labels = {name: block.cells(name, columns) for name in tags}
    if shows_result and "result" in columns:
        labels["result"] = block.cells("result", columns)
    parts = []
    for name, column in zip(metrics, values, strict=True):
        reading.tally.count_bad("bad_value", column.n_texts)
        numbers = intern_rows(_names(block, columns, name), labels, n_rows, reading)
        parts.append(Columns(numbers[times.good], times.time_ms, column.value[times.good]))
    return concatenate(parts)


def _metric_columns(block: _Block, columns: dict[str, Any], time_name: str) -> list[str]:
    """Name the columns of values: `_value`, or the fields of a pivoted table."""
    if "_value" in columns:
        kind = block.annotation("#datatype", "_value")
        return ["_value"] if kind in ("", *_NUMERIC) else []
    found = []
    for name in block.names:
        kind = block.annotation("#datatype", name)
        if name in (*_STRUCTURE, time_name) or block.annotation("#group", name) == "true":
            continue
        if kind in _NUMERIC or (not kind and _is_numeric(columns[name])):
            found.append(name)
    return found


def _is_numeric(column: Any) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        filled = pc.if_else(pc.equal(column, ""), None, column).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return bool(filled.null_count < len(filled))


def _names(block: _Block, columns: dict[str, Any], metric: str) -> NDArray[Any]:
    """Name the series of each row: measurement and field, as far as the table has them."""
    n_rows = len(columns[metric])
    fields = np.full(n_rows, "value" if metric == "_value" else metric, object)
    if metric == "_value" and "_field" in columns:
        fields = block.cells("_field", columns)
    if "_measurement" not in columns:
        return fields
    measurements = block.cells("_measurement", columns)
    return np.asarray(np.where(measurements == "", fields, measurements + "_" + fields), object)


def read_influx_1(text: str, reading: Reading) -> Columns:
    """Read CSV of `influx -format csv`: name of the measurement, tags, time, and the fields."""
    parts = []
    for table in read_text_tables(text, reading):
        columns = dict(zip(table.names, table.columns, strict=True))
        n_rows = len(table)
        if not n_rows:
            continue
        fields = [name for name in table.names if name not in ("name", "tags", "time")]
        tags = _tags(columns["tags"].to_pylist()) if "tags" in columns else {}
        measurement = np.asarray(columns["name"].to_pandas(), object)
        times = read_times(columns["time"], reading)
        for name, column in zip(
            fields,
            read_numbers(fields, [columns[name] for name in fields], reading, delimiter=","),
            strict=True,
        ):
            if column.is_metric:
                reading.tally.count_bad("bad_value", column.n_texts)
                numbers = intern_rows(measurement + f"_{name}", tags, n_rows, reading)
                parts.append(Columns(numbers[times.good], times.time_ms, column.value[times.good]))
    return concatenate(parts)


def _tags(texts: Sequence[str]) -> dict[str, NDArray[Any]]:
    rows = [dict(pair.partition("=")[::2] for pair in text.split(",") if pair) for text in texts]
    names = sorted({name for row in rows for name in row})
    return {name: np.array([row.get(name, "") for row in rows], object) for name in names}
