"""What late data does to the episodes of an entity, once its newest steps are judged again. Pure.

An episode keeps its identity as long as anything of it is found again. Once it was notified as over, it stays
over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from monitor.alerting.alert import Alert

__all__ = ["REVISION_KINDS", "Correction", "RevisionKind", "correct"]

RevisionKind = Literal["amended", "retracted", "opened"]
REVISION_KINDS: tuple[RevisionKind, ...] = ("amended", "retracted", "opened")

_MATERIAL_RATIO = 0.01  # of the highest score: nobody would act upon a smaller change


@dataclass(slots=True)
class Correction:
    """What becomes of one entity's episodes once steps of it have been judged again.

    Attributes
    ----------
    notified : list
        What goes to the outlets: each alert with its kind, which is None for the end of an episode that opens
        in the same correction.
    is_open : Alert or None
        The alert that is open from now on.
    over : list of Alert
        Those that have ended, the retracted ones among them.
    stands : bool
        The entity's phase stays what it was.
    owners : mapping
        For each episode that was found, by identity, the alert that it is notified as.
    """

    notified: list[tuple[RevisionKind | None, Alert]] = field(default_factory=list)
    is_open: Alert | None = None
    over: list[Alert] = field(default_factory=list)
    stands: bool = False
    owners: dict[str, Alert] = field(default_factory=dict)

    def settle(self, alert: Alert) -> None:
        """Sort an alert, as it is from now on, into those that are open or over."""
        alert = replace(alert, amends=False)  # an outlet hears of an amendment once
        if alert.resolved_ms is None:
            self.is_open = alert
        elif alert.reason != "retracted":
            self.over.append(alert)


def correct(was: Sequence[Alert], rejudged: Sequence[Alert], *, now_ms: int, is_pending: bool) -> Correction:
    """Compare the episodes that were notified with those that are found now, all of one entity and in order.

    - None found where one was notified: it is retracted, but not while another is about to open there.
    - One found there: it is the same episode, amended where that matters. It ends where it ends now; once it
      was notified as over, it stays over.
    - One found where none was notified: it opens, late; and ends at once, where it is over.

    Parameters
    ----------
    was : sequence of Alert
        Also those retracted before: one that is found again under such an identity continues
        its revisions.
    now_ms : int
        End of the newest closed step.
    is_pending : bool
        The entity is over its limit now, and has to stay there before an episode opens.
    """
    correction = Correction()
    stands = False
    notified = [alert for alert in was if alert.reason != "retracted"]
    retracted = {alert.identity: alert for alert in was if alert.reason == "retracted"}
    for alert in notified:
        in_place = [episode for episode in rejudged if _overlap(alert, episode)]
        if in_place:
            owned = [episode for episode in in_place if _owner(episode, notified) is alert]
            _amend(alert, owned, in_place[-1], correction)
        elif is_pending and alert.resolved_ms is None:
            stands = True
            correction.settle(alert)
        else:
            retracted[alert.identity] = _retract(alert, now_ms, correction)
    for episode in rejudged:
        if _owner(episode, notified) is None:
            _open(episode, retracted.pop(episode.identity, None), correction)
        elif episode.resolved_ms is None and correction.is_open is None:
            stands = True  # the episode was notified as over
    correction.over.extend(retracted.values())
    return replace(correction, stands=stands)


def _amend(alert: Alert, owned: Sequence[Alert], last: Alert, correction: Correction) -> None:
    """Let a notified alert be as the episodes in its place say.

    `owned` are those of them that are notified as this alert and no other, `last` is the last one in its
    place.
    """
    amended = alert
    if owned:
        peak = max(owned, key=lambda episode: episode.score)
        amended = replace(amended, since_ms=owned[0].since_ms, score=peak.score, channels=peak.channels)
    if last.resolved_ms is not None and alert.reason != "accepted by operator":
        amended = replace(amended, resolved_ms=max(last.resolved_ms, alert.opened_ms), reason=last.reason)
        amended = replace(amended, levels=last.levels)
    if _is_material(alert, amended):
        ends = alert.resolved_ms is None and amended.resolved_ms is not None
        amended = replace(amended, revision=alert.revision + 1, amends=not ends)
        correction.notified.append(("amended", amended))
    else:
        amended = alert
    correction.owners.update({episode.identity: amended for episode in owned})
    correction.settle(amended)


def _retract(alert: Alert, now_ms: int, correction: Correction) -> Alert:
    """Take a notified alert back; give it as it is then."""
    was_over = alert.resolved_ms is not None
    resolved_ms = max(now_ms, alert.opened_ms) if alert.resolved_ms is None else alert.resolved_ms
    retracted = replace(
        alert, resolved_ms=resolved_ms, reason="retracted", revision=alert.revision + 1, amends=was_over
    )
    correction.notified.append(("retracted", retracted))
    return retracted


def _open(episode: Alert, retracted: Alert | None, correction: Correction) -> None:
    """Open an episode that was not notified, or was `retracted` before; and end it, where it is over."""
    opened = episode if retracted is None else replace(episode, revision=retracted.revision + 1)
    correction.notified.append(("opened", replace(opened, resolved_ms=None, reason=None, levels=())))
    if opened.resolved_ms is not None:
        correction.notified.append((None, opened))
    correction.owners[episode.identity] = opened
    correction.settle(opened)


def _owner(episode: Alert, notified: Sequence[Alert]) -> Alert | None:
    """Give the first notified alert in whose place an episode was found."""
    return next((alert for alert in notified if _overlap(alert, episode)), None)


def _is_material(alert: Alert, amended: Alert) -> bool:
    """Tell whether an amendment says anything new to a person."""
    if (amended.since_ms, amended.resolved_ms, amended.reason) != (
        alert.since_ms,
        alert.resolved_ms,
        alert.reason,
    ):
        return True
    if abs(amended.score - alert.score) > _MATERIAL_RATIO * alert.score:
        return True
    return _first_channel(amended) != _first_channel(alert)


def _first_channel(alert: Alert) -> str | None:
    return alert.channels[0].channel if alert.channels else None


def _overlap(first: Alert, second: Alert) -> bool:
    first_ends_before = first.resolved_ms is not None and first.resolved_ms < second.since_ms
    second_ends_before = second.resolved_ms is not None and second.resolved_ms < first.since_ms
    return not first_ends_before and not second_ends_before
