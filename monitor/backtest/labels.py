"""Labelled incidents: from a file of their own, or from the label columns of wide metric files."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monitor.backtest.evaluate import Incident
from monitor.config.schema import Config
from monitor.config.times import parse_time
from monitor.errors import ConfigError, SourceError
from monitor.files.metric_files import find_files

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
    incidents: list[Incident] = []
    for file in find_files(config.source.replay.paths).files:
        try:
            incidents += _incidents_of_file(file, config)
        except (OSError, EOFError, ValueError, zlib.error, pa.ArrowException) as error:
            raise SourceError(f"cannot read the labels of {file}: {' '.join(str(error).split())}") from error
    return incidents


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


def _incidents_of_file(file: Path, config: Config) -> list[Incident]:
    is_parquet = file.suffix == ".parquet"
    if file.name.endswith((".jsonl", ".jsonl.gz")):
        return []
    names = [
        str(name)
        for name in (pq.read_schema(file).names if is_parquet else pd.read_csv(file, nrows=0).columns)
    ]
    time_column = config.source.replay.time_column
    labels = [name for name in names if any(fnmatchcase(name, pattern) for pattern in _LABEL_COLUMNS)]
    if not labels or time_column not in names:
        return []  # a long file, or a wide one without labels
    columns = [time_column, *labels]
    frame = (
        pd.read_parquet(file, columns=columns)
        if is_parquet
        else pd.read_csv(file, usecols=columns, dtype=str)
    )
    times = _times_ms(frame[time_column], config.source.replay.time_unit)
    order = np.argsort(times[~np.isnan(times)], kind="stable")
    usable = frame[~np.isnan(times)].iloc[order]
    time_ms = times[~np.isnan(times)][order].astype(np.int64)
    flag = np.zeros(len(usable), bool)
    for name in labels:
        flag |= np.array([str(value).strip().lower() not in _NO for value in usable[name]], bool)
    stem = file.name.removesuffix(".gz").rsplit(".", 1)[0]
    return incidents_of_flags(time_ms, flag, entity=stem)


def _times_ms(column: pd.Series[Any], unit: str) -> NDArray[np.float64]:
    """Give event times in ms as floats, NaN where there is none."""
    if unit == "iso":
        parsed = pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
        whole = parsed.to_numpy("datetime64[ms]").astype(np.int64).astype(np.float64)
        return np.where(parsed.isna().to_numpy(), np.nan, whole)
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return np.asarray(np.round(numbers * (1000.0 if unit == "s" else 1.0)))
