"""Metric files, read whole: finding them, and turning them into columns.

Wide tables (Parquet, CSV) have a time column and a column for each metric; the stem of the file's name
becomes the label `entity`. Long tables have the columns `time`, `name` and `value`; every other column is a
label. Files of JSON lines hold dumped records of topics, in any wire format, or Barograph's own messages.
"""

from __future__ import annotations

import logging
import math
import os
import zlib
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from monitor.decode.formats import FormatSettings
from monitor.decode.native import SampleFields, decode_native_columns, decode_native_samples, is_columnar
from monitor.decode.record import Decoder, Record
from monitor.decode.topic_decoders import TopicDecoders
from monitor.errors import SourceError
from monitor.files.captures import NoCaptureError, captured_lines, file_bytes
from monitor.files.decode_captures import decode_captured
from monitor.sample import Columns, Kind, SeriesTable, concatenate, labels_of, no_samples

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FileLayout", "FoundFiles", "Recorded", "find_files", "read_files"]

log = logging.getLogger(__name__)

_SUFFIXES = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz")
_LONG_COLUMNS = ("time", "name", "value")
_MAX_LISTED = 5  # files, or values of a column, that a message lists: more would hide what it says


class _NoMetricsError(SourceError):
    """A table lacks the columns of a metric file."""


@dataclass(frozen=True, kw_only=True)
class FileLayout:
    """How files are read; config.toml explains each field."""

    time_column: str = "timestamp"
    time_unit: Literal["s", "ms", "iso"] = "ms"
    exclude: tuple[str, ...] = ("label", "label_*", "split")
    where: Mapping[str, str] | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    first_share: float = 1.0  # of each file's time span, counted from its first sample
    sample_fields: SampleFields = field(default_factory=SampleFields)
    decoder_of: Callable[[str], Decoder] = field(  # of a topic, for dumped records
        default_factory=lambda: TopicDecoders(FormatSettings(), {}).of
    )


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """Files to replay, each once, in a stable order; `in_folder` are those that only a folder led to."""

    files: tuple[Path, ...]
    in_folder: frozenset[Path]


@dataclass(frozen=True, slots=True)
class Recorded:
    """All samples of some files, ordered by event time, and how many records could not be read, by reason."""

    columns: Columns
    n_bad: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class _Tally:
    """What was read, before start and end apply; what could not be read; and why files gave no sample."""

    n_bad: dict[str, int] = field(default_factory=dict)  # records, by reason
    remarks: list[str] = field(default_factory=list)
    n_samples: int = 0
    first_ms: float = math.inf
    last_ms: float = -math.inf

    def count_samples(self, columns: Columns) -> None:
        if len(columns):
            self.n_samples += len(columns)
            self.first_ms = min(self.first_ms, int(columns.time_ms.min()))
            self.last_ms = max(self.last_ms, int(columns.time_ms.max()))

    def count_bad(self, reason: str, n_records: int) -> None:
        if n_records:
            self.n_bad[reason] = self.n_bad.get(reason, 0) + n_records

    def count_rejected(self, rejected: Mapping[str, int]) -> None:
        for reason, n_records in rejected.items():
            self.count_bad(reason, n_records)

    def why_nothing_is_left(self) -> str:
        causes = []
        if self.n_samples:
            span = f"{_iso(self.first_ms)} and {_iso(self.last_ms)}"
            causes.append(f"the {self.n_samples} samples read lie between {span}, outside start and end")
        causes += _few(self.remarks)
        causes += [f"{count} could not be read ({reason})" for reason, count in self.n_bad.items()]
        return "; ".join(causes) or "there are no rows"


def find_files(paths: Sequence[str]) -> FoundFiles:
    """Resolve files, folders and glob patterns to files, each once, in a stable order.

    Raises
    ------
    SourceError
        If a path leads to nothing that can be replayed.
    """
    is_named: dict[Path, bool] = {}  # whether a path names the file itself, or only its folder
    for path in paths:
        files = _replayable(path)
        if not files:
            expected = ", ".join(_SUFFIXES)
            raise SourceError(f"nothing to replay at {path}: expected {expected} files, or a folder of them")
        for file, by_name in files.items():
            is_named[file] = by_name or is_named.get(file, False)
    if not is_named:
        raise SourceError("nothing to replay: set source.replay.paths, or name files on the command line")
    in_folder = frozenset(file for file, by_name in is_named.items() if not by_name)
    return FoundFiles(tuple(is_named), in_folder)


def _replayable(path: str) -> dict[Path, bool]:
    """Give the files that a path leads to, and whether it names each of them itself."""
    # A file of exactly this name takes precedence: its brackets are not meant as a pattern.
    names = [path] if os.path.exists(path) else sorted(glob(path, recursive=True))
    files: dict[Path, bool] = {}
    for match in map(Path, names):
        is_folder = match.is_dir()
        for file in sorted(match.rglob("*")) if is_folder else [match]:
            if file.is_file() and file.name.endswith(_SUFFIXES):
                files[file] = files.get(file, False) or not is_folder
    return files


