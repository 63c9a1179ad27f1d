"""Which alerts are still worth a notification: what ended long ago is withheld, and summed up.

A daemon that was down for a night finds the night's episodes within minutes. The rule: an episode is notified
when somebody can still act on it, because it is open, or ended less than the greatest age ago. Until that is
known, its opening is withheld.

Pure: it knows what is withheld and nothing else, and its state is part of the checkpoint. So a daemon that is
killed and restarted never notifies what it has withheld for good, and never notifies the same opening as new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

from monitor.alerting.alert import Alert

__all__ = ["AlertAgeFilter", "FilteredAlerts", "Summary", "WatchProgress"]


@dataclass(frozen=True, slots=True)
class Summary:
    """What was withheld for good: episodes that opened and ended while the daemon was behind.

    `entities` are written `watch/entity`, in the order in which they were found. Times are event times.
    """

    n_episodes: int
    entities: tuple[str, ...]
    first_opened_ms: int
    last_resolved_ms: int


@dataclass(frozen=True, slots=True)
class FilteredAlerts:
    """What becomes of a batch's alerts: `notified` go to outlets, `withheld` to the alert history alone.

    `summary` is there when one is due: it goes to the outlets behind the alerts. `muted` go to the alert
    history alone, too: their entities are muted.
    """

    notified: tuple[Alert, ...]
    withheld: tuple[Alert, ...]
    summary: Summary | None
    muted: tuple[Alert, ...] = ()


@dataclass(frozen=True, slots=True)
class WatchProgress:
    """How far a watch is: its steps are closed up to event time `reached_ms`, None before the first."""

    reached_ms: int | None
    open_alerts: Iterable[Alert]


@dataclass(slots=True)
class _Tally:
    """What the next summary says."""

    since_ms: int = 0  # the source's time when the first of it was found
    n_episodes: int = 0
    entities: dict[str, None] = field(default_factory=dict)  # a set that keeps its order
    watches: dict[str, None] = field(default_factory=dict)
    first_opened_ms: int = 0
    last_resolved_ms: int = 0

    def add(self, alert: Alert, resolved_ms: int, now_ms: int) -> None:
        if not self.n_episodes:
            self.since_ms = now_ms
            self.first_opened_ms = alert.opened_ms
            self.last_resolved_ms = resolved_ms
        self.n_episodes += 1
        self.entities[f"{alert.watch}/{alert.entity}"] = None
        self.watches[alert.watch] = None
        self.first_opened_ms = min(self.first_opened_ms, alert.opened_ms)
        self.last_resolved_ms = max(self.last_resolved_ms, resolved_ms)

    def summary(self) -> Summary:
        return Summary(self.n_episodes, tuple(self.entities), self.first_opened_ms, self.last_resolved_ms)


class AlertAgeFilter:
    """Withholds alerts whose episode ended too long ago.

    Parameters
    ----------
    max_age_ms : mapping
        By watch, how far behind the source's time an episode's end may lie and still be notified. A watch
        that is not in it is notified of everything.
    notified : iterable of str
        Episodes whose opening an earlier run has notified, by identity; its saved state may be older than
        that.
    """

    def __init__(self, max_age_ms: Mapping[str, int], *, notified: Iterable[str] = ()) -> None:
        self._max_age_ms = max_age_ms
        self._notified = set(notified)
        self._withheld: set[str] = set()
        self._tally = _Tally()

    @property
    def withheld(self) -> AbstractSet[str]:
        """The open episodes that are not notified, by identity; changes with each call of `filter`."""
        return self._withheld

    def filter(
        self,
        alerts: Sequence[Alert],
        now_ms: int,
        progress: Mapping[str, WatchProgress],
        muted_entities: AbstractSet[tuple[str, str]] = frozenset(),
    ) -> FilteredAlerts:
        """Split the alerts of one batch, given in the order of event time.

        What opens while its entity is muted is notified once it is not muted any more, if it is still open.
        The end of an episode is notified where its opening was.

        Parameters
        ----------
        now_ms : int
            The source's time.
        progress : mapping
            By watch, how far it is behind this batch.
        muted_entities : set of tuple
            The watch and name of each entity that is muted.
        """
        notified: list[Alert] = []
        withheld: list[Alert] = []
        muted: list[Alert] = []
        for alert in alerts:
            is_muted = (alert.watch, alert.entity) in muted_entities
            if is_muted and (alert.resolved_ms is None or alert.amends or alert.identity in self._withheld):
                self._mute(alert)
                muted.append(alert)
            elif alert.amends:
                self._amend(alert, now_ms, notified, withheld)
            elif alert.resolved_ms is None:
                self._open(alert, now_ms, notified, withheld)
            else:
                self._resolve(alert, alert.resolved_ms, now_ms, notified, withheld)
        notified += self._release(now_ms, progress, muted_entities)
        notified.sort(key=lambda alert: alert.resolved_ms or alert.opened_ms)
        summary = self._summary_due(now_ms, progress)
        return FilteredAlerts(tuple(notified), tuple(withheld), summary, tuple(muted))

    def _mute(self, alert: Alert) -> None:
        """Withhold an opening until its entity is not muted any more; an end is withheld for good."""
        if alert.resolved_ms is not None and not alert.amends:
            self._withheld.discard(alert.identity)
        elif alert.resolved_ms is None and not alert.amends:
            self._withheld.add(alert.identity)

    def _open(self, alert: Alert, now_ms: int, notified: list[Alert], withheld: list[Alert]) -> None:
        if alert.identity in self._notified or not self._is_old(alert.watch, alert.opened_ms, now_ms):
            notified.append(alert)
        else:
            self._withheld.add(alert.identity)
            withheld.append(alert)

    def _amend(self, alert: Alert, now_ms: int, notified: list[Alert], withheld: list[Alert]) -> None:
        """Amend in the alert history alone what was not notified, or was over long ago."""
        ended_long_ago = alert.resolved_ms is not None and self._is_old(
            alert.watch, alert.resolved_ms, now_ms
        )
        if alert.identity in self._withheld or ended_long_ago:
            withheld.append(alert)
        else:
            notified.append(alert)

    def _resolve(
        self, alert: Alert, resolved_ms: int, now_ms: int, notified: list[Alert], withheld: list[Alert]
    ) -> None:
        self._notified.discard(alert.identity)
        if alert.identity not in self._withheld:
            notified.append(alert)
            return
        self._withheld.remove(alert.identity)
        if alert.reason == "retracted":  # late data shows that it never was, and nobody was notified of it
            withheld.append(alert)
        elif self._is_old(alert.watch, resolved_ms, now_ms):
            self._tally.add(alert, resolved_ms, now_ms)
            withheld.append(alert)
        else:  # it was still open when it became young enough
            notified += [replace(alert, resolved_ms=None, reason=None), alert]

    def _release(
        self,
        now_ms: int,
        progress: Mapping[str, WatchProgress],
        muted_entities: AbstractSet[tuple[str, str]],
    ) -> list[Alert]:
        """Give what is withheld and still open, in the watches that have caught up, of entities not muted."""
        if not self._withheld:
            return []
        released = []
        for name, of_watch in progress.items():
            if self._has_caught_up(name, of_watch, now_ms):
                released += [
                    alert
                    for alert in of_watch.open_alerts
                    if alert.identity in self._withheld and (name, alert.entity) not in muted_entities
                ]
        self._withheld.difference_update(alert.identity for alert in released)
        return released

    def _summary_due(self, now_ms: int, progress: Mapping[str, WatchProgress]) -> Summary | None:
        """Give the summary once its watches have caught up; and at intervals, as long as they have not."""
        if not self._tally.n_episodes:
            return None
        watches = [name for name in self._tally.watches if name in progress]
        is_over = all(self._has_caught_up(name, progress[name], now_ms) for name in watches)
        interval_ms = max((self._max_age_ms.get(name, 0) for name in watches), default=0)
        if not is_over and now_ms - self._tally.since_ms < interval_ms:
            return None
        summary = self._tally.summary()
        self._tally = _Tally()
        return summary

    def _has_caught_up(self, watch: str, progress: WatchProgress, now_ms: int) -> bool:
        return progress.reached_ms is not None and not self._is_old(watch, progress.reached_ms, now_ms)

    def _is_old(self, watch: str, time_ms: int, now_ms: int) -> bool:
        max_age_ms = self._max_age_ms.get(watch)
        return max_age_ms is not None and now_ms - time_ms > max_age_ms

    def state(self) -> dict[str, Any]:
        """Give what is withheld and what the next summary says, as JSON takes it."""
        tally = self._tally
        return {
            "held": sorted(self._withheld),
            "since_ms": tally.since_ms,
            "n_episodes": tally.n_episodes,
            "entities": list(tally.entities),
            "watches": list(tally.watches),
            "first_opened_ms": tally.first_opened_ms,
            "last_resolved_ms": tally.last_resolved_ms,
        }

    def load_state(self, state: Mapping[str, Any], still_open: Iterable[str]) -> None:
        """Take over what `state` gave; of the withheld episodes only those that are in `still_open`."""
        self._withheld.clear()  # not replaced: others hold this very set
        self._withheld |= (set(state["held"]) & set(still_open)) - self._notified
        self._tally = _Tally(
            since_ms=state["since_ms"],
            n_episodes=state["n_episodes"],
            entities=dict.fromkeys(state["entities"]),
            watches=dict.fromkeys(state["watches"]),
            first_opened_ms=state["first_opened_ms"],
            last_resolved_ms=state["last_resolved_ms"],
        )
