"""What the daemon keeps of its closed steps so that it can learn from them again.

<folder>/<first_ms>-<last_ms>.parquet   time_ms (a step's start), entity, one column a channel in its own unit
<folder>/spans.json                     what must not be learned: episodes, widened by a window on both sides

A segment never changes once it is there, and is there whole or not at all. Spans are written
before the segment that they lie over, so that nothing is ever read without them.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monitor.alerting.alert import Alert
from monitor.detection.steps import ClosedSteps
from monitor.errors import HistoryError

__all__ = ["METADATA_KEY", "History", "HistoryWriter", "Retention", "Segment", "Span", "list_segments", "read_spans"]

log = logging.getLogger(__name__)

_SEGMENT = re.compile(r"(-?\d+)-(-?\d+)\.parquet")
_SPANS = "spans.json"
METADATA_KEY = b"barograph"  # key of a segment's own words in the file's metadata


@dataclass(frozen=True, slots=True)
class History:
    """Closed steps of a watch, `values` (T, n, C) in the channels' own units, NaN a gap; and the times that they span."""

    entities: tuple[str, ...]
    channels: tuple[str, ...]
    values: NDArray[np.float64]
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of closed steps, by the start of its first and its last step."""

    first_ms: int
    last_ms: int
    file: Path


@dataclass(frozen=True, slots=True)
class Span:
    """Event time [from_ms, to_ms) in which an entity's steps must not be learned; `entity` None: those of all."""

    entity: str | None
    from_ms: int
    to_ms: int


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How much of a history is kept; times are event time."""

    segment_seconds: float
    max_age_seconds: float
    max_bytes: int  # 0: keep none


def list_segments(folder: Path) -> list[Segment]:
    """Name the segments that are there now, oldest first."""
    if not folder.is_dir():
        return []
    found = ((entry, _SEGMENT.fullmatch(entry.name)) for entry in folder.iterdir())
    return sorted(Segment(int(match[1]), int(match[2]), file) for file, match in found if match)


def read_spans(folder: Path) -> list[Span]:
    """Read what must not be learned.

    Raises
    ------
    HistoryError
        If there are segments, and the file is missing or damaged: incidents would be learned.
    """
    file = folder / _SPANS
    try:
        return [Span(entity, int(from_ms), int(to_ms)) for entity, from_ms, to_ms in json.loads(file.read_bytes())]
    except FileNotFoundError as error:
        if not list_segments(folder):
            return []
        raise HistoryError(f"{file} is missing: it says what must not be learned. Delete {folder} to start a new history.") from error
    except (OSError, ValueError, TypeError) as error:
        raise HistoryError(f"{file} cannot be read: {error}. Delete {folder} to start a new history.") from error


class HistoryWriter:
    """Collects a watch's closed steps and writes them down, a segment at a time; owned by the loop's thread.

    A step is in memory until its segment is full: `kill -9` loses up to `segment_seconds` of
    history, which is then never learned; scores and alerts lose nothing.

    Parameters
    ----------
    shape : str
        Tells settings apart under which values mean something else.
    step_ms, window_length : int
        By a window an episode's span is widened on both sides.
    """

    def __init__(self, folder: Path, retention: Retention, *, shape: str, step_ms: int, window_length: int) -> None:
        self.folder = folder
        self._retention = retention
        self._shape = shape
        self._step_ms = step_ms
        self._margin_ms = window_length * step_ms
        self._newest_ms = 0  # end of the newest step
        self._blocks: list[ClosedSteps] = []
        self._collected_ms = 0
        self._spans: list[Span] = []
        if self._retention.max_bytes:
            self._take_over()

    def add(self, closed: ClosedSteps) -> None:
        """Collect closed steps; the arrays must not change any more."""
        if self._retention.max_bytes:
            self._blocks.append(closed)
            self._collected_ms += len(closed.values) * closed.step_ms
            self._newest_ms = max(self._newest_ms, closed.end_ms(len(closed.values) - 1))

    def note(self, alerts: Iterable[Alert], open_alerts: Iterable[Alert]) -> None:
        """Take in that alerts have opened or resolved: segments that are there already may hold their first steps.

        Raises
        ------
        HistoryError
            If the spans cannot be written; they are with the next segment, or that is not.
        """
        self._spans += [self._span(alert, alert.resolved_ms) for alert in alerts if alert.resolved_ms is not None]
        if self._retention.max_bytes and self.folder.is_dir():
            try:
                self._write_spans(open_alerts, self._blocks)
            except OSError as error:
                raise HistoryError(f"cannot write the history {self.folder}: {error.strerror}") from error

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Take note that the watch has let go of all rows but these: what is collected is numbered as it is now."""
        self._blocks = [replace(block, values=block.values[:, rows[rows < block.values.shape[1]]]) for block in self._blocks]

    @property
    def is_due(self) -> bool:
        """True once a segment's worth of event time is collected."""
        return self._collected_ms >= self._retention.segment_seconds * 1000

    def write(self, entities: Sequence[str], channels: Sequence[str], open_alerts: Iterable[Alert]) -> None:
        """Write what is collected as one segment, and let go of what is too old or too much.

        Parameters
        ----------
        entities, channels : sequence of str
            The watch's rows and columns now, in their order.
        open_alerts : iterable of Alert
            Episodes that are open: their spans reach up to the newest step.

        Raises
        ------
        HistoryError
            If it cannot be written; what was collected is lost then, and memory does not grow.
        """
        blocks, self._blocks, self._collected_ms = self._blocks, [], 0
        try:
            table = _table(blocks, entities, channels, self._shape) if blocks else None
            if table is None:
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write_spans(open_alerts, blocks)
            times = table.column(0)
            name = f"{times[0].as_py()}-{times[len(times) - 1].as_py()}.parquet"
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, compression="zstd")
            _replace(self.folder / name, sink.getvalue().to_pybytes())
            self._let_go()
        except (OSError, pa.ArrowException, UnicodeError) as error:
            reason = error.strerror or error if isinstance(error, OSError) else error
            raise HistoryError(f"cannot write the history {self.folder}: {reason}. The steps collected for it are lost to it.") from error

    def n_bytes(self) -> int:
        """Give the size of all segments."""
        return sum(_size(segment.file) for segment in list_segments(self.folder))

    def _take_over(self) -> None:
        """Go on with what an earlier run left; segments whose spans are lost are never learned."""
        for unfinished in self.folder.glob(".*.new"):
            unfinished.unlink(missing_ok=True)
        segments = list_segments(self.folder)
        self._newest_ms = max((segment.last_ms + self._step_ms for segment in segments), default=0)
        try:
            self._spans = read_spans(self.folder)
        except HistoryError as error:
            log.error("history spans lost folder=%s error=%s; what is there is not learned", self.folder, error)
            self._spans = [Span(None, segments[0].first_ms, self._newest_ms)] if segments else []

    def _span(self, alert: Alert, until_ms: int) -> Span:
        # Alerts tell the ends of steps, rows the starts.
        return Span(alert.entity, alert.since_ms - self._step_ms - self._margin_ms, until_ms + self._margin_ms)

    def _write_spans(self, open_alerts: Iterable[Alert], blocks: Sequence[ClosedSteps]) -> None:
        starts = [segment.first_ms for segment in list_segments(self.folder)] + [block.first_step * self._step_ms for block in blocks[:1]]
        self._spans = [span for span in self._spans if span.to_ms > min(starts, default=0)]
        still_open = [self._span(alert, max(self._newest_ms, alert.opened_ms)) for alert in open_alerts]
        rows = [[span.entity, span.from_ms, span.to_ms] for span in [*self._spans, *still_open]]
        _replace(self.folder / _SPANS, json.dumps(rows).encode())

    def _let_go(self) -> None:
        segments = list_segments(self.folder)
        newest_ms = max(segment.last_ms for segment in segments)
        n_bytes = self.n_bytes()
        for segment in segments[:-1]:  # the newest stays whatever it weighs
            if segment.last_ms >= newest_ms - self._retention.max_age_seconds * 1000 and n_bytes <= self._retention.max_bytes:
                break
            n_bytes -= _size(segment.file)
            segment.file.unlink(missing_ok=True)


