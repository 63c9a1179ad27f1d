"""The exported metrics: one group of instruments for each subsystem, and those of the daemon itself."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import get_args

from prometheus_client import CollectorRegistry

from monitor.alerting.alert import Alert
from monitor.detection.pipeline import Decision, RejectReason
from monitor.detection.view import WatchView
from monitor.metrics.catalogue import Catalogue
from monitor.metrics.kafka_metrics import KafkaMetrics
from monitor.metrics.model_metrics import ModelMetrics
from monitor.metrics.remote_write_metrics import RemoteWriteMetrics
from monitor.metrics.storage_metrics import StorageMetrics
from monitor.metrics.watch_metrics import DEPRECATED_NAMES, WatchCounters, WatchGauges
from monitor.sample import SeriesTable
from monitor.sources.source import ReceiverReport, SourceReport

__all__ = ["Metrics"]

log = logging.getLogger(__name__)

# From an idle poll to a full batch after an outage.
_BATCH_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)


class Metrics:
    """All instruments, on the registry passed in.

    Parameters
    ----------
    optional : collection of str
        The watches for which it is no fault that no series matches.

    Attributes
    ----------
    models, storage : ModelMetrics, StorageMetrics
        The groups that the daemon's parts report to by themselves.
    catalogue : Catalogue
        Every declared metric, for the documentation.
    """

    def __init__(
        self, registry: CollectorRegistry, watches: Sequence[str], optional: Collection[str] = ()
    ) -> None:
        self.registry = registry
        self.catalogue = Catalogue(registry)
        self._rejected = self.catalogue.counter(
            "barograph_samples_rejected_total",
            "Samples that no watch is given: gap (NaN), stale_marker (the end of a series), not_finite (or "
            "beyond 3.4e38), future (too far ahead), over_limit (their series is over source.max_series).",
            "reason",
        )
        self._bad_records = self.catalogue.counter(
            "barograph_bad_records_total", "Records that could not be read.", "reason"
        )
        self._counters = WatchCounters(self.catalogue, watches)
        self._gauges = WatchGauges(self.catalogue, watches, optional)
        self.models = ModelMetrics(self.catalogue, watches)
        self.storage = StorageMetrics(self.catalogue, watches)
        self._ready = self.catalogue.gauge(
            "barograph_source_ready", "1 while the source is open and answers, else 0."
        )
        self._kafka = KafkaMetrics(self.catalogue)
        self._remote_write = RemoteWriteMetrics(self.catalogue)
        self._series = self.catalogue.gauge(
            "barograph_series", "Series known, whether a watch takes them or not."
        )
        self._series_limit = self.catalogue.gauge("barograph_series_limit", "The setting source.max_series.")
        self._not_exported = self.catalogue.gauge(
            "barograph_series_not_exported",
            "Series left out of a scrape because web.max_exported_series allows no more; values that are not "
            "exported without web.export_all_channels do not count.",
        )
        self._last_batch = self.catalogue.gauge(
            "barograph_last_batch_timestamp_seconds",
            "When the last batch was finished, or the daemon was started, by this machine's clock.",
        )
        self._duration = self.catalogue.histogram(
            "barograph_batch_duration_seconds",
            "Time to bring one batch from samples to alerts.",
            buckets=_BATCH_SECONDS,
        )
        self._build = self.catalogue.gauge("barograph_build_info", "Version of this program.", "version")
        for reason in get_args(RejectReason):
            self._rejected.labels(reason)

    def started(
        self,
        version: str,
        views: Iterable[WatchView],
        *,
        now: float,
        withheld: AbstractSet[str] = frozenset(),
    ) -> None:
        """Show which program this is and the state that it resumes; its loop counts as alive from now on.

        Logs a warning for each metric that is still exported under an old name.

        Parameters
        ----------
        now : float
            Seconds since the epoch.
        withheld : set of str
            Open episodes without a notification, by identity: they are not shown as open.
        """
        for old, new in DEPRECATED_NAMES.items():
            log.warning("metric %s is deprecated: it is %s now; the old name will go in 0.3", old, new)
        self._build.labels(version).set(1)
        for view in views:
            self._gauges.show(view, withheld)
        self._last_batch.set(now)

    def batch_done(
        self,
        decision: Decision,
        views: Iterable[WatchView],
        n_bad: Iterable[tuple[str, int]],
        *,
        duration_seconds: float,
        now: float,
        withheld: AbstractSet[str] = frozenset(),
    ) -> None:
        """Count what one batch did, and show where the watches stand.

        `now` and `withheld` are those of `started`.
        """
        for rejected, count in decision.rejected.items():
            self._rejected.labels(rejected).inc(count)
        for reason, count in n_bad:
            self._bad_records.labels(reason).inc(count)
        self._counters.count_alerts(decision.alerts)
        for view in views:
            report = decision.reports[view.name]
            self._counters.count(view.name, report)
            self._gauges.count_coverage(view.name, report)
            self._gauges.show(view, withheld)
        self._duration.observe(duration_seconds)
        self._last_batch.set(now)

    def entities_muted(self, entities: AbstractSet[tuple[str, str]]) -> None:
        """Show how many entities, each with its watch, are muted."""
        self._gauges.count_muted(entities)

    def count_withheld(self, alerts: Iterable[Alert]) -> None:
        """Count the episodes among withheld alerts that ended without a notification."""
        self._counters.count_withheld(alerts)

    def source_polled(self, report: SourceReport | ReceiverReport | None, *, ready: bool) -> None:
        """Show whether the source is open, and count what it did, where it has topics or is sent requests."""
        self._ready.set(ready)
        if isinstance(report, ReceiverReport):
            self._remote_write.count(report)
        elif report is not None:
            self._kafka.count(report)

    def series_known(self, table: SeriesTable) -> None:
        """Show how many series have a number, and how many may."""
        self._series.set(table.n_known)
        if table.max_series is not None:
            self._series_limit.set(table.max_series)

    def not_exported(self, n_series: int) -> None:
        """Show how many series of entities the cap keeps out of a scrape."""
        self._not_exported.set(n_series)
