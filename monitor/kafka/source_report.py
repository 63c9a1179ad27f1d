"""What the Kafka source reports with a batch: counts since the last one, and where each partition stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from monitor.kafka.backlog import Backlog
from monitor.kafka.client import Fetched, Partition
from monitor.kafka.progress import ReadProgress
from monitor.kafka.record_decoder import RecordDecoder
from monitor.sources.position import NOTHING_YET
from monitor.sources.source import SourceReport

__all__ = ["SourceReportBuilder"]


class SourceReportBuilder:
    """Counts what happens between two batches, and makes a report of it."""

    def __init__(self, progress: ReadProgress, decoder: RecordDecoder, backlog: Backlog) -> None:
        self._progress = progress
        self._decoder = decoder
        self._backlog = backlog
        self._log_ends: Mapping[Partition, int] = {}
        self._reset()

    def _reset(self) -> None:
        self._n_records: Counter[str] = Counter()
        self._n_bytes: Counter[str] = Counter()
        self._n_lost: Counter[str] = Counter()
        self._n_recreated: Counter[str] = Counter()
        self._commits: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._dead_letters: Counter[str] = Counter()
        self._n_rebalances = 0

    def count_records(self, topic: str, fetched: Fetched) -> None:
        """Count records that were handed out."""
        self._n_records[topic] += len(fetched.records) + fetched.n_empty
        self._n_bytes[topic] += sum(len(record.value) for record in fetched.records)

    def count_lost(self, topic: str, n_lost: int) -> None:
        """Count records that were deleted before they were read."""
        if n_lost:
            self._n_lost[topic] += n_lost

    def count_recreated(self, topic: str) -> None:
        """Count a topic that was deleted and made again."""
        self._n_recreated[topic] += 1

    def count_commit(self, result: str) -> None:
        """Count a commit: `done` or `failed`."""
        self._commits[result] += 1

    def count_error(self, reaction: str) -> None:
        """Count an error of the client by what follows: `retried` or `rebuilt`."""
        self._errors[reaction] += 1

    def count_dead_letters(self, counts: Mapping[str, int]) -> None:
        """Count dead letters by their results."""
        self._dead_letters += Counter(counts)  # leaves out results without a count

    def count_rebalance(self) -> None:
        """Count a rebalance that assigned partitions, or confirmed them."""
        self._n_rebalances += 1

    def know_log_ends(self, ends: Mapping[Partition, int]) -> None:
        """Keep the ends of the logs that the broker has sent; without its end a partition has no lag."""
        self._log_ends = ends

    def report(self, now_ms: int) -> SourceReport:
        """Give the counts since the last report, and where the partitions stand by a clock at `now_ms`."""
        partitions = [Partition.of(name) for name in self._progress.owned]
        newest_ms = {partition: self._progress.newest_ms(partition.name) for partition in partitions}
        lag = self._lag(partitions)
        report = SourceReport(
            self._n_records,
            self._n_bytes,
            self._n_lost,
            self._commits,
            self._errors,
            self._n_rebalances,
            lag,
            lag_seconds=_lag_seconds(lag, newest_ms, now_ms),
            newest_seconds={
                (partition.topic, partition.number): time_ms / 1000
                for partition, time_ms in newest_ms.items()
                if time_ms != NOTHING_YET
            },
            wrong_format={
                (partition.topic, partition.number): self._decoder.held_offset(partition) is not None
                for partition in partitions
            },
            dead_letters=self._dead_letters,
            n_recreated=self._n_recreated,
            n_queued=self._backlog.n_records,
            n_queued_bytes=self._backlog.n_bytes,
            paused=bool(self._backlog),
        )
        self._reset()
        return report

    def _lag(self, partitions: Iterable[Partition]) -> dict[tuple[str, int], int]:
        """Give the records between the next offset of each partition and the end of its log."""
        lag = {}
        for partition in partitions:
            offset = self._progress.offset(partition.name)
            end = self._log_ends.get(partition)
            if offset is not None and end is not None:
                lag[partition.topic, partition.number] = max(0, end - offset)
        return lag


def _lag_seconds(
    lag: Mapping[tuple[str, int], int], newest_ms: Mapping[Partition, int], now_ms: int
) -> dict[tuple[str, int], float]:
    """Give the time since each partition's newest sample while anything is left to read in it, else 0."""
    lag_seconds = {}
    for (topic, number), n_records in lag.items():
        time_ms = newest_ms[Partition(topic, number)]
        if not n_records:
            lag_seconds[topic, number] = 0.0
        elif time_ms != NOTHING_YET:
            lag_seconds[topic, number] = max(0.0, (now_ms - time_ms) / 1000)
    return lag_seconds
