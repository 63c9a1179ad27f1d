"""What operators ask of the running daemon: taken between two batches, done, and written down."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from monitor.alerting.alert import Alert
from monitor.alerting.mutes import Mutes, OperatorAction, OperatorRequest
from monitor.clock import Clock
from monitor.detection.watch import Watch
from monitor.storage.alert_history import AlertHistory
from monitor.storage.request_folder import RequestFolder

__all__ = ["OperatorRequests"]

log = logging.getLogger(__name__)


class OperatorRequests:
    """Takes requests; belongs to the loop's thread.

    Parameters
    ----------
    alert_history : AlertHistory
        Where each request and what became of it is stored. Mutes of an earlier run are read from it.
    """

    def __init__(
        self, folder: RequestFolder, watches: Sequence[Watch], alert_history: AlertHistory, clock: Clock
    ) -> None:
        self._folder = folder
        self._watches: Mapping[str, Watch] = {watch.name: watch for watch in watches}
        self._alert_history = alert_history
        self._clock = clock
        self._mutes = Mutes(alert_history.mutes())
        self._taken: list[OperatorRequest] = []  # done, and not saved yet
        self._known: set[str] = set()  # by id: a file that cannot be removed is no new request

    @property
    def has_taken(self) -> bool:
        """Some requests are done and not saved yet."""
        return bool(self._taken)

    def muted(self) -> AbstractSet[tuple[str, str]]:
        """Give the entities that are muted now, each with its watch."""
        return self._mutes.muted(self._clock.now())

    def take(self) -> list[Alert]:
        """Do what is asked for, and give the alerts of the episodes that end by that."""
        alerts = []
        for request in self._folder.pending():
            if request.id in self._known:
                continue
            self._known.add(request.id)
            if request.watch not in self._watches:
                done, result = False, f"there is no watch {request.watch}"
            elif request.kind == "accept":
                alert, result = self._accept(request)
                done = alert is not None
                if alert is not None:
                    alerts.append(alert)
            else:
                done, result = self._mute(request)
            self._taken.append(request)
            self._alert_history.record_action(OperatorAction(request, done, result))
            log.info(
                "operator request kind=%s watch=%s entity=%s who=%s done=%s: %s",
                request.kind,
                request.watch,
                request.entity,
                request.who,
                "yes" if done else "no",
                result,
            )
        return alerts

    def finish(self) -> None:
        """Remove the requests that were taken, once the alert history has them; the state is saved before."""
        if self._alert_history.has_waiting:
            return
        for request in self._taken:
            self._folder.remove(request)
        self._taken.clear()

    def _accept(self, request: OperatorRequest) -> tuple[Alert | None, str]:
        watch = self._watches[request.watch]
        view = watch.view()
        row = next(
            (row for row, alert in view.open_alerts.items() if alert.identity == request.episode), None
        )
        if row is None:
            return None, "this episode is not open"
        if row < len(view.out_of_range) and view.out_of_range[row]:
            return None, (
                "a value lies outside valid_min or valid_max of its metric and would raise the next alert: "
                "change the range, or mute the entity"
            )
        alert = watch.accept(request.episode, request.note)
        return alert, "the episode has ended, and what the entity shows now is normal"

    def _mute(self, request: OperatorRequest) -> tuple[bool, str]:
        watch = self._watches[request.watch]
        if request.kind == "unmute":
            was_muted = (request.watch, request.entity) in self.muted()
            self._mutes.apply(request)
            return was_muted, "not muted any more" if was_muted else "it was not muted"
        if request.until is None or request.until <= self._clock.now():
            return False, "this time has passed"
        self._mutes.apply(request)
        still_open = [alert for alert in watch.open_alerts.values() if alert.entity == request.entity]
        if still_open:
            self._alert_history.record(still_open, False, muted=True)
        until = datetime.fromtimestamp(request.until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        known = "" if request.entity in watch.entities.entities else "; the watch has seen no such entity yet"
        return True, f"muted until {until}{known}"
