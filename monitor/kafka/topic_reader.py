"""Reads a Kafka cluster from outside: which topics there are, where they end, what their newest records are.

No group is joined and nothing is committed. Records are passed on as they come, and are not kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import (
    CoordinatorNotAvailableError,
    KafkaConfigurationError,
    KafkaTimeoutError,
    TopicAuthorizationFailedError,
)

from monitor.clock import Clock
from monitor.config.kafka import KafkaConfig
from monitor.decode.record import Record
from monitor.errors import SourceError
from monitor.kafka.connection_check import listens, why_unreachable
from monitor.kafka.kafka_python_client import consumer_options

__all__ = ["Bounds", "Peek", "Reader", "TopicReader"]

_BOOTSTRAP_SECONDS = 5.0  # as the daemon's own tries
_GROUP_SECONDS = 3.0  # to learn the group's offsets
_RETRY_SECONDS = 0.2  # while the group's coordinator starts
_POLL_MS = 500  # kafka-python's shortest that is safe
_LONGEST_ASK_MS = 5000  # for one question to the cluster
_CLOSE_MS = 1000
_MAX_FETCH_BYTES = 8 << 20  # of all partitions, held by the library at one time
_MAX_PARTITION_FETCH_BYTES = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bounds:
    """A partition's first offset, and the offset after its last record."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Peek:
    """Records of one partition, in their order; how many records had a key, and how many no value."""

    partition: int
    records: list[Record]
    n_keyed: int
    n_empty: int


class Reader(Protocol):
    """What is asked of a cluster: `TopicReader`, or lists in tests."""

    def seconds_left(self) -> float:
        """Give the time left."""
        ...

    def topics(self) -> dict[str, tuple[int, ...]]:
        """Give each topic's partitions."""
        ...

    def committed(self, partitions: Mapping[str, tuple[int, ...]]) -> dict[tuple[str, int], int] | None:
        """Give what the group has committed."""
        ...

    def bounds(self, topic: str, partitions: tuple[int, ...]) -> dict[int, Bounds]:
        """Give where partitions begin and end."""
        ...

    def since(self, topic: str, bounds: Mapping[int, Bounds], since_ms: int) -> dict[int, int]:
        """Give where the records since a time begin."""
        ...

    def read(self, topic: str, starts: Mapping[int, int], bounds: Mapping[int, Bounds]) -> Iterator[Peek]:
        """Give records."""
        ...


