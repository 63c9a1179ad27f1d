"""kafka-python 3.0 behind the source's Protocol.

What shapes this file are measured properties of that library:

- An error inside `poll` (a codec, a checksum) makes the next `poll` spin for ever: so it deserializes
  nothing, and every error that is not known to be transient is fatal to the client.
- A poll shorter than half a second can lose the answer to a join.
- Rebalance listeners run on the library's own thread, and must not call back: ours pauses what is new, and
  queues an event. The owner then looks up where to begin, and seeks.
- A position that is out of range would be reset silently: resets are off, and it is an error.
- Only a commit reveals that another member has taken this one's `group_instance_id`.
- A constructor that fails leaves a thread behind.
- It reads on at the same offset in a topic that was deleted and made again.
"""

from __future__ import annotations

import base64
import importlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import kafka
from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CommitFailedError,
    CorruptRecordError,
    FencedInstanceIdError,
    IllegalGenerationError,
    InvalidRequestError,
    KafkaConfigurationError,
    KafkaError,
    KafkaTimeoutError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetMetadataTooLargeError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
    UnsupportedCodecError,
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
    UnreadableError,
    check_readable,
    headers_of,
)

__all__ = ["check", "consumer_options", "open_client", "open_producer"]

_SHORTEST_POLL_MS = 500  # below it a join's answer can be lost between two polls
_BOOTSTRAP_MS = 5000  # one try to reach a broker; the loop turns in between
_METADATA_MS = 500  # the longest that a record to send waits for its topic's partitions
# To send: what could be read may be larger than the library's 1 MiB, and the broker decides.
_LARGEST_RECORD_BYTES = 64 << 20
_WITH_TOPIC_IDS = (2, 8)  # Kafka's first version that gives topics ids
# Transient errors: the brokers are away, or the group is rebalancing.
_RETRIABLE = (
    LibraryRetriableError,
    CommitFailedError,
    RebalanceInProgressError,
    IllegalGenerationError,
    UnknownMemberIdError,
)
_DAMAGED = (CorruptRecordError, UnsupportedCodecError)  # besides what codecs raise
# Packages that it imports if they are installed, by what cannot be read without them. Its own checksum, in
# Python, is five times slower.
_PACKAGES = {
    "checksums": ("crc32c", "crc32c"),
    "lz4": ("lz4.frame", "lz4"),
    "snappy": ("snappy", "python-snappy"),
    "zstd": ("zstandard",) * 2,
}
_Opened = TypeVar("_Opened")


def check(config: KafkaConfig) -> None:
    """Check that every codec can be read, and every file that the settings name.

    Raises
    ------
    SourceError
        If a package is missing, or a file cannot be read.
    """
    for codec, (module, package) in _PACKAGES.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise SourceError(
                f"source.kafka: {codec} cannot be read, because the package {package} cannot be imported "
                f"({error}). Any producer may send it: install it with `pip install {package}`."
            ) from error
    consumer_options(config)


def open_client(config: KafkaConfig) -> KafkaPythonClient:
    """Open a member of the group; waits five seconds for a broker, unless `api_version` is given."""
    return KafkaPythonClient(_opened(KafkaConsumer, consumer_options(config)), config.topics)