def read_files(
    files: Sequence[Path], layout: FileLayout, table: SeriesTable, *, in_folder: Container[Path] = ()
) -> Recorded:
    """Read files into columns, ordered by event time.

    Parameters
    ----------
    in_folder : container of Path
        Files that only a folder led to. A table among them without the columns of a metric file is skipped
        with a warning: a folder may also hold labels and notes.

    Raises
    ------
    SourceError
        If a file cannot be read, if it lacks the columns that its layout needs, or if no sample is left.
    """
    parts: list[Columns] = []
    tally = _Tally()
    for file in files:
        read = _read_messages if file.name.endswith((".jsonl", ".jsonl.gz")) else _read_table
        try:
            columns = read(file, layout, table, tally)
        except _NoMetricsError as error:
            if file not in in_folder:
                raise
            tally.remarks.append(str(error))
            continue
        tally.count_samples(columns)
        parts.append(_within(columns, layout))
    joined = concatenate(parts)
    if not len(joined):
        names = ", ".join(_few([str(file) for file in files]))
        raise SourceError(f"nothing to replay: no sample is left of {names}: {tally.why_nothing_is_left()}")
    for remark in _few(tally.remarks):
        log.warning("file gave no sample: %s", remark)
    order = np.argsort(joined.time_ms, kind="stable")
    ordered = Columns(joined.series[order], joined.time_ms[order], joined.value[order])
    return Recorded(ordered, tuple(tally.n_bad.items()))


def _read_messages(file: Path, layout: FileLayout, table: SeriesTable, tally: _Tally) -> Columns:
    lines = file_bytes(file).splitlines()
    try:
        outcome = decode_captured(captured_lines(lines, str(file)), layout.decoder_of, table)
    except NoCaptureError as error:
        if error.n_before:
            raise SourceError(
                f"{file}: line {error.number} is no record, but the {error.n_before} before it are. "
                "The capture was truncated or changed there: remove that line, or capture again."
            ) from error
        return _read_own_messages(lines, layout, table, tally)
    tally.count_rejected(outcome.rejected)
    return outcome.columns


def _read_own_messages(
    lines: Sequence[bytes], layout: FileLayout, table: SeriesTable, tally: _Tally
) -> Columns:
    records = [Record(line) for line in lines if line.strip()]
    columnar = [record for record in records if is_columnar(record.value)]
    single = [record for record in records if not is_columnar(record.value)]
    decoded = (
        decode_native_columns(columnar, table),
        decode_native_samples(single, table, fields=layout.sample_fields),
    )
    for part in decoded:
        tally.count_rejected(part.rejected)
    return concatenate(part.columns for part in decoded)


def _read_table(file: Path, layout: FileLayout, table: SeriesTable, tally: _Tally) -> Columns:
    frame = _load(file)
    is_long = set(_LONG_COLUMNS) <= set(frame.columns)
    if not is_long and layout.time_column not in frame.columns:
        raise _NoMetricsError(
            f'{file} has no column "{layout.time_column}". It has: {_names(frame)}. '
            "Set source.replay.time_column, or give a long file with the columns time, name, value."
        )
    if not frame.columns.is_unique:
        raise SourceError(
            f"{file} has two columns of one name ({_names(frame)}): they cannot be told apart. Rename one."
        )
    if frame.empty:
        tally.remarks.append(f"{file} has no rows")
        return no_samples()
    for column, value in (layout.where or {}).items():
        if column not in frame.columns:
            raise SourceError(
                f'{file} has no column "{column}", which `where` asks for. It has: {_names(frame)}'
            )
        texts = frame[column].astype(str)
        frame = frame[texts == value]
        if frame.empty:
            values = ", ".join(_few(sorted(map(str, set(texts)))))
            tally.remarks.append(f'{file} has no row with {column} = "{value}"; it has {values}')
            return no_samples()
    return (_from_long if is_long else _from_wide)(frame, file, layout, table, tally)


