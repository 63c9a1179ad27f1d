"""Samples from Kafka, behind the Source Protocol: when to fetch, what to hand out, what to commit.

It knows no client library: `client.py` says what it needs of one.

Nothing is committed that is not kept: the loop calls `commit` with the position of its last checkpoint. The
offset that is committed for a partition is that of the oldest record from which open windows are made; the
commit's metadata holds the event time up to which everything has been reported. So a daemon without a
checkpoint reads a window's length again, and does not notify again about what was reported.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from monitor.clock import Clock
from monitor.config.kafka import KafkaConfig
from monitor.errors import SourceError
from monitor.kafka.backlog import Backlog
from monitor.kafka.backoff import Backoff
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
    UnreadableError,
)
from monitor.kafka.commit_metadata import CommitMetadata
from monitor.kafka.dead_letter_producer import DeadLetterProducer
from monitor.kafka.empty_check import EmptyCheck
from monitor.kafka.libraries import library_of
from monitor.kafka.progress import ReadProgress
from monitor.kafka.record_decoder import Decoding, RecordDecoder
from monitor.kafka.source_report import SourceReportBuilder
from monitor.kafka.start_offsets import Restart, StartOffsets
from monitor.kafka.topic_identity import TopicIdentity
from monitor.kafka.unreadable import UnreadableRecords
from monitor.log_limit import RateLimit
from monitor.sample import Columns, SeriesTable, concatenate
from monitor.sources.position import Position
from monitor.sources.source import Batch

__all__ = ["KafkaSource"]

log = logging.getLogger(__name__)

_LONGEST_POLL_SECONDS = 1.0  # a stop signal waits for the poll to end
_COMMIT_SECONDS = 2.0  # a commit that takes longer is tried again with the next one
_CLOSE_SECONDS = 3.0
_FLUSH_SECONDS = 1.0  # dead letters are waited for before a position is kept, while their topic answers
_KEEP_SECONDS = (
    5.0  # between two polls that only keep the group, while records wait: each costs half a second
)


class KafkaSource:
    """The records of some topics, decoded.

    The connection is opened by the first polls, not by the constructor: a broker that is away delays no
    start. While it is away, batches are empty and not *ready*.

    Parameters
    ----------
    rewind_ms : int
        Event time before the watermark that is read again after a lost checkpoint.
    max_future_ms : int
        Samples further ahead of the clock do not advance their partition; the pipeline rejects them.
    resumed : Position, optional
        The position in the checkpoint that the daemon resumes from.
    dead_letters : DeadLetterProducer, optional
        Takes records that cannot be read; closed with the source.

    Raises
    ------
    SourceError
        If a package of the client library is missing, or a file that the settings name cannot be read.
    """

    def __init__(
        self,
        config: KafkaConfig,
        decoding: Decoding,
        table: SeriesTable,
        clock: Clock,
        *,
        rewind_ms: int,
        max_future_ms: int,
        resumed: Position | None = None,
        dead_letters: DeadLetterProducer | None = None,
    ) -> None:
        self._library = library_of(config)
        self._library.check(config)  # what is missing ends the start here
        self._config = config
        self._clock = clock
        self._max_future_ms = max_future_ms
        self._dead_letters = dead_letters
        limit = RateLimit(clock.monotonic)
        self._backoff = Backoff(clock, limit)
        send_dead_letter = dead_letters.put if dead_letters else None
        self._decoder = RecordDecoder(config, decoding, table, limit, send_dead_letter=send_dead_letter)
        self._progress = ReadProgress(rewind_ms=rewind_ms, idle_seconds=config.idle_seconds, resumed=resumed)
        self._metadata = CommitMetadata()
        self._unreadable = UnreadableRecords(
            config.max_rebuilds_at_offset, self._progress, self._decoder, clock, send_dead_letter
        )
        self._backlog = Backlog()
        self._batch_sizer = BatchSizer(
            most_records=config.max_poll_records, most_samples=config.max_batch_samples
        )
        self._empty_check = EmptyCheck(self._progress, self._backlog, clock)
        self._report = SourceReportBuilder(self._progress, self._decoder, self._backlog)
        identity = TopicIdentity(clock, self._report.count_recreated)
        self._start_offsets = StartOffsets(config, clock, self._progress, self._metadata, identity)
        self._keep_seconds = min(_KEEP_SECONDS, config.max_poll_interval_seconds / 10)
        self._polled_at = -float("inf")
        self._client: KafkaClient | None = None
        self._unstarted: set[Partition] = set()  # assigned, and their offsets are not found yet
        self._paused: AbstractSet[Partition] = frozenset()

    def poll(self, timeout_seconds: float) -> Batch:
        """Give the next records, no more than take about a second to process; waits for a second at most."""
        now = self._clock.monotonic()
        self._batch_sizer.request(now)
        if not self._backlog or now - self._polled_at >= self._keep_seconds:
            self._fetch_or_wait(timeout_seconds)
        return self._batch()

    def position(self) -> Position:
        """Give up to where each partition was handed out, and from where it would be read again.

        Waits a second at most for the dead letters of what was handed out, and not at all while their topic
        does not answer.
        """
        if self._dead_letters is not None:
            self._dead_letters.flush(_FLUSH_SECONDS)
        return self._progress.position()

    def commit(self, position: Position) -> None:
        """Commit what need not be read again. A failed commit is counted, and the next one makes up for it.

        Raises
        ------
        SourceError
            If another member has taken this one's `group_instance_id`.
        """
        client = self._client
        owned = self._progress.owned
        offsets = {
            Partition.of(name): Committed(
                partition.rewind, self._metadata.text(position.time_ms, partition.topic_id)
            )
            for name, partition in position.partitions.items()
            if name in owned
        }
        if client is None or not offsets or self._backoff.seconds_left():
            return
        try:
            client.commit(offsets, timeout_seconds=_COMMIT_SECONDS)
        except FencedError as error:
            raise _fenced(self._config) from error
        except MetadataTooLargeError:
            self._metadata.leave_out()
            self._report.count_commit("failed")
            log.warning(
                "commit without metadata: the broker's offset.metadata.max.bytes is too small; "
                "without a checkpoint, alerts would be repeated"
            )
        except ClientError as error:
            self._report.count_commit("failed")
            self._fail(error)
        else:
            self._report.count_commit("done")
            self._backoff.succeed()

    def close(self) -> None:
        """Leave the group; a static member stays in it until its session times out."""
        self._drop_client()
        if self._dead_letters is not None:
            self._dead_letters.close()

    def _fetch_or_wait(self, timeout_seconds: float) -> None:
        """Fetch something; while records wait in the backlog, only keep the group; wait out a pause."""
        pause = self._backoff.seconds_left()
        if pause:
            if self._backlog:
                return
            self._clock.wait(threading.Event(), min(pause, timeout_seconds))
            if pause > timeout_seconds:
                return
        if self._client is None:
            self._open_client()
        if self._client is not None:
            self._fetch(self._client, timeout_seconds)

    def _open_client(self) -> None:
        try:
            self._client = self._library.open_client(self._config)
        except ClientError as error:
            self._fail(error)
        else:
            servers = ",".join(self._config.bootstrap_servers)
            log.info("kafka opened servers=%s topics=%s", servers, ",".join(self._config.topics))

    def _drop_client(self) -> None:
        """Close the client; the positions of its partitions are remembered."""
        client, self._client = self._client, None
        self._report.know_log_ends({})
        self._unstarted.clear()
        self._backlog.clear()
        self._paused = frozenset()
        self._progress.release(self._progress.owned)
        if client is None:
            return
        try:
            client.close(timeout_seconds=_CLOSE_SECONDS)
        except ClientError as error:  # often the very error for which the client is replaced
            log.warning("kafka closed with an error error=%s: %s", error.name, error.text)

    def _fetch(self, client: KafkaClient, timeout_seconds: float) -> None:
        try:
            self._follow_rebalances(client)
            self._pause_or_resume(client)
            if not self._backlog:  # what was fetched before is handed out first
                self._restart(client, self._start_offsets.after_recreation(client))
            self._polled_at = self._clock.monotonic()
            try:
                fetched = client.poll(min(timeout_seconds, _LONGEST_POLL_SECONDS))
                elsewhere = dict(self._unreadable.check(fetched))
                for partition, offset in elsewhere.items():
                    client.seek(partition, offset)
                fetched = {each: records for each, records in fetched.items() if each not in elsewhere}
                self._backlog.put(fetched)
            except OutOfRangeError as error:
                if (
                    not self._backlog
                ):  # the records before it are handed out first; then this error comes again
                    self._restart(client, self._start_offsets.after_gap(client, error.offsets))
            except TruncatedError as error:
                if not self._backlog:
                    self._restart(client, self._start_offsets.after_truncation(client, error.ends))
            else:
                if fetched:
                    self._backoff.succeed()
            self._follow_rebalances(client)
            if self._empty_check.ask(client):
                self._backoff.succeed()
            self._report.know_log_ends(client.log_ends())
        except FencedError as error:
            raise _fenced(self._config) from error
        except ClientError as error:
            self._fail(error)

    def _pause_or_resume(self, client: KafkaClient) -> None:
        """Fetch nothing while there is something to hand out."""
        if self._backlog and not self._paused:
            self._paused = client.assignment()
            client.pause(self._paused)
        elif self._paused and not self._backlog:
            client.resume(self._paused & client.assignment())
            self._paused = frozenset()

    def _follow_rebalances(self, client: KafkaClient) -> None:
        """Drop partitions that were revoked, and begin to read those that were assigned."""
        for event, partitions in client.rebalance_events():
            self._unstarted.difference_update(partitions)
            self._progress.release(partition.name for partition in partitions)
            self._backlog.drop(partitions)  # another member reads it, or we do, from our position
            if event == "assigned":
                self._report.count_rebalance()
                self._unstarted.update(partitions)
            names = sorted(partition.name for partition in partitions)
            log.info("partitions %s: %s", event, ", ".join(names) or "none")
        if self._unstarted:
            self._start_partitions(client, sorted(self._unstarted))

    def _start_partitions(self, client: KafkaClient, partitions: Sequence[Partition]) -> None:
        starts = self._start_offsets.find(client, partitions)
        assigned = client.assignment()
        for partition, offset in starts.offsets.items():
            self._unstarted.discard(partition)
            if partition in assigned:
                self._seek(client, partition, offset, starts.topic_ids[partition])
                log.info("reading %s from offset %d", partition.name, offset)
        if starts.new:  # a daemon that dies before its first checkpoint begins at the same offset again
            offsets = {
                partition: Committed(
                    starts.offsets[partition], self._metadata.start_text(starts.topic_ids[partition])
                )
                for partition in starts.new
                if partition in assigned
            }
            client.commit(offsets, timeout_seconds=_COMMIT_SECONDS)

    def _restart(self, client: KafkaClient, restarts: Iterable[Restart]) -> None:
        for restart in restarts:
            self._report.count_lost(restart.partition.topic, restart.n_lost)
            self._seek(client, restart.partition, restart.offset, restart.topic_id)

    def _seek(self, client: KafkaClient, partition: Partition, offset: int, topic_id: str) -> None:
        """Read a partition from an offset."""
        client.seek(partition, offset)
        if self._progress.assign(partition.name, offset, self._clock.monotonic(), topic_id):
            self._decoder.forget(partition)

    def _fail(self, error: ClientError) -> None:
        """Pause after an error; close the client where it must be replaced."""
        if isinstance(error, UnreadableError) and self._client is not None:
            self._unreadable.meet(error, self._client)
        is_replaced = self._backoff.fail(error, is_open=self._client is not None)
        self._report.count_error("rebuilt" if is_replaced else "retried")
        if is_replaced:
            self._drop_client()

    def _batch(self) -> Batch:
        """Decode and hand out the next records of the backlog."""
        now = self._clock.monotonic()
        now_ms = round(self._clock.now() * 1000)
        n_bad = self._unreadable.drain_counts()
        owned = self._progress.owned
        pieces = self._backlog.take(
            most_records=self._batch_sizer.n_records, most_bytes=self._config.max_batch_bytes
        )
        parts = [
            self._decode(partition, fetched, now_ms, n_bad)
            for partition, fetched in pieces
            if partition.name in owned
        ]
        columns = concatenate(parts)
        self._batch_sizer.hand_out(sum(len(fetched.records) for _, fetched in pieces), len(columns), now)
        complete_ms = self._progress.advance(self._clock.monotonic(), clock_ms=now_ms)
        if self._dead_letters is not None:
            self._report.count_dead_letters(self._dead_letters.drain_counts())
        return Batch(
            columns,
            now_ms,
            n_bad=tuple(n_bad.items()),
            complete_ms=complete_ms,
            delivered_ms=self._metadata.delivered_ms,
            ready=self._is_ready(),
            report=self._report.report(now_ms),
        )

    def _is_ready(self) -> bool:
        """Tell whether samples can come: the brokers answer, and not every partition is in a wrong format."""
        names = self._progress.owned
        can_read = any(self._decoder.held_offset(Partition.of(name)) is None for name in names)
        return can_read and not self._unstarted and not self._backoff.is_failing

    def _decode(self, partition: Partition, fetched: Fetched, now_ms: int, n_bad: Counter[str]) -> Columns:
        columns, n_withheld = self._decoder.read(partition, fetched, n_bad)
        credible_ms = columns.time_ms[columns.time_ms <= now_ms + self._max_future_ms]
        self._progress.record(
            partition.name,
            first_offset=fetched.first_offset,
            next_offset=fetched.next_offset,
            newest_ms=min(int(credible_ms.max()), now_ms) if len(credible_ms) else None,
            now=self._clock.monotonic(),
        )
        self._progress.hold(partition.name, self._decoder.held_offset(partition))
        self._report.count_dead_letters({"withheld": n_withheld})
        self._report.count_records(partition.topic, fetched)
        return columns


def _fenced(config: KafkaConfig) -> SourceError:
    return SourceError(
        f'another daemon has taken source.kafka.group_instance_id "{config.group_instance_id}", and this one '
        f"is shut out of the group {config.group_id}. Give each daemon its own id, or none."
    )
