"""How far a source has been read: a checkpoint stores it, and a source continues from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["NOTHING_YET", "PartitionPosition", "Position"]

NOTHING_YET = -1  # an event time before every sample


@dataclass(frozen=True, slots=True)
class PartitionPosition:
    """How far one partition has been read.

    `offset` is the offset of the next record, `rewind` that of the oldest record needed to fill the windows
    again after a restart. `newest_ms` is the newest event time seen in the partition. `topic_id` is the id of
    the topic that was read; empty where no id is known.
    """

    offset: int
    rewind: int
    newest_ms: int = NOTHING_YET
    topic_id: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source has been read: a checkpoint stores it, and a source continues from it.

    `time_ms` is the event time up to which a replay has returned samples, or up to which the partitions are
    complete; None for a source that cannot be read again, and before the first sample. `partitions` are keyed
    by `topic/number`.
    """

    time_ms: int | None = None
    partitions: Mapping[str, PartitionPosition] = field(default_factory=dict)
