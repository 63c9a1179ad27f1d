"""Every metric that Barograph exports, declared once; and the text of a scrape, rendered ahead of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitor.alerting.alert import Alert, ResolveReason
from monitor.alerting.corrections import REVISION_KINDS
from monitor.alerting.episodes import SUPPRESSED_REASONS
from monitor.detection.pipeline import Decision
from monitor.detection.scored_step import Reason
from monitor.detection.watch import Watch
from monitor.kafka.dead_letter import DEAD_LETTER_RESULTS
from monitor.sample import SeriesTable
from monitor.sources.source import SourceReport

__all__ = ["SKIPPED_REASONS", "TRAINING_RESULTS", "Metrics", "withheld_rows"]


TRAINING_RESULTS = ("promoted", "refused", "failed", "timed_out", "skipped")
SKIPPED_REASONS = ("gone", "unreadable", "settings")


class Metrics:
    """The daemon's own metrics, on the registry passed in."""

    def __init__(self, registry: CollectorRegistry, watches: Iterable[str]) -> None:
        self.registry = registry
        self._samples = Counter(
            "barograph_samples_total",
            "Samples of a watch by what became of them: accepted, revised (late, and put into closed steps), late (and dropped), or "
            "refused, as the watch has no room for their series.",
            ["watch", "result"],
            registry=registry,
        )
        self._rejected = Counter(
            "barograph_samples_rejected_total",
            "Samples that are no values to a watch: gap (NaN), stale marker (the end of a series), not finite or beyond 3.4e38, "
            "too far in the future; or of a series that is over source.max_series.",
            ["reason"],
            registry=registry,
        )
        self._bad_records = Counter("barograph_bad_records_total", "Records that could not be read.", ["reason"], registry=registry)
        self._steps = Counter("barograph_steps_closed_total", "Grid steps closed.", ["watch"], registry=registry)
        self._repeated = Counter(
            "barograph_steps_repeated_total",
            "Grid steps judged again behind a restart that found no state: they fill windows, and are not reported again.",
            ["watch"],
            registry=registry,
        )
        self._scored = Counter(
            "barograph_windows_scored_total", "Windows judged: one for each entity and step.", ["watch"], registry=registry
        )
        self._not_judged = Counter(
            "barograph_windows_not_judged_total", "Windows not judged, by reason.", ["watch", "reason"], registry=registry
        )
        self._over_limit = Counter("barograph_over_limit_total", "Windows with a score of 1 or more.", ["watch"], registry=registry)
        self._suppressed = Counter(
            "barograph_suppressed_total",
            "Over-limit windows that became no part of an episode, by reason.",
            ["watch", "reason"],
            registry=registry,
        )
        self._opened = Counter("barograph_episodes_opened_total", "Episodes opened.", ["watch"], registry=registry)
        self._resolved = Counter("barograph_episodes_resolved_total", "Episodes ended, by reason.", ["watch", "reason"], registry=registry)
        self._open = Gauge(
            "barograph_episodes_open", "Episodes open now, without those held back as too old.", ["watch"], registry=registry
        )
        self._provisional = Gauge(
            "barograph_limit_provisional",
            "1 while the limit rests on less history than the budget's period, else 0.",
            ["watch"],
            registry=registry,
        )
        self._entities = Gauge(
            "barograph_entities", "Entities known: seen and not forgotten, or of the model.", ["watch"], registry=registry
        )
        self._expected = Gauge(
            "barograph_entities_expected",
            "Entities that have shown enough to be judged, in training or live, and are not gone.",
            ["watch"],
            registry=registry,
        )
        self._judged = Gauge(
            "barograph_entities_judged", "Expected entities whose newest judged step is as fresh as can be.", ["watch"], registry=registry
        )
        self._channels = Gauge("barograph_channels", "Channels that a window of the watch has.", ["watch"], registry=registry)
        self._ignored = Gauge(
            "barograph_series_ignored", "Series left out because the model does not know their channel.", ["watch"], registry=registry
        )
        self._has_network = Gauge(
            "barograph_model_loaded",
            "1 if a trained network judges the watch, 0 if the companions judge alone.",
            ["watch"],
            registry=registry,
        )
        self._model = Gauge("barograph_model_info", "Version of the bundle in use.", ["watch", "version"], registry=registry)
        self._load_failures = Counter(
            "barograph_model_load_failures_total", "Bundles refused when they were loaded.", ["watch"], registry=registry
        )
        self._checkpoint = Gauge(
            "barograph_last_checkpoint_timestamp_seconds", "When state was last kept, by this machine's clock.", registry=registry
        )
        self._checkpoint_failures = Counter(
            "barograph_checkpoint_failures_total", "Checkpoints that could not be written or read.", registry=registry
        )
        self._swaps = Counter("barograph_model_swaps_total", "Models that took over while the daemon ran.", ["watch"], registry=registry)
        self._trainings = Counter(
            "barograph_training_runs_total", "Trainings on the history, by what came of them.", ["watch", "result"], registry=registry
        )
        self._last_training = Gauge(
            "barograph_training_last_success_timestamp_seconds",
            "When a training last came to a decision, promoted or refused, by this machine's clock.",
            ["watch"],
            registry=registry,
        )
        self._training_seconds = Gauge(
            "barograph_training_duration_seconds", "How long the last training took.", ["watch"], registry=registry
        )
        self._gate_error = Gauge(
            "barograph_gate_error_ratio",
            "Calibrated error on held-out steps at the last decision, over the champion's scale; role: challenger, opponent.",
            ["watch", "role"],
            registry=registry,
        )
        self._gate_over_limit = Gauge(
            "barograph_gate_over_limit_ratio",
            "Share of held-out blocks over the limit at the last decision; role: challenger, opponent, allowed (by the budget).",
            ["watch", "role"],
            registry=registry,
        )
        self._gate_caught = Gauge(
            "barograph_gate_caught_ratio",
            "Share of injected faults caught at the last decision; role: challenger, opponent.",
            ["watch", "role"],
            registry=registry,
        )
        self._history_bytes = Gauge("barograph_history_bytes", "Size of the kept history.", ["watch"], registry=registry)
        self._history_failures = Counter(
            "barograph_history_failures_total",
            "Segments of history that could not be written; their steps are lost to it.",
            ["watch"],
            registry=registry,
        )
        self._history_skipped = Counter(
            "barograph_history_segments_skipped_total",
            "Segments that a training passed over, by reason: gone, unreadable, kept under other settings.",
            ["watch", "reason"],
            registry=registry,
        )
        self._watermark = Gauge(
            "barograph_watermark_timestamp_seconds", "Event time up to which steps are closed.", ["watch"], registry=registry
        )
        self._hidden = Gauge(
            "barograph_series_not_exported", "Series of entities left out of a scrape by web.max_exported_series.", registry=registry
        )
        self._last_batch = Gauge(
            "barograph_last_batch_timestamp_seconds",
            "When the last batch was finished, or the daemon was started, by this machine's clock.",
            registry=registry,
        )
        self._duration = Histogram(
            "barograph_batch_duration_seconds",
            "Time to bring one batch from samples to alerts.",
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
            registry=registry,
        )
        self._declare_revisions(registry)
        self._declare_source(registry)
        self._declare_bounds(registry)
        self._declare_alert_history(registry)
        self._build = Gauge("barograph_build_info", "Version of this program.", ["version"], registry=registry)
        for reason in ("gap", "stale_marker", "not_finite", "future", "over_limit"):
            self._rejected.labels(reason)
        for watch in watches:
            self._start_at_zero(watch)

    def _declare_alert_history(self, registry: CollectorRegistry) -> None:
        self.withheld: AbstractSet[str] = frozenset()  # open episodes that nobody is told of yet, by identity: shown as if they were not
        self._withheld = Counter(
            "barograph_episodes_quiet_total",
            "Episodes that were over too long ago to be told, by alerts.max_alert_age_seconds; the alert history has them.",
            ["watch"],
            registry=registry,
        )
        self._alert_history_failures = Counter(
            "barograph_alert_history_failures_total",
            "Times that the alert history could not be written or read; alerts go out all the same.",
            registry=registry,
        )

    def _declare_revisions(self, registry: CollectorRegistry) -> None:
        self._judged_again = Counter(
            "barograph_windows_revised_total", "Windows judged again because samples came late for them.", ["watch"], registry=registry
        )
        self._alerts_revised = Counter(
            "barograph_alerts_revised_total",
            "Alerts that late samples corrected; kind: amended (it reads otherwise, or has ended), retracted (it should not have been), "
            "opened (it should have been).",
            ["watch", "kind"],
            registry=registry,
        )

    def _declare_source(self, registry: CollectorRegistry) -> None:
        self._ready = Gauge("barograph_source_ready", "1 while the source is open and answers, else 0.", registry=registry)
        self._kafka_records = Counter("barograph_kafka_records_total", "Records read.", ["topic"], registry=registry)
        self._kafka_bytes = Counter(
            "barograph_kafka_bytes_total", "Bytes of the records read, without keys and headers.", ["topic"], registry=registry
        )
        self._kafka_lost = Counter(
            "barograph_kafka_records_lost_total", "Records deleted by the broker before they were read.", ["topic"], registry=registry
        )
        self._kafka_lag = Gauge(
            "barograph_kafka_lag_records", "Records that are there and not read yet.", ["topic", "partition"], registry=registry
        )
        self._kafka_lag_seconds = Gauge(
            "barograph_kafka_lag_seconds",
            "Time between the newest event time read and now; 0 where nothing is left to read.",
            ["topic", "partition"],
            registry=registry,
        )
        self._kafka_newest = Gauge(
            "barograph_kafka_newest_timestamp_seconds", "Newest event time read.", ["topic", "partition"], registry=registry
        )
        self._kafka_wrong_format = Gauge(
            "barograph_kafka_wrong_format",
            "1 while most records cannot be read and the commit is held, else 0.",
            ["topic", "partition"],
            registry=registry,
        )
        self._dead_letters = Counter(
            "barograph_dead_letters_total",
            "Records that could not be read, by what became of them as dead letters: sent, failed, dropped because too many were waiting, "
            "withheld because their partition is in a wrong format. Nothing is counted without source.kafka.dead_letter_topic.",
            ["result"],
            registry=registry,
        )
        self._kafka_queued = Gauge("barograph_kafka_queue_records", "Records fetched and not dealt with yet.", registry=registry)
        self._kafka_queued_bytes = Gauge("barograph_kafka_queue_bytes", "Bytes of the records in the queue.", registry=registry)
        self._kafka_paused = Gauge(
            "barograph_kafka_paused", "1 while the queue holds something and nothing more is fetched, else 0.", registry=registry
        )
        self._kafka_commits = Counter("barograph_kafka_commits_total", "Commits to the consumer group.", ["result"], registry=registry)
        self._kafka_errors = Counter(
            "barograph_kafka_errors_total",
            "Errors of the Kafka client: retried, or the consumer rebuilt.",
            ["reaction"],
            registry=registry,
        )
        self._kafka_rebalances = Counter("barograph_kafka_rebalances_total", "Assignments received from the group.", registry=registry)
        self._shown: dict[str, set[tuple[str, int]]] = {}  # by metric: the partitions that it shows
        for result in ("done", "failed"):
            self._kafka_commits.labels(result)
        for letter_result in DEAD_LETTER_RESULTS:
            self._dead_letters.labels(letter_result)
        for reaction in ("retried", "rebuilt"):
            self._kafka_errors.labels(reaction)

    def _declare_bounds(self, registry: CollectorRegistry) -> None:
        self._conflicting = Counter(
            "barograph_samples_conflicting_total",
            "Samples that gave another value for a series and time than one that was there; of both the larger stands.",
            ["watch"],
            registry=registry,
        )
        self._series = Gauge("barograph_series", "Series known, whether a watch takes them or not.", registry=registry)
        self._series_limit = Gauge("barograph_series_limit", "The setting source.max_series.", registry=registry)
        self._forgotten = Counter(
            "barograph_entities_forgotten_total",
            "Entities let go of because they had been gone for long; one that comes back warms up anew.",
            ["watch"],
            registry=registry,
        )
        self._refused = Gauge(
            "barograph_series_refused",
            "Series left out because the watch has no room for them (watch.max_series).",
            ["watch"],
            registry=registry,
        )
        self._places = Gauge(
            "barograph_watch_series", "Series that the watch keeps a place for: entities times channels.", ["watch"], registry=registry
        )
        self._places_limit = Gauge("barograph_watch_series_limit", "The setting watch.max_series.", ["watch"], registry=registry)

    def _start_at_zero(self, watch: str) -> None:
        for result in ("accepted", "revised", "late", "refused"):
            self._samples.labels(watch, result)
        for kind in REVISION_KINDS:
            self._alerts_revised.labels(watch, kind)
        for reason in Reason:
            if reason is not Reason.JUDGED:
                self._not_judged.labels(watch, reason.name.lower())
        for suppressed in SUPPRESSED_REASONS:
            self._suppressed.labels(watch, suppressed)
        for resolved in get_args(ResolveReason):
            self._resolved.labels(watch, resolved)
        for result in TRAINING_RESULTS:
            self._trainings.labels(watch, result)
        for skipped in SKIPPED_REASONS:
            self._history_skipped.labels(watch, skipped)
        failures = (self._load_failures, self._history_failures)
        steps = (self._steps, self._repeated, self._forgotten, self._conflicting, self._scored, self._judged_again, self._over_limit)
        episodes = (self._opened, self._open, self._withheld)
        for metric in (*steps, *episodes, self._swaps, *failures):
            metric.labels(watch)

    def started(self, version: str, watches: Iterable[Watch], now: float) -> None:
        """Say which program this is and what it goes on from; its loop counts as alive from now on."""
        self._build.labels(version).set(1)
        for watch in watches:
            self._show(watch)
        self._last_batch.set(now)

    def model_loaded(self, watch: str, version: str | None) -> None:
        """Say which bundle judges a watch; None where the companions judge alone."""
        self._has_network.labels(watch).set(version is not None)
        if version is not None:
            self._model.labels(watch, version).set(1)

    def model_refused(self, watch: str) -> None:
        """Count a bundle that could not be loaded."""
        self._load_failures.labels(watch).inc()

    def model_swapped(self, watch: str, old: str | None, new: str) -> None:
        """Say that another bundle judges a watch now."""
        if old is not None:
            self._model.remove(watch, old)
        self.model_loaded(watch, new)
        self._swaps.labels(watch).inc()

    def training_done(self, watch: str, result: str, *, duration_seconds: float, now: float) -> None:
        """Count a training; `result` is one of `TRAINING_RESULTS`."""
        self._trainings.labels(watch, result).inc()
        self._training_seconds.labels(watch).set(duration_seconds)
        if result in ("promoted", "refused"):
            self._last_training.labels(watch).set(now)

    def training_known(self, watch: str, made_at: float) -> None:
        """Say when the newest model of a watch was made, where that was before this daemon started."""
        self._last_training.labels(watch).set(made_at)

    def training_left_out(self, watch: str) -> None:
        """Count a training that was due while the one before it still ran."""
        self._trainings.labels(watch, "skipped").inc()

    def gate_decided(
        self,
        watch: str,
        *,
        error: Mapping[str, float | None],
        over_limit: Mapping[str, float],
        caught: Mapping[str, float],
    ) -> None:
        """Show the numbers of a decision, each by role."""
        for metric, numbers in ((self._gate_error, error), (self._gate_over_limit, over_limit), (self._gate_caught, caught)):
            for role, number in numbers.items():
                if number is not None:
                    metric.labels(watch, role).set(number)

    def history_kept(self, watch: str, n_bytes: int) -> None:
        """Say how large a history is."""
        self._history_bytes.labels(watch).set(n_bytes)

    def history_failed(self, watch: str) -> None:
        """Count a segment that could not be written."""
        self._history_failures.labels(watch).inc()

    def history_skipped(self, watch: str, skipped: Mapping[str, int]) -> None:
        """Count the segments that a training passed over, by reason."""
        for reason, count in skipped.items():
            self._history_skipped.labels(watch, reason).inc(count)

    def checkpoint_saved(self, now: float) -> None:
        """Say when state was kept."""
        self._checkpoint.set(now)

    def checkpoint_failed(self) -> None:
        """Count a checkpoint that could not be written or read."""
        self._checkpoint_failures.inc()

    def alert_history_failed(self) -> None:
        """Count a failure of the alert history."""
        self._alert_history_failures.inc()

    def batch_done(
        self, decision: Decision, watches: Iterable[Watch], n_bad: Iterable[tuple[str, int]], *, duration_seconds: float, now: float
    ) -> None:
        """Count what one batch did."""
        for rejected, count in decision.rejected.items():
            self._rejected.labels(rejected).inc(count)
        for reason, count in n_bad:
            self._bad_records.labels(reason).inc(count)
        for alert in decision.alerts:
            if alert.amends:
                continue  # it neither opens nor ends
            if alert.resolved_ms is None:
                self._opened.labels(alert.watch).inc()
            else:
                self._resolved.labels(alert.watch, alert.reason).inc()
        for watch in watches:
            self._count_watch(watch, decision)
        self._duration.observe(duration_seconds)
        self._last_batch.set(now)

    def _count_watch(self, watch: Watch, decision: Decision) -> None:
        name, report = watch.name, decision.reports[watch.name]
        self._samples.labels(name, "accepted").inc(report.n_samples - report.n_late - report.n_revised)
        self._samples.labels(name, "late").inc(report.n_late)
        self._samples.labels(name, "revised").inc(report.n_revised)
        self._judged_again.labels(name).inc(report.n_judged_again)
        for kind, count in report.revised.items():
            self._alerts_revised.labels(name, kind).inc(count)
        self._samples.labels(name, "refused").inc(report.n_refused)
        self._forgotten.labels(name).inc(report.n_forgotten)
        self._conflicting.labels(name).inc(report.n_conflicting)
        self._steps.labels(name).inc(report.n_steps)
        self._repeated.labels(name).inc(report.n_repeated)
        self._scored.labels(name).inc(report.n_scored)
        self._over_limit.labels(name).inc(report.n_over_limit)
        for reason, count in report.not_judged.items():
            self._not_judged.labels(name, reason).inc(count)
        for reason, count in report.suppressed.items():
            self._suppressed.labels(name, reason).inc(count)
        self._expected.labels(name).set(report.n_expected)
        self._judged.labels(name).set(report.n_judged)
        self._show(watch)

    def _show(self, watch: Watch) -> None:
        name = watch.name
        self._open.labels(name).set(len(watch.open_alerts) - len(withheld_rows(watch, self.withheld)))
        self._entities.labels(name).set(len(watch.entities.entities))
        self._channels.labels(name).set(len(watch.entities.channels))
        self._ignored.labels(name).set(watch.entities.n_ignored)
        self._refused.labels(name).set(watch.entities.n_refused)
        self._places.labels(name).set(len(watch.entities.entities) * len(watch.entities.channels))
        if watch.entities.max_series is not None:
            self._places_limit.labels(name).set(watch.entities.max_series)
        limit = watch.scorer.limit
        if limit is not None:
            self._provisional.labels(name).set(limit.provisional)
        if watch.grid.watermark_ms is not None:
            self._watermark.labels(name).set(watch.grid.watermark_ms / 1000)

    def count_withheld(self, withheld: Iterable[Alert]) -> None:
        """Count the episodes that ended without having been told."""
        for alert in withheld:
            if alert.resolved_ms is not None and not alert.amends:
                self._withheld.labels(alert.watch).inc()

    def source_turned(self, report: SourceReport | None, *, ready: bool) -> None:
        """Say whether the source is open, and count what it did, where it is one with topics."""
        self._ready.set(ready)
        if report is None:
            return
        for counter, counts in (
            (self._kafka_records, report.n_records),
            (self._kafka_bytes, report.n_bytes),
            (self._kafka_lost, report.n_lost),
            (self._kafka_commits, report.commits),
            (self._kafka_errors, report.errors),
            (self._dead_letters, report.dead_letters),
        ):
            for label, count in counts.items():
                counter.labels(label).inc(count)
        self._kafka_rebalances.inc(report.n_rebalances)
        self._kafka_queued.set(report.n_queued)
        self._kafka_queued_bytes.set(report.n_queued_bytes)
        self._kafka_paused.set(report.paused)
        self._show_partitions("lag", self._kafka_lag, report.lag)
        self._show_partitions("lag_seconds", self._kafka_lag_seconds, report.lag_seconds)
        self._show_partitions("newest", self._kafka_newest, report.newest_seconds)
        self._show_partitions("wrong_format", self._kafka_wrong_format, report.wrong_format)

    def _show_partitions(self, name: str, gauge: Gauge, values: Mapping[tuple[str, int], float]) -> None:
        """Set a gauge of partitions, and take away those that are read no longer."""
        for topic, partition in self._shown.get(name, set()) - set(values):
            gauge.remove(topic, str(partition))
        for (topic, partition), value in values.items():
            gauge.labels(topic, str(partition)).set(value)
        self._shown[name] = set(values)

    def series_known(self, table: SeriesTable) -> None:
        """Say how many series have a number, and how many may."""
        self._series.set(table.n_known)
        if table.max_series is not None:
            self._series_limit.set(table.max_series)

    def hidden(self, n_series: int) -> None:
        """Say how many series of entities the cap keeps out of a scrape."""
        self._hidden.set(n_series)


def withheld_rows(watch: Watch, withheld: AbstractSet[str]) -> list[int]:
    """Give the rows whose open episode is held back."""
    return [row for row, alert in watch.open_alerts.items() if alert.identity in withheld] if withheld else []
