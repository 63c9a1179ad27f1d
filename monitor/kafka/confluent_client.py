"""confluent-kafka (librdkafka) behind the source's Protocol: an optional package, and far less CPU time.

What shapes this file are measured properties of that library:

- `seek` fails for a partition that is not being fetched at the moment, for example after an offset out of
  range: the partition is unassigned and assigned again instead. An assigned partition is held back the same
  way: the group learns that it is accepted, and nothing is read until the owner knows where to begin.
- A synchronous commit has no timeout, and takes as long as the session's while brokers are away. So a commit
  is sent, and its answer awaited by polling; the records that come meanwhile are kept for the next poll.
- `close` waits for the answer to a commit as well: so a thread closes, and the caller waits for its timeout
  only.
- `consume` waits until it has as many records as it may give: so a single record is waited for, and what is
  there already is taken with it.
- The position stands still before a transaction's marks and before what compaction removed: the
  end-of-partition event says that nothing is left to read.
- Errors of brokers come by a callback, forty a second while all are away. They are raised while this member
  has no partition; otherwise a commit reports them. Only a fatal one, as of a member whose id was taken, is
  always raised.
- Errors of a partition come among the records: they are raised by the next poll where records came with them.
- Committed metadata is read up to a zero byte, past its end where there is none: what follows may be no text.
- It reads on at the same offset in a topic that was deleted and made again. A consumer does not show topics'
  ids: an admin client asks for them, over connections of its own.
- It asks brokers for their version by itself: `api_version` has no effect here.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, wait
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
    TopicCollection,
    TopicPartition,
    Uuid,
)
from confluent_kafka.admin import AdminClient

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
    UnreadableError,
    check_readable,
    headers_of,
)

__all__ = ["check", "consumer_options", "open_client", "open_producer"]

_ANSWER_SECONDS = 0.01  # between two checks whether a commit was answered
_DESCRIBE_SECONDS = 10.0  # after which a question for topics' ids is asked anew
_NO_TOPIC_ID = str(Uuid(0, 0))  # what brokers without ids give
_AS_KAFKA_WRITES = str.maketrans("+/", "-_")  # and kafka-python's ids: the library writes base64's own signs
_N_KEPT = 1000  # records taken at once meanwhile
# Records converted at once: so many stay in the processor's cache, and cost half the time.
_PIECE = 500
_TOKEN_SECONDS = 60.0  # a token's file is read again after four fifths of this
# To send: what could be read may be larger than the library's 1 MB, and the broker decides.
_LARGEST_RECORD_BYTES = 64 << 20
# Transient errors: brokers are away or moving, the group is rebalancing, a topic does not exist yet.
_RETRIABLE = frozenset(
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

# A batch of records that cannot be read; the library goes on behind it.
_DAMAGED = frozenset(
    {KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError._NOT_IMPLEMENTED, KafkaError.INVALID_MSG}
)

log = logging.getLogger("kafka.librdkafka")  # below the logger whose rate is limited


def check(config: KafkaConfig) -> None:
    """Check that every file that the settings name can be read.

    Raises
    ------
    SourceError
        If a file cannot be read.
    """
    consumer_options(config)


def open_client(config: KafkaConfig) -> ConfluentClient:
    """Open a member of the group; waits for no broker."""
    topic_ids = _TopicIds(_connection_options(config))
    return ConfluentClient(
        consumer_options(config), config.topics, max_records=config.max_poll_records, topic_ids=topic_ids
    )


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
        # Kafka's default, and its advice for short sessions.
        "heartbeat.interval.ms": min(3000, session_ms // 3),
        # It accepts none shorter than the session's timeout.
        "max.poll.interval.ms": max(round(config.max_poll_interval_seconds * 1000), session_ms),
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
        for key, option in (
            ("ssl_cafile", "ssl.ca.location"),
            ("ssl_certfile", "ssl.certificate.location"),
            ("ssl_keyfile", "ssl.key.location"),
        ):
            file = getattr(config, key)
            if file:
                check_readable(file, key)
                options[option] = file
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
    """Read a token that another program keeps current; give it with the time at which it expires."""
    return file.read_text(encoding="utf-8").strip(), time.time() + _TOKEN_SECONDS


class ConfluentClient:
    """A member of a group; see `KafkaClient`."""

    def __init__(
        self, options: Mapping[str, Any], topics: Sequence[str], *, max_records: int, topic_ids: _TopicIds
    ) -> None:
        self._max_records = max_records
        self._topic_ids = topic_ids
        self._membership = _Membership()
        self._errors = _PendingErrors()
        self._commit_answer = _CommitAnswer()
        callbacks = {"error_cb": self._errors.on_error, "on_commit": self._commit_answer.on_commit}
        with _neutral_start():
            self._consumer = confluent_kafka.Consumer({**options, **callbacks}, logger=_Log())
        self._consumer.subscribe(
            list(topics),
            on_assign=self._membership.on_assign,
            on_revoke=self._membership.on_revoke,
            on_lost=self._membership.on_lost,
        )

    def poll(self, timeout_seconds: float) -> dict[Partition, Fetched]:
        """Give what has come."""
        with _neutral():
            self._errors.raise_pending(has_partitions=bool(self._membership.assigned))
            parts: dict[Partition, _Part] = {}
            for messages in self._pieces(timeout_seconds):
                _add_records(self._without_events(messages), parts)
        for partition, part in parts.items():
            self._membership.advance(partition, part.next_offset)
        if not parts:
            self._errors.raise_pending(has_partitions=bool(self._membership.assigned))
        return {partition: part.fetched() for partition, part in parts.items()}

    def rebalance_events(self) -> list[RebalanceEvent]:
        """Give what the group did."""
        return self._membership.drain_events()

    def assignment(self) -> frozenset[Partition]:
        """Give the partitions that this member has."""
        return frozenset(self._membership.assigned)

    def seek(self, partition: Partition, offset: int) -> None:
        """Read a partition from an offset."""
        with _neutral():
            if partition in self._membership.sought:
                self._consumer.incremental_unassign([_topic_partition(partition)])
            self._consumer.incremental_assign([_topic_partition(partition, offset)])
            self._membership.sought.add(partition)
            if partition in self._membership.paused:
                self._consumer.pause([_topic_partition(partition)])
        self._membership.restart(partition, offset)
        self._commit_answer.drop_kept(partition)

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Give nothing of some partitions."""
        sought = self._membership.sought.intersection(partitions)
        with _neutral():
            self._consumer.pause(list(map(_topic_partition, sought)))
        self._membership.paused.update(sought)

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Give records of some partitions again."""
        paused = self._membership.paused.intersection(partitions)
        with _neutral():
            self._consumer.resume(list(map(_topic_partition, paused)))
        self._membership.paused.difference_update(paused)

    def position(self, partition: Partition, *, timeout_seconds: float) -> int | None:
        """Give up to where a partition has been read; asks no broker."""
        return self._membership.positions.get(partition)

    def log_ends(self) -> dict[Partition, int]:
        """Give the ends of partitions, as the last answers had them."""
        with _neutral():
            ends = {
                partition: self._consumer.get_watermark_offsets(_topic_partition(partition), cached=True)[1]
                for partition in self._membership.with_known_end
            }
        return {partition: end for partition, end in ends.items() if end >= 0}

    def first_offsets(
        self, partitions: Sequence[Partition], *, timeout_seconds: float
    ) -> dict[Partition, int]:
        """Ask for the oldest offsets."""
        return _offsets(self._consumer, partitions, OFFSET_BEGINNING, timeout_seconds)

    def end_offsets(self, partitions: Sequence[Partition], *, timeout_seconds: float) -> dict[Partition, int]:
        """Ask for the next offsets."""
        return _offsets(self._consumer, partitions, OFFSET_END, timeout_seconds)

    def offsets_at(
        self, partitions: Sequence[Partition], time_ms: int, *, timeout_seconds: float
    ) -> dict[Partition, int]:
        """Ask for the oldest offsets since a time."""
        offsets = _offsets(self._consumer, partitions, time_ms, timeout_seconds)
        return {partition: offset for partition, offset in offsets.items() if offset >= 0}

    def topic_ids(self, topics: Sequence[str], *, timeout_seconds: float) -> dict[str, str]:
        """Ask for the topics' ids."""
        with _neutral():
            return self._topic_ids.ask(topics, timeout_seconds)

    def committed(
        self, partitions: Sequence[Partition], *, timeout_seconds: float
    ) -> dict[Partition, Committed]:
        """Ask what is committed."""
        with _neutral():
            answers = self._consumer.committed(
                list(map(_topic_partition, partitions)), timeout=timeout_seconds
            )
        _raise_first(answers)
        return {
            _partition(answer): Committed(answer.offset, _metadata(answer))
            for answer in answers
            if answer.offset >= 0
        }

    def commit(self, offsets: Mapping[Partition, Committed], *, timeout_seconds: float) -> None:
        """Commit, and wait for the answer; first for that to an earlier commit, if it is still missing."""
        deadline = time.monotonic() + timeout_seconds
        commits = [
            _topic_partition(partition, offset, metadata) for partition, (offset, metadata) in offsets.items()
        ]
        with _neutral():
            self._commit_answer.wait(self._consumer, deadline)
            self._consumer.commit(offsets=commits, asynchronous=True)
            self._commit_answer.expect()
            self._commit_answer.wait(self._consumer, deadline)

    def close(self, *, timeout_seconds: float) -> None:
        """Leave the group; where that takes longer, it continues in the background."""
        closing = threading.Thread(target=self._consumer.close, name="kafka-close", daemon=True)
        closing.start()
        closing.join(timeout_seconds)
        if closing.is_alive():
            raise RetriableError(
                "_TIMED_OUT", "the group's coordinator has not answered the leave request yet"
            )

    def _pieces(self, timeout_seconds: float) -> Iterator[Sequence[Message]]:
        """Give what has come, piece by piece; each is processed before the next is fetched."""
        messages = self._commit_answer.take_kept(self._max_records, self._membership.paused)
        if not messages:
            first = self._consumer.poll(timeout_seconds)
            messages = [] if first is None else [first]
            n_left = self._max_records - len(messages)
            while n_left > 0 and messages:
                yield messages
                messages = self._consumer.consume(min(_PIECE, n_left), 0)
                n_left -= len(messages)
        yield messages

    def _without_events(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Give the records among some messages, and handle the others: ends of partitions, and errors."""
        unreadable = self._errors.unreadable
        if not unreadable and all(message.error() is None for message in messages):
            return messages
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                # The library goes on behind damage: what was lost there must be known first.
                if not unreadable or _partition(message) not in unreadable:
                    records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._membership.reach_end(_partition(message), message.offset() or 0)
            else:
                self._errors.add(error, message)
                for partition in unreadable:
                    self._membership.know_end(partition)
        return records


class _TopicIds:
    """Asks for topics' ids; opened by the first question."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._admin: AdminClient | None = None
        self._answers: Mapping[str, Future[Any]] = {}  # to the question that is open

    def ask(self, topics: Sequence[str], timeout_seconds: float) -> dict[str, str]:
        """Give the ids that have come: with a timeout by a new question, without one by the last."""
        if self._admin is None:
            options: dict[str, Any] = {**self._options, "error_cb": _ignore}
            self._admin = AdminClient(options, logger=_Log())
        ids = self._take_ids()
        if timeout_seconds or not self._answers:
            asked = TopicCollection(list(topics))
            self._answers = self._admin.describe_topics(asked, request_timeout=_DESCRIBE_SECONDS)
        if timeout_seconds:
            wait(self._answers.values(), timeout_seconds)
            ids |= self._take_ids()
        return ids

    def _take_ids(self) -> dict[str, str]:
        """Give the ids in the answers to the open question, where they have all come."""
        if not all(answer.done() for answer in self._answers.values()):
            return {}
        answers, self._answers = self._answers, {}
        ids = {
            topic: str(answer.result().topic_id).translate(_AS_KAFKA_WRITES)
            for topic, answer in answers.items()
            if not answer.exception()
        }
        return {topic: topic_id for topic, topic_id in ids.items() if topic_id != _NO_TOPIC_ID}


class _Membership:
    """The partitions of this member, and how far they are read.

    Its callbacks run within polls, on the owner's thread.
    """

    def __init__(self) -> None:
        self.assigned: set[Partition] = set()
        self.sought: set[Partition] = set()  # of them; the others are not read yet
        self.paused: set[Partition] = set()
        self.positions: dict[Partition, int] = {}
        self.with_known_end: set[Partition] = set()  # of those sought: something has come
        self._events: list[RebalanceEvent] = []

    def drain_events(self) -> list[RebalanceEvent]:
        """Give the rebalance events since the last call."""
        events, self._events = self._events, []
        return events

    def restart(self, partition: Partition, offset: int) -> None:
        """Read a partition from an offset; its end is not known before something comes."""
        self.positions[partition] = offset
        self.with_known_end.discard(partition)

    def advance(self, partition: Partition, offset: int) -> None:
        """Record that a partition has been read up to an offset, or further by an end-of-partition event."""
        self.positions[partition] = max(offset, self.positions.get(partition, 0))
        self.know_end(partition)

    def reach_end(self, partition: Partition, offset: int) -> None:
        """Record that a partition has been read up to its end."""
        self.positions[partition] = offset
        self.know_end(partition)

    def on_assign(self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        """Accept partitions, without reading them yet."""
        consumer.incremental_assign([])
        assigned = tuple(map(_partition, partitions))
        self.assigned.update(assigned)
        self._events.append(RebalanceEvent("assigned", assigned))

    def on_revoke(self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        """Release partitions that the group gives to another member."""
        self._events.append(RebalanceEvent("revoked", self._release(consumer, partitions)))

    def on_lost(self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        """Release partitions of a session that has ended."""
        self._events.append(RebalanceEvent("lost", self._release(consumer, partitions)))

    def know_end(self, partition: Partition) -> None:
        """Record that the end of a partition that is read has come with an answer."""
        if partition in self.sought:
            self.with_known_end.add(partition)

    def _release(
        self, consumer: confluent_kafka.Consumer, partitions: list[TopicPartition]
    ) -> tuple[Partition, ...]:
        released = tuple(map(_partition, partitions))
        read = self.sought.intersection(released)
        consumer.incremental_unassign([_topic_partition(partition) for partition in read])
        self.assigned.difference_update(released)
        self.sought.difference_update(released)
        self.paused.difference_update(released)
        self.with_known_end.difference_update(released)
        return released


class _PendingErrors:
    """Errors that came by a callback or among records, until a poll raises them."""

    def __init__(self) -> None:
        self._error: ClientError | None = None
        self._connection_error: ClientError | None = None  # the last one of a connection to a broker
        self.unreadable: set[Partition] = set()  # what comes of them behind the error is behind the damage

    def add(self, error: KafkaError, message: Message) -> None:
        """Keep an error of a partition. One that is out of range, or costs the client, is not replaced."""
        neutral = _neutral_error(error)
        if isinstance(self._error, FencedError | UnreadableError):
            return
        if error.code() in _DAMAGED:
            partition = _partition(message)
            self._error = UnreadableError(neutral.name, neutral.text, partition)
            self.unreadable.add(partition)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            # Also of a log that was truncated: the part of it that is there is read again from its beginning.
            offset = message.offset()
            assert offset is not None
            others = self._error.offsets if isinstance(self._error, OutOfRangeError) else {}
            offsets = {**others, _partition(message): offset}
            self._error = OutOfRangeError(error.name(), error.str(), offsets)
        elif not isinstance(self._error, OutOfRangeError):
            self._error = neutral

    def on_error(self, error: KafkaError) -> None:
        """Keep an error of a connection, or a fatal one: the library's callback, within polls."""
        if error.fatal():
            self._error = _neutral_error(error)
        else:
            self._connection_error = _neutral_error(error)

    def raise_pending(self, *, has_partitions: bool) -> None:
        """Raise the error that is kept; those of connections only for a member without partitions."""
        error, self._error = self._error, None
        if error is None and not has_partitions:
            error, self._connection_error = self._connection_error, None
        if error is not None:
            raise error


class _CommitAnswer:
    """The answer to the commit that was sent last, and the records that came while it was awaited."""

    def __init__(self) -> None:
        self._is_expected = False
        self._error: ClientError | None = None
        self._kept: list[Message] = []

    def expect(self) -> None:
        """Record that a commit was sent."""
        self._is_expected = True

    def on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """Record the answer: the library's callback, within polls."""
        self._is_expected = False
        errors = [error, *(partition.error for partition in partitions)]
        self._error = next((_neutral_error(error) for error in errors if error is not None), None)

    def wait(self, consumer: confluent_kafka.Consumer, deadline: float) -> None:
        """Wait for the answer by polling, where one is expected, and raise its error."""
        while self._is_expected:
            if time.monotonic() > deadline:
                raise RetriableError("_TIMED_OUT", "no answer to a commit yet")
            self._kept += consumer.consume(_N_KEPT, _ANSWER_SECONDS)
        error, self._error = self._error, None
        if error is not None:
            raise error

    def take_kept(self, n_records: int, paused: AbstractSet[Partition]) -> list[Message]:
        """Give the first records that came meanwhile, but none of partitions that have been paused since."""
        given: list[Message] = []
        left: list[Message] = []
        for message in self._kept:
            stays = len(given) >= n_records or (paused and _partition(message) in paused)
            (left if stays else given).append(message)
        self._kept = left
        return given

    def drop_kept(self, partition: Partition) -> None:
        """Drop records of a partition that is read from another offset now."""
        self._kept = [message for message in self._kept if _partition(message) != partition]


class ConfluentProducer:
    """See `KafkaProducer`."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._numbers = itertools.count()
        self._outcomes: list[tuple[int, ClientError | None]] = []
        with _neutral_start():
            self._producer = confluent_kafka.Producer({**options, "error_cb": _ignore}, logger=_Log())

    def send(
        self, topic: str, value: bytes, *, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> int:
        """Give a record to the library."""
        number = next(self._numbers)
        on_delivery = partial(self._on_delivery, number)
        try:
            with _neutral():
                self._producer.produce(topic, value, key=key, headers=list(headers), on_delivery=on_delivery)
        except BufferError as error:
            raise RetriableError("_QUEUE_FULL", str(error)) from error
        return number

    def outcomes(self) -> list[tuple[int, ClientError | None]]:
        """Give the outcomes of records."""
        self._producer.poll(0)
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def close(self, *, timeout_seconds: float) -> None:
        """Send what is waiting; what is left has failed."""
        self._producer.flush(timeout_seconds)
        self._producer.purge()
        self._producer.flush(0)

    def _on_delivery(self, number: int, error: KafkaError | None, _message: Message) -> None:
        self._outcomes.append((number, None if error is None else _neutral_error(error)))


class _Log:
    """Passes the library's lines on, each kind with a format of its own: rates are limited by format."""

    def log(self, level: int, _text: str, kind: str, _client: str, line: str) -> None:
        """Pass a line on."""
        log.log(level, f"{kind}: %s", line)


def _ignore(_error: KafkaError) -> None:
    """Ignore errors of a producer's connections: each record has an outcome."""


class _Part:
    """The records of one partition, while they are collected."""

    def __init__(self, first_offset: int) -> None:
        self.first_offset = first_offset
        self.next_offset = first_offset
        self.n_empty = 0
        self.records: list[Record] = []
        self.offsets: list[int] = []
        self.keys: list[bytes | None] = []

    def add(self, messages: Sequence[Message]) -> None:
        """Add records; none of the library's objects is kept."""
        self.next_offset = (messages[-1].offset() or 0) + 1
        values = list(map(Message.value, messages))
        if None in values:
            self.n_empty += values.count(None)
            messages = [message for message, value in zip(messages, values, strict=True) if value is not None]
            values = list(map(Message.value, messages))
        stamps = map(Message.timestamp, messages)
        times = [-1 if kind == TIMESTAMP_NOT_AVAILABLE else time_ms for kind, time_ms in stamps]
        headers = [
            headers_of(pairs) if pairs else ()  # type: ignore[arg-type]  # text and bytes
            for pairs in map(Message.headers, messages)
        ]
        fields = zip(values, times, headers, strict=True)
        # Takes half the time of calling Record.
        self.records += map(tuple.__new__, itertools.repeat(Record), fields)
        self.offsets += map(Message.offset, messages)  # type: ignore[arg-type]  # a record has an offset
        self.keys += map(Message.key, messages)

    def fetched(self) -> Fetched:
        """Give them as the source takes them."""
        return Fetched(
            self.records,
            self.offsets,
            self.n_empty,
            self.first_offset,
            self.next_offset,
            self.keys.__getitem__,
        )


def _add_records(messages: Sequence[Message], parts: dict[Partition, _Part]) -> None:
    """Add records to the parts of their partitions."""
    names = zip(map(Message.topic, messages), map(Message.partition, messages), strict=True)
    begin = 0
    for name, run in itertools.groupby(names):  # what one answer brought of a partition lies together
        partition = Partition(*name)  # type: ignore[arg-type]  # a record has both
        end = begin + len(list(run))
        if partition not in parts:
            parts[partition] = _Part(messages[begin].offset() or 0)
        parts[partition].add(messages[begin:end])
        begin = end


def _offsets(
    consumer: confluent_kafka.Consumer, partitions: Sequence[Partition], time_ms: int, timeout_seconds: float
) -> dict[Partition, int]:
    asked = [_topic_partition(partition, time_ms) for partition in partitions]
    with _neutral():
        answers = consumer.offsets_for_times(asked, timeout=timeout_seconds)
    _raise_first(answers)
    return {_partition(answer): answer.offset for answer in answers}


@contextmanager
def _neutral() -> Iterator[None]:
    """Turn the library's errors into the source's; any other exception in there is fatal to the client."""
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
    """Turn errors of a constructor into the source's; a refused setting becomes a `SourceError`."""
    try:
        with _neutral():
            yield
    except ClientError as error:
        if error.name != KafkaError(KafkaError._INVALID_ARG).name():
            raise
        raise SourceError(f"source.kafka: {error.text}") from error


def _neutral_error(error: KafkaError) -> ClientError:
    code, name, text = error.code(), error.name(), error.str()
    if code in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL):
        return FencedError(
            name, text
        )  # _FATAL: a heartbeat learned it first; nothing else is fatal to a consumer
    if code == KafkaError.OFFSET_METADATA_TOO_LARGE:
        return MetadataTooLargeError(name, text)
    if code == KafkaError.INVALID_REQUEST:
        return RetryOnceError(name, text)
    return (RetriableError if code in _RETRIABLE or error.retriable() else FatalClientError)(name, text)


def _metadata(committed: TopicPartition) -> str:
    """Give the text of a commit; none where that of another program has no end."""
    try:
        return committed.metadata or ""
    except UnicodeDecodeError:
        return ""


def _raise_first(answers: Iterable[TopicPartition]) -> None:
    for answer in answers:
        if answer.error is not None:
            raise _neutral_error(answer.error)


def _partition(located: TopicPartition | Message) -> Partition:
    if isinstance(located, Message):
        # Only a message that was made by hand lacks them.
        return Partition(located.topic(), located.partition())  # type: ignore[arg-type]
    return Partition(located.topic, located.partition)


def _topic_partition(
    partition: Partition, offset: int = OFFSET_INVALID, metadata: str = ""
) -> TopicPartition:
    if metadata:
        return TopicPartition(*partition, offset, metadata)
    return TopicPartition(*partition, offset)  # an empty text would become a text of a zero byte
