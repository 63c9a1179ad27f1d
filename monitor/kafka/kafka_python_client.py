"""kafka-python 3.0 behind the source's Protocol.

What shapes this file are measured properties of that library:

- An error inside `poll` (a codec, a checksum) makes the next `poll` spin for ever: so it is given
  raw bytes only, and every error that is not known to pass breaks the client.
- A poll shorter than half a second can lose the answer to a join.
- Rebalance listeners run on the library's own thread, and must not call back: ours pauses what is
  new, and leaves a note. The owner then looks up where to begin, and seeks.
- A position that is out of range would be reset without a word: nothing is reset, and it is told.
- Only a commit tells a member that another one has taken its `group_instance_id`.
- A constructor that fails leaves a thread behind.
"""

from __future__ import annotations

import importlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import kafka
from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    InvalidRequestError,
    KafkaConfigurationError,
    KafkaTimeoutError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetMetadataTooLargeError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from kafka.errors import RetriableError as LibraryRetriableError
from kafka.net.compat import KafkaNetClient
from kafka.net.sasl.oauth import AbstractTokenProvider

from monitor.config.kafka import KafkaConfig
from monitor.decode.record import Record
from monitor.errors import SourceError
from monitor.kafka.client import (
    ClientError,
    Committed,
    FatalClientError,
    FencedError,
    Fetched,
    MetadataTooLargeError,
    OutOfRangeError,
    Partition,
    RebalanceEvent,
    RetriableError,
    RetryOnceError,
    TruncatedError,
    check_readable,
    headers_of,
)

__all__ = ["check", "consumer_options", "open_client", "open_producer"]

_SHORTEST_POLL_MS = 500  # below it a join's answer can be lost between two polls
_BOOTSTRAP_MS = 5000  # one try to reach a broker; the loop turns in between
_METADATA_MS = 500  # the longest that a record to send waits for its topic's partitions
_LARGEST_RECORD_BYTES = 64 << 20  # to send: what could be read may be larger than the library's 1 MiB, and the broker decides
# Errors that pass: the brokers are away, or the group is being put together anew.
_PASSING = (LibraryRetriableError, CommitFailedError, RebalanceInProgressError, IllegalGenerationError, UnknownMemberIdError)
# What it imports where it is there, by what cannot be read without it; the checksum in Python is five times slower.
_PACKAGES = {
    "checksums": ("crc32c", "crc32c"),
    "lz4": ("lz4.frame", "lz4"),
    "snappy": ("snappy", "python-snappy"),
    "zstd": ("zstandard",) * 2,
}
_Opened = TypeVar("_Opened")


def check(config: KafkaConfig) -> None:
    """See that every codec can be read, and that the files which the settings name can.

    Raises
    ------
    SourceError
        If not.
    """
    for what, (module, package) in _PACKAGES.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise SourceError(
                f"source.kafka: {what} cannot be read, because the package {package} cannot be imported ({error}). "
                f"Any producer may send it: install it with `pip install {package}`."
            ) from error
    consumer_options(config)


def open_client(config: KafkaConfig) -> KafkaPythonClient:
    """Open a member of the group; waits for a broker for five seconds, but where `api_version` is given."""
    return KafkaPythonClient(_opened(KafkaConsumer, consumer_options(config)), config.topics)


def open_producer(config: KafkaConfig, *, give_up_seconds: float) -> KafkaPythonProducer:
    """Open a producer; waits for a broker for five seconds, but where `api_version` is given."""
    options = {
        **_connection_options(config),
        "acks": "all",
        "enable_idempotence": False,  # it needs a right more; a record that is there twice does no harm
        "request_timeout_ms": round(give_up_seconds * 1000),
        "delivery_timeout_ms": round(give_up_seconds * 1000),
        "max_block_ms": _METADATA_MS,
        "max_request_size": _LARGEST_RECORD_BYTES,
    }
    return KafkaPythonProducer(_opened(kafka.KafkaProducer, options))


def consumer_options(config: KafkaConfig) -> dict[str, Any]:
    """Give a consumer's settings as kafka-python takes them.

    Raises
    ------
    SourceError
        If a file that they name cannot be read.
    """
    session_ms = round(config.session_timeout_seconds * 1000)
    return {
        **_connection_options(config),
        "group_id": config.group_id,
        "group_instance_id": config.group_instance_id or None,
        "auto_offset_reset": "none",
        "enable_auto_commit": False,
        "partition_assignment_strategy": [CooperativeStickyAssignor()],
        "session_timeout_ms": session_ms,
        "heartbeat_interval_ms": min(3000, session_ms // 3),  # Kafka's default, and its advice for short sessions
        "max_poll_interval_ms": round(config.max_poll_interval_seconds * 1000),
        "max_poll_records": config.max_poll_records,
    }


def _connection_options(config: KafkaConfig) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": config.bootstrap_servers,
        "bootstrap_timeout_ms": _BOOTSTRAP_MS,
        "client_id": config.client_id,
        "api_version": config.api_version_numbers,
        "allow_auto_create_topics": False,
        "metadata_max_age_ms": 30_000,  # new partitions are read that much later at most
        "reconnect_backoff_max_ms": 2000,  # a broker that is back is found soon; the default is 30 s
        "metrics_enabled": False,
        "security_protocol": config.security_protocol,
    }
    if config.security_protocol.endswith("SSL"):
        options["ssl_check_hostname"] = config.ssl_check_hostname
        for key in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            if file := getattr(config, key):
                check_readable(file, key)
                options[key] = file
        options["ssl_password"] = config.ssl_password or None
    if config.sasl_mechanism:
        options["sasl_mechanism"] = config.sasl_mechanism
    if config.sasl_mechanism == "OAUTHBEARER":
        check_readable(config.sasl_token_file, "sasl_token_file")
        options["sasl_oauth_token_provider"] = _TokenFile(Path(config.sasl_token_file))
    elif config.sasl_mechanism:
        options |= {"sasl_plain_username": config.sasl_username, "sasl_plain_password": config.sasl_password}
    return options


