"""Recordings: a metric file that grows step by step and survives a crash; repeating the command continues it.

Long form, one row a sample: `time` (ms since the epoch), `name`, `value`, and one column a
label. Rows are appended to a CSV journal, a line at a time; a Parquet recording is made from
its journal when the recorder closes.
"""

from __future__ import annotations

import csv
import io
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from models.atomic_file import replacing
from monitor.clock import Clock
from monitor.errors import MonitorError
from monitor.sample import HostReading

__all__ = ["Recorder", "record"]


class Recorder:
    """Appends readings to a recording; an existing one is continued after its last whole row.

    Parameters
    ----------
    path : Path
        `.parquet` or `.csv`.
    label_names : sequence of str
        The label columns, fixed for the whole file. A reading with another label is an error.
    """

    def __init__(self, path: Path, label_names: Sequence[str]) -> None:
        if path.suffix not in (".parquet", ".csv"):
            raise MonitorError(f"cannot record to {path}: the name must end in .parquet or .csv")
        self.path = path
        self.label_names = tuple(label_names)
        self.n_samples = 0
        self._known_labels = frozenset(label_names)
        self._failed = False
        self._journal = path if path.suffix == ".csv" else path.with_name(path.name + ".journal.csv")
        try:
            if path.suffix == ".parquet" and path.exists():
                _check_columns(path, self._columns)
            self._file = self._open_journal()
        except OSError as error:
            raise MonitorError(
                f"cannot record to {path}: {error.strerror}. Choose a file that can be written."
            ) from error

    def append(self, time_ms: int, readings: Sequence[HostReading]) -> None:
        """Write the readings of one time and hand them to the operating system."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for name, labels, value in readings:
            by_name = dict(labels)
            if not self._known_labels.issuperset(by_name):
                raise MonitorError(
                    f"label {sorted(set(by_name) - self._known_labels)} is no column of {self.path}"
                )
            writer.writerow(
                [time_ms, name, repr(value), *(by_name.get(label, "") for label in self.label_names)]
            )
        try:
            self._file.write(text.getvalue())
            self._file.flush()
        except OSError as error:
            self._failed = True
            raise MonitorError(
                f"cannot write to {self._journal}: {error.strerror}. What was recorded before is in it: "
                "make room, and repeat the command."
            ) from error
        self.n_samples += len(readings)

    def close(self) -> None:
        """Flush to disk and, for Parquet, replace the recording by the old rows and the journal's together.

        Where that fails, or writing failed before, the journal stays: repeating the command continues it.
        """
        if self._failed:
            with suppress(OSError):
                self._file.close()
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if self.path.suffix == ".parquet":
                _journal_to_parquet(self._journal, self.path)
                self._journal.unlink()
        except OSError as error:
            raise MonitorError(
                f"cannot finish {self.path}: {error.strerror or error}. "
                f"What was recorded is in {self._journal}: make room, and repeat the command."
            ) from error

    @property
    def _columns(self) -> list[str]:
        return ["time", "name", "value", *self.label_names]

    def _open_journal(self) -> IO[str]:
        header = ",".join(self._columns) + "\n"
        self._journal.parent.mkdir(parents=True, exist_ok=True)
        if self._journal.exists() and self._journal.stat().st_size:
            with self._journal.open("r+b") as old:
                first = old.readline().decode("utf-8", "replace")
                if first != header:
                    raise MonitorError(
                        f"{self._journal} has other columns ({first.strip()}); expected {header.strip()}. "
                        "Record to a new file."
                    )
                old.truncate(_end_of_last_line(old))
            return self._journal.open("a", encoding="utf-8")
        file = self._journal.open("w", encoding="utf-8")
        file.write(header)
        file.flush()
        return file


def _end_of_last_line(file: IO[bytes]) -> int:
    """Find where the last whole line ends: a crash may have cut the next one short."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65536)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
    except pa.ArrowInvalid as error:
        raise MonitorError(
            f"cannot continue {path}: it is no Parquet file ({error}). Record to a new file."
        ) from error
    if names != list(columns):
        raise MonitorError(
            f"{path} has other columns ({','.join(names)}); expected {','.join(columns)}. "
            "Record to a new file."
        )


def _journal_to_parquet(journal: Path, path: Path) -> None:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = pd.read_csv(journal, nrows=0).columns
    types = dict.fromkeys(columns, "string") | {"time": "int64", "value": "float64"}
    frame = pd.read_csv(journal, dtype=types, keep_default_na=False, na_values={"value": ["nan"]})
    if path.exists():
        frame = pd.concat([pd.read_parquet(path), frame], ignore_index=True)
    keys = [column for column in frame.columns if column not in ("time", "value")]
    # A crash between rename and unlink leaves the journal's rows in both files.
    frame = frame.drop_duplicates([*keys, "time"], keep="last").sort_values([*keys, "time"], kind="stable")
    final_types = {"time": "int64", "value": "float64", **dict.fromkeys(keys, "string")}
    table = pa.Table.from_pandas(frame.astype(final_types), preserve_index=False)
    with replacing(path) as temporary:
        # Sorted by series, times are runs of equal steps and values change little: the encodings use that.
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=19,
            use_dictionary=keys,
            column_encoding={"time": "DELTA_BINARY_PACKED", "value": "BYTE_STREAM_SPLIT"},
        )


def record(
    recorder: Recorder,
    read: Callable[[], Sequence[HostReading]],
    *,
    step_seconds: float,
    duration_seconds: float,
    clock: Clock,
    stop: threading.Event,
    progress: Callable[[float], None],
) -> None:
    """Read and append once a step, at multiples of the step, until the duration is over or `stop` is set.

    A step that was missed (a suspended machine) is left out, never made up.

    Parameters
    ----------
    progress : callable
        Called after each step with the seconds recorded so far.
    """
    start = clock.now()
    last = start // step_seconds  # number of the newest step that is recorded
    while not stop.is_set():
        due = (max(last, clock.now() // step_seconds) + 1) * step_seconds
        if due - start > duration_seconds:
            return
        if clock.wait(stop, due - clock.now()):
            return
        now = clock.now()
        if now // step_seconds <= last:
            continue  # woken early, or the clock was set back: wait again
        last = now // step_seconds
        recorder.append(round(last * step_seconds * 1000), read())
        progress(now - start)
