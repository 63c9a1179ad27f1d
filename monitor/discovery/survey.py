"""What a topic's newest records hold: format, series, entities, how often they come, and over which partitions they are spread."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.decode.detect import AutoDecoder
from monitor.decode.record import Decoder, Record, Rejection
from monitor.detection.entities import EntityTable
from monitor.sample import Columns, Kind, SeriesTable, concatenate, is_stale, no_samples

__all__ = ["MAX_SAMPLES", "Group", "Survey", "group_of", "how_to_key"]

MAX_SAMPLES = 1_000_000  # of one topic: 20 MB; beyond them nothing more is learned
_FEWEST_GROWING = 4  # samples of a series before it may be said to only grow
# Words of names that are levels, though a minute may not see them fall: a disk that fills up is one to watch.
_LEVELS = {
    "used",
    "usage",
    "percent",
    "ratio",
    "free",
    "available",
    "cached",
    "buffered",
    "size",
    "depth",
    "length",
}


@dataclass(frozen=True, slots=True)
class Group:
    """The series of some topics that a watch takes, by its own rules.

    `n_channels` counts the metrics, with their other labels, that the watch's network would have as inputs.
    """

    n_series: int
    entities: tuple[str, ...]
    n_channels: int
    spread: tuple[str, ...]  # entities that are on more than one partition of a topic


class Survey:
    """Takes a topic's records as they come, and keeps their samples; payloads are let go.

    Parameters
    ----------
    table : SeriesTable
        Shared by the topics of one look.
    """

    def __init__(self, topic: str, format_name: str, decoder: Decoder, table: SeriesTable) -> None:
        self.topic = topic
        self._format, self._decoder = format_name, decoder
        self._table = table
        self._parts: list[Columns] = []
        self._partitions: list[NDArray[np.int32]] = []
        self.n_records = self.n_keyed = self.n_empty = 0
        self.rejected: Counter[str] = Counter()
        self.first_rejection: Rejection | None = None
        self.newest_ms: int | None = None  # by the records' own stamps
        self.oldest_ms: int | None = None
        self._joined: tuple[Columns, NDArray[np.int32]] | None = None

    def take(self, partition: int, records: Sequence[Record], *, n_keyed: int, n_empty: int) -> None:
        """Read records of a partition."""
        decoded = self._decoder(records, self._table)
        self._joined = None
        self._parts.append(decoded.columns)
        self._partitions.append(np.full(len(decoded.columns), partition, np.int32))
        self.n_records += len(records) + n_empty
        self.n_keyed += n_keyed
        self.n_empty += n_empty
        self.rejected.update(decoded.rejected)
        if self.first_rejection is None and decoded.rejections:
            self.first_rejection = decoded.rejections[0]
        stamps = [record.time_ms for record in records if record.time_ms >= 0]
        if stamps:
            self.newest_ms = max(stamps) if self.newest_ms is None else max(self.newest_ms, *stamps)
            self.oldest_ms = min(stamps) if self.oldest_ms is None else min(self.oldest_ms, *stamps)

    @property
    def n_samples(self) -> int:
        """Samples so far, gaps among them."""
        return sum(map(len, self._parts))

    @property
    def format(self) -> str | None:
        """The format that the records are in, as found out or configured; None where it is not known."""
        return self._decoder.format if isinstance(self._decoder, AutoDecoder) else self._format

    @property
    def series(self) -> list[int]:
        """Numbers of the series that have a sample, in the order in which they were met."""
        return [int(number) for number in np.unique(self._columns.series)]

    @property
    def spread_series(self) -> list[int]:
        """Numbers of the series that are on more than one partition."""
        pairs = np.unique(np.stack([self._columns.series, self._partition_of]), axis=1)
        found, counts = np.unique(pairs[0], return_counts=True)
        return [int(number) for number in found[counts > 1]]

    def interval_seconds(self, series: Iterable[int] | None = None) -> float | None:
        """Give the time between two samples of a series: the median over the series; None where none has two."""
        times = self._times_by_series(None if series is None else set(series))
        gaps = [float(np.median(np.diff(one))) for one in times if len(one) > 1]
        return float(np.median(gaps)) / 1000 if gaps else None

    def behind_seconds(self) -> float:
        """Give how far, at most, a sample lay behind the newest one before it in its partition."""
        behind = 0
        for partition in np.unique(self._partition_of):
            times = self._columns.time_ms[self._partition_of == partition]
            behind = max(behind, int((np.maximum.accumulate(times) - times).max(initial=0)))
        return behind / 1000

    def growing(self) -> list[str]:
        """Give names of metrics that are no counters, and yet never fall, and grow with most samples of one of their series.

        Time since a start is one, and so is a count that the format does not tell to be one. Names that say a level are left out.
        """
        columns = self._columns
        good = ~np.isnan(columns.value)
        order = np.lexsort((columns.time_ms[good], columns.series[good]))
        series, value = columns.series[good][order], columns.value[good][order]
        falls: set[str] = set()
        grows: set[str] = set()
        starts = np.flatnonzero(np.diff(series, prepend=-1))
        for first, last in zip(starts, np.append(starts, len(series))[1:], strict=True):
            one = self._table[int(series[first])]
            change = np.diff(value[first:last])
            if one.kind is not Kind.GAUGE or (change < 0).any():
                falls.add(one.name)
            elif last - first >= _FEWEST_GROWING and (change > 0).mean() >= 0.5:
                grows.add(one.name)
        return sorted(name for name in grows - falls if not _LEVELS & set(re.split(r"[^a-z]+", name.lower())))

    def partitions_of(self, row_of: NDArray[np.int32]) -> dict[int, set[int]]:
        """Give the partitions of each row, for rows by series number (negative: none)."""
        rows = row_of[self._columns.series]
        pairs = np.unique(np.stack([rows, self._partition_of])[:, rows >= 0], axis=1)
        found: dict[int, set[int]] = {}
        for row, partition in pairs.T.tolist():
            found.setdefault(row, set()).add(partition)
        return found

    @property
    def _columns(self) -> Columns:
        return self._all[0]

    @property
    def _partition_of(self) -> NDArray[np.int32]:
        return self._all[1]

    @property
    def _all(self) -> tuple[Columns, NDArray[np.int32]]:
        if self._joined is None:
            columns = concatenate(self._parts) if self._parts else no_samples()
            partitions = np.concatenate(self._partitions) if self._partitions else np.empty(0, np.int32)
            # What says that a series has ended is no sample of it; what is beyond the table's bound has no number.
            alive = ~is_stale(columns.value) & (columns.series >= 0)
            self._joined = (
                Columns(columns.series[alive], columns.time_ms[alive], columns.value[alive]),
                partitions[alive],
            )
        return self._joined

    def _times_by_series(self, series: set[int] | None) -> list[NDArray[np.int64]]:
        pairs = np.unique(np.stack([self._columns.series.astype(np.int64), self._columns.time_ms]), axis=1)
        starts = np.flatnonzero(np.diff(pairs[0], prepend=-1))
        parts = (
            zip(pairs[0][starts].tolist(), np.split(pairs[1], starts[1:]), strict=True) if len(starts) else ()
        )
        return [times for number, times in parts if series is None or number in series]


def group_of(entity_map: EntityTable, table: SeriesTable, surveys: Iterable[Survey]) -> Group:
    """Give what a watch would take of what was seen."""
    entity_map.update(table)
    numbers: set[int] = set()
    spread: set[int] = set()
    for survey in surveys:
        numbers.update(number for number in survey.series if entity_map.row_of[number] >= 0)
        spread.update(
            row for row, partitions in survey.partitions_of(entity_map.row_of).items() if len(partitions) > 1
        )
    taken = np.array(sorted(numbers), np.int64)
    rows, channels = np.unique(entity_map.row_of[taken]), np.unique(entity_map.channel_of[taken])
    names = tuple(entity_map.entities[row] for row in rows)
    return Group(len(taken), names, len(channels), tuple(entity_map.entities[row] for row in sorted(spread)))


def how_to_key(format_name: str | None, label: str) -> str:
    """Say which setting of the producer keeps an entity's records on one partition."""
    telegraf = f'Telegraf: routing_tag = "{label}" in [[outputs.kafka]]'
    collectd = 'collectd: Key "its host\'s name" in <Topic> of write_kafka'
    known = {
        "influx": telegraf,
        "telegraf_json": telegraf,
        "collectd_json": collectd,
        "graphite": collectd,
        "otlp_proto": "OpenTelemetry Collector: partition_metrics_by_resource_attributes: true in the kafka exporter",
    }
    known["otlp_json"] = known["otlp_proto"]
    return known.get(format_name or "", f"give each message the value of {label} as its key")
