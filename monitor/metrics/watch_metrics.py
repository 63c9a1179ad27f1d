"""Instruments of watches: what each batch did to them, and where they stand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import get_args

from monitor.alerting.alert import Alert, ResolveReason
from monitor.alerting.corrections import REVISION_KINDS
from monitor.alerting.episodes import SUPPRESSED_REASONS
from monitor.detection.report import WatchReport
from monitor.detection.scored_step import Reason
from monitor.detection.view import WatchView
from monitor.metrics.catalogue import Catalogue

__all__ = ["DEPRECATED_NAMES", "WatchCounters", "WatchGauges", "withheld_rows"]

# Old name to new name; the old ones are still exported, and will go in 0.3.
DEPRECATED_NAMES = {"barograph_episodes_quiet_total": "barograph_episodes_withheld_total"}

_SAMPLE_RESULTS = ("accepted", "revised", "late", "refused")


class WatchCounters:
    """What the batches did to each watch."""

    def __init__(self, catalogue: Catalogue, watches: Iterable[str]) -> None:
        self._samples = catalogue.counter(
            "barograph_samples_total",
            "Samples of a watch by result: accepted, revised (late, and added to closed steps), late "
            "(dropped), refused (no room for their series).",
            "watch",
            "result",
        )
        self._conflicting = catalogue.counter(
            "barograph_samples_conflicting_total",
            "Samples with another value than an earlier one for the same series and time; the "
            "larger one is used.",
            "watch",
        )
        self._steps = catalogue.counter("barograph_steps_closed_total", "Grid steps closed.", "watch")
        self._repeated = catalogue.counter(
            "barograph_steps_repeated_total",
            "Grid steps judged again after a restart that found no state: they fill windows, "
            "and are not reported again.",
            "watch",
        )
        self._scored = catalogue.counter(
            "barograph_windows_scored_total", "Windows judged: one for each entity and step.", "watch"
        )
        self._rescored = catalogue.counter(
            "barograph_windows_revised_total",
            "Windows judged again because late samples came for them.",
            "watch",
        )
        self._not_judged = catalogue.counter(
            "barograph_windows_not_judged_total", "Windows not judged, by reason.", "watch", "reason"
        )
        self._over_limit = catalogue.counter(
            "barograph_over_limit_total", "Windows with a score of 1 or more.", "watch"
        )
        self._suppressed = catalogue.counter(
            "barograph_suppressed_total",
            "Over-limit windows that became no part of an episode, by reason.",
            "watch",
            "reason",
        )
        self._opened = catalogue.counter("barograph_episodes_opened_total", "Episodes opened.", "watch")
        self._resolved = catalogue.counter(
            "barograph_episodes_resolved_total", "Episodes ended, by reason.", "watch", "reason"
        )
        self._withheld = catalogue.counter(
            "barograph_episodes_withheld_total",
            "Episodes without a notification, because they ended longer ago than "
            "alerts.max_alert_age_seconds; they are in the alert history.",
            "watch",
        )
        self._withheld_old_name = catalogue.counter(
            "barograph_episodes_quiet_total",
            "Deprecated: the same as barograph_episodes_withheld_total, under its old name, "
            "which will go in 0.3.",
            "watch",
        )
        self._revised_alerts = catalogue.counter(
            "barograph_alerts_revised_total",
            "Alerts that late samples corrected; kind: amended (other figures, or an end), retracted (it "
            "should not have opened), opened (it should have opened).",
            "watch",
            "kind",
        )
        self._forgotten = catalogue.counter(
            "barograph_entities_forgotten_total",
            "Entities removed because they had been gone for long; one that comes back warms up again.",
            "watch",
        )
        for watch in watches:
            self._start_at_zero(watch)

    def _start_at_zero(self, watch: str) -> None:
        for result in _SAMPLE_RESULTS:
            self._samples.labels(watch, result)
        for kind in REVISION_KINDS:
            self._revised_alerts.labels(watch, kind)
        for reason in Reason:
            if reason is not Reason.JUDGED:
                self._not_judged.labels(watch, reason.name.lower())
        for suppressed in SUPPRESSED_REASONS:
            self._suppressed.labels(watch, suppressed)
        for resolved in get_args(ResolveReason):
            self._resolved.labels(watch, resolved)
        windows = (self._scored, self._rescored, self._over_limit)
        episodes = (self._opened, self._withheld, self._withheld_old_name)
        for counter in (self._steps, self._repeated, self._forgotten, self._conflicting, *windows, *episodes):
            counter.labels(watch)

    def count(self, watch: str, report: WatchReport) -> None:
        """Count what one batch did to one watch."""
        self._samples.labels(watch, "accepted").inc(report.n_samples - report.n_late - report.n_revised)
        self._samples.labels(watch, "late").inc(report.n_late)
        self._samples.labels(watch, "revised").inc(report.n_revised)
        self._samples.labels(watch, "refused").inc(report.n_refused)
        self._conflicting.labels(watch).inc(report.n_conflicting)
        self._forgotten.labels(watch).inc(report.n_forgotten)
        self._steps.labels(watch).inc(report.n_steps)
        self._repeated.labels(watch).inc(report.n_repeated)
        self._scored.labels(watch).inc(report.n_scored)
        self._rescored.labels(watch).inc(report.n_judged_again)
        self._over_limit.labels(watch).inc(report.n_over_limit)
        for kind, count in report.revised.items():
            self._revised_alerts.labels(watch, kind).inc(count)
        for reason, count in report.not_judged.items():
            self._not_judged.labels(watch, reason).inc(count)
        for reason, count in report.suppressed.items():
            self._suppressed.labels(watch, reason).inc(count)

    def count_alerts(self, alerts: Iterable[Alert]) -> None:
        """Count the episodes that opened and ended; an amended alert does neither."""
        for alert in alerts:
            if alert.amends:
                continue
            if alert.resolved_ms is None:
                self._opened.labels(alert.watch).inc()
            else:
                self._resolved.labels(alert.watch, alert.reason).inc()

    def count_withheld(self, withheld: Iterable[Alert]) -> None:
        """Count the episodes that ended without a notification."""
        for alert in withheld:
            if alert.resolved_ms is not None and not alert.amends:
                self._withheld.labels(alert.watch).inc()
                self._withheld_old_name.labels(alert.watch).inc()


class WatchGauges:
    """Where each watch stands.

    Parameters
    ----------
    optional : collection of str
        The watches for which it is no fault that no series matches: they never show that none does.
    """

    def __init__(self, catalogue: Catalogue, watches: Iterable[str], optional: Collection[str] = ()) -> None:
        self._optional = optional
        self._open = catalogue.gauge(
            "barograph_episodes_open", "Episodes open now, without those withheld as too old.", "watch"
        )
        self._provisional = catalogue.gauge(
            "barograph_limit_provisional",
            "1 while the limit rests on less history than the budget's period, else 0.",
            "watch",
        )
        self._muted = catalogue.gauge(
            "barograph_entities_muted", "Entities that an operator has muted now (`barograph mute`).", "watch"
        )
        self._entities = catalogue.gauge(
            "barograph_entities", "Entities known: seen and not forgotten, or of the model.", "watch"
        )
        self._expected = catalogue.gauge(
            "barograph_entities_expected",
            "Entities that have shown enough to be judged, in training or live, and are not gone.",
            "watch",
        )
        self._judged = catalogue.gauge(
            "barograph_entities_judged",
            "Expected entities whose newest judged step is as fresh as it can be.",
            "watch",
        )
        self._channels = catalogue.gauge("barograph_channels", "Channels of a window of the watch.", "watch")
        self._ignored = catalogue.gauge(
            "barograph_series_ignored",
            "Series left out because the model does not know their channel.",
            "watch",
        )
        self._refused = catalogue.gauge(
            "barograph_series_refused",
            "Series left out because the watch has no room for them (watch.max_series).",
            "watch",
        )
        self._matching = catalogue.gauge(
            "barograph_series_matching",
            "Series known that match the watch. Absent while none does in the first steps after a start, and "
            "where watch.optional is true.",
            "watch",
        )
        self._series = catalogue.gauge(
            "barograph_watch_series",
            "Series that the watch has arrays for: entities times channels.",
            "watch",
        )
        self._series_limit = catalogue.gauge(
            "barograph_watch_series_limit", "The setting watch.max_series.", "watch"
        )
        self._watermark = catalogue.gauge(
            "barograph_watermark_timestamp_seconds", "Event time up to which steps are closed.", "watch"
        )
        for watch in watches:
            self._open.labels(watch)
            self._muted.labels(watch)
        self._watches = tuple(watches)

    def count_muted(self, entities: AbstractSet[tuple[str, str]]) -> None:
        """Show how many entities, each with its watch, are muted."""
        for watch in self._watches:
            self._muted.labels(watch).set(sum(of_watch == watch for of_watch, _ in entities))

    def count_coverage(self, watch: str, report: WatchReport) -> None:
        """Show how many series match, how many entities should be judged, and how many of them are."""
        may_say_none = not report.has_just_begun and watch not in self._optional
        if report.n_matching or may_say_none:
            self._matching.labels(watch).set(report.n_matching)
        self._expected.labels(watch).set(report.n_expected)
        self._judged.labels(watch).set(report.n_judged)

    def show(self, view: WatchView, withheld: AbstractSet[str]) -> None:
        """Show where a watch stands; `withheld` are open episodes without a notification, by identity."""
        name = view.name
        self._open.labels(name).set(len(view.open_alerts) - len(withheld_rows(view.open_alerts, withheld)))
        self._entities.labels(name).set(len(view.entities))
        self._channels.labels(name).set(len(view.channels))
        self._ignored.labels(name).set(view.n_ignored)
        self._refused.labels(name).set(view.n_refused)
        self._series.labels(name).set(len(view.entities) * len(view.channels))
        if view.max_series is not None:
            self._series_limit.labels(name).set(view.max_series)
        if view.limit is not None:
            self._provisional.labels(name).set(view.limit.provisional)
        if view.watermark_ms is not None:
            self._watermark.labels(name).set(view.watermark_ms / 1000)


def withheld_rows(open_alerts: Mapping[int, Alert], withheld: AbstractSet[str]) -> AbstractSet[int]:
    """Give the entity rows whose open episode is withheld."""
    if not withheld:
        return frozenset()
    return {row for row, alert in open_alerts.items() if alert.identity in withheld}
