"""confluent-kafka (librdkafka) behind the source's Protocol: far less CPU time a record, and an optional package.

What shapes this file are measured properties of that library:

- `seek` of a partition that is not being fetched at the moment fails, after an offset out of range for one: it is unassigned and assigned
  anew instead. The same way an assigned partition is held back: the group is told that it is taken, and nothing is read
  until the owner knows where to begin.
- A commit that waits has no time limit, and lasts for a session's time-out while brokers are away. So a commit is sent, and its answer
  awaited by polling; the records that come meanwhile are kept for the next poll.
- `close` waits for the answer to a commit as well: so a thread closes, and is not waited for longer than told.
- `consume` waits until it has as many records as it may give: so one is waited for, and what is there is taken with it.
- The position stands still before a transaction's marks and what compaction took: the end-of-partition event tells that nothing is left.
- Errors of brokers come by a callback, forty a second while all are away. They are told where this member has no partition; elsewhere
  a commit tells. Only a fatal one, as of a member whose id was taken, is told always.
- Errors of one partition come among the records: they are raised by the next poll where records came with them.
- Committed metadata is read up to a zero byte, behind its end where there is none: what follows may be no text.
- It asks brokers for their version by itself: `api_version` means nothing here.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import confluent_kafka
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    TIMESTAMP_NOT_AVAILABLE,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

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
    check_readable,
    headers_of,
)

__all__ = ["check", "consumer_options", "open_client", "open_producer"]

_ANSWER_SECONDS = 0.01  # between two looks whether a commit was answered
_N_KEPT = 1000  # records taken at once meanwhile
_PIECE = 500  # records turned into ours at once: a tenth of them stays in the processor's cache, and costs half the time
_TOKEN_SECONDS = 60.0  # a token's file is read again after four fifths of that
_LARGEST_RECORD_BYTES = 64 << 20  # to send: what could be read may be larger than the library's 1 MB, and the broker decides
# Errors that pass: brokers are away or moving, the group is being put together anew, a topic is not there yet.
_PASSING = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._WAIT_COORD,
        KafkaError._WAIT_CACHE,
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError._ASSIGNMENT_LOST,
        KafkaError._QUEUE_FULL,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
    }
)

log = logging.getLogger("kafka.librdkafka")  # below the logger whose rate is limited


def check(config: KafkaConfig) -> None:
    """See that the files which the settings name can be read.

    Raises
    ------
    SourceError
        If not.
    """
    consumer_options(config)


def open_client(config: KafkaConfig) -> ConfluentClient:
    """Open a member of the group; waits for no broker."""
    return ConfluentClient(consumer_options(config), config.topics, max_records=config.max_poll_records)


def open_producer(config: KafkaConfig, *, give_up_seconds: float) -> ConfluentProducer:
    """Open a producer; waits for no broker."""
    options = {
        **_connection_options(config),
        "acks": "all",
        "message.timeout.ms": round(give_up_seconds * 1000),
        "message.max.bytes": _LARGEST_RECORD_BYTES,
    }
    return ConfluentProducer(options)


def consumer_options(config: KafkaConfig) -> dict[str, Any]:
    """Give a consumer's settings as librdkafka takes them.

    Raises
    ------
    SourceError
        If a file that they name cannot be read.
    """
    session_ms = round(config.session_timeout_seconds * 1000)
    options = {
        **_connection_options(config),
        "group.id": config.group_id,
        "partition.assignment.strategy": "cooperative-sticky",
        "auto.offset.reset": "error",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "check.crcs": True,  # as kafka-python does
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": min(3000, session_ms // 3),  # Kafka's default, and its advice for short sessions
        "max.poll.interval.ms": max(round(config.max_poll_interval_seconds * 1000), session_ms),  # it takes no shorter one
    }
    if config.group_instance_id:
        options["group.instance.id"] = config.group_instance_id
    return options


def _connection_options(config: KafkaConfig) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(config.bootstrap_servers),
        "client.id": config.client_id,
        "topic.metadata.refresh.interval.ms": 30_000,  # new partitions are read that much later at most
        "reconnect.backoff.max.ms": 2000,  # a broker that is back is found soon; the default is 10 s
        "security.protocol": config.security_protocol,
    }
    if config.security_protocol.endswith("SSL"):
        options["ssl.endpoint.identification.algorithm"] = "https" if config.ssl_check_hostname else "none"
        for key, theirs in (
            ("ssl_cafile", "ssl.ca.location"),
            ("ssl_certfile", "ssl.certificate.location"),
            ("ssl_keyfile", "ssl.key.location"),
        ):
            if file := getattr(config, key):
                check_readable(file, key)
                options[theirs] = file
        if config.ssl_password:
            options["ssl.key.password"] = config.ssl_password
    if config.sasl_mechanism:
        options["sasl.mechanism"] = config.sasl_mechanism
    if config.sasl_mechanism == "OAUTHBEARER":
        check_readable(config.sasl_token_file, "sasl_token_file")
        options["oauth_cb"] = partial(_token, Path(config.sasl_token_file))
    elif config.sasl_mechanism:
        options |= {"sasl.username": config.sasl_username, "sasl.password": config.sasl_password}
    return options


def _token(file: Path, _settings: str) -> tuple[str, float]:
    """Read a token that something else keeps current; give it with the time at which it is read again."""
    return file.read_text(encoding="utf-8").strip(), time.time() + _TOKEN_SECONDS


class ConfluentClient:
    """A member of a group; see `KafkaClient`."""

    def __init__(self, options: Mapping[str, Any], topics: Sequence[str], *, max_records: int) -> None:
        self._max_records = max_records
        self._rebalance_events: list[RebalanceEvent] = []
        self._assigned: set[Partition] = set()
        self._read: set[Partition] = set()  # of them, those that were sought
        self._paused: set[Partition] = set()
        self._positions: dict[Partition, int] = {}
        self._heard_of: set[Partition] = set()  # of those that are read: something came, so that their end is known
        self._kept: list[Message] = []  # came while a commit's answer was awaited
        self._error: ClientError | None = None  # to be raised by the next poll
        self._away: ClientError | None = None  # what a broker's connection said last
        self._is_committing = False
        self._commit_error: ClientError | None = None
        with _neutral_start():
            self._consumer = confluent_kafka.Consumer({**options, "error_cb": self._on_error, "on_commit": self._on_commit}, logger=_Log())
        self._consumer.subscribe(list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def poll(self, timeout_seconds: float) -> dict[Partition, Fetched]:
        """Give what has come."""
        with _neutral():
            self._raise_what_came()
            parts: dict[Partition, _Part] = {}
            for messages in self._pieces(timeout_seconds):
                self._sort(messages, parts)
        for partition, part in parts.items():
            self._positions[partition] = max(part.next_offset, self._positions.get(partition, 0))
        self._heard_of |= self._read.intersection(parts)
        if not parts:
            self._raise_what_came()
        return {partition: part.fetched() for partition, part in parts.items()}

    def rebalance_events(self) -> list[RebalanceEvent]:
        """Give what the group did."""
        rebalance_events, self._rebalance_events = self._rebalance_events, []
        return rebalance_events

    def assignment(self) -> frozenset[Partition]:
        """Give the partitions that this member has."""
        return frozenset(self._assigned)

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from an offset."""
        with _neutral():
            if partition in self._read:
                self._consumer.incremental_unassign([_theirs(partition)])
            self._consumer.incremental_assign([_theirs(partition, offset)])
            self._read.add(partition)
            if partition in self._paused:
                self._consumer.pause([_theirs(partition)])
        self._positions[partition] = offset
        self._heard_of.discard(partition)
        self._kept = [one for one in self._kept if _partition(one) != partition]

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Give nothing of some partitions."""
        read = self._read.intersection(partitions)
        with _neutral():
            self._consumer.pause(list(map(_theirs, read)))
        self._paused |= read

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Give records of some partitions again."""
        paused = self._paused.intersection(partitions)
        with _neutral():
            self._consumer.resume(list(map(_theirs, paused)))
        self._paused -= paused

    def position(self, partition: Partition, *, timeout_seconds: float) -> int | None:
        """Give up to where a partition has been read; asks nobody."""
        return self._positions.get(partition)

    def log_ends(self) -> dict[Partition, int]:
        """Give where partitions end, as the last answers said."""
        with _neutral():
            ends = {one: self._consumer.get_watermark_offsets(_theirs(one), cached=True)[1] for one in self._heard_of}
        return {one: end for one, end in ends.items() if end >= 0}

    def first_offsets(self, partitions: Sequence[Partition], *, timeout_seconds: float) -> dict[Partition, int]:
        """Ask for the oldest offsets."""
        return self._offsets(partitions, OFFSET_BEGINNING, timeout_seconds)

    def end_offsets(self, partitions: Sequence[Partition], *, timeout_seconds: float) -> dict[Partition, int]:
        """Ask for the next offsets."""
        return self._offsets(partitions, OFFSET_END, timeout_seconds)

    def offsets_at(self, partitions: Sequence[Partition], time_ms: int, *, timeout_seconds: float) -> dict[Partition, int]:
        """Ask for the oldest offsets since a time."""
        return {one: offset for one, offset in self._offsets(partitions, time_ms, timeout_seconds).items() if offset >= 0}

    def committed(self, partitions: Sequence[Partition], *, timeout_seconds: float) -> dict[Partition, Committed]:
        """Ask what is committed."""
        with _neutral():
            found = self._consumer.committed(list(map(_theirs, partitions)), timeout=timeout_seconds)
        _raise_first(found)
        return {_partition(one): Committed(one.offset, _metadata(one)) for one in found if one.offset >= 0}

    def commit(self, offsets: Mapping[Partition, Committed], *, timeout_seconds: float) -> None:
        """Commit, and wait for the answer; before it for that of an earlier one that came too late."""
        deadline = time.monotonic() + timeout_seconds
        theirs = [_theirs(one, at.offset, at.metadata) for one, at in offsets.items()]
        with _neutral():
            self._await_answer(deadline)
            self._consumer.commit(offsets=theirs, asynchronous=True)
            self._is_committing = True
            self._await_answer(deadline)

    def close(self, *, timeout_seconds: float) -> None:
        """Leave the group; where that lasts longer, it goes on behind us."""
        closing = threading.Thread(target=self._consumer.close, name="kafka-close", daemon=True)
        closing.start()
        closing.join(timeout_seconds)
        if closing.is_alive():
            raise RetriableError("_TIMED_OUT", "the group's coordinator has not answered yet that we leave")

    def _pieces(self, timeout_seconds: float) -> Iterator[Sequence[Message]]:
        """Give what has come, piece by piece, each of which is done with before the next."""
        messages = self._take_kept()
        if not messages:
            first = self._consumer.poll(timeout_seconds)
            messages = [] if first is None else [first]
            n_left = self._max_records - len(messages)
            while n_left > 0 and messages:
                yield messages
                messages = self._consumer.consume(min(_PIECE, n_left), 0)
                n_left -= len(messages)
        yield messages

    def _take_kept(self) -> list[Message]:
        """Give what came while a commit's answer was awaited, but for what has been paused since."""
        taken: list[Message] = []
        left: list[Message] = []
        for message in self._kept:
            holds = len(taken) >= self._max_records or (self._paused and _partition(message) in self._paused)
            (left if holds else taken).append(message)
        self._kept = left
        return taken

    def _await_answer(self, deadline: float) -> None:
        while self._is_committing:
            if time.monotonic() > deadline:
                raise RetriableError("_TIMED_OUT", "no answer to a commit yet")
            self._kept += self._consumer.consume(_N_KEPT, _ANSWER_SECONDS)
        error, self._commit_error = self._commit_error, None
        if error is not None:
            raise error

    def _sort(self, messages: Sequence[Message], parts: dict[Partition, _Part]) -> None:
        """Sort records by partition, and take note of what is none."""
        no_records = [message for message in messages if message.error() is not None]
        if no_records:
            for message in no_records:
                self._heard(message)
            messages = [message for message in messages if message.error() is None]
        places = zip(map(Message.topic, messages), map(Message.partition, messages), strict=True)
        at = 0
        for place, run in itertools.groupby(places):  # what one answer brought of a partition lies together
            partition, n = Partition(*place), len(list(run))  # type: ignore[arg-type]  # a record has both
            if partition not in parts:
                parts[partition] = _Part(messages[at].offset() or 0)
            parts[partition].add(messages[at : at + n])
            at += n

    def _heard(self, message: Message) -> None:
        error = message.error()
        assert error is not None
        if error.code() == KafkaError._PARTITION_EOF:
            partition = _partition(message)
            self._positions[partition] = message.offset() or 0
            self._heard_of |= self._read & {partition}
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # a log that was cut, too: what of it is there is read again from its beginning
            others = self._error.offsets if isinstance(self._error, OutOfRangeError) else {}
            offset = message.offset()
            assert offset is not None
            self._error = OutOfRangeError(error.name(), error.str(), {**others, _partition(message): offset})
        elif not isinstance(self._error, OutOfRangeError | FencedError):
            self._error = _neutral_error(error)

    def _raise_what_came(self) -> None:
        error, self._error = self._error, None
        if error is None and not self._assigned:
            error, self._away = self._away, None
        if error is not None:
            raise error

    def _offsets(self, partitions: Sequence[Partition], time_ms: int, timeout_seconds: float) -> dict[Partition, int]:
        with _neutral():
            found = self._consumer.offsets_for_times([_theirs(one, time_ms) for one in partitions], timeout=timeout_seconds)
        _raise_first(found)
        return {_partition(one): one.offset for one in found}

    # Callbacks: run within polls, on the owner's thread.

    def _on_assign(self, _consumer: object, partitions: list[TopicPartition]) -> None:
        self._consumer.incremental_assign([])  # taken, and not read yet
        self._assigned.update(map(_partition, partitions))
        self._rebalance_events.append(RebalanceEvent("assigned", tuple(map(_partition, partitions))))

    def _on_revoke(self, _consumer: object, partitions: list[TopicPartition]) -> None:
        self._let_go(partitions)
        self._rebalance_events.append(RebalanceEvent("revoked", tuple(map(_partition, partitions))))

    def _on_lost(self, _consumer: object, partitions: list[TopicPartition]) -> None:
        self._let_go(partitions)
        self._rebalance_events.append(RebalanceEvent("lost", tuple(map(_partition, partitions))))

    def _let_go(self, partitions: list[TopicPartition]) -> None:
        gone = set(map(_partition, partitions))
        self._consumer.incremental_unassign([_theirs(one) for one in gone & self._read])
        self._assigned -= gone
        self._read -= gone
        self._paused -= gone
        self._heard_of -= gone

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._error = _neutral_error(error)
        else:
            self._away = _neutral_error(error)

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self._is_committing = False
        errors = [error, *(one.error for one in partitions)]
        self._commit_error = next((_neutral_error(one) for one in errors if one is not None), None)


