"""`barograph dead-dead_letters`: the newest records that could not be read, from where they are kept."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.errors import SourceError
from monitor.kafka.dead_letter import DeadLetter, read_dead_letter
from monitor.kafka.topic_reader import Reader

__all__ = ["read_dead_letters"]


def read_dead_letters(reader: Reader, topic: str, *, n_newest: int) -> Iterator[DeadLetter]:
    """Read so many of the newest letters of each partition, those of a partition in their order.

    Raises
    ------
    SourceError
        If the topic is not there, or the cluster does not answer, also within the time that the reader has.
    """
    partitions = reader.topics().get(topic)
    if not partitions:
        raise SourceError(
            f"there is no topic {topic}, which source.kafka.dead_letter_topic names: make it, and the daemon sends there"
        )
    bounds = reader.bounds(topic, partitions)
    starts = {number: max(one.first, one.end - n_newest) for number, one in bounds.items()}
    for peek in reader.read(topic, starts, bounds):
        for record in peek.records:
            yield read_dead_letter(
                record.value, record.headers, topic=topic, partition=peek.partition, time_ms=record.time_ms
            )
