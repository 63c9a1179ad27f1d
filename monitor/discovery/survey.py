"""What a topic's newest records hold: format, series, intervals, and the partitions they are on; pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.decode.detect import AutoDecoder
from monitor.decode.record import Decoder, Record, Rejection
from monitor.decode.telegraf_kinds import telegraf_kind
from monitor.detection.entities import EntityTable
from monitor.sample import Columns, Kind, SeriesTable, concatenate, is_stale, no_samples

__all__ = ["MAX_SAMPLES", "Group", "Growth", "Survey", "group_of", "how_to_key"]

MAX_SAMPLES = 1_000_000  # of a topic: 20 MB; more would teach nothing
_FEWEST_GROWING = 4  # samples of a series before it counts as one that only grows
_FEWEST_RISES = 8  # before it counts as a counter: a level rises so often in a row in one of 256 cases
_RESET_SHARE = 0.1  # of the value before: a counter that begins anew has not come further within a step
_CLOCK_RATES = (1.0, 1e3, 1e6, 1e9)  # a second: uptimes and times, in seconds, ms, us and ns
# Words in the names of levels, which need not fall within a minute: a disk that fills up must be watched.
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
    """The series of some topics that a watch judges, by its own rules.

    `n_channels` counts the metrics, with their other labels, that would be inputs of the watch's network;
    `spread` names the entities that are on more than one partition of a topic.
    """

    n_series: int
    entities: tuple[str, ...]
    n_channels: int
    spread: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Growth:
    """Which metrics are gauges by their format, and yet never fall, by their names.

    `counters` fall only where they begin anew, or are documented counters of Telegraf. `growing` never fall,
    and are no counters as far as can be seen: they have risen too rarely, or rise as time does. `falling` are
    all that have fallen otherwise, or are known to be levels.
    """

    counters: frozenset[str]
    growing: frozenset[str]
    falling: frozenset[str]


class Survey:
    """Decodes a topic's records as they come, and keeps their samples, not the records.

    Parameters
    ----------
    table : SeriesTable
        Shared by all topics.
    """

    def __init__(self, topic: str, format_name: str, decoder: Decoder, table: SeriesTable) -> None:
        self.topic = topic
        self._format = format_name
        self._decoder = decoder
        self._table = table
        self._parts: list[Columns] = []
        self._partitions: list[NDArray[np.int32]] = []
        self.n_records = 0
        self.n_keyed = 0
        self.n_empty = 0
        self.rejected: Counter[str] = Counter()
        self.first_rejection: Rejection | None = None
        self.newest_ms: int | None = None  # by the records' own timestamps
        self.oldest_ms: int | None = None
        self._joined: tuple[Columns, NDArray[np.int32]] | None = None

    def add(self, partition: int, records: Sequence[Record], *, n_keyed: int, n_empty: int) -> None:
        """Decode records of a partition."""
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
        """Samples so far, those without a value among them."""
        return sum(map(len, self._parts))

    @property
    def format(self) -> str | None:
        """The format of the records, configured or detected; None where it is not known."""
        return self._decoder.format if isinstance(self._decoder, AutoDecoder) else self._format

    @property
    def series(self) -> list[int]:
        """Numbers of the series that have a sample, ascending: in the order of their first samples."""
        return [int(number) for number in np.unique(self._columns.series)]

    @property
    def spread_series(self) -> list[int]:
        """Numbers of the series that are on more than one partition."""
        pairs = np.unique(np.stack([self._columns.series, self._partition_of]), axis=1)
        numbers, counts = np.unique(pairs[0], return_counts=True)
        return [int(number) for number in numbers[counts > 1]]

    def interval_seconds(self, series: Iterable[int] | None = None) -> float | None:
        """Give the time between samples of a series, the median over the series; None where none has two."""
        times = self._times_by_series(None if series is None else set(series))
        gaps = [float(np.median(np.diff(times_ms))) for times_ms in times if len(times_ms) > 1]
        return float(np.median(gaps)) / 1000 if gaps else None

    def behind_seconds(self) -> float:
        """Give how far a sample lay behind the newest before it in its partition, at most."""
        behind = 0
        for partition in np.unique(self._partition_of):
            times = self._columns.time_ms[self._partition_of == partition]
            behind = max(behind, int((np.maximum.accumulate(times) - times).max(initial=0)))
        return behind / 1000

    def growth(self) -> Growth:
        """Tell which metrics only grow, though their format does not mark them as counters.

        They never fall in any series, apart from the resets of a counter, and grow with most samples, or
        often enough for a counter, in at least one. Names of levels are left out.
        """
        columns = self._columns
        good = ~np.isnan(columns.value)
        order = np.lexsort((columns.time_ms[good], columns.series[good]))
        series = columns.series[good][order]
        time_ms = columns.time_ms[good][order]
        value = columns.value[good][order]
        falls: set[str] = set()
        grows: set[str] = set()
        counts: set[str] = set()
        starts = np.flatnonzero(np.diff(series, prepend=-1))
        for first, last in zip(starts, np.append(starts, len(series))[1:], strict=True):
            metric = self._table[int(series[first])]
            documented = telegraf_kind(metric.name)
            if metric.kind is not Kind.GAUGE:
                continue
            if documented is Kind.GAUGE or _falls(value[first:last]):
                falls.add(metric.name)
            elif documented is Kind.COUNTER or _counts(time_ms[first:last], value[first:last]):
                counts.add(metric.name)
            elif last - first >= _FEWEST_GROWING and (np.diff(value[first:last]) > 0).mean() >= 0.5:
                grows.add(metric.name)
        levels = {name for name in grows | counts if _says_level(name)}
        counts -= falls | levels
        return Growth(frozenset(counts), frozenset(grows - falls - levels - counts), frozenset(falls))

    def partitions_of(self, row_of: NDArray[np.int32]) -> dict[int, set[int]]:
        """Give the partitions of each row; `row_of` holds rows by series number, negative for none."""
        rows = row_of[self._columns.series]
        pairs = np.unique(np.stack([rows, self._partition_of])[:, rows >= 0], axis=1)
        partitions: dict[int, set[int]] = {}
        for row, partition in pairs.T.tolist():
            partitions.setdefault(row, set()).add(partition)
        return partitions

    @property
    def _columns(self) -> Columns:
        return self._samples[0]

    @property
    def _partition_of(self) -> NDArray[np.int32]:
        return self._samples[1]

    @property
    def _samples(self) -> tuple[Columns, NDArray[np.int32]]:
        if self._joined is None:
            columns = concatenate(self._parts) if self._parts else no_samples()
            partitions = np.concatenate(self._partitions) if self._partitions else np.empty(0, np.int32)
            # The mark of a series' end is no sample; a series beyond the table's bound has no number.
            alive = ~is_stale(columns.value) & (columns.series >= 0)
            self._joined = (
                Columns(columns.series[alive], columns.time_ms[alive], columns.value[alive]),
                partitions[alive],
            )
        return self._joined

    def _times_by_series(self, series: set[int] | None) -> list[NDArray[np.int64]]:
        pairs = np.unique(np.stack([self._columns.series.astype(np.int64), self._columns.time_ms]), axis=1)
        starts = np.flatnonzero(np.diff(pairs[0], prepend=-1))
        if not len(starts):
            return []
        times_by_number = zip(pairs[0][starts].tolist(), np.split(pairs[1], starts[1:]), strict=True)
        return [times for number, times in times_by_number if series is None or number in series]


def _says_level(name: str) -> bool:
    is_documented = telegraf_kind(name) is Kind.COUNTER
    return not is_documented and bool(_LEVELS & set(re.split(r"[^a-z]+", name.lower())))


def _falls(value: NDArray[np.float64]) -> bool:
    """Tell whether values fall otherwise than a counter does that begins anew, after many rises."""
    change = np.diff(value)
    falls = change < 0
    resets = falls & (value[1:] >= 0) & (value[1:] <= _RESET_SHARE * value[:-1])
    n_rises = int((change > 0).sum())
    return bool((falls & ~resets).any()) or n_rises < _FEWEST_RISES * int(resets.sum())


def _counts(time_ms: NDArray[np.int64], value: NDArray[np.float64]) -> bool:
    """Tell whether values have risen often enough for a counter, and not as time does.

    They do not fall, but where they begin anew.
    """
    change, seconds = np.diff(value), np.diff(time_ms) / 1000
    change, seconds = change[change >= 0], seconds[change >= 0]
    if (change > 0).sum() < _FEWEST_RISES or (value < 0).any():
        return False
    return not any(
        (np.abs(change - rate * seconds) <= np.maximum(1.0, 0.05 * rate * seconds)).all()
        and abs(change.sum() / (rate * seconds.sum()) - 1) < 0.02
        for rate in _CLOCK_RATES
    )


def group_of(entities: EntityTable, table: SeriesTable, surveys: Iterable[Survey]) -> Group:
    """Give the series that a watch with these entities would judge."""
    entities.update(table)
    numbers: set[int] = set()
    spread: set[int] = set()
    for survey in surveys:
        numbers.update(number for number in survey.series if entities.row_of[number] >= 0)
        partitions_of = survey.partitions_of(entities.row_of)
        spread.update(row for row, partitions in partitions_of.items() if len(partitions) > 1)
    judged = np.array(sorted(numbers), np.int64)
    rows = np.unique(entities.row_of[judged])
    channels = np.unique(entities.column_of[judged])
    return Group(
        len(judged),
        entities=tuple(entities.entities[row] for row in rows),
        n_channels=len(channels),
        spread=tuple(entities.entities[row] for row in sorted(spread)),
    )


def how_to_key(format_name: str | None, label: str) -> str:
    """Say which setting of the producer keeps an entity's records on one partition."""
    telegraf = f'Telegraf: routing_tag = "{label}" in [[outputs.kafka]]'
    collectd = 'collectd: Key "its host\'s name" in <Topic> of write_kafka'
    collector = (
        "OpenTelemetry Collector: partition_metrics_by_resource_attributes: true in the kafka exporter"
    )
    settings = {
        "influx": telegraf,
        "telegraf_json": telegraf,
        "collectd_json": collectd,
        "graphite": collectd,
        "otlp_proto": collector,
        "otlp_json": collector,
    }
    return settings.get(format_name or "", f"give each message the value of {label} as its key")
