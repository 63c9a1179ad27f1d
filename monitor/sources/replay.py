"""Metric files, replayed in the order of their event times, at a chosen speed.

Wide files have a time column and a column a metric; their stem becomes the label `entity`.
Long files have the columns `time`, `name` and `value`, every other column a label. Files of
JSON lines hold Barograph's own messages.
"""

from __future__ import annotations

import gzip
import math
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from monitor.clock import Clock
from monitor.decode.native import SampleFields, decode_native_columns, decode_native_samples, is_columnar
from monitor.errors import SourceError
from monitor.sample import Columns, SeriesTable, concatenate, labels_of, no_samples
from monitor.sources import Batch

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FileLayout", "Recorded", "ReplaySource", "find_files", "read_files"]

_SUFFIXES = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz")
_LONG_COLUMNS = ("time", "name", "value")
_BATCH_SAMPLES = 4096  # in one poll at full speed: large enough for arrays to pay, small enough to stop quickly


@dataclass(frozen=True, kw_only=True)
class FileLayout:
    """How files are to be read; the meaning of each field is in config.toml."""

    time_column: str = "timestamp"
    time_unit: Literal["s", "ms", "iso"] = "ms"
    exclude: tuple[str, ...] = ("label", "label_*", "split")
    where: Mapping[str, str] | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    first_share: float = 1.0  # of each file's time span, counted from its first sample
    sample_fields: SampleFields = field(default_factory=SampleFields)


@dataclass(frozen=True, slots=True)
class Recorded:
    """All samples of some files, ordered by event time, and how many records could not be read, by reason."""

    columns: Columns
    n_bad: tuple[tuple[str, int], ...]


def find_files(paths: Sequence[str]) -> list[Path]:
    """Resolve files, folders and glob patterns to files, each once, in a stable order.

    Raises
    ------
    SourceError
        If a path names nothing that can be replayed.
    """
    found: dict[Path, None] = {}
    for path in paths:
        matches = [Path(match) for match in sorted(glob(path, recursive=True))] if glob(path) else []
        files = []
        for match in matches:
            files += sorted(match.rglob("*")) if match.is_dir() else [match]
        files = [file for file in files if file.is_file() and file.name.endswith(_SUFFIXES)]
        if not files:
            raise SourceError(f"nothing to replay at {path}: expected {', '.join(_SUFFIXES)} files, or a folder of them")
        found |= dict.fromkeys(files)
    if not found:
        raise SourceError("nothing to replay: set source.replay.paths, or name files on the command line")
    return list(found)


def read_files(files: Sequence[Path], layout: FileLayout, table: SeriesTable) -> Recorded:
    """Read files into columns, ordered by event time.

    Raises
    ------
    SourceError
        If a file cannot be read, or has not the columns that its layout asks for.
    """
    parts: list[Columns] = []
    n_bad: dict[str, int] = {}
    for file in files:
        if file.name.endswith((".jsonl", ".jsonl.gz")):
            columns = _read_messages(file, layout, table, n_bad)
        else:
            columns = _read_table(file, layout, table, n_bad)
        parts.append(_within(columns, layout))
    joined = concatenate(parts)
    order = np.argsort(joined.time_ms, kind="stable")
    return Recorded(Columns(joined.series[order], joined.time_ms[order], joined.value[order]), tuple(n_bad.items()))


class ReplaySource:
    """Recorded samples as a stream; event time passes `speed` times as fast as real time.

    Parameters
    ----------
    speed : float
        1 is real time; infinity is as fast as the daemon can.
    after_ms : int, optional
        Go on behind this event time: where a checkpoint was taken.
    """

    def __init__(self, recorded: Recorded, clock: Clock, *, speed: float = math.inf, after_ms: int | None = None) -> None:
        self._columns = recorded.columns
        self._n_bad = recorded.n_bad
        self._clock = clock
        self._speed = speed
        self._next = 0 if after_ms is None else int(np.searchsorted(recorded.columns.time_ms, after_ms, side="right"))
        self._from_ms = int(recorded.columns.time_ms[min(self._next, len(recorded.columns) - 1)]) if len(recorded.columns) else 0
        self._started: float | None = None
        self._never = threading.Event()

    def poll(self, timeout_seconds: float) -> Batch:
        """Give the samples that are due; at full speed the next few thousand, whole moments only."""
        if self._started is None:
            self._started = self._clock.monotonic()
        n_bad, self._n_bad = self._n_bad, ()
        times = self._columns.time_ms
        if self._next >= len(times):
            self._clock.wait(self._never, timeout_seconds)
            return Batch(no_samples(), self._now_behind_the_end(), finished=True, n_bad=n_bad)
        if math.isinf(self._speed):
            last = min(self._next + _BATCH_SAMPLES, len(times)) - 1
            now_ms = int(times[last])
        else:
            until_next = (int(times[self._next]) - self._event_now()) / 1000 / self._speed
            self._clock.wait(self._never, min(max(until_next, 0.0), timeout_seconds))
            now_ms = math.floor(self._event_now())
        end = int(np.searchsorted(times, now_ms, side="right"))
        chosen = slice(self._next, end)
        self._next = max(end, self._next)
        return Batch(
            Columns(self._columns.series[chosen], times[chosen], self._columns.value[chosen]),
            now_ms,
            finished=self._next >= len(times),
            n_bad=n_bad,
        )

    def position_ms(self) -> int | None:
        """Give the event time up to which samples were handed out; None before the first and behind the last."""
        under_way = 0 < self._next < len(self._columns)
        return int(self._columns.time_ms[self._next - 1]) if under_way else None

    def close(self) -> None:
        """Nothing is held open: files are read whole at the start."""

    def _now_behind_the_end(self) -> int:
        """Give the time after the last sample: it goes on at the chosen speed, and stands still at full speed."""
        if not len(self._columns):
            return 0
        return int(self._columns.time_ms[-1]) if math.isinf(self._speed) else math.floor(self._event_now())

    def _event_now(self) -> float:
        assert self._started is not None
        return self._from_ms + (self._clock.monotonic() - self._started) * 1000 * self._speed