def _table(blocks: Sequence[ClosedSteps], entities: Sequence[str], channels: Sequence[str], shape: str) -> pa.Table | None:
    """Lay blocks out as rows, those that show nothing left out; None where nothing is left."""
    times, rows, values = [], [], []
    for block in blocks:
        step, row = np.nonzero(~np.isnan(block.values).all(axis=2))
        times.append((block.first_step + step) * block.step_ms)
        rows.append(row)
        n_missing = len(channels) - block.values.shape[2]  # a channel that came later
        values.append(np.pad(block.values[step, row], ((0, 0), (0, n_missing)), constant_values=np.nan))
    whole = np.concatenate(values)
    if not len(whole):
        return None
    entity = pa.DictionaryArray.from_arrays(pa.array(np.concatenate(rows).astype(np.int32)), pa.array(list(entities), pa.string()))
    about = {"shape": shape, "entities": list(entities), "channels": list(channels)}
    fields = [pa.field("time_ms", pa.int64()), pa.field("entity", entity.type), *(pa.field(name, pa.float64()) for name in channels)]
    columns = [pa.array(np.concatenate(times), pa.int64()), entity, *(pa.array(whole[:, column]) for column in range(len(channels)))]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata={METADATA_KEY: json.dumps(about)}))


def _replace(file: Path, content: bytes) -> None:
    """Put a file there in one move, on disk before it is seen."""
    temporary = file.with_name(f".{file.name}.new")
    try:
        with temporary.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
