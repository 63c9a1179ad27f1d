"""Rows of scores as CSV or Parquet."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

from models.atomic_file import replacing
from monitor.errors import MonitorError

__all__ = ["RowWriter", "open_writer"]


class RowWriter(Protocol):
    """Takes blocks of rows, column by column; all blocks have the same columns."""

    def write(self, columns: dict[str, Any]) -> None:
        """Append rows given as equally long columns."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...

    def abandon(self) -> None:
        """Let go of a file that will not be finished; behind `close` it does nothing."""
        ...


class CsvWriter:
    """Rows as CSV; an empty field is what is not there. `owned` output is closed with the writer."""

    def __init__(self, out: IO[str], *, owned: bool = False) -> None:
        self._out = out
        self._owned = owned
        self._writer = csv.writer(out, lineterminator="\n")
        self._has_header = False

    def write(self, columns: dict[str, Any]) -> None:
        """Append rows given as equally long columns."""
        if not self._has_header:
            self._writer.writerow(columns)
            self._has_header = True
        for row in zip(*(list(values) for values in columns.values()), strict=True):
            self._writer.writerow("" if isinstance(value, float) and math.isnan(value) else value for value in row)

    def close(self) -> None:
        """Hand everything to the operating system."""
        self._out.flush()
        if self._owned:
            self._out.close()

    def abandon(self) -> None:
        """Let go of the file; what is still buffered has nowhere to go."""
        if self._owned:
            with suppress(OSError):
                self._out.close()


class ParquetWriter:
    """Rows as Parquet; null is what is not there."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writer: Any = None

    def write(self, columns: dict[str, Any]) -> None:
        """Append rows given as equally long columns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd")
        self._writer.write_table(table)

    def close(self) -> None:
        """Write the footer."""
        if self._writer is not None:
            self._writer.close()

    def abandon(self) -> None:
        """Let go of the file, without a footer."""
        if self._writer is not None:
            self._writer.is_open = False  # else it would write one when it is collected


@contextmanager
def open_writer(file: Path | None, stdout: IO[str]) -> Iterator[RowWriter]:
    """Choose a writer by the file's name; CSV to stdout where there is none.

    The file appears, or is replaced, when everything is in it: what was there before stays if
    anything fails.

    Raises
    ------
    MonitorError
        If the name says neither CSV nor Parquet, or the file cannot be written.
    """
    if file is None:
        writer: RowWriter = CsvWriter(stdout)
        yield writer
        writer.close()
        return
    if file.suffix not in (".csv", ".parquet"):
        raise MonitorError(f"cannot write scores to {file}: the name must end in .csv or .parquet")
    try:
        with replacing(file) as temporary:
            temporary.touch()
            is_csv = file.suffix == ".csv"
            writer = CsvWriter(temporary.open("w", newline=""), owned=True) if is_csv else ParquetWriter(temporary)
            try:
                yield writer
                writer.close()
            finally:
                writer.abandon()
    except OSError as error:
        raise MonitorError(f"cannot write scores to {file}: {error.strerror or error}. What was there before stays.") from error