def open_producer(config: KafkaConfig, *, give_up_seconds: float) -> KafkaPythonProducer:
    """Open a producer; waits five seconds for a broker, unless `api_version` is given."""
    options = {
        **_connection_options(config),
        "acks": "all",
        "enable_idempotence": False,  # it needs one more right; a record that is sent twice does no harm
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
        "heartbeat_interval_ms": min(
            3000, session_ms // 3
        ),  # Kafka's default, and its advice for short sessions
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
            file = getattr(config, key)
            if file:
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
        self._unsought: set[Partition] = set()  # assigned, and without a seek since
        consumer.subscribe(list(topics), listener=self._listener)

    def poll(self, timeout_seconds: float) -> dict[Partition, Fetched]:
        """Give what has come; waits for half a second at least."""
        with _neutral():
            try:
                fetched = self._consumer.poll(timeout_ms=max(_ms(timeout_seconds), _SHORTEST_POLL_MS))
            except NoOffsetForPartitionError:
                if not self._unsought and not self._listener.has_events:
                    raise  # it is not of a partition that is about to be sought
                return {}
            except Exception as error:
                broken = self._consumer._fetcher._next_partition_records  # nothing else says whose records
                if broken and (isinstance(error, _DAMAGED) or not isinstance(error, KafkaError)):
                    place = _partition(broken.topic_partition)
                    raise UnreadableError(type(error).__name__, str(error), place) from error
                raise
            return {_partition(partition): _fetched(records) for partition, records in fetched.items()}

    def rebalance_events(self) -> list[RebalanceEvent]:
        """Give what the group did."""
        events = self._listener.drain()
        for event in events:
            self._unsought.difference_update(event.partitions)
            if event.what == "assigned":
                self._unsought.update(event.partitions)
        return events

    def assignment(self) -> frozenset[Partition]:
        """Give the partitions that this member has, and until the next poll also those that it has lost."""
        return frozenset(map(_partition, self._consumer.assignment()))

    def seek(self, partition: Partition, offset: int) -> None:
        """Read a partition from an offset."""
        with _neutral():
            self._consumer.seek(_topic_partition(partition), offset)
            if partition in self._unsought:
                self._consumer.resume(_topic_partition(partition))
        self._unsought.discard(partition)

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Give nothing of some partitions."""
        with _neutral():
            self._consumer.pause(*map(_topic_partition, partitions))

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Give records of some partitions again."""
        sought = [partition for partition in partitions if partition not in self._unsought]
        with _neutral():
            self._consumer.resume(*map(_topic_partition, sought))

    def position(self, partition: Partition, *, timeout_seconds: float) -> int | None:
        """Give up to where a partition has been read."""
        with _neutral():
            position: int | None = self._consumer.position(
                _topic_partition(partition), timeout_ms=_ms(timeout_seconds)
            )
            return position

    def log_ends(self) -> dict[Partition, int]:
        """Give the ends of partitions, as the last answers had them."""
        with _neutral():
            ends = {
                partition: self._consumer.highwater(partition) for partition in self._consumer.assignment()
            }
        return {_partition(partition): end for partition, end in ends.items() if end is not None}

    def first_offsets(
        self, partitions: Sequence[Partition], *, timeout_seconds: float
    ) -> dict[Partition, int]:
        """Ask for the oldest offsets."""
        asked = list(map(_topic_partition, partitions))
        with _neutral():
            return _by_partition(self._consumer.beginning_offsets(asked, timeout_ms=_ms(timeout_seconds)))

    def end_offsets(self, partitions: Sequence[Partition], *, timeout_seconds: float) -> dict[Partition, int]:
        """Ask for the next offsets."""
        asked = list(map(_topic_partition, partitions))
        with _neutral():
            return _by_partition(self._consumer.end_offsets(asked, timeout_ms=_ms(timeout_seconds)))

    def offsets_at(
        self, partitions: Sequence[Partition], time_ms: int, *, timeout_seconds: float
    ) -> dict[Partition, int]:
        """Ask for the oldest offsets since a time."""
        asked = {_topic_partition(partition): time_ms for partition in partitions}
        with _neutral():
            answers = self._consumer.offsets_for_times(asked, timeout_ms=_ms(timeout_seconds))
        return {
            _partition(partition): answer.offset
            for partition, answer in answers.items()
            if answer is not None
        }

    def topic_ids(self, topics: Sequence[str], *, timeout_seconds: float) -> dict[str, str]:
        """Ask for the ids of topics that are subscribed to."""
        consumer = self._consumer
        if consumer.config["api_version"] < _WITH_TOPIC_IDS:
            return {}
        cluster = consumer._cluster  # the library reads the ids, and offers no call for them
        with _neutral():
            update = cluster.request_update()
            try:
                if timeout_seconds:
                    with suppress(KafkaTimeoutError):  # the ids of the last metadata are given
                        consumer._net.run(consumer._manager.wait_for, update, _ms(timeout_seconds))
            except (UnknownTopicOrPartitionError, TopicAuthorizationFailedError):
                return {}  # of the only topic
        ids = {topic: cluster.topic_id(topic) for topic in topics}
        # A topic that does not exist has an id of zeros.
        return {
            topic: _id_text(topic_id.bytes) for topic, topic_id in ids.items() if topic_id and topic_id.int
        }

    def committed(
        self, partitions: Sequence[Partition], *, timeout_seconds: float
    ) -> dict[Partition, Committed]:
        """Ask what is committed."""
        committed = {}
        with _neutral():
            for partition in partitions:
                answer = self._consumer.committed(
                    _topic_partition(partition), metadata=True, timeout_ms=_ms(timeout_seconds)
                )
                if answer is not None:
                    committed[partition] = Committed(answer.offset, (answer.metadata or "").rstrip("\0"))
        return committed

    def commit(self, offsets: Mapping[Partition, Committed], *, timeout_seconds: float) -> None:
        """Commit, and wait for the answer."""
        commits = {
            _topic_partition(partition): OffsetAndMetadata(offset, f"{metadata}\0" if metadata else "", -1)
            for partition, (offset, metadata) in offsets.items()
        }
        with _neutral():
            self._consumer.commit(commits, timeout_ms=_ms(timeout_seconds))

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

    def send(
        self, topic: str, value: bytes, *, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> int:
        """Give a record to the library; waits half a second where the topic is not known."""
        with _neutral():
            future = self._producer.send(topic, value, key=key, headers=list(headers))
        number = next(self._numbers)
        future.add_callback(lambda _: self._outcomes.append((number, None)))
        future.add_errback(lambda error: self._outcomes.append((number, _neutral_error(error))))
        return number

    def outcomes(self) -> list[tuple[int, ClientError | None]]:
        """Give the outcomes of records."""
        return [self._outcomes.popleft() for _ in range(len(self._outcomes))]

    def close(self, *, timeout_seconds: float) -> None:
        """Send what is waiting, and close the connections; what is left has failed."""
        with _neutral():
            try:
                self._producer.close(timeout=timeout_seconds)
            except KafkaTimeoutError:  # raised before anything was closed: the library's thread would live on
                self._producer._sender.force_close()  # what is left fails at once; nothing else ends it
                self._producer.close(timeout=timeout_seconds)


class _TokenFile(AbstractTokenProvider):  # type: ignore[misc]
    """A token that another program keeps current in a file: read for each authentication."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def token(self) -> str:
        """Give the current token."""
        return self._file.read_text(encoding="utf-8").strip()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Runs on the library's thread: pauses what is new, and queues events for the owner."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer
        self._events: deque[RebalanceEvent] = deque()

    @property
    def has_events(self) -> bool:
        """Whether any are queued."""
        return bool(self._events)

    def drain(self) -> list[RebalanceEvent]:
        """Give the queued events, oldest first."""
        return [self._events.popleft() for _ in range(len(self._events))]

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Pause what is new until the owner has looked up where to begin."""
        partitions = tuple(assigned)
        self._consumer.pause(*partitions)
        self._events.append(RebalanceEvent("assigned", tuple(map(_partition, partitions))))

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Queue an event, and commit nothing: the last commit is some seconds old at most."""
        self._events.append(RebalanceEvent("revoked", tuple(map(_partition, revoked))))

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Queue an event; nothing could be committed any more."""
        self._events.append(RebalanceEvent("lost", tuple(map(_partition, lost))))


def _fetched(records: Sequence[Any]) -> Fetched:
    filled = [record for record in records if record.value is not None]
    return Fetched(
        [Record(record.value, record.timestamp, headers_of(record.headers)) for record in filled],
        [record.offset for record in filled],
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
    except ClientError:
        raise
    except Exception as error:
        raise _neutral_error(error) from error


def _neutral_error(error: Exception) -> ClientError:
    name, text = type(error).__name__, str(error)
    if isinstance(error, OffsetOutOfRangeError):
        return OutOfRangeError(name, text, _by_partition(error.args[0]))
    if isinstance(error, LogTruncationError):
        ends = {
            _partition(partition): None if end is None else end.offset
            for partition, end in error.divergent_offsets.items()
        }
        return TruncatedError(name, text, ends)
    if isinstance(error, FencedInstanceIdError):
        return FencedError(name, text)
    if isinstance(error, OffsetMetadataTooLargeError):
        return MetadataTooLargeError(name, text)
    if isinstance(error, InvalidRequestError):
        return RetryOnceError(name, text)
    return (RetriableError if isinstance(error, _RETRIABLE) else FatalClientError)(name, text)


def _partition(partition: TopicPartition) -> Partition:
    return Partition(partition.topic, partition.partition)


def _topic_partition(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)


def _by_partition(offsets: Mapping[TopicPartition, int]) -> dict[Partition, int]:
    return {_partition(partition): offset for partition, offset in offsets.items()}


def _id_text(id_bytes: bytes) -> str:
    """Write a topic's id as Kafka's tools do."""
    return base64.urlsafe_b64encode(id_bytes).decode("ascii").rstrip("=")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
