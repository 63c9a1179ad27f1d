"""What the Kafka source needs of a client library: a Protocol, plain types, and a class of error a reaction.

A client has one owner, the loop's thread. None of its calls blocks for longer than its timeout, a second or
two more at most. Each library's own ways, and its traps, are described in its own module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from monitor.config.kafka import KafkaConfig
from monitor.decode.record import Record
from monitor.errors import SourceError

__all__ = [
    "ClientError",
    "Committed",
    "FatalClientError",
    "FencedError",
    "Fetched",
    "KafkaClient",
    "KafkaLibrary",
    "KafkaProducer",
    "MetadataTooLargeError",
    "OutOfRangeError",
    "Partition",
    "RebalanceEvent",
    "RetriableError",
    "RetryOnceError",
    "TruncatedError",
    "UnreadableError",
    "check_readable",
    "headers_of",
]


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int

    @property
    def name(self) -> str:
        """As a checkpoint writes it: `topic/number`."""
        return f"{self.topic}/{self.number}"

    @classmethod
    def of(cls, name: str) -> Partition:
        """Read a name."""
        topic, _, number = name.rpartition("/")
        return cls(topic, int(number))

    def position(self, offset: int) -> str:
        """Give the position of a record as a log line has it, `topic[partition]@offset`."""
        return f"{self.topic}[{self.number}]@{offset}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a poll brought of one partition, in the order of its offsets.

    `records` are those with a value, and `offsets` are theirs; `n_empty` counts those without. `key_of` gives
    the key of one of `records` by its index: few are asked for.
    """

    records: Sequence[Record]
    offsets: Sequence[int]
    n_empty: int
    first_offset: int
    next_offset: int
    key_of: Callable[[int], bytes | None]


class RebalanceEvent(NamedTuple):
    """What the group did with some partitions."""

    what: Literal["assigned", "revoked", "lost"]
    partitions: tuple[Partition, ...]


class Committed(NamedTuple):
    """What is committed for a partition: the next offset to read, and a text of the member that committed it.

    In the group the text ends with a zero byte, which is no part of it: confluent-kafka writes one, and where
    there is none it reads past the end of the text. So each client can read what the other one committed.
    """

    offset: int
    metadata: str


class ClientError(Exception):
    """A call failed. The client survives `max_consecutive` errors of one name in a row, and no more.

    Parameters
    ----------
    name, text : str
        What the library calls the error, and its message.
    """

    max_consecutive = 0

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text)
        self.name = name
        self.text = " ".join(text.split()) or "no text"


class FatalClientError(ClientError):
    """Not known to be transient: the client cannot be trusted any more."""


class UnreadableError(FatalClientError):
    """What a partition holds at its next offset broke the client: a damaged batch, or a codec's error."""

    def __init__(self, name: str, text: str, partition: Partition) -> None:
        super().__init__(name, text)
        self.partition = partition


class RetriableError(ClientError):
    """Transient: brokers are away, or the group is rebalancing."""

    max_consecutive = 4


class RetryOnceError(ClientError):
    """Transient if it comes once: a member of the group that was answered too early."""

    max_consecutive = 1


class FencedError(ClientError):
    """Another member has taken this one's `group_instance_id`."""


class MetadataTooLargeError(RetriableError):
    """The broker accepts no commit with a text of this length."""


class OutOfRangeError(RetriableError):
    """A log does not hold the offsets that were asked for: they were deleted, or are not written yet.

    `offsets` are those that were asked for, by partition.
    """

    def __init__(self, name: str, text: str, offsets: Mapping[Partition, int]) -> None:
        super().__init__(name, text)
        self.offsets = offsets


class TruncatedError(RetriableError):
    """A log was truncated below what had been read of it: its new leader had not seen everything.

    `ends` are, by partition, the offsets where the log diverges from what was read; None where unknown.
    """

    def __init__(self, name: str, text: str, ends: Mapping[Partition, int | None]) -> None:
        super().__init__(name, text)
        self.ends = ends


