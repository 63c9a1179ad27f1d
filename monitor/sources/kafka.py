"""Metrics from Kafka: one consumer, owned by the loop's thread, behind the Source Protocol.

What shapes this file are measured properties of kafka-python 3.0:

- An error inside `poll` (a codec, a checksum) makes the next `poll` spin for ever: so it is given
  raw bytes only, and thrown away after every error that is not known to pass.
- A poll shorter than half a second can lose the answer to a join.
- Rebalance listeners run on the library's own thread, and must not call back: ours pauses what is
  new, and leaves a note. The owner then looks up where to begin, seeks, and resumes.
- A position that is out of range would be reset without a word: nothing is reset, and it is told.
- Only a commit tells a member that another one has taken its `group_instance_id`.

Nothing is committed that is not kept: the loop calls `commit` with the position of its last
checkpoint. What is committed for a partition is the offset of the oldest record that open windows are
made of, and in its metadata the event time up to which everything has been reported. So a daemon
without a checkpoint reads a window's length again, and stays silent about what was reported.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    InvalidRequestError,
    KafkaConfigurationError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetMetadataTooLargeError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    RetriableError,
    UnknownMemberIdError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.sasl.oauth import AbstractTokenProvider

from monitor.clock import Clock
from monitor.config import KafkaConfig
from monitor.decode import Decoder, Record
from monitor.errors import SourceError
from monitor.log_limit import RateLimit
from monitor.progress import Position, Progress
from monitor.sample import Columns, SeriesTable, concatenate
from monitor.sources import Batch, SourceReport

__all__ = ["KafkaSource", "consumer_options"]

log = logging.getLogger(__name__)

_SHORTEST_POLL_MS = 500  # below it a join's answer can be lost between two polls
_LONGEST_POLL_MS = 1000  # a stop signal waits for the poll to end
_BOOTSTRAP_MS = 5000  # one try to reach a broker; the loop turns in between
_ASK_MS = 5000  # a question to the broker: where a partition begins, what is committed
_COMMIT_MS = 2000  # a commit that takes longer is tried again with the next one
_CLOSE_MS = 3000
_ASK_EMPTY_SECONDS = 1.0  # between two questions whether silent partitions are empty
_SHORTEST_PAUSE_SECONDS = 0.5  # behind an error; doubled with each one that follows it
_LONGEST_PAUSE_SECONDS = 10.0
_SAME_ERRORS = 5  # the same error so often in a row: this consumer will not recover
# Errors that pass: the brokers are away, or the group is being put together anew.
_PASSING = (RetriableError, CommitFailedError, RebalanceInProgressError, IllegalGenerationError, UnknownMemberIdError)
_VERSION = 1  # of what is written into the metadata of a commit


class KafkaSource:
    """The records of some topics, decoded.

    It is opened by the first polls, not here: a broker that is away holds up no start. While it is
    away, batches are empty and not *ready*.

    Parameters
    ----------
    decoder_of : callable
        Gives a topic's decoder; asked once for each topic.
    rewind_ms : int
        Event time behind the newest that is read again where state was lost.
    max_future_ms : int
        Samples further ahead of the clock do not count for the progress of their partition; the
        pipeline refuses them.
    resumed : Position, optional
        Where the checkpoint was taken from which the daemon goes on.

    Raises
    ------
    SourceError
        If a file that the settings name cannot be read.
    """

    def __init__(
        self,
        config: KafkaConfig,
        decoder_of: Callable[[str], Decoder],
        table: SeriesTable,
        clock: Clock,
        *,
        rewind_ms: int,
        max_future_ms: int,
        resumed: Position | None = None,
    ) -> None:
        consumer_options(config)  # a file that is missing ends the start here
        self._config = config
        self._decoder_of = decoder_of
        self._decoders: dict[str, Decoder] = {}
        self._table = table
        self._clock = clock
        self._max_future_ms = max_future_ms
        self._progress = Progress(rewind_ms=rewind_ms, idle_seconds=config.idle_seconds, resumed=resumed)
        self._limit = RateLimit(clock.monotonic)
        self._never = threading.Event()
        self._consumer: KafkaConsumer | None = None
        self._listener: _Listener | None = None
        self._waiting: set[TopicPartition] = set()  # came to us, and are not looked up yet
        self._reported_ms: dict[str, int] = {}  # by partition: up to where an earlier run has reported
        self._writes_metadata = True
        self._pause_until = self._asked_at = -float("inf")
        self._last_error, self._n_same, self._n_failures = "", 0, 0
        self._tally = _Tally()
        self._ends: Mapping[TopicPartition, int] = {}  # where the logs end, as far as the broker has said

    def poll(self, timeout_seconds: float) -> Batch:
        """Give what has come; waits for half a second at least, and for no more than one."""
        remaining = self._pause_until - self._clock.monotonic()
        if remaining > 0:
            self._clock.wait(self._never, min(remaining, timeout_seconds))
            if remaining > timeout_seconds:
                return self._batch({})
        if self._consumer is None:
            self._open()
        return self._batch({} if self._consumer is None else self._fetch(self._consumer, timeout_seconds))

    def position(self) -> Position:
        """Give how far each partition was handed out, and from where it would be read again."""
        return self._progress.position()

    def commit(self, position: Position) -> None:
        """Tell the group what need not be read again. A commit that fails is counted, and made up for by the next.

        Raises
        ------
        SourceError
            If another member has taken this one's `group_instance_id`.
        """
        consumer, owned = self._consumer, self._progress.owned
        # What an earlier run reported stays reported, also while its windows are being filled again.
        times_ms = [time_ms for time_ms in (position.time_ms, self._delivered_ms()) if time_ms is not None]
        metadata = self._metadata(max(times_ms, default=None))
        offsets = {
            _partition(name): OffsetAndMetadata(place.rewind, metadata, -1) for name, place in position.partitions.items() if name in owned
        }
        if consumer is None or not offsets or self._clock.monotonic() < self._pause_until:
            return
        try:
            consumer.commit(offsets, timeout_ms=_COMMIT_MS)
        except FencedInstanceIdError as error:
            raise self._fenced() from error
        except OffsetMetadataTooLargeError:
            self._writes_metadata = False
            self._tally.commits["failed"] += 1
            log.warning("commit without metadata: the broker's offset.metadata.max.bytes is too small; a lost checkpoint repeats alerts")
        except Exception as error:
            self._tally.commits["failed"] += 1
            self._failed(error)
        else:
            self._tally.commits["done"] += 1
            self._recovered()

    def close(self) -> None:
        """Leave the group; a static member stays in it until its session times out."""
        self._drop()

    def _open(self) -> None:
        clients: list[KafkaNetClient] = []

        def new_client(**options: Any) -> KafkaNetClient:
            clients.append(KafkaNetClient(**options))
            return clients[-1]

        try:
            consumer = KafkaConsumer(**consumer_options(self._config), kafka_client=new_client)
        except KafkaConfigurationError as error:
            raise SourceError(f"source.kafka: {error}") from error
        except Exception as error:
            for client in clients:
                client.close()  # or its thread would outlive every try
            self._failed(error)
            return
        self._consumer, self._listener = consumer, _Listener(consumer)
        consumer.subscribe(self._config.topics, listener=self._listener)
        log.info("kafka opened servers=%s topics=%s", ",".join(self._config.bootstrap_servers), ",".join(self._config.topics))

    def _drop(self) -> None:
        """Close the consumer; where its partitions were is remembered."""
        consumer, self._consumer, self._listener, self._ends = self._consumer, None, None, {}
        self._waiting.clear()
        self._progress.release(self._progress.owned)
        if consumer is None:
            return
        try:
            consumer.close(autocommit=False, timeout_ms=_CLOSE_MS)
        except Exception as error:  # it is thrown away because it is broken
            log.warning("kafka closed with an error error=%s", error)

    def _fetch(self, consumer: KafkaConsumer, timeout_seconds: float) -> Mapping[TopicPartition, Sequence[Any]]:
        fetched: Mapping[TopicPartition, Sequence[Any]] = {}
        try:
            self._settle(consumer)
            try:
                fetched = consumer.poll(timeout_ms=min(max(round(timeout_seconds * 1000), _SHORTEST_POLL_MS), _LONGEST_POLL_MS))
            except NoOffsetForPartitionError:
                if not (self._waiting or (self._listener and self._listener.notes)):
                    raise  # it is not one that we are about to look up
            except OffsetOutOfRangeError as error:
                self._leave_gap(consumer, error.args[0])
            except LogTruncationError as error:
                self._go_back(consumer, error.divergent_offsets)
            self._settle(consumer)
            self._ask_whether_empty(consumer)
            self._ends = {one: end for one in consumer.assignment() if (end := consumer.highwater(one)) is not None}
        except FencedInstanceIdError as error:
            raise self._fenced() from error
        except Exception as error:  # what was fetched before it is good, and will not come again
            self._failed(error)
        else:
            if fetched:
                self._recovered()
        return fetched

    def _settle(self, consumer: KafkaConsumer) -> None:
        """Take notice of what came and went, and look up where to read what came."""
        assert self._listener is not None
        while self._listener.notes:
            what, partitions = self._listener.notes.popleft()
            self._waiting.difference_update(partitions)
            self._progress.release(_name(partition) for partition in partitions)
            if what == "assigned":
                self._tally.n_rebalances += 1
                self._waiting.update(partitions)
            log.info("partitions %s: %s", what, ", ".join(sorted(map(_name, partitions))) or "none")
        if self._waiting:
            self._place(consumer, sorted(self._waiting))

    def _place(self, consumer: KafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        """Begin where we were, else where the group was, else where the settings say."""
        offsets: dict[TopicPartition, int] = {}
        for partition in partitions:
            committed = consumer.committed(partition, metadata=True, timeout_ms=_ASK_MS)
            known = self._progress.offset(_name(partition))
            if committed is not None:
                reported_ms = _reported_ms(committed.metadata)
                if reported_ms is not None:
                    self._reported_ms[_name(partition)] = reported_ms
            if known is not None:
                offsets[partition] = known
            elif committed is not None:
                offsets[partition] = committed.offset
        new = [partition for partition in partitions if partition not in offsets]
        known_topics = {partition.topic for partition in offsets}
        added = [one for one in new if one.topic in known_topics or self._progress.knows_topic(one.topic)]
        if added:  # to a topic that we read already: nothing of them was read before
            offsets |= consumer.beginning_offsets(added, timeout_ms=_ASK_MS)
        first_seen = [one for one in new if one not in added]
        if first_seen:
            offsets |= self._start_offsets(consumer, first_seen)
        now, assigned = self._clock.monotonic(), consumer.assignment()
        for partition, offset in offsets.items():
            self._waiting.discard(partition)
            if partition in assigned:
                consumer.seek(partition, offset)
                consumer.resume(partition)
                self._progress.assign(_name(partition), offset, now)
                log.info("reading %s from offset %d", _name(partition), offset)
        if new:  # a daemon that dies before its first checkpoint begins at the same place again
            consumer.commit(
                {one: OffsetAndMetadata(offsets[one], self._metadata(None), -1) for one in new if one in assigned}, timeout_ms=_COMMIT_MS
            )

    def _start_offsets(self, consumer: KafkaConsumer, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Find where to begin a topic that this group never read."""
        start = self._config.start
        if start == "earliest":
            return dict(consumer.beginning_offsets(partitions, timeout_ms=_ASK_MS))
        offsets: dict[TopicPartition, int] = dict(consumer.end_offsets(partitions, timeout_ms=_ASK_MS))
        if isinstance(start, float | int):
            since_ms = max(0, round((self._clock.now() - start) * 1000))
            found = consumer.offsets_for_times(dict.fromkeys(partitions, since_ms), timeout_ms=_ASK_MS)
            offsets |= {partition: one.offset for partition, one in found.items() if one is not None}
        return offsets

    def _leave_gap(self, consumer: KafkaConsumer, wanted: Mapping[TopicPartition, int]) -> None:
        """Go on where the log goes on: what we had not read yet was deleted, or the log is another one."""
        first = consumer.beginning_offsets(list(wanted), timeout_ms=_ASK_MS)
        last = consumer.end_offsets(list(wanted), timeout_ms=_ASK_MS)
        for partition, offset in wanted.items():
            if offset < first[partition]:
                to = first[partition] if self._config.on_gap == "earliest" else last[partition]
                self._tally.n_lost[partition.topic] += to - offset
                log.error(
                    "records lost at=%s: %d were deleted before they were read; going on at %d", _at(partition, offset), to - offset, to
                )
            else:
                to = first[partition]  # what we know already changes nothing
                log.error("log ends before at=%s, at %d: read again from %d", _at(partition, offset), last[partition], to)
            self._jump(consumer, partition, to)

    def _go_back(self, consumer: KafkaConsumer, ends: Mapping[TopicPartition, OffsetAndMetadata | None]) -> None:
        """Go on where a log was cut: its new leader had not seen all that we have read."""
        first = consumer.beginning_offsets(list(ends), timeout_ms=_ASK_MS)
        for partition, end in ends.items():
            to = first[partition] if end is None else end.offset
            log.error("log truncated %s: going on at %d", _name(partition), to)
            self._jump(consumer, partition, to)

    def _jump(self, consumer: KafkaConsumer, partition: TopicPartition, offset: int) -> None:
        consumer.seek(partition, offset)
        self._progress.assign(_name(partition), offset, self._clock.monotonic())

    def _ask_whether_empty(self, consumer: KafkaConsumer) -> None:
        """Learn of silent partitions whether there is nothing to read, or nobody to ask."""
        now = self._clock.monotonic()
        assigned = consumer.assignment()
        silent = [partition for partition in map(_partition, self._progress.silent(now)) if partition in assigned]
        if not silent or now - self._asked_at < _ASK_EMPTY_SECONDS:
            return
        self._asked_at = now
        ends = consumer.end_offsets(silent, timeout_ms=_COMMIT_MS)
        for partition, end in ends.items():
            position = consumer.position(partition, timeout_ms=_COMMIT_MS)
            if position is not None and position >= end:
                self._progress.confirm_empty(_name(partition), now)
        self._recovered()

    def _failed(self, error: Exception) -> None:
        """Pause, longer each time; keep the consumer where the error passes by itself."""
        name = type(error).__name__
        self._n_failures += 1
        self._n_same = self._n_same + 1 if name == self._last_error else 1
        self._last_error = name
        passes = isinstance(error, _PASSING) or (isinstance(error, InvalidRequestError) and self._n_same == 1)
        rebuilds = self._consumer is not None and (not passes or self._n_same >= _SAME_ERRORS)
        pause = min(_SHORTEST_PAUSE_SECONDS * 2 ** min(self._n_failures - 1, 10), _LONGEST_PAUSE_SECONDS)
        self._pause_until = self._clock.monotonic() + pause
        self._tally.errors["rebuilt" if rebuilds else "retried"] += 1
        n_held = self._limit.passes(f"failed {name}")
        if n_held is not None:
            what = "it is closed and opened anew" if rebuilds else "trying again"
            log.error("kafka failed error=%s: %s; %s in %.1f s (and %d times before)", name, _line(error), what, pause, n_held)
        if rebuilds:
            self._n_same = 0
            self._drop()

    def _recovered(self) -> None:
        if self._n_failures:
            log.info("kafka recovered after %d errors", self._n_failures)
        self._last_error, self._n_same, self._n_failures = "", 0, 0

    def _fenced(self) -> SourceError:
        return SourceError(
            f'another daemon has taken source.kafka.group_instance_id "{self._config.group_instance_id}", and this one is shut out of the '
            f"group {self._config.group_id}. Give each daemon an id of its own, or none."
        )

    def _batch(self, fetched: Mapping[TopicPartition, Sequence[Any]]) -> Batch:
        now_ms = round(self._clock.now() * 1000)
        n_bad: Counter[str] = Counter()
        parts = [
            self._decode(partition, records, now_ms, n_bad)
            for partition, records in fetched.items()
            if _name(partition) in self._progress.owned
        ]
        complete_ms = self._progress.advance(self._clock.monotonic(), clock_ms=now_ms)
        report, self._tally = self._tally.report(self._lag()), _Tally()
        return Batch(
            concatenate(parts),
            now_ms,
            n_bad=tuple(n_bad.items()),
            complete_ms=complete_ms,
            delivered_ms=self._delivered_ms(),
            ready=bool(self._progress.owned) and not self._waiting and not self._n_failures,
            report=report,
        )

    def _decode(self, partition: TopicPartition, records: Sequence[Any], now_ms: int, n_bad: Counter[str]) -> Columns:
        topic = partition.topic
        if topic not in self._decoders:
            self._decoders[topic] = self._decoder_of(topic)
        filled = [record for record in records if record.value is not None]
        decoded = self._decoders[topic]([Record(one.value, one.timestamp, tuple(one.headers or ())) for one in filled], self._table)
        n_bad.update(decoded.rejected)
        if len(filled) < len(records):
            n_bad["no_value"] += len(records) - len(filled)
        for rejection in decoded.rejections:
            n_held = self._limit.passes(f"rejected {topic} {rejection.reason}")
            if n_held is not None:
                where = _at(partition, filled[rejection.index].offset)
                log.warning("record rejected at=%s reason=%s %s (and %d before)", where, rejection.reason, rejection.detail, n_held)
        times = decoded.columns.time_ms
        believed = times[times <= now_ms + self._max_future_ms]
        self._progress.took(
            _name(partition),
            first_offset=records[0].offset,
            next_offset=records[-1].offset + 1,
            newest_ms=min(int(believed.max()), now_ms) if len(believed) else None,
            now=self._clock.monotonic(),
        )
        self._tally.n_records[topic] += len(records)
        self._tally.n_bytes[topic] += sum(len(one.value) for one in filled)
        return decoded.columns

    def _lag(self) -> dict[tuple[str, int], int]:
        """Count what is there and not handed out yet."""
        offsets = {partition: self._progress.offset(_name(partition)) for partition in self._ends}
        return {(one.topic, one.partition): max(0, self._ends[one] - offset) for one, offset in offsets.items() if offset is not None}

    def _delivered_ms(self) -> int | None:
        """Give up to where an earlier run has reported, by the least of what the partitions' commits say."""
        return min(self._reported_ms.values(), default=None)

    def _metadata(self, time_ms: int | None) -> str:
        if not self._writes_metadata:
            return ""
        return json.dumps({"v": _VERSION} if time_ms is None else {"v": _VERSION, "wm": time_ms}, separators=(",", ":"))


