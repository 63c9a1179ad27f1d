"""An episode of one entity as outlets, storage and metrics see it: it opens, is amended, resolves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Alert", "ChannelShare", "EpisodeProgress", "LevelChange", "ResolveReason", "alert_of"]

ResolveReason = Literal[
    "recovered", "another fault", "level changed", "accepted", "accepted by operator", "gone", "retracted"
]


@dataclass(frozen=True, slots=True)
class ChannelShare:
    """What one channel adds to an episode.

    `share` of the squared error (0 to 1); `actual` and `expected` in the channel's own unit, a rate per
    second for counters, NaN where unknown, both of the step that ends at `at_ms`, which is 0 in alerts of
    earlier versions; `since_ms` from when on it has deviated like that, 0 where it no longer does.
    `of_season`: what is expected is what is usual at that time of day.
    """

    channel: str
    share: float
    actual: float
    expected: float
    since_ms: int
    at_ms: int = 0
    of_season: bool = False


@dataclass(frozen=True, slots=True)
class LevelChange:
    """A channel's level before an episode and the stable one that it ended with, in its own unit."""

    channel: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Alert:
    """An episode as it opens, or as it resolves (`resolved_ms` is set then), or as late data amends it.

    `score` is the highest so far; `channels` are those of that highest score, the largest share first.
    `provisional`: the limit rests on less history than the budget's period. `revision` counts how often late
    data has changed the episode. `levels` are those that an episode ended with which ended as level changed.
    `amends`: it corrects an earlier notification, and neither opens nor ends the episode. `note` says who
    ended it, and why, where an operator did.
    """

    watch: str
    entity: str
    since_ms: int
    opened_ms: int
    score: float
    limit: float
    provisional: bool
    channels: tuple[ChannelShare, ...]
    resolved_ms: int | None = None
    reason: ResolveReason | None = None
    revision: int = 0
    amends: bool = False
    levels: tuple[LevelChange, ...] = ()
    note: str = ""

    @property
    def identity(self) -> str:
        """Name the episode: the same as it opens, is amended and resolves."""
        return f"{self.watch}/{self.entity}/{self.opened_ms}"


@dataclass(frozen=True, slots=True)
class EpisodeProgress:
    """How far an open episode is: the alert with its highest score so far, and what the newest step shows.

    `time_ms` is up to when steps are closed; `score` is NaN where the newest is not judged. `actual` gives
    the newest value of each of the alert's channels by name, NaN where there is none.
    """

    alert: Alert
    time_ms: int
    score: float
    actual: Mapping[str, float]


def alert_of(fields: Mapping[str, Any]) -> Alert:
    """Build an alert from its fields, as `dataclasses.asdict` gives them; older ones have no levels."""
    channels = tuple(ChannelShare(**channel) for channel in fields["channels"])
    levels = tuple(LevelChange(**level) for level in fields.get("levels", ()))
    return Alert(**{**fields, "channels": channels, "levels": levels})