class ConfluentProducer:
    """See `KafkaProducer`."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._numbers = itertools.count()
        self._outcomes: list[tuple[int, ClientError | None]] = []
        with _neutral_start():
            self._producer = confluent_kafka.Producer({**options, "error_cb": _ignore}, logger=_Log())

    def send(self, topic: str, value: bytes, *, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()) -> int:
        """Hand over a record."""
        number = next(self._numbers)
        try:
            with _neutral():
                self._producer.produce(topic, value, key=key, headers=list(headers), on_delivery=partial(self._on_delivery, number))
        except BufferError as error:
            raise RetriableError("_QUEUE_FULL", str(error)) from error
        return number

    def outcomes(self) -> list[tuple[int, ClientError | None]]:
        """Give what became of records."""
        self._producer.poll(0)
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def close(self, *, timeout_seconds: float) -> None:
        """Send what is waiting; what is left then is dropped."""
        self._producer.flush(timeout_seconds)
        self._producer.purge()
        self._producer.flush(0)

    def _on_delivery(self, number: int, error: KafkaError | None, _message: Message) -> None:
        self._outcomes.append((number, None if error is None else _neutral_error(error)))


class _Log:
    """Hands the library's lines on by their kind, so that each kind's rate is limited by itself."""

    def log(self, level: int, _text: str, kind: str, _client: str, line: str) -> None:
        """Hand a line on."""
        log.log(level, f"{kind}: %s", line)


def _ignore(_error: KafkaError) -> None:
    """Pass over what a broker's connection says: each record's outcome tells."""


class _Part:
    """The records of one partition, as they are put together."""

    def __init__(self, first_offset: int) -> None:
        self.first_offset = self.next_offset = first_offset
        self.n_empty = 0
        self.records: list[Record] = []
        self.offsets: list[int] = []
        self.keys: list[bytes | None] = []

    def add(self, messages: Sequence[Message]) -> None:
        """Take more; nothing of the library's is kept."""
        self.next_offset = (messages[-1].offset() or 0) + 1
        values = list(map(Message.value, messages))
        if None in values:
            self.n_empty += values.count(None)
            messages = [one for one, value in zip(messages, values, strict=True) if value is not None]
            values = list(map(Message.value, messages))
        times = [-1 if kind == TIMESTAMP_NOT_AVAILABLE else time_ms for kind, time_ms in map(Message.timestamp, messages)]
        headers = [headers_of(one) if one else () for one in map(Message.headers, messages)]  # type: ignore[arg-type]  # text and bytes
        fields = zip(values, times, headers, strict=True)
        self.records += map(tuple.__new__, itertools.repeat(Record), fields)  # half the time of calling Record
        self.offsets += map(Message.offset, messages)  # type: ignore[arg-type]  # a record has one
        self.keys += map(Message.key, messages)

    def fetched(self) -> Fetched:
        """Give them as the source takes them."""
        return Fetched(self.records, self.offsets, self.n_empty, self.first_offset, self.next_offset, self.keys.__getitem__)


