"""Gives alerts to the outlets, in the order that loses none: alert history, outlets, checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import AlertAgeFilter, FilteredAlerts, Summary, WatchProgress
from monitor.daemon.checkpoints import CheckpointKeeper
from monitor.detection.pipeline import Decision, Pipeline
from monitor.detection.view import WatchView
from monitor.detection.watch import Watch
from monitor.outlets.outlet import Outlet
from monitor.sources.position import Position
from monitor.storage.alert_history import AlertHistory

__all__ = ["Notifier"]


class Notifier:
    """Gives alerts to the outlets; belongs to the loop's thread.

    Parameters
    ----------
    age_filter : AlertAgeFilter
        Withholds alerts that are too old; its state is part of the checkpoint.
    alert_history : AlertHistory, optional
        Stores every episode, notified or withheld; None where no state is kept.
    undelivered : sequence of Alert
        The alerts that an earlier run had not given to the outlets when its last checkpoint was saved.
    """

    def __init__(
        self,
        outlets: Sequence[Outlet],
        checkpoints: CheckpointKeeper,
        age_filter: AlertAgeFilter,
        *,
        alert_history: AlertHistory | None = None,
        undelivered: Sequence[Alert] = (),
    ) -> None:
        self._outlets = outlets
        self._checkpoints = checkpoints
        self._age_filter = age_filter
        self._alert_history = alert_history
        self._undelivered = undelivered
        self._muted: AbstractSet[tuple[str, str]] = frozenset()
        self._silenced: AbstractSet[str] = frozenset()

    @property
    def withheld(self) -> AbstractSet[str]:
        """Open episodes that are not shown as open now, by identity: too old, or muted."""
        return self._age_filter.withheld | self._silenced

    def mute(self, entities: AbstractSet[tuple[str, str]], watches: Iterable[Watch]) -> None:
        """Notify of nothing that opens in these entities, each with its watch, from now on.

        What is open of them is not shown as open either.
        """
        self._muted = entities
        self._silenced = frozenset(
            alert.identity
            for watch in watches
            if entities
            for alert in watch.open_alerts.values()
            if (alert.watch, alert.entity) in entities
        )

    def filter(self, decision: Decision, pipeline: Pipeline, now_ms: int) -> FilteredAlerts:
        """Choose the alerts to notify; store those that are withheld or muted.

        Parameters
        ----------
        now_ms : int
            The source's event time.
        """
        progress = {
            watch.name: WatchProgress(watch.grid.closed_until_ms, watch.open_alerts.values())
            for watch in pipeline.watches
        }
        filtered = self._age_filter.filter(decision.alerts, now_ms, progress, self._muted)
        if filtered.withheld:
            self._store(filtered.withheld, notified=False)
        if filtered.muted and self._alert_history is not None:
            self._alert_history.record(filtered.muted, False, muted=True)
        return filtered

    def notify(self, alerts: Sequence[Alert], position: Position, summary: Summary | None = None) -> None:
        """Give alerts to the outlets, each time followed by a checkpoint.

        A crash repeats a notification, and never loses one. An episode's end is notified only when a
        checkpoint says that its opening was: a daemon that died after both, and remembered neither, would
        open again an episode that is over.
        """
        if summary is not None:
            for outlet in self._outlets:
                outlet.send_summary(summary)
            if not alerts:
                self._checkpoints.save(position)
        for together, rest in _stretches(alerts):
            self._store(together, notified=True)
            for outlet in self._outlets:
                outlet.deliver(together)
            self._checkpoints.save(position, rest)

    def notify_undelivered(self, position: Position) -> None:
        """Give the outlets what an earlier run had not given them."""
        self.notify(self._undelivered, position)
        self._undelivered = ()

    def catch_up(self) -> None:
        """Write what waits for the alert history."""
        if self._alert_history is not None:
            self._alert_history.catch_up()

    def update_open(self, views: Iterable[WatchView], *, at_end: bool = False) -> None:
        """Let the alert history show how far open episodes are, as often as it wants to, and `at_end`."""
        if self._alert_history is not None and (at_end or self._alert_history.wants_progress):
            self._alert_history.update_open([part for view in views for part in view.progress()])

    def _store(self, alerts: Sequence[Alert], *, notified: bool) -> None:
        if self._alert_history is not None:
            self._alert_history.record(alerts, notified)


def _stretches(alerts: Sequence[Alert]) -> Iterator[tuple[Sequence[Alert], Sequence[Alert]]]:
    """Cut alerts so that no stretch has both opening and end of an episode; give each with the rest."""
    start = 0
    opened: set[str] = set()
    for index, alert in enumerate(alerts):
        if alert.resolved_ms is None:
            opened.add(alert.identity)
        elif alert.identity in opened:
            yield alerts[start:index], alerts[index:]
            start = index
            opened = set()
    if start < len(alerts):
        yield alerts[start:], ()