def _opened(construct: Callable[..., _Opened], options: Mapping[str, Any]) -> _Opened:
    clients: list[KafkaNetClient] = []

    def new_client(**options: Any) -> KafkaNetClient:
        clients.append(KafkaNetClient(**options))
        return clients[-1]

    try:
        return construct(**options, kafka_client=new_client)
    except KafkaConfigurationError as error:
        raise SourceError(f"source.kafka: {error}") from error
    except Exception as error:
        for client in clients:
            client.close()  # or its thread would outlive every try
        raise _neutral_error(error) from error


class KafkaPythonClient:
    """A member of a group; see `KafkaClient`."""

    def __init__(self, consumer: KafkaConsumer, topics: Sequence[str]) -> None:
        self._consumer = consumer
        self._listener = _Listener(consumer)
        self._held: set[Partition] = set()  # assigned, and not sought yet
        consumer.subscribe(list(topics), listener=self._listener)

    def poll(self, timeout_seconds: float) -> dict[Partition, Fetched]:
        """Give what has come; waits for half a second at least."""
        with _neutral():
            try:
                fetched = self._consumer.poll(timeout_ms=max(round(timeout_seconds * 1000), _SHORTEST_POLL_MS))
            except NoOffsetForPartitionError:
                if not (self._held or self._listener.rebalance_events):
                    raise  # it is not one that is about to be looked up
                return {}
            return {_partition(one): _fetched(records) for one, records in fetched.items()}

    def rebalance_events(self) -> list[RebalanceEvent]:
        """Give what the group did."""
        rebalance_events = []
        while self._listener.rebalance_events:
            rebalance_event = self._listener.rebalance_events.popleft()
            self._held.difference_update(rebalance_event.partitions)
            if rebalance_event.what == "assigned":
                self._held.update(rebalance_event.partitions)
            rebalance_events.append(rebalance_event)
        return rebalance_events

    def assignment(self) -> frozenset[Partition]:
        """Give the partitions that this member has; after a poll that came too late it still names those that it has lost."""
        return frozenset(map(_partition, self._consumer.assignment()))

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from an offset."""
        with _neutral():
            self._consumer.seek(_theirs(partition), offset)
            if partition in self._held:
                self._consumer.resume(_theirs(partition))
        self._held.discard(partition)

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Give nothing of some partitions."""
        with _neutral():
            self._consumer.pause(*map(_theirs, partitions))

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Give records of some partitions again."""
        with _neutral():
            self._consumer.resume(*(_theirs(one) for one in partitions if one not in self._held))

    def position(self, partition: Partition, *, timeout_seconds: float) -> int | None:
        """Give up to where a partition has been read."""
        with _neutral():
            position: int | None = self._consumer.position(_theirs(partition), timeout_ms=_ms(timeout_seconds))
            return position

    def log_ends(self) -> dict[Partition, int]:
        """Give where partitions end, as the last answers said."""
        with _neutral():
            return {_partition(one): end for one in self._consumer.assignment() if (end := self._consumer.highwater(one)) is not None}

    def first_offsets(self, partitions: Sequence[Partition], *, timeout_seconds: float) -> dict[Partition, int]:
        """Ask for the oldest offsets."""
        with _neutral():
            return _ours(self._consumer.beginning_offsets(list(map(_theirs, partitions)), timeout_ms=_ms(timeout_seconds)))

    def end_offsets(self, partitions: Sequence[Partition], *, timeout_seconds: float) -> dict[Partition, int]:
        """Ask for the next offsets."""
        with _neutral():
            return _ours(self._consumer.end_offsets(list(map(_theirs, partitions)), timeout_ms=_ms(timeout_seconds)))

    def offsets_at(self, partitions: Sequence[Partition], time_ms: int, *, timeout_seconds: float) -> dict[Partition, int]:
        """Ask for the oldest offsets since a time."""
        with _neutral():
            found = self._consumer.offsets_for_times({_theirs(one): time_ms for one in partitions}, timeout_ms=_ms(timeout_seconds))
            return {_partition(one): at.offset for one, at in found.items() if at is not None}

    def committed(self, partitions: Sequence[Partition], *, timeout_seconds: float) -> dict[Partition, Committed]:
        """Ask what is committed."""
        with _neutral():
            found = {one: self._consumer.committed(_theirs(one), metadata=True, timeout_ms=_ms(timeout_seconds)) for one in partitions}
            return {one: Committed(at.offset, (at.metadata or "").rstrip("\0")) for one, at in found.items() if at is not None}

    def commit(self, offsets: Mapping[Partition, Committed], *, timeout_seconds: float) -> None:
        """Commit, and wait for the answer."""
        with _neutral():
            theirs = {_theirs(one): OffsetAndMetadata(at.offset, at.metadata and f"{at.metadata}\0", -1) for one, at in offsets.items()}
            self._consumer.commit(theirs, timeout_ms=_ms(timeout_seconds))

    def close(self, *, timeout_seconds: float) -> None:
        """Leave the group."""
        with _neutral():
            self._consumer.close(autocommit=False, timeout_ms=_ms(timeout_seconds))


class KafkaPythonProducer:
    """See `KafkaProducer`."""

    def __init__(self, producer: kafka.KafkaProducer) -> None:
        self._producer = producer
        self._numbers = itertools.count()
        self._outcomes: deque[tuple[int, ClientError | None]] = deque()  # filled by the library's thread

    def send(self, topic: str, value: bytes, *, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()) -> int:
        """Hand over a record; waits half a second where its topic is not known."""
        with _neutral():
            future = self._producer.send(topic, value, key=key, headers=list(headers))
        number = next(self._numbers)
        future.add_callback(lambda _: self._outcomes.append((number, None)))
        future.add_errback(lambda error: self._outcomes.append((number, _neutral_error(error))))
        return number

    def outcomes(self) -> list[tuple[int, ClientError | None]]:
        """Give what became of records."""
        return [self._outcomes.popleft() for _ in range(len(self._outcomes))]

    def close(self, *, timeout_seconds: float) -> None:
        """Send what is waiting, and let go; what is left then has failed."""
        with _neutral():
            try:
                self._producer.close(timeout=timeout_seconds)
            except KafkaTimeoutError:  # raised before anything was let go: its thread would live on
                self._producer._sender.force_close()  # what is left fails at once; nothing else ends it
                self._producer.close(timeout=timeout_seconds)


class _TokenFile(AbstractTokenProvider):  # type: ignore[misc]
    """A token that something else keeps current in a file: read for each authentication."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def token(self) -> str:
        """Give the token as it is now."""
        return self._file.read_text(encoding="utf-8").strip()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Runs on the library's thread: pauses what is new and leaves notes for the owner."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self.rebalance_events: deque[RebalanceEvent] = deque()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Hold back what is new until the owner has looked up where to begin."""
        partitions = tuple(assigned)
        self._consumer.pause(*partitions)
        self.rebalance_events.append(RebalanceEvent("assigned", tuple(map(_partition, partitions))))

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Leave a note: what was kept was committed within the last seconds."""
        self.rebalance_events.append(RebalanceEvent("revoked", tuple(map(_partition, revoked))))

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Leave a note; there is nothing that could still be committed."""
        self.rebalance_events.append(RebalanceEvent("lost", tuple(map(_partition, lost))))