class TopicReader:
    """A connection to the cluster of `[source.kafka]`, with a time within which everything must be done.

    Raises
    ------
    SourceError
        If no broker can be used, with what seems to be the cause.
    """

    def __init__(self, config: KafkaConfig, clock: Clock, *, timeout_seconds: float) -> None:
        self._config = config
        self._clock = clock
        self._deadline = clock.monotonic() + timeout_seconds
        bootstrap_ms = round(min(_BOOTSTRAP_SECONDS, timeout_seconds) * 1000)
        self._options = {
            **consumer_options(config),
            "group_id": None,
            "group_instance_id": None,
            "bootstrap_timeout_ms": bootstrap_ms,
            "fetch_max_bytes": _MAX_FETCH_BYTES,
            "max_partition_fetch_bytes": _MAX_PARTITION_FETCH_BYTES,
        }
        self._consumer: Any = None
        if config.api_version and not any(map(listens, config.bootstrap_servers)):
            raise SourceError(why_unreachable(config))  # the library would wait for ever
        try:
            self._consumer = KafkaConsumer(**self._options)
            self._consumer.bootstrap(timeout_ms=bootstrap_ms)
        except KafkaConfigurationError as error:
            self.close()
            raise SourceError(f"source.kafka: {error}") from error
        except Exception as error:
            self.close()
            raise SourceError(why_unreachable(config)) from error

    def close(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=_CLOSE_MS)

    def seconds_left(self) -> float:
        """Give the time left; 0 when it is up."""
        return max(0.0, self._deadline - self._clock.monotonic())

    def topics(self) -> dict[str, tuple[int, ...]]:
        """Give the partition numbers of every topic that the cluster shows to this user."""
        names = self._ask("which topics there are", lambda _: self._consumer.topics())
        return {
            name: tuple(sorted(self._consumer.partitions_for_topic(name) or ())) for name in sorted(names)
        }

    def committed(self, partitions: Mapping[str, tuple[int, ...]]) -> dict[tuple[str, int], int] | None:
        """Give the committed offset of each partition that has one; None if the broker does not say."""
        group_id = self._config.group_id
        asked = {
            group_id: [
                TopicPartition(topic, number) for topic, numbers in partitions.items() for number in numbers
            ]
        }
        options = {
            key: value for key, value in self._options.items() if key in KafkaAdminClient.DEFAULT_CONFIG
        }
        deadline = self._clock.monotonic() + _GROUP_SECONDS
        try:
            admin = KafkaAdminClient(**options, request_timeout_ms=self._ask_ms())
        except Exception:  # the lag is useful, but nothing depends on it
            return None
        try:
            while True:
                try:
                    offsets = admin.list_group_offsets(asked)[group_id]
                    break
                except (
                    CoordinatorNotAvailableError
                ):  # the first question about any group creates the offsets' topic
                    if self._clock.monotonic() >= deadline:
                        return None
                    self._clock.wait(threading.Event(), _RETRY_SECONDS)
        except Exception:
            return None
        finally:
            admin.close()
        return {
            (partition.topic, partition.partition): committed.offset
            for partition, committed in offsets.items()
            if committed.offset >= 0
        }

    def bounds(self, topic: str, partitions: tuple[int, ...]) -> dict[int, Bounds]:
        """Give where each partition of a topic begins and ends."""
        asked = [TopicPartition(topic, number) for number in partitions]
        first = self._ask(
            f"where {topic} begins", lambda ms: self._consumer.beginning_offsets(asked, timeout_ms=ms)
        )
        end = self._ask(f"where {topic} ends", lambda ms: self._consumer.end_offsets(asked, timeout_ms=ms))
        return {partition.partition: Bounds(first[partition], end[partition]) for partition in asked}

    def since(self, topic: str, bounds: Mapping[int, Bounds], since_ms: int) -> dict[int, int]:
        """Give the offset of each partition's first record since a timestamp, or else its end."""
        asked = {TopicPartition(topic, number): max(0, since_ms) for number in bounds}
        answers = self._ask(
            f"what is new in {topic}", lambda ms: self._consumer.offsets_for_times(asked, timeout_ms=ms)
        )
        return {
            partition.partition: bounds[partition.partition].end if answer is None else answer.offset
            for partition, answer in answers.items()
        }

    def read(self, topic: str, starts: Mapping[int, int], bounds: Mapping[int, Bounds]) -> Iterator[Peek]:
        """Read from offsets up to the ends in `bounds`, or until the time is up."""
        ends = {
            TopicPartition(topic, number): bounds[number].end
            for number, start in starts.items()
            if start < bounds[number].end
        }
        self._consumer.assign(list(ends))
        for partition in ends:
            number = partition.partition
            self._consumer.seek(partition, max(starts[number], bounds[number].first))
        try:
            while ends and self.seconds_left():
                yield from self._poll(topic, ends)
                # The position, not the last record: what ends a transaction has an offset and is no record.
                for partition, end in list(ends.items()):
                    position = self._consumer.position(partition, timeout_ms=self._ask_ms())
                    if (position or 0) >= end:
                        del ends[partition]
                        self._consumer.pause(partition)
        finally:
            self._consumer.assign([])

    def _poll(self, topic: str, ends: Mapping[TopicPartition, int]) -> Iterator[Peek]:
        """Give what has come of some partitions, up to their ends."""
        fetched = self._ask(
            f"for records of {topic}", lambda ms: self._consumer.poll(timeout_ms=min(_POLL_MS, ms))
        )
        for partition, records in fetched.items():
            end = ends.get(partition, 0)
            yield _peek(partition.partition, [record for record in records if record.offset < end])

    def _ask_ms(self) -> int:
        return max(1, min(round(self.seconds_left() * 1000), _LONGEST_ASK_MS))

    def _ask(self, question: str, call: Callable[[int], T]) -> T:
        try:
            return call(self._ask_ms())
        except TopicAuthorizationFailedError as error:
            raise SourceError(
                f"asked {question}: this user may not read it. "
                "Ask for the right to read and describe the topic"
            ) from error
        except KafkaTimeoutError as error:
            raise SourceError(
                f"asked {question}: no answer in time. Can the brokers be reached under the addresses "
                "that they advertise (advertised.listeners)? Otherwise try a longer --timeout"
            ) from error
        except Exception as error:
            raise SourceError(
                f"asked {question}: {type(error).__name__}: {' '.join(str(error).split())}"
            ) from error


def _peek(partition: int, records: Sequence[Any]) -> Peek:
    filled = [
        Record(record.value, record.timestamp, tuple(record.headers or ()))
        for record in records
        if record.value is not None
    ]
    n_keyed = sum(record.key is not None for record in records)
    return Peek(partition, filled, n_keyed, len(records) - len(filled))