def consumer_options(config: KafkaConfig) -> dict[str, Any]:
    """Give a consumer's settings as kafka-python takes them.

    Raises
    ------
    SourceError
        If a file that they name cannot be read.
    """
    session_ms = round(config.session_timeout_seconds * 1000)
    options: dict[str, Any] = {
        "bootstrap_servers": config.bootstrap_servers,
        "bootstrap_timeout_ms": _BOOTSTRAP_MS,
        "client_id": config.client_id,
        "group_id": config.group_id,
        "group_instance_id": config.group_instance_id or None,
        "api_version": config.api_version_numbers,
        "auto_offset_reset": "none",
        "enable_auto_commit": False,
        "allow_auto_create_topics": False,
        "partition_assignment_strategy": [CooperativeStickyAssignor()],
        "session_timeout_ms": session_ms,
        "heartbeat_interval_ms": min(3000, session_ms // 3),  # Kafka's default, and its advice for short sessions
        "max_poll_interval_ms": round(config.max_poll_interval_seconds * 1000),
        "max_poll_records": config.max_poll_records,
        "metadata_max_age_ms": 30_000,  # new partitions are read that much later at most
        "reconnect_backoff_max_ms": 2000,  # a broker that is back is found soon; the default is 30 s
        "metrics_enabled": False,
        "security_protocol": config.security_protocol,
    }
    if config.security_protocol.endswith("SSL"):
        options["ssl_check_hostname"] = config.ssl_check_hostname
        for key in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            if file := getattr(config, key):
                _check_readable(file, key)
                options[key] = file
        options["ssl_password"] = config.ssl_password or None
    if config.sasl_mechanism:
        options["sasl_mechanism"] = config.sasl_mechanism
    if config.sasl_mechanism == "OAUTHBEARER":
        _check_readable(config.sasl_token_file, "sasl_token_file")
        options["sasl_oauth_token_provider"] = _TokenFile(Path(config.sasl_token_file))
    elif config.sasl_mechanism:
        options |= {"sasl_plain_username": config.sasl_username, "sasl_plain_password": config.sasl_password}
    return options


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
        self.notes: deque[tuple[str, tuple[TopicPartition, ...]]] = deque()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Hold back what is new until the owner has looked up where to begin."""
        partitions = tuple(assigned)
        self._consumer.pause(*partitions)
        self.notes.append(("assigned", partitions))

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Leave a note: what was kept was committed within the last seconds."""
        self.notes.append(("revoked", tuple(revoked)))

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Leave a note; there is nothing that could still be committed."""
        self.notes.append(("lost", tuple(lost)))


class _Tally:
    """What happened since the last batch."""

    def __init__(self) -> None:
        self.n_records: Counter[str] = Counter()
        self.n_bytes: Counter[str] = Counter()
        self.n_lost: Counter[str] = Counter()
        self.commits: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.n_rebalances = 0

    def report(self, lag: Mapping[tuple[str, int], int]) -> SourceReport:
        """Give it as it is handed on."""
        return SourceReport(self.n_records, self.n_bytes, self.n_lost, self.commits, self.errors, self.n_rebalances, lag)


def _check_readable(file: str, key: str) -> None:
    try:
        Path(file).open("rb").close()
    except OSError as error:
        raise SourceError(f"source.kafka.{key}: cannot read {file}: {error.strerror}") from error


def _reported_ms(metadata: str | None) -> int | None:
    """Read what `_metadata` wrote; None for anything else: another version's, or another program's."""
    try:
        found = json.loads(metadata or "")
        return int(found["wm"]) if found["v"] == _VERSION else None
    except (ValueError, KeyError, TypeError):
        return None


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}/{partition.partition}"


def _partition(name: str) -> TopicPartition:
    topic, _, number = name.rpartition("/")
    return TopicPartition(topic, int(number))


def _at(partition: TopicPartition, offset: int) -> str:
    return f"{partition.topic}[{partition.partition}]@{offset}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or "no text"
