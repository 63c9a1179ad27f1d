"""A Kafka cluster of lists, and the report on it."""

from __future__ import annotations

from monitor.config.decode import DecodeConfig
from monitor.config.watch import WatchConfig
from monitor.decode.record import Record
from monitor.discovery.cluster import inspect
from monitor.errors import SourceError
from monitor.kafka.topic_reader import Bounds, Peek

NOW = 1_000_000.0
NOTHING: dict = {}  # committed


class ListReader:
    """A cluster of lists: by topic and partition the records, each at its index as its offset."""

    def __init__(self, records, *, committed=NOTHING, seconds=None, refuses=()):
        self._records = records
        self._committed = committed
        self._seconds = iter(seconds) if seconds is not None else None
        self._refuses = refuses
        self.n_read = 0

    def seconds_left(self):
        return 30.0 if self._seconds is None else next(self._seconds)

    def topics(self):
        return {name: tuple(range(len(partitions))) for name, partitions in self._records.items()}

    def committed(self, partitions):
        return self._committed

    def bounds(self, topic, partitions):
        if topic in self._refuses:
            raise SourceError(f"asked where {topic} begins: this user may not read it")
        return {number: Bounds(0, len(self._records[topic][number])) for number in partitions}

    def since(self, topic, bounds, since_ms):
        offsets = {}
        for number in bounds:
            records = self._records[topic][number]
            recent = (offset for offset, record in enumerate(records) if record.time_ms >= since_ms)
            offsets[number] = next(recent, len(records))
        return offsets

    def read(self, topic, starts, bounds):
        for number, start in starts.items():
            records = self._records[topic][number][start:]
            self.n_read += len(records)
            yield Peek(number, records, 0, 0)


def line(age_seconds, host="h1", name="load", value=1.0):
    """Write a record of Influx's line protocol that is so old."""
    time_ms = round((NOW - age_seconds) * 1000)
    return Record(f"{name},host={host} v={value} {time_ms}000000".encode(), time_ms)


def inspect_lists(records, *wanted, watches=(), n_newest=1000, decode=None, **options):
    """Inspect a cluster of lists; give the report and the reader."""
    reader = ListReader(records, **options)
    configs = [WatchConfig(**watch) for watch in watches]
    report = inspect(reader, wanted, decode or DecodeConfig(), configs, now=NOW, n_newest=n_newest)
    return report, reader


def report_on(records, *wanted, **options):
    """Give the report on a cluster of lists."""
    return inspect_lists(records, *wanted, **options)[0]
