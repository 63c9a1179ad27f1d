"""Instruments of a source with topics and partitions."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Gauge

from monitor.kafka.dead_letter import DEAD_LETTER_RESULTS
from monitor.metrics.catalogue import Catalogue
from monitor.sources.source import SourceReport

__all__ = ["KafkaMetrics"]

# As `SourceReport` counts them.
_COMMIT_RESULTS = ("done", "failed")
_ERROR_REACTIONS = ("retried", "rebuilt")


class KafkaMetrics:
    """What the source has read, committed and sent as dead letters, and how far behind each partition is."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._records = catalogue.counter("barograph_kafka_records_total", "Records read.", "topic")
        self._bytes = catalogue.counter(
            "barograph_kafka_bytes_total", "Bytes of the records read, without keys and headers.", "topic"
        )
        self._lost = catalogue.counter(
            "barograph_kafka_records_lost_total",
            "Records deleted by the broker before they were read.",
            "topic",
        )
        self._recreated = catalogue.counter(
            "barograph_kafka_topics_recreated_total",
            "How often a topic was deleted and made again after it was read; it is read from its new "
            "beginning. Brokers before Kafka 2.8 do not show it.",
            "topic",
        )
        self._dead_letters = catalogue.counter(
            "barograph_dead_letters_total",
            "Records that could not be read, by what became of them as dead letters: sent, failed, dropped "
            "(too many were waiting), withheld (their partition is in a wrong format). Always 0 without "
            "source.kafka.dead_letter_topic.",
            "result",
        )
        self._commits = catalogue.counter(
            "barograph_kafka_commits_total", "Commits to the consumer group.", "result"
        )
        self._errors = catalogue.counter(
            "barograph_kafka_errors_total",
            "Errors of the Kafka client: retried, or the consumer rebuilt.",
            "reaction",
        )
        self._rebalances = catalogue.counter(
            "barograph_kafka_rebalances_total", "Assignments received from the group."
        )
        self._queued = catalogue.gauge(
            "barograph_kafka_queue_records", "Records fetched and not processed yet."
        )
        self._queued_bytes = catalogue.gauge(
            "barograph_kafka_queue_bytes", "Bytes of the records in the queue."
        )
        self._paused = catalogue.gauge(
            "barograph_kafka_paused", "1 while fetching pauses because records are still queued, else 0."
        )
        self._lag = catalogue.gauge(
            "barograph_kafka_lag_records",
            "Records in the partition that were not read yet.",
            "topic",
            "partition",
        )
        self._lag_seconds = catalogue.gauge(
            "barograph_kafka_lag_seconds",
            "Time between the newest event time read and now; 0 where nothing is left to read.",
            "topic",
            "partition",
        )
        self._newest = catalogue.gauge(
            "barograph_kafka_newest_timestamp_seconds", "Newest event time read.", "topic", "partition"
        )
        self._wrong_format = catalogue.gauge(
            "barograph_kafka_wrong_format",
            "1 while most records cannot be read and offsets are not committed, else 0.",
            "topic",
            "partition",
        )
        self._shown: dict[Gauge, set[tuple[str, int]]] = {}  # the partitions that each gauge shows
        for result in _COMMIT_RESULTS:
            self._commits.labels(result)
        for dead_letter_result in DEAD_LETTER_RESULTS:
            self._dead_letters.labels(dead_letter_result)
        for reaction in _ERROR_REACTIONS:
            self._errors.labels(reaction)

    def count(self, report: SourceReport) -> None:
        """Count what the source has done since its last report, and show where it stands."""
        for counter, counts in (
            (self._records, report.n_records),
            (self._bytes, report.n_bytes),
            (self._lost, report.n_lost),
            (self._recreated, report.n_recreated),
            (self._commits, report.commits),
            (self._errors, report.errors),
            (self._dead_letters, report.dead_letters),
        ):
            for label, count in counts.items():
                counter.labels(label).inc(count)
        self._rebalances.inc(report.n_rebalances)
        self._queued.set(report.n_queued)
        self._queued_bytes.set(report.n_queued_bytes)
        self._paused.set(report.paused)
        self._show_partitions(self._lag, report.lag)
        self._show_partitions(self._lag_seconds, report.lag_seconds)
        self._show_partitions(self._newest, report.newest_seconds)
        self._show_partitions(self._wrong_format, report.wrong_format)

    def _show_partitions(self, gauge: Gauge, values: Mapping[tuple[str, int], float]) -> None:
        """Set a gauge for each partition, and remove the partitions that are no longer read."""
        for topic, partition in self._shown.get(gauge, set()) - set(values):
            gauge.remove(topic, str(partition))
        for (topic, partition), value in values.items():
            gauge.labels(topic, str(partition)).set(value)
        self._shown[gauge] = set(values)