def _load(file: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        names = [str(name) for name in pd.read_csv(file, nrows=0).columns]
        if not set(_LONG_COLUMNS) <= set(names):
            return pd.read_csv(file, low_memory=False)
        texts = [name for name in names if name not in ("time", "value")]  # labels may look like numbers
        missing = {name: ["", "nan", "NaN", "null", "NA"] for name in ("time", "value")}
        return pd.read_csv(
            file,
            dtype=dict.fromkeys(texts, "string"),
            keep_default_na=False,
            na_values=missing,
            low_memory=False,
        )
    except (OSError, EOFError, ValueError, zlib.error, pa.ArrowException, pd.errors.ParserError) as error:
        raise SourceError(f"cannot read {file}: {' '.join(str(error).split())}") from error


def _from_wide(
    frame: pd.DataFrame, file: Path, layout: FileLayout, table: SeriesTable, tally: _Tally
) -> Columns:
    import pandas as pd

    metrics = []
    for name in frame.columns:
        is_excluded = any(fnmatchcase(str(name), pattern) for pattern in layout.exclude)
        if is_excluded or name == layout.time_column:
            continue
        value, n_texts = _numbers(frame[name])
        # Occasional text among numbers is a gap; a column of text is no metric.
        if pd.api.types.is_numeric_dtype(frame[name]) or n_texts < np.count_nonzero(~np.isnan(value)):
            metrics.append((str(name), value, n_texts))
    if not metrics:
        raise SourceError(f"{file} has no numeric column beside the time. It has: {_names(frame)}")
    times, good = _times(frame[layout.time_column], layout.time_unit, file, tally)
    labels = labels_of({"entity": _stem(file)})
    parts = []
    for name, value, n_texts in metrics:
        tally.count_bad("bad_value", n_texts)
        parts.append(Columns(np.full(len(times), table.intern(name, labels), np.int32), times, value[good]))
    return concatenate(parts)


def _from_long(
    frame: pd.DataFrame, file: Path, layout: FileLayout, table: SeriesTable, tally: _Tally
) -> Columns:
    import pandas as pd

    label_names = [str(name) for name in frame.columns if name not in _LONG_COLUMNS]
    identity = frame[["name", *label_names]].astype("string").fillna("")
    codes, distinct = pd.MultiIndex.from_frame(identity).factorize()
    counters = _counters_of(file)
    numbers = []
    for name, *values in distinct:
        labels = dict(zip(label_names, map(str, values), strict=True))
        kind = Kind.COUNTER if name in counters else None
        numbers.append(table.intern(str(name), labels_of(labels), kind))
    number = np.array(numbers, np.int32)[codes]
    times, good = _times(frame["time"], layout.time_unit, file, tally)
    value, n_texts = _numbers(frame["value"])
    tally.count_bad("bad_value", n_texts)
    return Columns(number[good], times, value[good])


def _counters_of(file: Path) -> frozenset[str]:
    """Give the names that a file calls counters; `metric_kinds` loads pyarrow, which only tables need."""
    from monitor.files.metric_kinds import counters_of

    try:
        return counters_of(file)
    except ValueError as error:  # pyarrow's ArrowInvalid
        raise SourceError(f"cannot read {file}: {' '.join(str(error).split())}") from error


def _numbers(column: pd.Series[Any]) -> tuple[NDArray[np.float64], int]:
    """Give a column's numbers, NaN where there is none, and how many cells hold text instead."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(np.float64, na_value=np.nan), 0
    filled = column.notna().to_numpy()
    if not (pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column)):
        return np.full(len(column), np.nan), int(filled.sum())  # dates and the like
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return numbers, int((filled & np.isnan(numbers)).sum())


def _times(
    column: pd.Series[float], unit: Literal["s", "ms", "iso"], file: Path, tally: _Tally
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give event times in ms, and which rows have one; a time without a zone is UTC."""
    import pandas as pd

    if unit == "iso":
        parsed = pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
        good = parsed.notna().to_numpy()
        times = parsed[good].to_numpy("datetime64[ms]").astype(np.int64)
    else:
        seconds = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        scaled = seconds * (1000.0 if unit == "s" else 1.0)
        good = np.isfinite(scaled) & (np.abs(scaled) < 253_402_300_800_000)  # the year 10000
        times = np.round(scaled[good]).astype(np.int64)
    n_missing = len(good) - int(good.sum())
    if n_missing == len(good) and n_missing:
        raise SourceError(
            f'{file}: no time can be read as "{unit}" (the first is {str(column.iloc[0])!r}). '
            "Set source.replay.time_unit to s, ms or iso."
        )
    tally.count_bad("bad_time", n_missing)
    return times, good


def _within(columns: Columns, layout: FileLayout) -> Columns:
    keep = np.ones(len(columns), bool)
    if layout.start_ms is not None:
        keep &= columns.time_ms >= layout.start_ms
    if layout.end_ms is not None:
        keep &= columns.time_ms < layout.end_ms
    if layout.first_share < 1.0 and len(columns):
        first = int(columns.time_ms.min())
        span = int(columns.time_ms.max()) - first
        keep &= columns.time_ms < first + layout.first_share * span
    if keep.all():
        return columns
    return Columns(columns.series[keep], columns.time_ms[keep], columns.value[keep])


def _stem(file: Path) -> str:
    return file.name.removesuffix(".gz").rsplit(".", 1)[0]


def _names(frame: pd.DataFrame) -> str:
    names = [str(name) for name in frame.columns]
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _few(texts: Sequence[str]) -> list[str]:
    n_more = len(texts) - _MAX_LISTED
    return [*texts[:_MAX_LISTED], f"and {n_more} more"] if n_more > 0 else list(texts)


def _iso(time_ms: float) -> str:
    return f"{np.datetime64(int(time_ms), 'ms')}Z"
