"""Zabbix: `history.get` and `trend.get` of its API, its real-time export, dumps of its tables, plain text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.files.cells import read_value
from monitor.files.layout import Reading
from monitor.files.tables import TableData, intern_rows
from monitor.sample import Columns, concatenate, labels_of

__all__ = [
    "is_zabbix",
    "is_zabbix_table",
    "is_zabbix_text",
    "read_zabbix",
    "read_zabbix_table",
    "read_zabbix_text",
]

_TRENDS = ("value_min", "value_avg", "value_max")
_EXPORTED_TRENDS = ("min", "avg", "max")
_PLAIN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\s+([0-9]{9,10})\s+(\S+)\s*")


def is_zabbix(document: Any) -> bool:
    """Tell whether a document is an answer of the API, its list, or a line of the real-time export."""
    if isinstance(document, dict) and "jsonrpc" in document:
        return True
    if isinstance(document, list):
        return bool(document) and all(_is_row(row) for row in document[:3])
    return _is_row(document)


def is_zabbix_table(names: Sequence[str]) -> bool:
    """Tell whether a table is a dump of Zabbix' history or trends."""
    return {"itemid", "clock"} <= set(names) and bool({"value", *_TRENDS} & set(names))


def is_zabbix_text(text: str) -> bool:
    """Tell whether a text is a history that Zabbix shows as plain text."""
    return any(_PLAIN.fullmatch(line) for line in text[:4000].splitlines()[:5])


def read_zabbix(documents: Sequence[Any], reading: Reading) -> Columns:
    """Read answers of the API or lines of the export; times are in s.

    Raises
    ------
    SourceError
        If an answer is an error.
    """
    reading.say("times in s since the epoch")
    numbers: list[int] = []
    times: list[float] = []
    values: list[float] = []
    for row in [row for document in documents for row in _rows(document, reading)]:
        time_ms = _time_ms(row)
        fields = _fields(row)
        if time_ms is None or not fields:
            reading.tally.count_bad("bad_time" if fields else "wrong_schema", 1)
            continue
        for name, labels, raw in fields:
            value = read_value(raw)
            if value is None:
                reading.tally.count_bad("bad_value", 1)
                continue
            numbers.append(reading.table.intern(name, labels_of(labels)))
            times.append(time_ms)
            values.append(value)
    return Columns(np.array(numbers, np.int32), np.array(times, np.int64), np.array(values, np.float64))


def read_zabbix_table(table: TableData, reading: Reading) -> Columns:
    """Read a dump of the tables `history`, `history_uint` or `trends`."""
    reading.say("times in s since the epoch")
    n_rows = len(table)
    rows = dict(zip(table.names, (column.to_pylist() for column in table.columns), strict=True))
    seconds = np.array([_number(clock) for clock in rows["clock"]])
    nanoseconds = np.array([_number(part) for part in rows.get("ns", ["0"] * n_rows)])
    good = (seconds >= 0) & (seconds < 1e11)
    reading.tally.count_bad("bad_time", int((~good).sum()))
    time_ms = (np.where(good, seconds, 0) * 1000 + np.nan_to_num(nanoseconds) // 1e6).astype(np.int64)
    labels: dict[str, NDArray[Any]] = {
        name: np.array([str(cell or "") for cell in rows[name]], object)
        for name in ("itemid", "host")
        if name in rows
    }
    parts = []
    for column in ("value", *_TRENDS):
        if column in rows:
            read = [read_value(cell) for cell in rows[column]]
            reading.tally.count_bad("bad_value", sum(value is None for value in read))
            values = np.array([np.nan if value is None else value for value in read])
            series = intern_rows(column, labels, n_rows, reading)
            parts.append(Columns(series[good], time_ms[good], values[good]))
    return concatenate(parts)


def read_zabbix_text(text: str, reading: Reading) -> Columns:
    """Read a history shown as plain text: local time, seconds since the epoch, value. The seconds count."""
    reading.say("times in s since the epoch")
    lines = [_PLAIN.fullmatch(line) for line in text.splitlines() if line.strip()]
    found = [(int(match[1]), read_value(match[2])) for match in lines if match]
    # A title stands above the values.
    n_bad = sum(match is None for match in lines[2:]) + sum(value is None for _, value in found)
    reading.tally.count_bad("bad_row", n_bad)
    good = [(seconds, value) for seconds, value in found if value is not None]
    number = reading.table.intern("value", labels_of({"entity": reading.stem}))
    return Columns(
        np.full(len(good), number, np.int32),
        np.array([seconds * 1000 for seconds, _ in good], np.int64),
        np.array([value for _, value in good], np.float64),
    )


def _is_row(row: Any) -> bool:
    has_value = isinstance(row, dict) and bool({"value", "avg", *_TRENDS} & set(row))
    return has_value and {"itemid", "clock"} <= set(row)


def _rows(document: Any, reading: Reading) -> Sequence[Any]:
    if isinstance(document, list):
        return document
    if isinstance(document, dict) and "error" in document and "result" not in document:
        error = document["error"]
        text = error.get("data") or error.get("message") if isinstance(error, dict) else error
        raise SourceError(
            f"{reading.file} is an error of Zabbix, not values: {text}. Send the request again."
        )
    if isinstance(document, dict) and isinstance(document.get("result"), list):
        return list(document["result"])
    return [document]


def _time_ms(row: Any) -> int | None:
    seconds = _number(row.get("clock")) if isinstance(row, dict) else np.nan
    if not 0 <= seconds < 1e11:
        return None
    nanoseconds = _number(row.get("ns", 0))
    return int(seconds) * 1000 + (int(nanoseconds) // 1_000_000 if nanoseconds >= 0 else 0)


def _number(raw: Any) -> float:
    value = read_value(raw)
    return np.nan if value is None else value


def _fields(row: Any) -> list[tuple[str, dict[str, str], Any]]:
    """Give the values of a row with their names and labels."""
    if not isinstance(row, dict):
        return []
    labels = {"itemid": str(row.get("itemid", "")), "host": _host(row)}
    name = row.get("name") or row.get("key_")
    if any(key in row for key in _TRENDS):
        return [(key, labels, row[key]) for key in _TRENDS if key in row]
    if "value" in row:
        return [(str(name or "value"), labels, row["value"])]
    return [
        (str(name or "value"), {**labels, "statistic": key}, row[key])
        for key in _EXPORTED_TRENDS
        if key in row
    ]


def _host(row: Mapping[str, Any]) -> str:
    host = row.get("host")
    if isinstance(host, dict):
        host = host.get("host") or host.get("name")
    return str(host or "")
