"""How far a source has been read: what a checkpoint keeps, and what a source goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["NOTHING_YET", "PartitionPosition", "Position"]

NOTHING_YET = -1  # an event time before every sample


@dataclass(frozen=True, slots=True)
class PartitionPosition:
    """How far one partition has been read.

    `offset` is that of the next record; `rewind` that of the oldest record which is needed to
    fill the windows anew; `newest_ms` the newest event time seen in it.
    """

    offset: int
    rewind: int
    newest_ms: int = NOTHING_YET


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source has been read: a checkpoint keeps it, and a source goes on from it.

    `time_ms` is the event time up to which a replay was handed out, or up to which the partitions are
    complete; None where there is no going back, or nothing yet. `partitions` by `topic/number`.
    """

    time_ms: int | None = None
    partitions: Mapping[str, PartitionPosition] = field(default_factory=dict)
