"""What late data does to verdicts: what the newest steps were judged by, and what becomes of the episodes when they are judged again.

An episode keeps its identity as long as anything of it stands. What was told as over stays over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from monitor.alert import Alert, ChannelShare

__all__ = ["REVISION_KINDS", "Correction", "Moment", "Moments", "RevisionKind", "alert_of", "correct"]

RevisionKind = Literal["amended", "retracted", "opened"]
REVISION_KINDS: tuple[RevisionKind, ...] = ("amended", "retracted", "opened")

_MATERIAL_RATIO = 0.01  # of the highest score: a smaller change is none that a person would act upon


@dataclass(frozen=True, slots=True)
class Moment:
    """A watch as it was just before it judged one step, which ends at `time_ms`: arrays by name, a row first, and open alerts by row."""

    time_ms: int
    scorer: Mapping[str, NDArray[Any]]
    book: Mapping[str, NDArray[Any]]
    open_alerts: Mapping[int, Alert]


class Moments:
    """The moments of a watch's newest steps, oldest first, and the alerts that have ended since the oldest."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self._moments: deque[Moment] = deque(maxlen=n_steps)
        self.over: list[Alert] = []

    def __len__(self) -> int:
        return len(self._moments)

    def append(self, moment: Moment) -> None:
        """Take in the moment of the next step; the oldest goes."""
        self._moments.append(moment)

    def newest(self, n_steps: int) -> list[Moment]:
        """Give the moments of the newest steps, oldest first; fewer where there are no more."""
        return list(self._moments)[max(0, len(self._moments) - n_steps) :]

    def clear(self) -> None:
        """Forget all: nothing of what was judged up to here is judged again."""
        self._moments.clear()
        self.over.clear()

    def ended(self, alert: Alert) -> None:
        """Remember an alert that has ended, as long as a step of it may be judged again."""
        self.over.append(alert)
        if self._moments:
            oldest = self._moments[0]
            known = {one.identity for one in oldest.open_alerts.values()}
            self.over = [one for one in self.over if one.opened_ms >= oldest.time_ms or one.identity in known]

    def put(self, n_back: int, rows: NDArray[np.int64], moment: Moment, *, with_episodes: NDArray[np.bool_]) -> None:
        """Replace some entities in the moment of one of the newest steps, by those of another moment, in their order.

        Parameters
        ----------
        n_back : int
            1 for the newest step.
        with_episodes : ndarray, shape (m,)
            True where that includes the entity's episodes.
        """
        old = self._moments[-n_back]
        chosen = rows[with_episodes]
        open_alerts = {row: alert for row, alert in old.open_alerts.items() if row not in set(chosen.tolist())}
        open_alerts |= {int(rows[at]): alert for at, alert in moment.open_alerts.items() if with_episodes[at]}
        self._moments[-n_back] = Moment(
            old.time_ms,
            _with_rows(old.scorer, rows, moment.scorer),
            _with_rows(old.book, chosen, {name: array[with_episodes] for name, array in moment.book.items()}),
            open_alerts,
        )

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Let go of all but these entities, which are numbered anew, in this order."""
        to = {row: at for at, row in enumerate(rows.tolist())}
        for at, moment in enumerate(self._moments):
            self._moments[at] = Moment(
                moment.time_ms,
                _of_rows(moment.scorer, rows),
                _of_rows(moment.book, rows),
                {to[row]: alert for row, alert in moment.open_alerts.items() if row in to},
            )

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give every array by name, those of all moments stacked: (T, n, ...), with zeros where a moment has no such row."""
        arrays: dict[str, NDArray[np.generic]] = {"time_ms": np.array([moment.time_ms for moment in self._moments], np.int64)}
        for part in ("scorer", "book"):
            parts = [getattr(moment, part) for moment in self._moments]
            arrays |= {f"{part}/{name}": _stacked([one[name] for one in parts]) for name in (parts[0] if parts else ())}
        return arrays

    def about(self) -> dict[str, Any]:
        """Give what is no array as JSON can hold it."""
        alerts = {id(alert): alert for moment in self._moments for alert in moment.open_alerts.values()}
        number = {key: at for at, key in enumerate(alerts)}
        return {
            "alerts": [asdict(alert) for alert in alerts.values()],
            "open": [{str(row): number[id(alert)] for row, alert in moment.open_alerts.items()} for moment in self._moments],
            "over": [asdict(alert) for alert in self.over],
        }

    def load(self, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> None:
        """Take over what `state` and `about` gave."""
        self.clear()
        if not self.n_steps:
            return
        alerts = [alert_of(fields) for fields in about["alerts"]]
        self.over = [alert_of(fields) for fields in about["over"]]
        for t, time_ms in enumerate(arrays["time_ms"].tolist()):
            scorer, book = (
                {name.removeprefix(prefix): array[t].copy() for name, array in arrays.items() if name.startswith(prefix)}
                for prefix in ("scorer/", "book/")
            )
            self.append(Moment(time_ms, scorer, book, {int(row): alerts[at] for row, at in about["open"][t].items()}))


@dataclass(slots=True)
class Correction:
    """What becomes of one entity's episodes once steps of it have been judged again.

    `told` goes to the outlets, each with its kind, None for an end that follows an opening told with it. `is_open` is the alert
    that is open from now on, `over` those that are not. `stands`: the entity's phase stays what it was. `owners` names, for each
    episode that was found, the alert that it is told as.
    """

    told: list[tuple[RevisionKind | None, Alert]] = field(default_factory=list)
    is_open: Alert | None = None
    over: list[Alert] = field(default_factory=list)
    stands: bool = False
    owners: dict[str, Alert] = field(default_factory=dict)


def correct(was: Sequence[Alert], found: Sequence[Alert], *, now_ms: int, is_pending: bool) -> Correction:
    """Hold the episodes that were told against those that are found now, all of one entity and in order.

    - None found where one was told: it is retracted; not while another is about to open there.
    - One found there: it is the same episode, amended where that matters. It ends where it ends now; once it was told as over,
      it stays over.
    - One found where none was told: it opens, late; and ends at once, where it is over.

    Parameters
    ----------
    was : sequence of Alert
        Those retracted before among them: one that is found again under such a name goes on counting its revisions.
    now_ms : int
        End of the newest closed step.
    is_pending : bool
        The entity is over its limit now, and has to stay there before an episode opens.
    """
    outcome = Correction()
    told = [alert for alert in was if alert.reason != "retracted"]
    gone = {alert.identity: alert for alert in was if alert.reason == "retracted"}
    for alert in told:
        here = [one for one in found if _overlap(alert, one)]
        mine = [one for one in here if next(other for other in told if _overlap(other, one)) is alert]
        kind: RevisionKind | None
        if not here and is_pending and alert.resolved_ms is None:
            kind, new = None, alert
            outcome.stands = True
        elif not here:
            kind, new = "retracted", _retracted(alert, now_ms)
            gone[alert.identity] = new
        else:
            kind, new = _amended(alert, mine, here[-1])
        if kind is not None:
            outcome.told.append((kind, new))
        outcome.owners |= {one.identity: new for one in mine}
        _sort_in(new, outcome)
    for one in found:
        if any(_overlap(alert, one) for alert in told):
            if one.resolved_ms is None and outcome.is_open is None:
                outcome.stands = True  # the episode was told as over
            continue
        opened = replace(one, revision=gone[one.identity].revision + 1) if one.identity in gone else one
        gone.pop(one.identity, None)
        outcome.told.append(("opened", replace(opened, resolved_ms=None, reason=None)))
        if opened.resolved_ms is not None:
            outcome.told.append((None, opened))
        outcome.owners[one.identity] = opened
        _sort_in(opened, outcome)
    outcome.over += gone.values()
    return outcome


def alert_of(fields: Mapping[str, Any]) -> Alert:
    """Give an alert back from its fields, as `dataclasses.asdict` wrote them."""
    return Alert(**{**fields, "channels": tuple(ChannelShare(**channel) for channel in fields["channels"])})


def _amended(alert: Alert, mine: Sequence[Alert], last: Alert) -> tuple[RevisionKind | None, Alert]:
    """Give a told alert as the episodes found in its place say; no kind where that is nothing new to anyone.

    `mine` are those that are told as this alert and no other, `last` the last one there.
    """
    new = alert
    if mine:
        peak = max(mine, key=lambda one: one.score)
        new = replace(new, since_ms=mine[0].since_ms, score=peak.score, channels=peak.channels)
    if last.resolved_ms is not None:
        new = replace(new, resolved_ms=max(last.resolved_ms, alert.opened_ms), reason=last.reason)
    same = (new.since_ms, new.resolved_ms, new.reason) == (alert.since_ms, alert.resolved_ms, alert.reason)
    if same and abs(new.score - alert.score) <= _MATERIAL_RATIO * alert.score and _told_first(new) == _told_first(alert):
        return None, alert
    ends = alert.resolved_ms is None and new.resolved_ms is not None
    return "amended", replace(new, revision=alert.revision + 1, amends=not ends)


def _retracted(alert: Alert, now_ms: int) -> Alert:
    resolved_ms = max(now_ms, alert.opened_ms) if alert.resolved_ms is None else alert.resolved_ms
    amends = alert.resolved_ms is not None
    return replace(alert, resolved_ms=resolved_ms, reason="retracted", revision=alert.revision + 1, amends=amends)


def _sort_in(alert: Alert, outcome: Correction) -> None:
    alert = replace(alert, amends=False)  # that is said once
    if alert.resolved_ms is None:
        outcome.is_open = alert
    elif alert.reason != "retracted":
        outcome.over.append(alert)


def _told_first(alert: Alert) -> str | None:
    return alert.channels[0].channel if alert.channels else None


def _overlap(one: Alert, other: Alert) -> bool:
    one_ends_before = one.resolved_ms is not None and one.resolved_ms < other.since_ms
    return not one_ends_before and not (other.resolved_ms is not None and other.resolved_ms < one.since_ms)


def _with_rows(arrays: Mapping[str, NDArray[Any]], rows: NDArray[np.int64], of_rows: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    changed = {}
    for name, array in arrays.items():
        changed[name] = array.copy()
        changed[name][rows] = of_rows[name]
    return changed


def _of_rows(arrays: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    return {name: array[rows[rows < len(array)]] for name, array in arrays.items()}


def _stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    shape = tuple(max(lengths) for lengths in zip(*(array.shape for array in arrays), strict=True))
    padded = [np.pad(array, [(0, more - there) for more, there in zip(shape, array.shape, strict=True)]) for array in arrays]
    return np.stack(padded)