def _fetched(records: Sequence[Any]) -> Fetched:
    filled = [record for record in records if record.value is not None]
    return Fetched(
        [Record(one.value, one.timestamp, headers_of(one.headers)) for one in filled],
        [one.offset for one in filled],
        n_empty=len(records) - len(filled),
        first_offset=records[0].offset,
        next_offset=records[-1].offset + 1,
        key_of=partial(_key, filled),
    )


def _key(records: Sequence[Any], index: int) -> bytes | None:
    key: bytes | None = records[index].key
    return key


@contextmanager
def _neutral() -> Iterator[None]:
    """Turn the library's errors into the source's."""
    try:
        yield
    except Exception as error:
        raise _neutral_error(error) from error


def _neutral_error(error: Exception) -> ClientError:
    name, text = type(error).__name__, str(error)
    if isinstance(error, OffsetOutOfRangeError):
        return OutOfRangeError(name, text, _ours(error.args[0]))
    if isinstance(error, LogTruncationError):
        ends = {_partition(one): None if end is None else end.offset for one, end in error.divergent_offsets.items()}
        return TruncatedError(name, text, ends)
    if isinstance(error, FencedInstanceIdError):
        return FencedError(name, text)
    if isinstance(error, OffsetMetadataTooLargeError):
        return MetadataTooLargeError(name, text)
    if isinstance(error, InvalidRequestError):
        return RetryOnceError(name, text)
    return (RetriableError if isinstance(error, _PASSING) else FatalClientError)(name, text)


def _partition(partition: TopicPartition) -> Partition:
    return Partition(partition.topic, partition.partition)


def _theirs(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)


def _ours(offsets: Mapping[TopicPartition, int]) -> dict[Partition, int]:
    return {_partition(one): offset for one, offset in offsets.items()}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
