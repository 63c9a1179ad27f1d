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
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monitor.errors import HistoryError
from monitor.grid import ClosedSteps
from monitor.pipeline import Alert

__all__ = ["History", "HistoryWriter", "Keeping", "Recalled", "Segment", "Span", "list_segments", "read_spans", "recall"]

log = logging.getLogger(__name__)

_SEGMENT = re.compile(r"(-?\d+)-(-?\d+)\.parquet")
_SPANS = "spans.json"
_ABOUT = b"barograph"  # key of a segment's own words in the file's metadata


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
class Keeping:
    """How much of a history is kept; times are event time."""

    segment_seconds: float = 300.0
    max_age_seconds: float = 30 * 86400.0
    max_bytes: int = 1 << 30  # 0: keep none


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

    def __init__(self, folder: Path, keeping: Keeping, *, shape: str, step_ms: int, window_length: int) -> None:
        self.folder = folder
        self._keeping = keeping
        self._shape = shape
        self._step_ms = step_ms
        self._margin_ms = window_length * step_ms
        self._newest_ms = 0  # end of the newest step
        self._blocks: list[ClosedSteps] = []
        self._collected_ms = 0
        self._spans: list[Span] = []
        if self._keeping.max_bytes:
            self._take_over()

    def add(self, closed: ClosedSteps) -> None:
        """Collect closed steps; the arrays must not change any more."""
        if self._keeping.max_bytes:
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
        if self._keeping.max_bytes and self.folder.is_dir():
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
        return self._collected_ms >= self._keeping.segment_seconds * 1000

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
            if segment.last_ms >= newest_ms - self._keeping.max_age_seconds * 1000 and n_bytes <= self._keeping.max_bytes:
                break
            n_bytes -= _size(segment.file)
            segment.file.unlink(missing_ok=True)


@dataclass(slots=True)
class Recalled:
    """What was read back; `skipped` counts segments by reason: gone, unreadable, settings.

    `history` is None where nothing was left.
    """

    history: History | None = None
    n_segments: int = 0
    n_masked: int = 0  # rows that lie in a span
    skipped: dict[str, int] = field(default_factory=lambda: {"gone": 0, "unreadable": 0, "settings": 0})


@dataclass(frozen=True, slots=True)
class _Rows:
    entities: list[str]
    channels: list[str]
    time_ms: NDArray[np.int64]
    row: NDArray[np.int64]  # index into entities
    values: NDArray[np.float64]  # (k, C)


def recall(
    segments: Iterable[Segment],
    spans: Sequence[Span],
    *,
    shape: str,
    step_ms: int,
    window_length: int,
    channels: Sequence[str] = (),
    from_ms: int | None = None,
    until_ms: int | None = None,
    max_steps: int | None = None,
) -> Recalled:
    """Read segments back as one history, the oldest step first.

    A silence longer than a window is cut to a window: no window reaches across either, and
    a machine that was off for a week costs no memory. Where two segments hold the same step
    of an entity, the one that begins later counts. Entities and channels are in the newest
    segment's order, behind the given channels; channels that the newest segment does not have
    are left out.

    Parameters
    ----------
    segments : iterable of Segment
        An explicit list, taken before; what has gone since is counted and passed over.
    channels : sequence of str
        Come first, in this order, whether there is anything of them or not.
    from_ms, until_ms : int, optional
        Only steps that start at or behind the one and before the other.
    max_steps : int, optional
        Only so many of the newest.
    """
    recalled = Recalled()
    parts = []
    for segment in sorted(segments):
        rows = _read(segment, shape, recalled)
        if rows is not None:
            free = _not_masked(rows, spans)
            recalled.n_masked += int((~free).sum())
            free &= rows.time_ms >= from_ms if from_ms is not None else True
            free &= rows.time_ms < until_ms if until_ms is not None else True
            parts.append((rows, np.flatnonzero(free)))
    if not any(len(wanted) for _, wanted in parts):
        return recalled
    newest = parts[-1][0]
    all_channels = [*channels, *(name for name in newest.channels if name not in channels)]
    column_of = {name: column for column, name in enumerate(all_channels)}
    present = {rows.entities[row] for rows, wanted in parts for row in np.unique(rows.row[wanted]).tolist()}
    in_order = dict.fromkeys(name for rows, _ in reversed(parts) for name in rows.entities)
    entities = [name for name in in_order if name in present]
    row_of = {name: row for row, name in enumerate(entities)}

    times = np.unique(np.concatenate([rows.time_ms[wanted] for rows, wanted in parts]))
    steps = times // step_ms
    place = np.concatenate([[0], np.cumsum(np.minimum(np.diff(steps), window_length + 1))])
    first = max(0, int(place[-1]) + 1 - max_steps) if max_steps else 0
    values = np.full((int(place[-1]) + 1 - first, len(entities), len(all_channels)), np.nan)
    for rows, wanted in parts:
        at = place[np.searchsorted(steps, rows.time_ms[wanted] // step_ms)] - first
        chosen, at = wanted[at >= 0], at[at >= 0]
        mine = [number for number, name in enumerate(rows.channels) if name in column_of]
        target = np.array([column_of[rows.channels[number]] for number in mine], np.int64)
        to_row = np.array([row_of.get(name, -1) for name in rows.entities], np.int64)[rows.row[chosen]]
        values[at[:, None], to_row[:, None], target[None, :]] = rows.values[chosen[:, None], np.array(mine, np.int64)]
    shown = np.flatnonzero(place >= first)
    recalled.history = History(tuple(entities), tuple(all_channels), values, int(times[shown[0]]), int(times[-1]) + step_ms)
    return recalled


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
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata={_ABOUT: json.dumps(about)}))


def _read(segment: Segment, shape: str, recalled: Recalled) -> _Rows | None:
    try:
        table = pq.ParquetFile(pa.BufferReader(segment.file.read_bytes())).read()
        about = json.loads(table.schema.metadata[_ABOUT])
        if about["shape"] != shape:
            recalled.skipped["settings"] += 1
            return None
        entity = table.column(1).combine_chunks()
        number_of = {name: number for number, name in enumerate(about["entities"])}
        numbers = np.array([number_of[name] for name in entity.dictionary.to_pylist()], np.int64)
        # By place, not by name: a metric may be called time_ms.
        values = np.stack([table.column(2 + number).to_numpy() for number in range(len(about["channels"]))], axis=1)
        rows = _Rows(about["entities"], about["channels"], table.column(0).to_numpy(), numbers[entity.indices.to_numpy()], values)
    except FileNotFoundError:
        recalled.skipped["gone"] += 1
        return None
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError, IndexError) as error:
        recalled.skipped["unreadable"] += 1
        log.warning("history segment passed over file=%s error=%s", segment.file, " ".join(str(error).split()))
        return None
    recalled.n_segments += 1
    return rows


def _not_masked(rows: _Rows, spans: Sequence[Span]) -> NDArray[np.bool_]:
    learned = np.ones(len(rows.time_ms), bool)
    number_of = {name: number for number, name in enumerate(rows.entities)}
    first_ms, last_ms = (int(rows.time_ms.min()), int(rows.time_ms.max())) if len(rows.time_ms) else (0, 0)
    for span in spans:
        if span.from_ms <= last_ms and span.to_ms > first_ms:
            within = (rows.time_ms >= span.from_ms) & (rows.time_ms < span.to_ms)
            learned &= ~(within if span.entity is None else within & (rows.row == number_of.get(span.entity, -1)))
    return learned


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