class KafkaClient(Protocol):
    """A member of a consumer group.

    Every call but `rebalance_events` and `assignment` may raise a `ClientError`.
    """

    def poll(self, timeout_seconds: float) -> Mapping[Partition, Fetched]:
        """Give what has come, waiting for something; nothing of a partition before its first `seek`.

        Raises
        ------
        OutOfRangeError, TruncatedError
            Until a `seek` of the partitions.
        UnreadableError
            Once the records before those that cannot be read were given.
        FencedError
            Where the library notices; a commit always does.
        """
        ...

    def rebalance_events(self) -> list[RebalanceEvent]:
        """Give what the group did since the last call, oldest first."""
        ...

    def assignment(self) -> AbstractSet[Partition]:
        """Give the partitions that this member has, as far as it knows."""
        ...

    def seek(self, partition: Partition, offset: int) -> None:
        """Read a partition from an offset; an assigned partition is not read before."""
        ...

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Give nothing of some partitions until they are resumed; the group does not learn of it."""
        ...

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Give records of some partitions again."""
        ...

    def position(self, partition: Partition, *, timeout_seconds: float) -> int | None:
        """Give up to where a partition has been read; None where that is not known.

        Offsets without a record, such as a transaction's marks, count as read.
        """
        ...

    def log_ends(self) -> Mapping[Partition, int]:
        """Give the ends of the assigned partitions that came with records; asks no broker."""
        ...

    def first_offsets(
        self, partitions: Sequence[Partition], *, timeout_seconds: float
    ) -> dict[Partition, int]:
        """Ask for the oldest offsets that are still there."""
        ...

    def end_offsets(self, partitions: Sequence[Partition], *, timeout_seconds: float) -> dict[Partition, int]:
        """Ask for the offsets of the next records to be written."""
        ...

    def offsets_at(
        self, partitions: Sequence[Partition], time_ms: int, *, timeout_seconds: float
    ) -> dict[Partition, int]:
        """Ask for the oldest offsets since a timestamp; partitions without any are left out."""
        ...

    def topic_ids(self, topics: Sequence[str], *, timeout_seconds: float) -> dict[str, str]:
        """Ask for the topics' ids, as Kafka's tools show them; a topic that is made again has another one.

        Topics that do not exist are left out, and all of them by brokers before Kafka 2.8. A late answer is
        given by a later call; so with a timeout of 0, each call gives an earlier answer.
        """
        ...

    def committed(
        self, partitions: Sequence[Partition], *, timeout_seconds: float
    ) -> dict[Partition, Committed]:
        """Ask what the group has committed; partitions without a commit are left out."""
        ...

    def commit(self, offsets: Mapping[Partition, Committed], *, timeout_seconds: float) -> None:
        """Commit, and wait for the answer.

        Raises
        ------
        FencedError, MetadataTooLargeError
            If the group says so.
        """
        ...

    def close(self, *, timeout_seconds: float) -> None:
        """Leave the group, without a commit; a static member stays in it until its session times out.

        The client cannot be used any more.
        """
        ...


class KafkaProducer(Protocol):
    """Sends records, and reports the outcome of each later."""

    def send(
        self, topic: str, value: bytes, *, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> int:
        """Give a record to the library to be sent; return its number in `outcomes`.

        Raises
        ------
        ClientError
            If it is not accepted: the topic does not exist, no broker answers, or too much is waiting. The
            record has no outcome then.
        """
        ...

    def outcomes(self) -> list[tuple[int, ClientError | None]]:
        """Give the outcomes of records since the last call: None where the brokers have it."""
        ...

    def close(self, *, timeout_seconds: float) -> None:
        """Send what is waiting, within the timeout, and close the connections; what is left has failed."""
        ...


class KafkaLibrary(Protocol):
    """What each library's module offers."""

    def check(self, config: KafkaConfig) -> None:
        """Check that everything that the settings need is on this machine.

        Raises
        ------
        SourceError
            If a package is missing, or a file that they name cannot be read.
        """
        ...

    def open_client(self, config: KafkaConfig) -> KafkaClient:
        """Open a member of the group, subscribed to the topics; waits five seconds at most for a broker.

        Raises
        ------
        SourceError
            If the library refuses the settings.
        ClientError
            If it cannot be opened now.
        """
        ...

    def open_producer(self, config: KafkaConfig, *, give_up_seconds: float) -> KafkaProducer:
        """Open a producer to the same brokers; a record that they do not accept for so long has failed.

        Raises
        ------
        SourceError, ClientError
            As `open_client`.
        """
        ...


def headers_of(headers: Sequence[tuple[str, bytes | None]] | None) -> tuple[tuple[str, bytes], ...]:
    """Give a record's headers; one without a value, which Kafka allows, counts as empty."""
    return tuple((name, value or b"") for name, value in headers) if headers else ()


def check_readable(file: str, key: str) -> None:
    """Check that a file which a setting names can be read.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    try:
        Path(file).open("rb").close()
    except OSError as error:
        raise SourceError(f"source.kafka.{key}: cannot read {file}: {error.strerror}") from error
