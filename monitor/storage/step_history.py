"""The history of a watch's closed steps, from which a later training learns.

<folder>/<first_ms>-<last_ms>.parquet   time_ms (a step's start), entity, one column a channel in its own unit
<folder>/spans.json                     what must not be learned: episodes, widened by a window on both sides

A segment never changes once it is there, and is there whole or not at all. Spans are written before the
segments that they overlap, so that no segment is ever read without them.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.atomic_file import replace_file
from monitor.alerting.alert import Alert
from monitor.detection.steps import ClosedSteps
from monitor.errors import HistoryError

__all__ = [
    "METADATA_KEY",
    "History",
    "HistoryWriter",
    "Retention",
    "Segment",
    "Span",
    "list_segments",
    "read_spans",
]

log = logging.getLogger(__name__)

_SEGMENT = re.compile(r"(-?\d+)-(-?\d+)\.parquet")
_SPANS = "spans.json"
METADATA_KEY = b"barograph"  # of what a segment's file says of itself


@dataclass(frozen=True, slots=True)
class History:
    """Closed steps of a watch: `values` (T, n, C) in the channels' own units, NaN a gap; and their times.

    `steps` (T, n) numbers each entity's steps since the epoch; None where all follow each other from
    `first_ms` on. `counters` are the channels that are known to be counters or deltas; where each series is
    its own entity, the entities.
    """

    entities: tuple[str, ...]
    channels: tuple[str, ...]
    values: NDArray[np.float64]
    first_ms: int
    last_ms: int
    steps: NDArray[np.int64] | None = None
    counters: frozenset[str] = frozenset()

    def step_numbers(self, step_ms: int) -> NDArray[np.int64]:
        """Give the number since the epoch of each entity's steps; shape (T, n)."""
        if self.steps is not None:
            return self.steps
        numbers = self.first_ms // step_ms + np.arange(len(self.values), dtype=np.int64)
        return np.broadcast_to(numbers[:, None], self.values.shape[:2])


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of closed steps, by the start of its first and its last step."""

    first_ms: int
    last_ms: int
    file: Path


@dataclass(frozen=True, slots=True)
class Span:
    """Event time [from_ms, to_ms) whose steps must not be learned; of all entities where `entity` is None."""

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
    segments = []
    for file in folder.iterdir():
        match = _SEGMENT.fullmatch(file.name)
        if match:
            segments.append(Segment(int(match[1]), int(match[2]), file))
    return sorted(segments)


def read_spans(folder: Path) -> list[Span]:
    """Read what must not be learned.

    Raises
    ------
    HistoryError
        If there are segments, and the file is missing or damaged: incidents would be learned.
    """
    file = folder / _SPANS
    try:
        return [
            Span(entity, int(from_ms), int(to_ms)) for entity, from_ms, to_ms in json.loads(file.read_bytes())
        ]
    except FileNotFoundError as error:
        if not list_segments(folder):
            return []
        raise HistoryError(
            f"{file} is missing: it says what must not be learned. Delete {folder} to start a new history."
        ) from error
    except (OSError, ValueError, TypeError) as error:
        raise HistoryError(
            f"{file} cannot be read: {error}. Delete {folder} to start a new history."
        ) from error


class HistoryWriter:
    """Collects a watch's closed steps and writes them, a segment at a time; owned by the loop's thread.

    A step is in memory until its segment is full: `kill -9` loses up to `segment_seconds` of history, which
    is then never learned; scores and alerts lose nothing.

    Parameters
    ----------
    shape : str
        Identifies the settings under which values have their meaning.
    step_ms, window_length : int
        An episode's span is widened by a window on both sides.
    """

    def __init__(
        self, folder: Path, retention: Retention, *, shape: str, step_ms: int, window_length: int
    ) -> None:
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
            self._continue_history()

    def add(self, closed: ClosedSteps) -> None:
        """Collect closed steps; their arrays must not change after that."""
        if self._retention.max_bytes:
            self._blocks.append(closed)
            self._collected_ms += len(closed.values) * closed.step_ms
            self._newest_ms = max(self._newest_ms, closed.end_ms(len(closed.values) - 1))

    def mask(self, alerts: Iterable[Alert], open_alerts: Iterable[Alert]) -> None:
        """Mask the steps of alerts that have opened or resolved: earlier segments may hold the first of them.

        What an operator has accepted as normal may be learned.

        Raises
        ------
        HistoryError
            If the spans cannot be written. They are written again with the next segment, or it is not.
        """
        self._spans += [
            self._span(alert, alert.resolved_ms)
            for alert in alerts
            if alert.resolved_ms is not None and alert.reason != "accepted by operator"
        ]
        if self._retention.max_bytes and self.folder.is_dir():
            try:
                self._write_spans(open_alerts, self._blocks)
            except OSError as error:
                raise HistoryError(f"cannot write the history {self.folder}: {error.strerror}") from error

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Number the collected rows anew after the watch has forgotten all rows but these."""
        blocks = []
        for block in self._blocks:
            kept = rows[rows < block.values.shape[1]]
            blocks.append(replace(block, values=block.values[:, kept]))
        self._blocks = blocks

    def rearrange_channels(self, order: NDArray[np.int64]) -> None:
        """Put the channels (C,) of the collected steps into another order, -1 a channel of gaps."""
        self._blocks = [block.rearranged(order) for block in self._blocks]

    @property
    def is_due(self) -> bool:
        """True once a segment's worth of event time is collected."""
        return self._collected_ms >= self._retention.segment_seconds * 1000

    def write(
        self,
        entities: Sequence[str],
        channels: Sequence[str],
        open_alerts: Iterable[Alert],
        counters: Collection[str] = (),
    ) -> None:
        """Write the collected steps as one segment, and delete segments by the retention.

        Parameters
        ----------
        entities, channels : sequence of str
            The watch's rows and columns now, in their order.
        open_alerts : iterable of Alert
            Episodes that are open: their spans reach up to the newest step.
        counters : collection of str
            As `History` says.

        Raises
        ------
        HistoryError
            If it cannot be written. The collected steps are dropped then, so that memory does not grow.
        """
        blocks = self._blocks
        self._blocks = []
        self._collected_ms = 0
        try:
            about = {
                "shape": self._shape,
                "entities": list(entities),
                "channels": list(channels),
                "counters": sorted(counters),
            }
            table = _table(blocks, entities, channels, about) if blocks else None
            if table is None:
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write_spans(open_alerts, blocks)
            times = table.column(0)
            name = f"{times[0].as_py()}-{times[len(times) - 1].as_py()}.parquet"
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, compression="zstd")
            replace_file(self.folder / name, sink.getvalue().to_pybytes())
            self._apply_retention()
        except (OSError, pa.ArrowException, UnicodeError) as error:
            reason = error.strerror or error if isinstance(error, OSError) else error
            raise HistoryError(
                f"cannot write the history {self.folder}: {reason}. The steps collected for it are dropped."
            ) from error

    def n_bytes(self) -> int:
        """Give the size of all segments."""
        return sum(_size(segment.file) for segment in list_segments(self.folder))

    def _continue_history(self) -> None:
        """Continue the history of an earlier run; segments whose spans are lost are never learned."""
        for unfinished in self.folder.glob(".*.new"):
            unfinished.unlink(missing_ok=True)
        segments = list_segments(self.folder)
        self._newest_ms = max((segment.last_ms + self._step_ms for segment in segments), default=0)
        try:
            self._spans = read_spans(self.folder)
        except HistoryError as error:
            log.error(
                "history spans lost folder=%s error=%s; the segments there are not learned",
                self.folder,
                error,
            )
            self._spans = [Span(None, segments[0].first_ms, self._newest_ms)] if segments else []

    def _span(self, alert: Alert, until_ms: int) -> Span:
        first_ms = alert.since_ms - self._step_ms  # alerts have the ends of steps, rows the starts
        return Span(alert.entity, first_ms - self._margin_ms, until_ms + self._margin_ms)

    def _write_spans(self, open_alerts: Iterable[Alert], blocks: Sequence[ClosedSteps]) -> None:
        starts = [segment.first_ms for segment in list_segments(self.folder)]
        starts += [block.first_step * self._step_ms for block in blocks[:1]]
        oldest_ms = min(starts, default=0)
        self._spans = [span for span in self._spans if span.to_ms > oldest_ms]
        still_open = [self._span(alert, max(self._newest_ms, alert.opened_ms)) for alert in open_alerts]
        rows = [[span.entity, span.from_ms, span.to_ms] for span in [*self._spans, *still_open]]
        replace_file(self.folder / _SPANS, json.dumps(rows).encode())

    def _apply_retention(self) -> None:
        """Delete the oldest segments while they are too old, or all together too large."""
        segments = list_segments(self.folder)
        newest_ms = max(segment.last_ms for segment in segments)
        n_bytes = self.n_bytes()
        oldest_ms = newest_ms - self._retention.max_age_seconds * 1000
        for segment in segments[:-1]:  # the newest stays, however large it is
            if segment.last_ms >= oldest_ms and n_bytes <= self._retention.max_bytes:
                break
            n_bytes -= _size(segment.file)
            segment.file.unlink(missing_ok=True)


