"""Episodes as rows of the alert history, and as they are read back."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from monitor.alerting.alert import Alert, ChannelShare, EpisodeProgress, LevelChange

__all__ = ["LatestValues", "StoredEpisode", "progress_row", "row_of", "stored_episode", "text_of"]


@dataclass(frozen=True, slots=True)
class LatestValues:
    """What an open episode shows at event time `time_ms`: None where it is not judged, or has no value."""

    time_ms: int
    score: float | None
    actual: Mapping[str, float | None]  # of the channels that the episode names


@dataclass(frozen=True, slots=True)
class StoredEpisode:
    """One row; times are event time in ms.

    `score` is the highest so far, `channels` are those of that score. `latest` is there while it is open,
    some seconds old. `reason` is None while the episode is open, `lost` where a daemon without its state
    never saw the end. `levels` are those that it ended with, where it ended as level changed. `notified`: it
    went to the outlets; else it is withheld: its entity was `muted`, or it was too old when it was detected.
    `note` says who ended it, and why, where an operator did. `number` is short, and its own in this file.
    """

    identity: str
    watch: str
    entity: str
    since_ms: int
    opened_ms: int
    resolved_ms: int | None
    reason: str | None
    score: float
    limit: float | None
    provisional: bool
    revision: int
    channels: tuple[ChannelShare, ...]
    notified: bool
    levels: tuple[LevelChange, ...] = ()
    latest: LatestValues | None = None
    muted: bool = False
    note: str = ""
    number: int = 0

    def to_json(self) -> str:
        """Write it as a line of JSON, an unknown value as null. `told`: the name of `notified` before 0.2."""
        fields = asdict(self) | {"told": self.notified}
        for channel in fields["channels"]:
            for key in ("actual", "expected"):
                if math.isnan(channel[key]):
                    channel[key] = None
        return json.dumps(fields)


def row_of(alert: Alert, *, notified: bool, muted: bool, now: float) -> dict[str, object]:
    """Give an alert's values by column; `now` is real time."""
    return {
        "identity": text_of(alert.identity),
        "watch": text_of(alert.watch),
        "entity": text_of(alert.entity),
        "since_ms": alert.since_ms,
        "opened_ms": alert.opened_ms,
        "resolved_ms": alert.resolved_ms,
        "reason": alert.reason,
        "score": alert.score,
        "surprise_limit": alert.limit,
        "provisional": alert.provisional,
        "revision": alert.revision,
        "channels": json.dumps([asdict(channel) for channel in alert.channels]),
        "told": notified,
        "kept_at": now,
        "levels": json.dumps([asdict(level) for level in alert.levels]),
        "muted": muted,
        "note": text_of(alert.note),
    }


def progress_row(progress: EpisodeProgress) -> dict[str, object]:
    """Give by column what changes of an open episode."""
    alert = progress.alert
    latest = {
        "time_ms": progress.time_ms,
        "score": _known(progress.score),
        "actual": {channel: _known(value) for channel, value in progress.actual.items()},
    }
    return {
        "identity": text_of(alert.identity),
        "revision": alert.revision,
        "score": alert.score,
        "channels": json.dumps([asdict(channel) for channel in alert.channels]),
        "latest": json.dumps(latest),
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def stored_episode(row: sqlite3.Row) -> StoredEpisode:
    """Read a row; one of an earlier version lacks columns."""
    columns = row.keys()
    levels = json.loads(row["levels"]) if "levels" in columns else []
    latest = json.loads(row["latest"]) if "latest" in columns and row["latest"] else None
    return StoredEpisode(
        identity=row["identity"],
        watch=row["watch"],
        entity=row["entity"],
        since_ms=row["since_ms"],
        opened_ms=row["opened_ms"],
        resolved_ms=row["resolved_ms"],
        reason=row["reason"],
        score=row["score"],
        limit=row["surprise_limit"],
        provisional=bool(row["provisional"]),
        revision=row["revision"],
        channels=tuple(ChannelShare(**channel) for channel in json.loads(row["channels"])),
        notified=bool(row["told"]),
        levels=tuple(LevelChange(**level) for level in levels),
        latest=None if latest is None else LatestValues(**latest),
        muted=bool(row["muted"]) if "muted" in columns else False,
        note=row["note"] if "note" in columns else "",
        number=row["number"],
    )


def text_of(value: str) -> str:
    """Replace what SQLite cannot store: a lone surrogate, as names of files may hold."""
    return value.encode("utf-8", "replace").decode()
