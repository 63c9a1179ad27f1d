"""Labelled incidents: from a file of their own, or from the label columns of wide metric files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.backtest.evaluate import Incident
from monitor.config.schema import Config
from monitor.config.times import parse_time
from monitor.errors import ConfigError
from monitor.files.layout import FileLayout
from monitor.files.metric_files import find_files, tables_of
from monitor.files.recorded import file_layout
from monitor.files.tables import time_column_of
from monitor.files.times import read_times

__all__ = ["incidents_in_files", "incidents_of_flags", "read_incidents"]

_LABEL_COLUMNS = ("label", "label_*")
_START, _END = ("start", "start_ms"), ("end", "end_ms")
_ENTITY, _KIND = ("entity",), ("kind", "name")
_NO = frozenset({"", "0", "0.0", "false", "no", "normal", "nan", "none"})


def read_incidents(file: Path) -> list[Incident]:
    """Read a CSV file with a row for each incident: `start` and `end`, and perhaps `entity` and `kind`.

    Times are ISO, or milliseconds since the epoch; `start_ms` and `end_ms` mean the same.

    Raises
    ------
    ConfigError
        If it cannot be read as that, with the line.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            names = reader.fieldnames or []
            start, end = _column(names, _START), _column(names, _END)
            if start is None or end is None:
                raise ConfigError(
                    f"--labels {file}: expected the columns start and end; it has "
                    f"{', '.join(names) or 'none'}"
                )
            entity, kind = _column(names, _ENTITY), _column(names, _KIND)
            return [
                _incident(row, f"--labels {file}, line {reader.line_num}", start, end, entity, kind)
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"--labels {file}: cannot be read: {error}") from error


def incidents_in_files(config: Config) -> list[Incident]:
    """Find incidents in the columns `label` and `label_*` of the wide files of `[source.replay]`.

    A row is an incident where one of these columns is anything but 0, false or empty. The file's stem is the
    entity, as it is the series' label `entity`.

    Raises
    ------
    SourceError
        If a file cannot be read.
    """
    layout = file_layout(config)
    return [
        incident
        for file in find_files(config.source.replay.paths).files
        for incident in _incidents_of_file(file, layout)
    ]


def incidents_of_flags(
    time_ms: NDArray[np.int64], flag: NDArray[np.bool_], *, entity: str, kind: str = ""
) -> list[Incident]:
    """Join neighbouring flagged rows, ordered by time, to incidents; a row lasts for the usual distance."""
    if not flag.any():
        return []
    step_ms = int(np.median(np.diff(time_ms))) if len(time_ms) > 1 else 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flag, [False]]).astype(np.int8)))
    firsts, lasts = edges[::2], edges[1::2] - 1
    return [
        Incident(int(time_ms[first]), int(time_ms[last]) + step_ms, entity, kind)
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
    ]


def _column(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _incident(
    row: Mapping[str, str], place: str, start: str, end: str, entity: str | None, kind: str | None
) -> Incident:
    start_ms, end_ms = (parse_time(row[name] or "", f"{place}, {name}") for name in (start, end))
    if start_ms is None or end_ms is None or end_ms < start_ms:
        raise ConfigError(
            f"{place}: found start {row[start]!r} and end {row[end]!r}, expected two times, the end not "
            "before the start"
        )
    return Incident(
        start_ms, end_ms, (row[entity] or "") if entity else "", (row[kind] or "") if kind else ""
    )


def _incidents_of_file(file: Path, layout: FileLayout) -> Iterator[Incident]:
    for table, reading in tables_of(file, layout):
        labels = [name for name in table.names if any(fnmatchcase(name, like) for like in _LABEL_COLUMNS)]
        if not labels or {"time", "name", "value"} <= set(table.names):
            continue  # without labels, or a long table
        times = read_times(table[time_column_of(table.names, reading)], reading)
        flag = np.zeros(len(table), bool)
        for name in labels:
            flag |= np.array([_is_flag(cell) for cell in table[name].to_pylist()], bool)
        order = np.argsort(times.time_ms, kind="stable")
        flag = flag[times.good][order]
        yield from incidents_of_flags(times.time_ms[order], flag, entity=reading.stem)


def _is_flag(cell: Any) -> bool:
    return cell is not None and str(cell).strip().lower() not in _NO
