"""At which offset a partition is read: when it is assigned, and when its log no longer holds the next record.

The first of these that is known counts, for a partition that was assigned:

1. where this daemon was, by its memory or its checkpoint;
2. what the group has committed;
3. the beginning, where the partition is new in a topic that is read already;
4. what `source.kafka.start` says.

The first two count only while the topic is the one that was read. A topic that was deleted and made again is
read from its beginning, also when that is noticed while it is read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from monitor.clock import Clock
from monitor.config.kafka import KafkaConfig
from monitor.kafka.client import KafkaClient, Partition
from monitor.kafka.commit_metadata import CommitMetadata
from monitor.kafka.progress import ReadProgress
from monitor.kafka.topic_identity import TopicIdentity

__all__ = ["Restart", "StartOffsets", "Starts"]

log = logging.getLogger(__name__)

_ASK_SECONDS = 5.0  # for one question to the broker


@dataclass(frozen=True, slots=True)
class Starts:
    """Where some partitions begin; `new` are those without a commit and without a position of ours.

    `topic_ids` are the ids of their topics, where they are known.
    """

    offsets: Mapping[Partition, int]
    new: Sequence[Partition]
    topic_ids: Mapping[Partition, str]


class Restart(NamedTuple):
    """Where a partition continues whose log does not hold its next record, and how many records were lost.

    `topic_id` is the id of a topic that was made again.
    """

    partition: Partition
    offset: int
    n_lost: int = 0
    topic_id: str = ""


class StartOffsets:
    """Finds offsets to read from; it asks the broker, and moves nothing.

    Parameters
    ----------
    progress : ReadProgress
        Where this daemon has been.
    metadata : CommitMetadata
        Is given the texts of the commits that are found.
    identity : TopicIdentity
        Compares the topics that there are with those that were read.
    """

    def __init__(
        self,
        config: KafkaConfig,
        clock: Clock,
        progress: ReadProgress,
        metadata: CommitMetadata,
        identity: TopicIdentity,
    ) -> None:
        self._start = config.start
        self._on_gap = config.on_gap
        self._clock = clock
        self._progress = progress
        self._metadata = metadata
        self._identity = identity

    def find(self, client: KafkaClient, partitions: Sequence[Partition]) -> Starts:
        """Give where to begin with partitions that were assigned.

        Raises
        ------
        ClientError
            If the broker does not answer; nothing is begun then.
        """
        known = self._known_positions(client, partitions)
        offsets = {partition: offset for partition, (offset, _) in known.items()}
        new = [partition for partition in partitions if partition not in offsets]
        known_topics = {partition.topic for partition in offsets}
        added: list[Partition] = []  # to a topic that is read already: nothing of them was ever read
        unread: list[Partition] = []  # of a topic that this group never read
        for partition in new:
            topic = partition.topic
            is_known = topic in known_topics or self._progress.knows_topic(topic)
            (added if is_known or self._identity.is_recreated(topic) else unread).append(partition)
        if added:
            offsets |= client.first_offsets(added, timeout_seconds=_ASK_SECONDS)
        if unread:
            offsets |= self._configured_offsets(client, unread)
        topic_ids = {
            partition: self._identity.id_of(partition.topic) or known.get(partition, (0, ""))[1]
            for partition in partitions
        }
        return Starts(offsets, new, topic_ids)

    def after_recreation(self, client: KafkaClient) -> Iterator[Restart]:
        """Give where the partitions continue whose topic was deleted and made again; asks every five seconds.

        Raises
        ------
        ClientError
            If the broker does not say where they begin.
        """
        owned = self._progress.owned
        partitions = [partition for partition in sorted(client.assignment()) if partition.name in owned]
        if partitions and self._identity.ask_in_time(client, partitions):
            yield from self._recreated(client, partitions).values()

    def after_gap(self, client: KafkaClient, wanted: Mapping[Partition, int]) -> Iterator[Restart]:
        """Give where partitions continue whose next record is gone, or whose log is another one.

        Parameters
        ----------
        wanted : mapping
            The offsets that were asked for, and that the logs do not hold.
        """
        recreated = self._ask_recreated(client, wanted)
        yield from recreated.values()
        partitions = [partition for partition in wanted if partition not in recreated]
        if not partitions:
            return
        first = client.first_offsets(partitions, timeout_seconds=_ASK_SECONDS)
        end = client.end_offsets(partitions, timeout_seconds=_ASK_SECONDS)
        for partition in partitions:
            offset = wanted[partition]
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
        recreated = self._ask_recreated(client, ends)
        yield from recreated.values()
        partitions = [partition for partition in ends if partition not in recreated]
        if not partitions:
            return
        first = client.first_offsets(partitions, timeout_seconds=_ASK_SECONDS)
        for partition in partitions:
            end = ends[partition]
            restart = first[partition] if end is None else end
            log.error("log truncated %s: continuing at %d", partition.name, restart)
            yield Restart(partition, restart)

    def _known_positions(
        self, client: KafkaClient, partitions: Sequence[Partition]
    ) -> dict[Partition, tuple[int, str]]:
        """Give where this daemon was, else where the group was, with the id of the topic if it is known."""
        committed = client.committed(partitions, timeout_seconds=_ASK_SECONDS)
        committed_ids = {
            partition: self._metadata.read(partition.name, text) for partition, (_, text) in committed.items()
        }
        own_ids = {partition: self._progress.topic_id(partition.name) for partition in partitions}
        has_ids = any(committed_ids.values()) or any(own_ids.values())
        self._identity.ask(client, partitions, waits=has_ids)  # without any, there is nothing to compare
        known: dict[Partition, tuple[int, str]] = {}
        for partition in partitions:
            own_offset, own_id = self._progress.offset(partition.name), own_ids[partition]
            committed_id = committed_ids.get(partition) or own_id  # without an id, it is of what we read
            if own_offset is not None and self._identity.is_of(partition.topic, own_id):
                known[partition] = own_offset, own_id
            elif partition in committed and self._identity.is_of(partition.topic, committed_id):
                known[partition] = committed[partition].offset, committed_id
        return known

    def _ask_recreated(
        self, client: KafkaClient, partitions: Iterable[Partition]
    ) -> dict[Partition, Restart]:
        """Ask for the topics' ids, and give what `_recreated` does."""
        asked = list(partitions)
        has_ids = any(self._progress.topic_id(partition.name) for partition in asked)
        self._identity.ask(client, asked, waits=has_ids)
        return self._recreated(client, asked)

    def _recreated(self, client: KafkaClient, partitions: Sequence[Partition]) -> dict[Partition, Restart]:
        """Give where those of some partitions continue whose topic was made again; learn unknown ids."""
        recreated = []
        for partition in partitions:
            if not self._identity.is_of(partition.topic, self._progress.topic_id(partition.name)):
                recreated.append(partition)
            elif self._progress.offset(partition.name) is not None:
                self._progress.learn_topic_id(partition.name, self._identity.id_of(partition.topic))
        if not recreated:
            return {}
        first = client.first_offsets(recreated, timeout_seconds=_ASK_SECONDS)
        return {
            partition: Restart(partition, first[partition], topic_id=self._identity.id_of(partition.topic))
            for partition in recreated
        }

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
