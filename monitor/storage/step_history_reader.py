"""Reads the history of a watch back for a training, without the steps that must not be learned."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monitor.storage.step_history import METADATA_KEY, History, Segment, Span

__all__ = ["ALL_STEPS", "SKIPPED_REASONS", "StepRange", "StepsRead", "read_steps"]

log = logging.getLogger(__name__)

SKIPPED_REASONS = ("gone", "unreadable", "settings")  # why a segment was skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRange:
    """Which steps of a history are wanted; all of them where nothing is given.

    Steps that start at `from_ms` or later and before `until_ms` (event time); of these, the newest ones.
    """

    from_ms: int | None = None
    until_ms: int | None = None
    max_steps: int | None = None


ALL_STEPS = StepRange()


@dataclass(slots=True)
class StepsRead:
    """What was read; `history` is None where no step was left."""

    history: History | None = None
    n_segments: int = 0
    n_masked: int = 0  # rows that lie in a span
    skipped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SKIPPED_REASONS, 0))


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of one segment, in long form: a row a step and entity."""

    entities: list[str]
    channels: list[str]
    time_ms: NDArray[np.int64]
    row: NDArray[np.int64]  # index into entities
    values: NDArray[np.float64]  # (k, C)
    counters: frozenset[str] = frozenset()

    def take(self, chosen: NDArray[np.int64]) -> _Rows:
        return replace(self, time_ms=self.time_ms[chosen], row=self.row[chosen], values=self.values[chosen])


def read_steps(
    segments: Iterable[Segment],
    spans: Sequence[Span],
    *,
    shape: str,
    step_ms: int,
    window_length: int,
    channels: Sequence[str] = (),
    wanted: StepRange = ALL_STEPS,
) -> StepsRead:
    """Read segments back as one history, the oldest step first.

    A silence longer than a window is cut to a window: no window reaches across either, and a machine that was
    off for a week costs no memory. Where two segments hold the same step of an entity, the one that begins
    later counts. Entities and channels are in the newest segment's order, after the given channels; channels
    that the newest segment does not have are left out.

    Parameters
    ----------
    segments : iterable of Segment
        An explicit list, made before; a segment that has gone since is counted and skipped.
    shape : str
        Identifies the settings under which values have their meaning; other segments are skipped.
    channels : sequence of str
        Come first, in this order, whether the history has values of them or not.
    """
    steps_read = StepsRead()
    parts = []
    for segment in sorted(segments):
        rows = _read(segment, shape, steps_read)
        if rows is not None:
            parts.append(_wanted_rows(rows, spans, wanted, steps_read))
    if any(len(rows.time_ms) for rows in parts):
        steps_read.history = _joined(
            parts, step_ms=step_ms, window_length=window_length, channels=channels, max_steps=wanted.max_steps
        )
    return steps_read


def _read(segment: Segment, shape: str, steps_read: StepsRead) -> _Rows | None:
    """Read one segment; None, and counted, where it is skipped."""
    try:
        table = pq.ParquetFile(pa.BufferReader(segment.file.read_bytes())).read()
        about = json.loads(table.schema.metadata[METADATA_KEY])
        if about["shape"] != shape:
            steps_read.skipped["settings"] += 1
            return None
        rows = _rows_of(table, about["entities"], about["channels"])
        # Segments of earlier versions do not name their counters.
        rows = replace(rows, counters=frozenset(about.get("counters", ())))
    except FileNotFoundError:
        steps_read.skipped["gone"] += 1
        return None
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError, IndexError) as error:
        steps_read.skipped["unreadable"] += 1
        log.warning("history segment skipped file=%s error=%s", segment.file, " ".join(str(error).split()))
        return None
    steps_read.n_segments += 1
    return rows


def _rows_of(table: pa.Table, entities: list[str], channels: list[str]) -> _Rows:
    """Take a segment's table apart. Columns are known by position: a metric may be named time_ms."""
    entity = table.column(1).combine_chunks()
    number_of = {name: number for number, name in enumerate(entities)}
    numbers = np.array([number_of[name] for name in entity.dictionary.to_pylist()], np.int64)
    values = np.stack([table.column(2 + number).to_numpy() for number in range(len(channels))], axis=1)
    return _Rows(entities, channels, table.column(0).to_numpy(), numbers[entity.indices.to_numpy()], values)