def _read_messages(file: Path, layout: FileLayout, table: SeriesTable, n_bad: dict[str, int]) -> Columns:
    lines = list(_lines(file))
    columnar = [line for line in lines if is_columnar(line)]
    single = [line for line in lines if not is_columnar(line)]
    decoded = (decode_native_columns(columnar, table), decode_native_samples(single, table, layout.sample_fields))
    for one in decoded:
        for reason, count in one.rejected.items():
            n_bad[reason] = n_bad.get(reason, 0) + count
    return concatenate(one.columns for one in decoded)


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            yield from (line for line in lines if line.strip())
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"cannot read {file}: {error}") from error


def _read_table(file: Path, layout: FileLayout, table: SeriesTable, n_bad: dict[str, int]) -> Columns:
    frame = _load(file)
    for column, value in (layout.where or {}).items():
        if column not in frame.columns:
            raise SourceError(f'{file} has no column "{column}", which `where` asks for. It has: {_names(frame)}')
        frame = frame[frame[column].astype(str) == value]
    if set(_LONG_COLUMNS) <= set(frame.columns):
        return _from_long(frame, file, layout, table, n_bad)
    if layout.time_column not in frame.columns:
        raise SourceError(
            f'{file} has no column "{layout.time_column}". It has: {_names(frame)}. '
            "Set source.replay.time_column, or give a long file with the columns time, name, value."
        )
    return _from_wide(frame, file, layout, table, n_bad)


def _load(file: Path) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file)
        names = [str(name) for name in pd.read_csv(file, nrows=0).columns]
        if not set(_LONG_COLUMNS) <= set(names):
            return pd.read_csv(file, low_memory=False)
        texts = [name for name in names if name not in ("time", "value")]  # labels are text, also where they look like numbers
        missing = {name: ["", "nan", "NaN", "null", "NA"] for name in ("time", "value")}
        return pd.read_csv(file, dtype=dict.fromkeys(texts, "string"), keep_default_na=False, na_values=missing, low_memory=False)
    except (OSError, EOFError, ValueError, zlib.error, pa.ArrowException, pd.errors.ParserError) as error:
        raise SourceError(f"cannot read {file}: {' '.join(str(error).split())}") from error


def _from_wide(frame: pd.DataFrame, file: Path, layout: FileLayout, table: SeriesTable, n_bad: dict[str, int]) -> Columns:
    import pandas as pd

    excluded = {layout.time_column, *(name for name in frame.columns if any(fnmatchcase(str(name), p) for p in layout.exclude))}
    names = [name for name in frame.columns if name not in excluded and pd.api.types.is_numeric_dtype(frame[name])]
    if not names:
        raise SourceError(f"{file} has no numeric column beside the time. It has: {_names(frame)}")
    times, good = _times(frame[layout.time_column], layout.time_unit, file, n_bad)
    labels = labels_of({"entity": _stem(file)})
    parts = []
    for name in names:
        number = table.intern(str(name), labels)
        value = frame[name].to_numpy(np.float64, na_value=np.nan)[good]
        parts.append(Columns(np.full(len(value), number, np.int32), times, value))
    return concatenate(parts)


def _from_long(frame: pd.DataFrame, file: Path, layout: FileLayout, table: SeriesTable, n_bad: dict[str, int]) -> Columns:
    import pandas as pd

    label_names = [str(name) for name in frame.columns if name not in _LONG_COLUMNS]
    identity = frame[["name", *label_names]].astype("string").fillna("")
    codes, distinct = pd.MultiIndex.from_frame(identity).factorize()
    numbers = [table.intern(str(key[0]), labels_of(dict(zip(label_names, map(str, key[1:]), strict=True)))) for key in distinct]
    number = np.array(numbers, np.int32)[codes]
    times, good = _times(frame["time"], layout.time_unit, file, n_bad)
    value = pd.to_numeric(frame["value"], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return Columns(number[good], times, value[good])


def _times(
    column: pd.Series[float], unit: Literal["s", "ms", "iso"], file: Path, n_bad: dict[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give event times in ms and which rows have one; a time without a zone is UTC."""
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
            f'{file}: no time can be read as "{unit}" (the first is {column.iloc[0]!r}). Set source.replay.time_unit to s, ms or iso.'
        )
    if n_missing:
        n_bad["bad_time"] = n_bad.get("bad_time", 0) + n_missing
    return times, good


def _within(columns: Columns, layout: FileLayout) -> Columns:
    keep = np.ones(len(columns), bool)
    if layout.start_ms is not None:
        keep &= columns.time_ms >= layout.start_ms
    if layout.end_ms is not None:
        keep &= columns.time_ms < layout.end_ms
    if layout.first_share < 1.0 and len(columns):
        first, last = int(columns.time_ms.min()), int(columns.time_ms.max())
        keep &= columns.time_ms < first + layout.first_share * (last - first)
    return columns if keep.all() else Columns(columns.series[keep], columns.time_ms[keep], columns.value[keep])


def _stem(file: Path) -> str:
    return file.name.removesuffix(".gz").rsplit(".", 1)[0]


def _names(frame: pd.DataFrame) -> str:
    names = [str(name) for name in frame.columns]
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
