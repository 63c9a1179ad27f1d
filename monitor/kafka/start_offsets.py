"""At which offset a partition is read: when it is assigned, and when its log no longer holds the next record.

The first of these that is known counts, for a partition that was assigned:

1. where this daemon was, by its memory or its checkpoint;
2. what the group has committed;
3. the beginning, where the partition is new in a topic that is read already;
4. what `source.kafka.start` says.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from monitor.clock import Clock
from monitor.config.kafka import KafkaConfig
from monitor.kafka.client import KafkaClient, Partition
from monitor.kafka.commit_metadata import CommitMetadata
from monitor.kafka.progress import ReadProgress

__all__ = ["Restart", "StartOffsets", "Starts"]

log = logging.getLogger(__name__)

_ASK_SECONDS = 5.0  # for one question to the broker


@dataclass(frozen=True, slots=True)
class Starts:
    """Where some partitions begin; `new` are those without a commit and without a position of ours."""

    offsets: Mapping[Partition, int]
    new: Sequence[Partition]


class Restart(NamedTuple):
    """Where a partition continues whose log does not hold its next record, and how many records were lost."""

    partition: Partition
    offset: int
    n_lost: int = 0


class StartOffsets:
    """Finds offsets to read from; it asks the broker, and moves nothing.

    Parameters
    ----------
    progress : ReadProgress
        Where this daemon has been.
    metadata : CommitMetadata
        Is given the texts of the commits that are found.
    """

    def __init__(
        self, config: KafkaConfig, clock: Clock, progress: ReadProgress, metadata: CommitMetadata
    ) -> None:
        self._start = config.start
        self._on_gap = config.on_gap
        self._clock = clock
        self._progress = progress
        self._metadata = metadata

    def find(self, client: KafkaClient, partitions: Sequence[Partition]) -> Starts:
        """Give where to begin with partitions that were assigned.

        Raises
        ------
        ClientError
            If the broker does not answer; nothing is begun then.
        """
        offsets = self._known_offsets(client, partitions)
        new = [partition for partition in partitions if partition not in offsets]
        known_topics = {partition.topic for partition in offsets}
        added: list[Partition] = []  # to a topic that is read already: nothing of them was ever read
        unread: list[Partition] = []  # of a topic that this group never read
        for partition in new:
            is_known = partition.topic in known_topics or self._progress.knows_topic(partition.topic)
            (added if is_known else unread).append(partition)
        if added:
            offsets |= client.first_offsets(added, timeout_seconds=_ASK_SECONDS)
        if unread:
            offsets |= self._configured_offsets(client, unread)
        return Starts(offsets, new)

    def after_gap(self, client: KafkaClient, wanted: Mapping[Partition, int]) -> Iterator[Restart]:
        """Give where partitions continue whose next record is gone, or whose log is another one.

        Parameters
        ----------
        wanted : mapping
            The offsets that were asked for, and that the logs do not hold.
        """
        partitions = list(wanted)
        first = client.first_offsets(partitions, timeout_seconds=_ASK_SECONDS)
        end = client.end_offsets(partitions, timeout_seconds=_ASK_SECONDS)
        for partition, offset in wanted.items():
            if offset < first[partition]:
                restart = first[partition] if self._on_gap == "earliest" else end[partition]
                n_lost = restart - offset
                log.error(
                    "records lost at=%s: %d were deleted before they were read; continuing at %d",
                    partition.position(offset), n_lost, restart,
                )  # fmt: skip
                yield Restart(partition, restart, n_lost)
            else:
                # Samples that were read before change nothing when they come again.
                restart = first[partition]
                log.error(
                    "log ends before at=%s, at %d: read again from %d",
                    partition.position(offset),
                    end[partition],
                    restart,
                )
                yield Restart(partition, restart)

    def after_truncation(
        self, client: KafkaClient, ends: Mapping[Partition, int | None]
    ) -> Iterator[Restart]:
        """Give where partitions continue whose log was truncated: its new leader has not seen everything.

        Parameters
        ----------
        ends : mapping
            The offsets where the logs diverge from what was read; None where unknown.
        """
        first = client.first_offsets(list(ends), timeout_seconds=_ASK_SECONDS)
        for partition, end in ends.items():
            restart = first[partition] if end is None else end
            log.error("log truncated %s: continuing at %d", partition.name, restart)
            yield Restart(partition, restart)

    def _known_offsets(self, client: KafkaClient, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Give where this daemon was, else where the group was."""
        committed = client.committed(partitions, timeout_seconds=_ASK_SECONDS)
        offsets: dict[Partition, int] = {}
        for partition in partitions:
            if partition in committed:
                offset, metadata = committed[partition]
                offsets[partition] = offset
                self._metadata.read(partition.name, metadata)
            own_offset = self._progress.offset(partition.name)
            if own_offset is not None:
                offsets[partition] = own_offset
        return offsets

    def _configured_offsets(
        self, client: KafkaClient, partitions: Sequence[Partition]
    ) -> dict[Partition, int]:
        """Give where `source.kafka.start` lets a topic begin that this group never read."""
        if self._start == "earliest":
            return client.first_offsets(partitions, timeout_seconds=_ASK_SECONDS)
        offsets = client.end_offsets(partitions, timeout_seconds=_ASK_SECONDS)
        if isinstance(self._start, float | int):
            since_ms = max(0, round((self._clock.now() - self._start) * 1000))
            offsets |= client.offsets_at(partitions, since_ms, timeout_seconds=_ASK_SECONDS)
        return offsets