def _table(
    blocks: Sequence[ClosedSteps],
    entities: Sequence[str],
    channels: Sequence[str],
    about: Mapping[str, object],
) -> pa.Table | None:
    """Make a table: a row for each step and entity that has any value; None where there is none.

    `about` is what the file says of itself.
    """
    times = []
    rows = []
    values = []
    for block in blocks:
        step, row = np.nonzero(~np.isnan(block.values).all(axis=2))
        times.append((block.first_step + step) * block.step_ms)
        rows.append(row)
        n_missing = len(channels) - block.values.shape[2]  # a channel that came later
        values.append(np.pad(block.values[step, row], ((0, 0), (0, n_missing)), constant_values=np.nan))
    whole = np.concatenate(values)
    if not len(whole):
        return None
    row_numbers = pa.array(np.concatenate(rows).astype(np.int32))
    entity = pa.DictionaryArray.from_arrays(row_numbers, pa.array(list(entities), pa.string()))
    fields = [pa.field("time_ms", pa.int64()), pa.field("entity", entity.type)]
    fields += [pa.field(name, pa.float64()) for name in channels]
    columns = [pa.array(np.concatenate(times), pa.int64()), entity]
    columns += [pa.array(whole[:, column]) for column in range(len(channels))]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata={METADATA_KEY: json.dumps(about)}))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
