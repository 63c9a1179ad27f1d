"""Looking at a Kafka cluster without taking part: which topics there are, where they end, what their newest records are.

No group is joined and nothing is committed. Payloads are handed on as they come and not kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import CoordinatorNotAvailableError, KafkaConfigurationError, KafkaTimeoutError, TopicAuthorizationFailedError

from monitor.clock import Clock
from monitor.config.kafka import KafkaConfig
from monitor.decode.record import Record
from monitor.errors import SourceError
from monitor.kafka.connection_check import listens, why_unreachable
from monitor.kafka.kafka_python_client import consumer_options

__all__ = ["Bounds", "Peek", "TopicReader"]

_BOOTSTRAP_SECONDS = 5.0  # as the daemon's own tries
_GROUP_SECONDS = 3.0  # to learn of the group's offsets
_POLL_MS = 500  # kafka-python's shortest that is safe
_MAX_FETCH_BYTES = 8 << 20  # of all partitions, held by the library at one time
_MAX_PARTITION_FETCH_BYTES = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bounds:
    """A partition's first offset and the one behind its last record."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Peek:
    """Records of one partition, in their order; how many of them had a key, and how many no value."""

    partition: int
    records: list[Record]
    n_keyed: int
    n_empty: int


class TopicReader:
    """A connection to the cluster of `[source.kafka]`, with a time by which everything has to be done.

    Raises
    ------
    SourceError
        If no broker could be used, with what seems to be the reason.
    """

    def __init__(self, config: KafkaConfig, clock: Clock, *, timeout_seconds: float) -> None:
        self._config, self._clock = config, clock
        self._until = clock.monotonic() + timeout_seconds
        bootstrap_ms = round(min(_BOOTSTRAP_SECONDS, timeout_seconds) * 1000)
        options = {
            **consumer_options(config),
            "group_id": None,
            "group_instance_id": None,
            "bootstrap_timeout_ms": bootstrap_ms,
            "fetch_max_bytes": _MAX_FETCH_BYTES,
            "max_partition_fetch_bytes": _MAX_PARTITION_FETCH_BYTES,
        }
        self._options = options
        self._consumer: Any = None
        if config.api_version and not any(map(listens, config.bootstrap_servers)):
            raise SourceError(why_unreachable(config))  # the library would wait for ever
        try:
            self._consumer = KafkaConsumer(**options)
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
            self._consumer.close(autocommit=False, timeout_ms=1000)

    def seconds_left(self) -> float:
        """Give the time left; 0 when it is up."""
        return max(0.0, self._until - self._clock.monotonic())

    def topics(self) -> dict[str, tuple[int, ...]]:
        """Give the numbers of each topic's partitions, of all topics that the cluster shows to this user."""
        names = self._asked("which topics there are", lambda _: self._consumer.topics())
        return {name: tuple(sorted(self._consumer.partitions_for_topic(name) or ())) for name in sorted(names)}

    def committed(self, partitions: Mapping[str, tuple[int, ...]]) -> dict[tuple[str, int], int] | None:
        """Give the group's committed offset of each partition that has one; None where the broker does not tell."""
        group_id = self._config.group_id
        asked = {group_id: [TopicPartition(topic, number) for topic, numbers in partitions.items() for number in numbers]}
        known = {key: value for key, value in self._options.items() if key in KafkaAdminClient.DEFAULT_CONFIG}
        until = self._clock.monotonic() + _GROUP_SECONDS
        try:
            admin = KafkaAdminClient(**known, request_timeout_ms=self._ask_ms())
        except Exception:  # what is asked for is worth having, no more
            return None
        try:
            while True:
                try:
                    offsets = admin.list_group_offsets(asked)[group_id]
                    break
                except CoordinatorNotAvailableError:  # the first question ever about a group makes the topic of offsets
                    if self._clock.monotonic() >= until:
                        return None
                    self._clock.wait(threading.Event(), 0.2)
        except Exception:
            return None
        finally:
            admin.close()
        return {(one.topic, one.partition): found.offset for one, found in offsets.items() if found.offset >= 0}

    def bounds(self, topic: str, partitions: tuple[int, ...]) -> dict[int, Bounds]:
        """Give where each partition of a topic begins and ends."""
        asked = [TopicPartition(topic, number) for number in partitions]
        first = self._asked(f"where {topic} begins", lambda ms: self._consumer.beginning_offsets(asked, timeout_ms=ms))
        end = self._asked(f"where {topic} ends", lambda ms: self._consumer.end_offsets(asked, timeout_ms=ms))
        return {one.partition: Bounds(first[one], end[one]) for one in asked}

    def since(self, topic: str, bounds: Mapping[int, Bounds], since_ms: int) -> dict[int, int]:
        """Give the offset of each partition's first record that is stamped at a time or later; its end where there is none."""
        asked = {TopicPartition(topic, number): max(0, since_ms) for number in bounds}
        found = self._asked(f"what is new in {topic}", lambda ms: self._consumer.offsets_for_times(asked, timeout_ms=ms))
        return {one.partition: bounds[one.partition].end if at is None else at.offset for one, at in found.items()}

    def read(self, topic: str, starts: Mapping[int, int], bounds: Mapping[int, Bounds]) -> Iterator[Peek]:
        """Read from offsets up to where the partitions ended, or until the time is up."""
        left = {TopicPartition(topic, number): bounds[number].end for number, start in starts.items() if start < bounds[number].end}
        self._consumer.assign(list(left))
        for partition in left:
            self._consumer.seek(partition, max(starts[partition.partition], bounds[partition.partition].first))
        try:
            while left and self.seconds_left():
                fetched = self._asked(f"for records of {topic}", lambda ms: self._consumer.poll(timeout_ms=min(_POLL_MS, ms)))
                for partition, records in fetched.items():
                    yield _peek(partition.partition, [one for one in records if one.offset < left.get(partition, 0)])
                # The position, not the last record: what ends a transaction takes an offset and is no record.
                done = [one for one, end in left.items() if (self._consumer.position(one, timeout_ms=self._ask_ms()) or 0) >= end]
                for partition in done:
                    del left[partition]
                    self._consumer.pause(partition)
        finally:
            self._consumer.assign([])

    def _ask_ms(self) -> int:
        return max(1, min(round(self.seconds_left() * 1000), 5000))

    def _asked(self, what: str, ask: Callable[[int], T]) -> T:
        try:
            return ask(self._ask_ms())
        except TopicAuthorizationFailedError as error:
            raise SourceError(f"asked {what}: this user may not read it. Ask for the right to read and describe the topic") from error
        except KafkaTimeoutError as error:
            hint = "Can the brokers be reached by what they advertise (advertised.listeners)? Else try a longer --timeout"
            raise SourceError(f"asked {what}: no answer in time. {hint}") from error
        except Exception as error:
            raise SourceError(f"asked {what}: {type(error).__name__}: {' '.join(str(error).split())}") from error


def _peek(partition: int, records: Sequence[Any]) -> Peek:
    filled = [Record(one.value, one.timestamp, tuple(one.headers or ())) for one in records if one.value is not None]
    return Peek(partition, filled, sum(one.key is not None for one in records), len(records) - len(filled))


class Reader(Protocol):
    """What is asked of a cluster: `TopicReader`, or a list in tests."""

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
        """Give where records of a time begin."""
        ...

    def read(self, topic: str, starts: Mapping[int, int], bounds: Mapping[int, Bounds]) -> Iterator[Peek]:
        """Give records."""
        ...
