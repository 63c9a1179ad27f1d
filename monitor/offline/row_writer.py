"""Rows of scores or forecasts as CSV or Parquet."""

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
    """Writes blocks of rows, given column by column; all blocks have the same columns."""

    def write(self, columns: dict[str, Any]) -> None:
        """Append rows given as equally long columns."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...

    def abandon(self) -> None:
        """Close a file that will not be finished; after `close` it does nothing."""
        ...


class CsvWriter:
    """Rows as CSV, with an empty field for NaN; `owned` output is closed with the writer."""

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
            self._writer.writerow("" if _is_missing(value) else value for value in row)

    def close(self) -> None:
        """Write what is buffered."""
        self._out.flush()
        if self._owned:
            self._out.close()

    def abandon(self) -> None:
        """Close the file, even where the rest of the buffer cannot be written."""
        if self._owned:
            with suppress(OSError):
                self._out.close()


class ParquetWriter:
    """Rows as Parquet, with null for NaN."""

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
        """Drop the file, without a footer."""
        if self._writer is not None:
            # Otherwise pyarrow would write the footer when the object is collected.
            self._writer.is_open = False


@contextmanager
def open_writer(file: Path | None, stdout: IO[str], what: str = "scores") -> Iterator[RowWriter]:
    """Choose a writer by the file's name; CSV to stdout where there is none.

    The file appears, or is replaced, when everything is in it: an older file stays if anything fails.

    Parameters
    ----------
    what : str
        What the rows are, for an error's text.

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
        raise MonitorError(f"cannot write {what} to {file}: the name must end in .csv or .parquet")
    try:
        with replacing(file) as temporary:
            writer = _open_file(temporary, is_csv=file.suffix == ".csv")
            try:
                yield writer
                writer.close()
            finally:
                writer.abandon()
    except OSError as error:
        reason = error.strerror or error
        raise MonitorError(f"cannot write {what} to {file}: {reason}. An older file is unchanged.") from error


def _open_file(file: Path, *, is_csv: bool) -> RowWriter:
    if is_csv:
        return CsvWriter(file.open("w", newline="", encoding="utf-8"), owned=True)
    with file.open("wb"):  # fails here, with an OSError, rather than at the first row
        return ParquetWriter(file)


def _is_missing(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
