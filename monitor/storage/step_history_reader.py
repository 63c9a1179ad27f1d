"""A watch's kept steps, read back for a training without what must not be learned."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from monitor.storage.step_history import METADATA_KEY, History, Segment, Span

__all__ = ["SKIPPED_REASONS", "StepsRead", "read_steps"]

SKIPPED_REASONS = ("gone", "unreadable", "settings")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class StepsRead:
    """What was read back; `skipped` counts segments by reason: gone, unreadable, settings.

    `history` is None where nothing was left.
    """

    history: History | None = None
    n_segments: int = 0
    n_masked: int = 0  # rows that lie in a span
    skipped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SKIPPED_REASONS, 0))


@dataclass(frozen=True, slots=True)
class _Rows:
    entities: list[str]
    channels: list[str]
    time_ms: NDArray[np.int64]
    row: NDArray[np.int64]  # index into entities
    values: NDArray[np.float64]  # (k, C)


def read_steps(
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
) -> StepsRead:
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
    steps_read = StepsRead()
    parts = []
    for segment in sorted(segments):
        rows = _read(segment, shape, steps_read)
        if rows is not None:
            free = _not_masked(rows, spans)
            steps_read.n_masked += int((~free).sum())
            free &= rows.time_ms >= from_ms if from_ms is not None else True
            free &= rows.time_ms < until_ms if until_ms is not None else True
            parts.append((rows, np.flatnonzero(free)))
    if not any(len(wanted) for _, wanted in parts):
        return steps_read
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
    steps_read.history = History(tuple(entities), tuple(all_channels), values, int(times[shown[0]]), int(times[-1]) + step_ms)
    return steps_read


def _read(segment: Segment, shape: str, steps_read: StepsRead) -> _Rows | None:
    try:
        table = pq.ParquetFile(pa.BufferReader(segment.file.read_bytes())).read()
        about = json.loads(table.schema.metadata[METADATA_KEY])
        if about["shape"] != shape:
            steps_read.skipped["settings"] += 1
            return None
        entity = table.column(1).combine_chunks()
        number_of = {name: number for number, name in enumerate(about["entities"])}
        numbers = np.array([number_of[name] for name in entity.dictionary.to_pylist()], np.int64)
        # By place, not by name: a metric may be called time_ms.
        values = np.stack([table.column(2 + number).to_numpy() for number in range(len(about["channels"]))], axis=1)
        rows = _Rows(about["entities"], about["channels"], table.column(0).to_numpy(), numbers[entity.indices.to_numpy()], values)
    except FileNotFoundError:
        steps_read.skipped["gone"] += 1
        return None
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError, IndexError) as error:
        steps_read.skipped["unreadable"] += 1
        log.warning("history segment passed over file=%s error=%s", segment.file, " ".join(str(error).split()))
        return None
    steps_read.n_segments += 1
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
