"""Metrics from Kafka, behind the Source Protocol: where to begin, how far everything is complete, what to do about errors.

It knows no client library: `kafka_client.py` says what it needs of one.

Nothing is committed that is not kept: the loop calls `commit` with the position of its last
checkpoint. What is committed for a partition is the offset of the oldest record that open windows are
made of, and in its metadata the event time up to which everything has been reported. So a daemon
without a checkpoint reads a window's length again, and stays silent about what was reported.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from monitor.clock import Clock
from monitor.config.kafka import KafkaConfig
from monitor.decode.record import Decoder, Record
from monitor.errors import SourceError
from monitor.kafka.backlog import Backlog
from monitor.kafka.batch_size import BatchSizer
from monitor.kafka.client import (
    ClientError,
    Committed,
    FencedError,
    Fetched,
    KafkaClient,
    MetadataTooLargeError,
    OutOfRangeError,
    Partition,
    TruncatedError,
)
from monitor.kafka.dead_letter_producer import DeadLetterProducer
from monitor.kafka.libraries import library_of
from monitor.kafka.progress import ReadProgress
from monitor.kafka.record_decoder import Handling, RecordDecoder
from monitor.log_limit import RateLimit
from monitor.sample import Columns, SeriesTable, concatenate
from monitor.sources.position import NOTHING_YET, Position
from monitor.sources.source import Batch, SourceReport

__all__ = ["KafkaSource"]

log = logging.getLogger(__name__)

_LONGEST_POLL_SECONDS = 1.0  # a stop signal waits for the poll to end
_ASK_SECONDS = 5.0  # a question to the broker: where a partition begins, what is committed
_COMMIT_SECONDS = 2.0  # a commit that takes longer is tried again with the next one
_CLOSE_SECONDS = 3.0
_FLUSH_SECONDS = 1.0  # dead letters are waited for before a position is kept, while their topic answers
_KEEP_SECONDS = 5.0  # between two polls while there is enough to hand out: they keep the group, and cost half a second each
_ASK_EMPTY_SECONDS = 1.0  # between two questions whether silent partitions are empty
_SHORTEST_PAUSE_SECONDS = 0.5  # behind an error; doubled with each one that follows it
_LONGEST_PAUSE_SECONDS = 10.0
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
    letters : LetterBox, optional
        Where records go that cannot be read; closed with the source.
    explain : callable, optional
        Says for people in which format a topic is read, and which one a record seems to be in.

    Raises
    ------
    SourceError
        If a package of the client library is missing, or a file that the settings name cannot be read.
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
        dead_letters: DeadLetterProducer | None = None,
        explain: Callable[[str, Record], str] = lambda topic, record: f"{topic} may be in another format",
    ) -> None:
        self._library = library_of(config)
        self._library.check(config)  # what is missing ends the start here
        self._config = config
        self._clock = clock
        self._max_future_ms = max_future_ms
        self._progress = ReadProgress(rewind_ms=rewind_ms, idle_seconds=config.idle_seconds, resumed=resumed)
        self._limit = RateLimit(clock.monotonic)
        self._dead_letters = dead_letters
        self._record_decoder = RecordDecoder(
            config, Handling(decoder_of, explain, dead_letters.put if dead_letters else None), table, self._limit
        )
        self._backlog = Backlog()
        self._batch_sizer = BatchSizer(most_records=config.max_poll_records, most_samples=config.max_batch_samples)
        self._handed_out = (0, 0, 0.0)  # records and samples of the last batch, and when that was
        self._keep_seconds = min(_KEEP_SECONDS, config.max_poll_interval_seconds / 10)
        self._paused: AbstractSet[Partition] = frozenset()
        self._never = threading.Event()
        self._client: KafkaClient | None = None
        self._waiting: set[Partition] = set()  # came to us, and are not looked up yet
        self._reported_ms: dict[str, int] = {}  # by partition: up to where an earlier run has reported
        self._writes_metadata = True
        self._pause_until = self._asked_at = self._polled_at = -float("inf")
        self._last_error, self._n_same, self._n_failures = "", 0, 0
        self._tally = _Tally()
        self._ends: Mapping[Partition, int] = {}  # where the logs end, as far as the broker has said

    def poll(self, timeout_seconds: float) -> Batch:
        """Give what has come, no more than can be dealt with in about a second; waits for no more than a second."""
        n_records, n_samples, handed_out_at = self._handed_out
        now = self._clock.monotonic()
        self._batch_sizer.record(n_records, n_samples, now - handed_out_at)
        if not self._backlog or now - self._polled_at >= self._keep_seconds:
            self._turn(timeout_seconds)
        return self._batch()

    def _turn(self, timeout_seconds: float) -> None:
        """Fetch something; where enough is waiting, only keep the group."""
        remaining = self._pause_until - self._clock.monotonic()
        if remaining > 0:
            if self._backlog:
                return
            self._clock.wait(self._never, min(remaining, timeout_seconds))
            if remaining > timeout_seconds:
                return
        if self._client is None:
            self._open()
        if self._client is not None:
            self._fetch(self._client, timeout_seconds)

    def position(self) -> Position:
        """Give how far each partition was handed out, and from where it would be read again.

        Waits a second at most for dead letters of what was handed out, and not at all while their topic does not answer.
        """
        if self._dead_letters is not None:
            self._dead_letters.flush(_FLUSH_SECONDS)
        return self._progress.position()

    def commit(self, position: Position) -> None:
        """Tell the group what need not be read again. A commit that fails is counted, and made up for by the next.

        Raises
        ------
        SourceError
            If another member has taken this one's `group_instance_id`.
        """
        client, owned = self._client, self._progress.owned
        # What an earlier run reported stays reported, also while its windows are being filled again.
        times_ms = [time_ms for time_ms in (position.time_ms, self._delivered_ms()) if time_ms is not None]
        metadata = self._metadata(max(times_ms, default=None))
        offsets = {Partition.of(name): Committed(place.rewind, metadata) for name, place in position.partitions.items() if name in owned}
        if client is None or not offsets or self._clock.monotonic() < self._pause_until:
            return
        try:
            client.commit(offsets, timeout_seconds=_COMMIT_SECONDS)
        except FencedError as error:
            raise self._fenced() from error
        except MetadataTooLargeError:
            self._writes_metadata = False
            self._tally.commits["failed"] += 1
            log.warning("commit without metadata: the broker's offset.metadata.max.bytes is too small; a lost checkpoint repeats alerts")
        except ClientError as error:
            self._tally.commits["failed"] += 1
            self._failed(error)
        else:
            self._tally.commits["done"] += 1
            self._recovered()

    def close(self) -> None:
        """Leave the group; a static member stays in it until its session times out."""
        self._drop()
        if self._dead_letters is not None:
            self._dead_letters.close()

    def _open(self) -> None:
        try:
            self._client = self._library.open_client(self._config)
        except ClientError as error:
            self._failed(error)
        else:
            log.info("kafka opened servers=%s topics=%s", ",".join(self._config.bootstrap_servers), ",".join(self._config.topics))

    def _drop(self) -> None:
        """Close the client; where its partitions were is remembered."""
        client, self._client, self._ends = self._client, None, {}
        self._waiting.clear()
        self._backlog.clear()
        self._paused = frozenset()
        self._progress.release(self._progress.owned)
        if client is None:
            return
        try:
            client.close(timeout_seconds=_CLOSE_SECONDS)
        except ClientError as error:  # it is thrown away because it is broken
            log.warning("kafka closed with an error error=%s: %s", error.name, error.text)

    def _fetch(self, client: KafkaClient, timeout_seconds: float) -> None:
        try:
            self._settle(client)
            self._pause_or_resume(client)
            self._polled_at = self._clock.monotonic()
            try:
                fetched = client.poll(min(timeout_seconds, _LONGEST_POLL_SECONDS))
                self._backlog.put(fetched)
            except OutOfRangeError as error:
                if not self._backlog:  # what was read before it comes first, and then this error again
                    self._leave_gap(client, error.offsets)
            except TruncatedError as error:
                if not self._backlog:
                    self._resume_truncated(client, error.ends)
            else:
                if fetched:
                    self._recovered()
            self._settle(client)
            self._ask_whether_empty(client)
            self._ends = client.log_ends()
        except FencedError as error:
            raise self._fenced() from error
        except ClientError as error:
            self._failed(error)

    def _pause_or_resume(self, client: KafkaClient) -> None:
        """Fetch nothing while there is something to hand out."""
        if self._backlog and not self._paused:
            self._paused = client.assignment()
            client.pause(self._paused)
        elif self._paused and not self._backlog:
            client.resume(self._paused & client.assignment())
            self._paused = frozenset()

    def _settle(self, client: KafkaClient) -> None:
        """Take notice of what came and went, and look up where to read what came."""
        for what, partitions in client.rebalance_events():
            self._waiting.difference_update(partitions)
            self._progress.release(partition.name for partition in partitions)
            self._backlog.drop(partitions)  # somebody else reads it, or we shall from where we are
            if what == "assigned":
                self._tally.n_rebalances += 1
                self._waiting.update(partitions)
            log.info("partitions %s: %s", what, ", ".join(sorted(partition.name for partition in partitions)) or "none")
        if self._waiting:
            self._start_partitions(client, sorted(self._waiting))

    def _start_partitions(self, client: KafkaClient, partitions: Sequence[Partition]) -> None:
        """Begin where we were, else where the group was, else where the settings say."""
        committed = client.committed(partitions, timeout_seconds=_ASK_SECONDS)
        offsets: dict[Partition, int] = {}
        for partition in partitions:
            if partition in committed:
                offsets[partition], metadata = committed[partition]
                reported_ms = _reported_ms(metadata)
                if reported_ms is not None:
                    self._reported_ms[partition.name] = reported_ms
            known = self._progress.offset(partition.name)
            if known is not None:
                offsets[partition] = known
        new = [partition for partition in partitions if partition not in offsets]
        known_topics = {partition.topic for partition in offsets}
        added = [one for one in new if one.topic in known_topics or self._progress.knows_topic(one.topic)]
        if added:  # to a topic that we read already: nothing of them was read before
            offsets |= client.first_offsets(added, timeout_seconds=_ASK_SECONDS)
        first_seen = [one for one in new if one not in added]
        if first_seen:
            offsets |= self._start_offsets(client, first_seen)
        now, assigned = self._clock.monotonic(), client.assignment()
        for partition, offset in offsets.items():
            self._waiting.discard(partition)
            if partition in assigned:
                self._begin(client, partition, offset, now)
                log.info("reading %s from offset %d", partition.name, offset)
        if new:  # a daemon that dies before its first checkpoint begins at the same place again
            metadata = self._metadata(None)
            client.commit({one: Committed(offsets[one], metadata) for one in new if one in assigned}, timeout_seconds=_COMMIT_SECONDS)

    def _start_offsets(self, client: KafkaClient, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Find where to begin a topic that this group never read."""
        start = self._config.start
        if start == "earliest":
            return client.first_offsets(partitions, timeout_seconds=_ASK_SECONDS)
        offsets = client.end_offsets(partitions, timeout_seconds=_ASK_SECONDS)
        if isinstance(start, float | int):
            since_ms = max(0, round((self._clock.now() - start) * 1000))
            offsets |= client.offsets_at(partitions, since_ms, timeout_seconds=_ASK_SECONDS)
        return offsets

    def _leave_gap(self, client: KafkaClient, wanted: Mapping[Partition, int]) -> None:
        """Go on where the log goes on: what we had not read yet was deleted, or the log is another one."""
        first = client.first_offsets(list(wanted), timeout_seconds=_ASK_SECONDS)
        last = client.end_offsets(list(wanted), timeout_seconds=_ASK_SECONDS)
        for partition, offset in wanted.items():
            if offset < first[partition]:
                to = first[partition] if self._config.on_gap == "earliest" else last[partition]
                self._tally.n_lost[partition.topic] += to - offset
                log.error(
                    "records lost at=%s: %d were deleted before they were read; going on at %d", partition.at(offset), to - offset, to
                )
            else:
                to = first[partition]  # what we know already changes nothing
                log.error("log ends before at=%s, at %d: read again from %d", partition.at(offset), last[partition], to)
            self._begin(client, partition, to, self._clock.monotonic())

    def _resume_truncated(self, client: KafkaClient, ends: Mapping[Partition, int | None]) -> None:
        """Go on where a log was cut: its new leader had not seen all that we have read."""
        first = client.first_offsets(list(ends), timeout_seconds=_ASK_SECONDS)
        for partition, end in ends.items():
            to = first[partition] if end is None else end
            log.error("log truncated %s: going on at %d", partition.name, to)
            self._begin(client, partition, to, self._clock.monotonic())

    def _begin(self, client: KafkaClient, partition: Partition, offset: int, now: float) -> None:
        """Read a partition from an offset."""
        client.seek(partition, offset)
        if offset != self._progress.offset(partition.name):
            self._record_decoder.forget(partition)
        self._progress.assign(partition.name, offset, now)

    def _ask_whether_empty(self, client: KafkaClient) -> None:
        """Learn of silent partitions whether there is nothing to read, or nobody to ask."""
        now = self._clock.monotonic()
        assigned = client.assignment()
        read = (one for one in map(Partition.of, self._progress.silent(now)) if not self._backlog.holds(one))
        silent = [partition for partition in read if partition in assigned]
        if not silent or now - self._asked_at < _ASK_EMPTY_SECONDS:
            return
        self._asked_at = now
        ends = client.end_offsets(silent, timeout_seconds=_COMMIT_SECONDS)
        for partition, end in ends.items():
            position = client.position(partition, timeout_seconds=_COMMIT_SECONDS)
            if position is not None and position >= end:
                self._progress.confirm_empty(partition.name, now)
        self._recovered()

    def _failed(self, error: ClientError) -> None:
        """Pause, longer each time; keep the client where the error passes by itself."""
        self._n_failures += 1
        self._n_same = self._n_same + 1 if error.name == self._last_error else 1
        self._last_error = error.name
        rebuilds = self._client is not None and self._n_same > error.max_consecutive
        pause = min(_SHORTEST_PAUSE_SECONDS * 2 ** min(self._n_failures - 1, 10), _LONGEST_PAUSE_SECONDS)
        self._pause_until = self._clock.monotonic() + pause
        self._tally.errors["rebuilt" if rebuilds else "retried"] += 1
        n_held = self._limit.passes(f"failed {error.name}")
        if n_held is not None:
            what = "it is closed and opened anew" if rebuilds else "trying again"
            log.error("kafka failed error=%s: %s; %s in %.1f s (and %d times before)", error.name, error.text, what, pause, n_held)
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

    def _batch(self) -> Batch:
        now, now_ms = self._clock.monotonic(), round(self._clock.now() * 1000)
        n_bad: Counter[str] = Counter()
        owned = self._progress.owned
        pieces = self._backlog.take(most_records=self._batch_sizer.n_records, most_bytes=self._config.max_batch_bytes)
        parts = [self._read(partition, one, now_ms, n_bad) for partition, one in pieces if partition.name in owned]
        columns = concatenate(parts)
        self._handed_out = (sum(len(one.records) for _, one in pieces), len(columns), now)
        complete_ms = self._progress.advance(self._clock.monotonic(), clock_ms=now_ms)
        return Batch(
            columns,
            now_ms,
            n_bad=tuple(n_bad.items()),
            complete_ms=complete_ms,
            delivered_ms=self._delivered_ms(),
            ready=self._is_ready(),
            report=self._report(now_ms),
        )

    def _is_ready(self) -> bool:
        """Tell whether something is read: the brokers answer, and not every partition is in a wrong format."""
        owned = self._progress.owned
        reads = any(self._record_decoder.held_offset(Partition.of(name)) is None for name in owned)
        return reads and not self._waiting and not self._n_failures

    def _read(self, partition: Partition, fetched: Fetched, now_ms: int, n_bad: Counter[str]) -> Columns:
        columns, n_withheld = self._record_decoder.read(partition, fetched, n_bad)
        believed = columns.time_ms[columns.time_ms <= now_ms + self._max_future_ms]
        self._progress.record(
            partition.name,
            first_offset=fetched.first_offset,
            next_offset=fetched.next_offset,
            newest_ms=min(int(believed.max()), now_ms) if len(believed) else None,
            now=self._clock.monotonic(),
        )
        self._progress.hold(partition.name, self._record_decoder.held_offset(partition))
        self._tally.dead_letters["withheld"] += n_withheld
        self._tally.n_records[partition.topic] += len(fetched.records) + fetched.n_empty
        self._tally.n_bytes[partition.topic] += sum(len(one.value) for one in fetched.records)
        return columns

    def _report(self, now_ms: int) -> SourceReport:
        """Give what happened since the last batch, and where everything stands."""
        tally, self._tally = self._tally, _Tally()
        lag, newest_seconds, lag_seconds, wrong_format = {}, {}, {}, {}
        for partition in map(Partition.of, self._progress.owned):
            key = (partition.topic, partition.number)
            offset, newest_ms = self._progress.offset(partition.name), self._progress.newest_ms(partition.name)
            wrong_format[key] = self._record_decoder.held_offset(partition) is not None
            if newest_ms != NOTHING_YET:
                newest_seconds[key] = newest_ms / 1000
            if partition in self._ends and offset is not None:
                lag[key] = max(0, self._ends[partition] - offset)
                if not lag[key]:
                    lag_seconds[key] = 0.0
                elif key in newest_seconds:
                    lag_seconds[key] = max(0.0, (now_ms - newest_ms) / 1000)
        return SourceReport(
            tally.n_records,
            tally.n_bytes,
            tally.n_lost,
            tally.commits,
            tally.errors,
            tally.n_rebalances,
            lag,
            lag_seconds=lag_seconds,
            newest_seconds=newest_seconds,
            wrong_format=wrong_format,
            dead_letters=tally.dead_letters + (self._dead_letters.drain_counts() if self._dead_letters else Counter()),
            n_queued=self._backlog.n_records,
            n_queued_bytes=self._backlog.n_bytes,
            paused=bool(self._backlog),
        )

    def _delivered_ms(self) -> int | None:
        """Give up to where an earlier run has reported, by the least of what the partitions' commits say."""
        return min(self._reported_ms.values(), default=None)

    def _metadata(self, time_ms: int | None) -> str:
        if not self._writes_metadata:
            return ""
        return json.dumps({"v": _VERSION} if time_ms is None else {"v": _VERSION, "wm": time_ms}, separators=(",", ":"))


class _Tally:
    """What happened since the last batch."""

    def __init__(self) -> None:
        self.n_records: Counter[str] = Counter()
        self.n_bytes: Counter[str] = Counter()
        self.n_lost: Counter[str] = Counter()
        self.commits: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.dead_letters: Counter[str] = Counter()
        self.n_rebalances = 0


def _reported_ms(metadata: str | None) -> int | None:
    """Read what `_metadata` wrote; None for anything else: another version's, or another program's."""
    try:
        found = json.loads(metadata or "")
        return int(found["wm"]) if found["v"] == _VERSION else None
    except (ValueError, KeyError, TypeError):
        return None
