"""Offline scoring: metric files in; out, one row for each entity and step."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from models.bundle import Bundle
from monitor.clock import SystemClock
from monitor.config import Config, WatchConfig
from monitor.errors import ConfigError, MonitorError
from monitor.pipeline import Pipeline, WatchPipeline
from monitor.sample import SeriesTable
from monitor.score import Reason, ScoredStep
from monitor.sources.replay import Recorded, ReplaySource
from monitor.watch import build_map, build_watch

__all__ = ["RowWriter", "choose_watch", "open_writer", "score_recorded"]


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
    temporary = file.with_name(f".{file.name}.new")
    try:
        writer = CsvWriter(temporary.open("w", newline=""), owned=True) if file.suffix == ".csv" else ParquetWriter(_writable(temporary))
    except OSError as error:
        raise MonitorError(f"cannot write scores to {file}: {error.strerror}") from error
    try:
        yield writer
        writer.close()
        temporary.replace(file)
    except OSError as error:
        raise MonitorError(f"cannot write scores to {file}: {error.strerror or error}. What was there before stays.") from error
    finally:
        writer.abandon()
        temporary.unlink(missing_ok=True)


def choose_watch(config: Config, table: SeriesTable, name: str) -> WatchConfig:
    """Find the watch that takes series of the table: the named one, else the only one that does.

    Raises
    ------
    ConfigError
        If no watch has that name.
    MonitorError
        If there is none, or more than one and no name.
    """
    if name and name not in {watch.name for watch in config.watch}:
        raise ConfigError(f"no watch is named {name}; there are {', '.join(watch.name for watch in config.watch)}")
    taking = []
    for watch in config.watch:
        entities = build_map(watch)
        entities.update(table)
        if entities.entities and name in ("", watch.name):
            taking.append(watch)
    if not taking:
        raise MonitorError(
            f"no series of these files belongs to {f'watch {name}' if name else 'any watch'}. "
            "Compare `metrics`, `match` and `by` with the files."
        )
    if len(taking) > 1:
        raise MonitorError(
            f"several watches take series of these files: name one with --watch ({', '.join(watch.name for watch in taking)})"
        )
    return taking[0]


def score_recorded(
    watch: WatchConfig,
    champion: Bundle | None,
    recorded: Recorded,
    table: SeriesTable,
    writer: RowWriter,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> int:
    """Score recorded samples through the daemon's own path; give the number of rows written.

    The columns of a row are entity, time_ms (the start of the step), score, verdict (normal,
    anomalous, not_judged), reason (why not judged), and for each channel its actual and
    expected value. A watch without a model learns its channels while it warms up; the
    columns are those it has at the end.

    Parameters
    ----------
    progress : callable
        Told the share of samples that are done.
    """
    pipeline_of_watch = build_watch(watch, champion)
    kept: list[ScoredStep] = []
    pipeline_of_watch.on_scored = kept.append
    pipeline = Pipeline([pipeline_of_watch], table, max_future_ms=0)
    source = ReplaySource(recorded, SystemClock())
    pipeline_of_watch.entities.update(table)  # every file is read already: all entities and channels are known
    n_done = n_rows = 0
    while True:
        batch = source.poll(0.0)
        pipeline.step(batch.columns, batch.now_ms, finished=batch.finished)
        for columns in _blocks(pipeline_of_watch, kept, watch.step_ms):
            writer.write(columns)
            n_rows += len(columns["entity"])
        kept.clear()
        n_done += len(batch.columns)
        progress(n_done / max(1, len(recorded.columns)))
        if batch.finished:
            return n_rows


def _blocks(watch: WatchPipeline, steps: list[ScoredStep], step_ms: int) -> Iterator[dict[str, Any]]:
    if not steps:
        return
    entities, channels = watch.entities.entities, watch.entities.channels
    n_entities = len(entities)
    reason = np.concatenate([step.reason for step in steps])
    score = np.concatenate([np.where(step.judged, step.score, np.nan) for step in steps])
    judged = reason == Reason.JUDGED
    columns: dict[str, Any] = {
        "entity": entities * len(steps),
        "time_ms": np.repeat([step.time_ms - step_ms for step in steps], n_entities),
        "score": score,
        "verdict": np.where(judged, np.where(score >= 1.0, "anomalous", "normal"), "not_judged"),
        "reason": np.array(["", *(reason.name.lower() for reason in list(Reason)[1:])])[reason],
    }
    actual = np.concatenate([step.actual for step in steps])
    expected = np.concatenate([step.expected for step in steps])
    for number, channel in enumerate(channels):
        columns[f"{channel}.actual"] = actual[:, number]
        columns[f"{channel}.expected"] = expected[:, number]
    yield columns


def _writable(file: Path) -> Path:
    with file.open("wb"):
        return file