@contextmanager
def _neutral() -> Iterator[None]:
    """Turn the library's errors into the source's; anything else that fails in there breaks the client."""
    try:
        yield
    except (ClientError, BufferError):
        raise
    except KafkaException as error:
        raise _neutral_error(error.args[0]) from error
    except Exception as error:
        raise FatalClientError(type(error).__name__, str(error)) from error


@contextmanager
def _neutral_start() -> Iterator[None]:
    """Tell a setting that the library refuses as what it is."""
    with _neutral():
        try:
            yield
        except KafkaException as error:
            if error.args[0].code() != KafkaError._INVALID_ARG:
                raise
            raise SourceError(f"source.kafka: {error.args[0].str()}") from error


def _neutral_error(error: KafkaError) -> ClientError:
    code, name, text = error.code(), error.name(), error.str()
    if code in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL):  # as a heartbeat told it first; nothing else is fatal to a consumer
        return FencedError(name, text)
    if code == KafkaError.OFFSET_METADATA_TOO_LARGE:
        return MetadataTooLargeError(name, text)
    if code == KafkaError.INVALID_REQUEST:
        return RetryOnceError(name, text)
    return (RetriableError if code in _PASSING or error.retriable() else FatalClientError)(name, text)


def _metadata(committed: TopicPartition) -> str:
    """Give the text of a commit; nothing where another program's does not end."""
    try:
        return committed.metadata or ""
    except UnicodeDecodeError:
        return ""


def _raise_first(partitions: Iterable[TopicPartition]) -> None:
    for one in partitions:
        if one.error is not None:
            raise _neutral_error(one.error)


def _partition(one: TopicPartition | Message) -> Partition:
    topic, number = (one.topic(), one.partition()) if isinstance(one, Message) else (one.topic, one.partition)
    return Partition(topic, number)  # type: ignore[arg-type]  # only a message made by hand lacks them


def _theirs(partition: Partition, offset: int = OFFSET_INVALID, metadata: str = "") -> TopicPartition:
    if metadata:
        return TopicPartition(*partition, offset, metadata)
    return TopicPartition(*partition, offset)  # an empty text would be one of a zero byte