def _wanted_rows(rows: _Rows, spans: Sequence[Span], wanted: StepRange, steps_read: StepsRead) -> _Rows:
    """Give the rows of a segment that are wanted and not masked; count those that are masked."""
    chosen = _not_masked(rows, spans)
    steps_read.n_masked += int((~chosen).sum())
    if wanted.from_ms is not None:
        chosen &= rows.time_ms >= wanted.from_ms
    if wanted.until_ms is not None:
        chosen &= rows.time_ms < wanted.until_ms
    return rows.take(np.flatnonzero(chosen))


def _not_masked(rows: _Rows, spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Tell which rows (k,) lie in no span."""
    learned = np.ones(len(rows.time_ms), bool)
    if not len(learned):
        return learned
    number_of = {name: number for number, name in enumerate(rows.entities)}
    first_ms = int(rows.time_ms.min())
    last_ms = int(rows.time_ms.max())
    for span in spans:
        if span.from_ms > last_ms or span.to_ms <= first_ms:
            continue
        masked = (rows.time_ms >= span.from_ms) & (rows.time_ms < span.to_ms)
        if span.entity is not None:
            masked &= rows.row == number_of.get(span.entity, -1)
        learned &= ~masked
    return learned


def _joined(
    parts: Sequence[_Rows],
    *,
    step_ms: int,
    window_length: int,
    channels: Sequence[str],
    max_steps: int | None,
) -> History:
    """Join the rows of all segments, the oldest first, into one history; there is at least one row."""
    entities = _entities_in_order(parts)
    all_channels = [*channels, *(name for name in parts[-1].channels if name not in channels)]
    times = np.unique(np.concatenate([rows.time_ms for rows in parts]))
    steps = times // step_ms
    # The index of each step in the history: a silence is cut to a window.
    index = np.concatenate([[0], np.cumsum(np.minimum(np.diff(steps), window_length + 1))])
    n_steps = int(index[-1]) + 1
    first = max(0, n_steps - max_steps) if max_steps else 0
    values = np.full((n_steps - first, len(entities), len(all_channels)), np.nan)
    for rows in parts:
        target = index[np.searchsorted(steps, rows.time_ms // step_ms)] - first
        is_newest = np.flatnonzero(target >= 0)
        _put(rows.take(is_newest), target[is_newest], entities, all_channels, values)
    oldest = int(np.flatnonzero(index >= first)[0])
    skipped = np.zeros(n_steps, np.int64)  # of the silences up to each step
    skipped[index] = steps - index
    numbers = (np.arange(n_steps) + np.maximum.accumulate(skipped))[first:]
    return History(
        tuple(entities),
        tuple(all_channels),
        values,
        first_ms=int(times[oldest]),
        last_ms=int(times[-1]) + step_ms,
        steps=np.broadcast_to(numbers[:, None], values.shape[:2]),
        counters=frozenset().union(*(rows.counters for rows in parts)),
    )


def _entities_in_order(parts: Sequence[_Rows]) -> list[str]:
    """Name the entities that have a row, in the order of the newest segment that knows them."""
    present = {rows.entities[row] for rows in parts for row in np.unique(rows.row).tolist()}
    in_order = dict.fromkeys(name for rows in reversed(parts) for name in rows.entities)
    return [name for name in in_order if name in present]


def _put(
    rows: _Rows,
    step: NDArray[np.int64],
    entities: Sequence[str],
    channels: Sequence[str],
    values: NDArray[np.float64],
) -> None:
    """Put the rows of a segment into the history's values (T, n, C), each at its step."""
    row_of = {name: row for row, name in enumerate(entities)}
    column_of = {name: column for column, name in enumerate(channels)}
    known = [number for number, name in enumerate(rows.channels) if name in column_of]
    column = np.array([column_of[rows.channels[number]] for number in known], np.int64)
    row = np.array([row_of.get(name, -1) for name in rows.entities], np.int64)[rows.row]
    values[step[:, None], row[:, None], column[None, :]] = rows.values[:, known]
