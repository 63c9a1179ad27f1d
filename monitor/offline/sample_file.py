"""A long metric file that is written in stretches of time, and continued by repeating the command.

FILE.parquet          time (ms), name, value, and one column a label; in order of time, stretch by stretch
FILE.parquet.parts/   <from>-<to>.parquet: the stretches that are not in it yet

Each file says of itself which queries it is from, and up to which time. A stretch is there whole or not at
all, so a killed command continues behind the last one.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.atomic_file import replacing
from monitor.errors import MonitorError
from monitor.files.metric_kinds import COUNTERS_KEY, counters_of
from monitor.prometheus.ranges import TimeRange
from monitor.sample import Columns, Kind, SeriesTable

__all__ = ["SampleFile"]

_KEY = b"barograph.backfill"
_PART = re.compile(r"(\d+)-(\d+)\.parquet")
_FIXED = ("time", "name", "value")


class SampleFile:
    """A file of raw samples.

    Parameters
    ----------
    queries : sequence of str
        What the samples are from: a file is continued with the same only.

    Attributes
    ----------
    covered : TimeRange or None
        The time that the file and its parts hold.
    renamed : dict
        Labels that are called as a column of every such file, and what they are called here.

    Raises
    ------
    MonitorError
        If the file is of another kind or from other queries, or cannot be read.
    """

    def __init__(self, path: Path, queries: Sequence[str]) -> None:
        if path.suffix != ".parquet":
            raise MonitorError(f"cannot write {path}: the name must end in .parquet")
        self.path = path
        self.covered: TimeRange | None = None
        self.renamed: dict[str, str] = {}
        self._queries = sorted(queries)
        self._folder = path.with_name(f"{path.name}.parts")
        try:
            self._continue()
        except (OSError, pa.ArrowException) as error:
            raise MonitorError(f"cannot continue {path}: {' '.join(str(error).split())}") from error

    def add(self, span: TimeRange, columns: Columns, table: SeriesTable) -> None:
        """Write the samples of the stretch that follows the last one.

        Raises
        ------
        MonitorError
            If it cannot be written. What was written before stays.
        """
        self.covered = TimeRange(self.covered.from_ms if self.covered else span.from_ms, span.to_ms)
        samples = self._table(columns, table)
        names = {table[number].name for number in np.unique(columns.series) if _is_counter(table, number)}
        samples = samples.replace_schema_metadata(self._about(self.covered, names))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._folder / f"{span.from_ms}-{span.to_ms}.parquet") as temporary:
                pq.write_table(samples, temporary, compression="zstd")
        except OSError as error:
            raise MonitorError(
                f"cannot write to {self._folder}: {error.strerror}. What was read before is in it: make "
                "room, and repeat the command."
            ) from error

    def finish(self) -> int:
        """Join all stretches into the file, and give the number of its samples; none makes no file.

        Raises
        ------
        MonitorError
            If it cannot be written. The stretches stay.
        """
        files = [file for _, file in self._parts()]
        if not files:
            return int(pq.read_metadata(self.path).num_rows) if self.path.exists() else 0
        if self.path.exists():
            files.insert(0, self.path)
        try:
            n_samples = sum(int(pq.read_metadata(file).num_rows) for file in files)
            if n_samples:
                self._join(files)
            shutil.rmtree(self._folder)
        except (OSError, pa.ArrowException) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise MonitorError(
                f"cannot finish {self.path}: {reason}. What was read is in {self._folder}: make room, and "
                "repeat the command."
            ) from error
        return n_samples

    def _continue(self) -> None:
        """Find what is there already; drop stretches that the file holds, which a crash has left."""
        if self.path.exists():
            self.covered = self._span_of(self.path)
        for unfinished in self._folder.glob(".*.new"):
            unfinished.unlink(missing_ok=True)
        for span, file in self._parts():
            of_part = self._span_of(file)
            if self.covered is not None and span.to_ms <= self.covered.to_ms:
                file.unlink()
            else:
                self.covered = (
                    of_part if self.covered is None else TimeRange(self.covered.from_ms, span.to_ms)
                )

    def _parts(self) -> list[tuple[TimeRange, Path]]:
        """Give the stretches that are not in the file, in order of time."""
        if not self._folder.is_dir():
            return []
        found = []
        for file in self._folder.iterdir():
            match = _PART.fullmatch(file.name)
            if match:
                found.append((TimeRange(int(match[1]), int(match[2])), file))
        return sorted(found)

    def _span_of(self, file: Path) -> TimeRange:
        """Give the time that a file holds."""
        about = (pq.read_schema(file).metadata or {}).get(_KEY)
        if about is None:
            raise MonitorError(
                f"{file} was not written by `barograph backfill`, so it cannot be continued. "
                "Write to a new file."
            )
        known = json.loads(about)
        if known["queries"] != self._queries:
            raise MonitorError(
                f"{file} is from other queries ({'; '.join(known['queries'])}). Write to a new file."
            )
        return TimeRange(known["from_ms"], known["to_ms"])

    def _about(self, span: TimeRange, counters: set[str]) -> dict[bytes, bytes]:
        about = {"queries": self._queries, "from_ms": span.from_ms, "to_ms": span.to_ms}
        return {_KEY: json.dumps(about).encode(), COUNTERS_KEY: json.dumps(sorted(counters)).encode()}

    def _table(self, columns: Columns, table: SeriesTable) -> pa.Table:
        """Make the rows of some samples, series by series: equal texts beside each other take no room."""
        order = np.lexsort((columns.time_ms, columns.series))
        numbers, index = np.unique(columns.series[order], return_inverse=True)
        series = [table[number] for number in numbers.tolist()]
        labels = [{self._column(label): value for label, value in labelled.labels} for labelled in series]
        arrays = {
            "time": pa.array(columns.time_ms[order], pa.int64()),
            "name": _repeated([labelled.name for labelled in series], index),
            "value": pa.array(columns.value[order], pa.float64()),
        }
        for column in sorted({column for by_column in labels for column in by_column}):
            arrays[column] = _repeated([by_column.get(column, "") for by_column in labels], index)
        return pa.table(arrays)

    def _column(self, label: str) -> str:
        """Give a label's column. Where its name is taken, it is `exported_...`, as in Prometheus."""
        if label not in _FIXED:
            return label
        self.renamed[label] = f"exported_{label}"
        return self.renamed[label]

    def _join(self, files: Sequence[Path]) -> None:
        """Write all files behind each other into the one; memory holds a row group at a time."""
        labels = sorted({name for file in files for name in pq.read_schema(file).names} - set(_FIXED))
        fields = [("time", pa.int64()), ("name", pa.string()), ("value", pa.float64())]
        schema = pa.schema([*fields, *((label, pa.string()) for label in labels)])
        counters = set().union(*(counters_of(file) for file in files))
        assert self.covered is not None
        schema = schema.with_metadata(self._about(self.covered, counters))
        with (
            replacing(self.path) as temporary,
            pq.ParquetWriter(
                temporary, schema, compression="zstd", use_dictionary=["name", *labels]
            ) as writer,
        ):
            for samples in _row_groups(files):
                columns = [_text_or_nothing(samples, field) for field in schema]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _row_groups(files: Sequence[Path]) -> Iterator[pa.Table]:
    for file in files:
        with pq.ParquetFile(file) as opened:
            for number in range(opened.num_row_groups):
                yield opened.read_row_group(number)


def _text_or_nothing(samples: pa.Table, field: pa.Field) -> Any:
    """Give a column; of a label that no series of these samples has, empty texts."""
    if field.name in samples.column_names:
        return samples.column(field.name).cast(field.type)
    return pa.repeat(pa.scalar("", pa.string()), len(samples))


def _repeated(texts: Sequence[str], index: Any) -> pa.Array:
    return pa.DictionaryArray.from_arrays(
        pa.array(index, pa.int32()), pa.array(list(texts), pa.string())
    ).cast(pa.string())


def _is_counter(table: SeriesTable, number: int) -> bool:
    return table[number].kind is Kind.COUNTER
