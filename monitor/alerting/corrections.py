"""What late data does to verdicts: what the newest steps were judged by, and what becomes of the episodes when they are judged again.

An episode keeps its identity as long as anything of it stands. What was told as over stays over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from monitor.alerting.alert import Alert

__all__ = ["REVISION_KINDS", "Correction", "RevisionKind", "correct"]

RevisionKind = Literal["amended", "retracted", "opened"]
REVISION_KINDS: tuple[RevisionKind, ...] = ("amended", "retracted", "opened")

_MATERIAL_RATIO = 0.01  # of the highest score: a smaller change is none that a person would act upon


@dataclass(slots=True)
class Correction:
    """What becomes of one entity's episodes once steps of it have been judged again.

    `notified` goes to the outlets, each with its kind, None for an end that follows an opening told with it. `is_open` is the alert
    that is open from now on, `over` those that are not. `stands`: the entity's phase stays what it was. `owners` names, for each
    episode that was found, the alert that it is told as.
    """

    notified: list[tuple[RevisionKind | None, Alert]] = field(default_factory=list)
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
    notified = [alert for alert in was if alert.reason != "retracted"]
    gone = {alert.identity: alert for alert in was if alert.reason == "retracted"}
    for alert in notified:
        here = [one for one in found if _overlap(alert, one)]
        mine = [one for one in here if next(other for other in notified if _overlap(other, one)) is alert]
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
            outcome.notified.append((kind, new))
        outcome.owners |= {one.identity: new for one in mine}
        _sort_in(new, outcome)
    for one in found:
        if any(_overlap(alert, one) for alert in notified):
            if one.resolved_ms is None and outcome.is_open is None:
                outcome.stands = True  # the episode was told as over
            continue
        opened = replace(one, revision=gone[one.identity].revision + 1) if one.identity in gone else one
        gone.pop(one.identity, None)
        outcome.notified.append(("opened", replace(opened, resolved_ms=None, reason=None)))
        if opened.resolved_ms is not None:
            outcome.notified.append((None, opened))
        outcome.owners[one.identity] = opened
        _sort_in(opened, outcome)
    outcome.over += gone.values()
    return outcome


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
    if same and abs(new.score - alert.score) <= _MATERIAL_RATIO * alert.score and _first_channel(new) == _first_channel(alert):
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


def _first_channel(alert: Alert) -> str | None:
    return alert.channels[0].channel if alert.channels else None


def _overlap(one: Alert, other: Alert) -> bool:
    one_ends_before = one.resolved_ms is not None and one.resolved_ms < other.since_ms
    return not one_ends_before and not (other.resolved_ms is not None and other.resolved_ms < one.since_ms)
