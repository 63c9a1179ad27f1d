"""Hands on what is found, in the order that loses nothing: written down, notified, kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import AlertAgeFilter, FilteredAlerts, Summary, WatchProgress
from monitor.detection.pipeline import Decision, Pipeline
from monitor.outlets.outlet import Outlet
from monitor.sources.position import Position


class Notifier:
    """Hands on what is found, in the order that loses nothing: written down, told, kept."""

    def __init__(
        self,
        outlets: Sequence[Outlet],
        record: Callable[[Sequence[Alert], bool], None],
        save: Callable[[Position, Sequence[Alert]], None],
        age_filter: AlertAgeFilter,
    ) -> None:
        self._outlets = outlets
        self._record = record
        self._save = save
        self._age_filter = age_filter

    def filter(self, decision: Decision, pipeline: Pipeline, now_ms: int) -> FilteredAlerts:
        """Find what is to be told; what is not goes to the alert history."""
        progress = {watch.name: WatchProgress(watch.grid.closed_until_ms, watch.open_alerts.values()) for watch in pipeline.watches}
        filtered = self._age_filter.filter(decision.alerts, now_ms, progress)
        if filtered.withheld:
            self._record(filtered.withheld, False)
        return filtered

    def notify(self, alerts: Sequence[Alert], position: Position, summary: Summary | None = None) -> None:
        """Tell outlets, and keep each time what they are told."""
        if summary is not None:
            for outlet in self._outlets:
                outlet.send_summary(summary)
            if not alerts:
                self._save(position, ())
        for notified, rest in _stretches(alerts):
            self._record(notified, True)
            for outlet in self._outlets:
                outlet.deliver(notified)
            self._save(position, rest)


def _stretches(alerts: Sequence[Alert]) -> Iterator[tuple[Sequence[Alert], Sequence[Alert]]]:
    """Cut alerts so that no piece holds both the opening and the end of one episode; give each with what follows it."""
    start = 0
    opened: set[str] = set()
    for at, alert in enumerate(alerts):
        if alert.resolved_ms is None:
            opened.add(alert.identity)
        elif alert.identity in opened:
            yield alerts[start:at], alerts[at:]
            start, opened = at, set()
    if start < len(alerts):
        yield alerts[start:], ()
