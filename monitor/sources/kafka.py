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

from monitor.clock import Clock
from monitor.config import KafkaConfig
from monitor.decode import Decoder
from monitor.errors import SourceError
from monitor.log_limit import RateLimit
from monitor.progress import Position, Progress
from monitor.sample import Columns, SeriesTable, concatenate
from monitor.sources import Batch, SourceReport
from monitor.sources.kafka_client import (
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
from monitor.sources.kafka_library import library_of

__all__ = ["KafkaSource"]

log = logging.getLogger(__name__)

_LONGEST_POLL_SECONDS = 1.0  # a stop signal waits for the poll to end
_ASK_SECONDS = 5.0  # a question to the broker: where a partition begins, what is committed
_COMMIT_SECONDS = 2.0  # a commit that takes longer is tried again with the next one
_CLOSE_SECONDS = 3.0
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
    ) -> None:
        self._library = library_of(config)
        self._library.check(config)  # what is missing ends the start here
        self._config = config
        self._decoder_of = decoder_of
        self._decoders: dict[str, Decoder] = {}
        self._table = table
        self._clock = clock
        self._max_future_ms = max_future_ms
        self._progress = Progress(rewind_ms=rewind_ms, idle_seconds=config.idle_seconds, resumed=resumed)
        self._limit = RateLimit(clock.monotonic)
        self._never = threading.Event()
        self._client: KafkaClient | None = None
        self._waiting: set[Partition] = set()  # came to us, and are not looked up yet
        self._reported_ms: dict[str, int] = {}  # by partition: up to where an earlier run has reported
        self._writes_metadata = True
        self._pause_until = self._asked_at = -float("inf")
        self._last_error, self._n_same, self._n_failures = "", 0, 0
        self._tally = _Tally()
        self._ends: Mapping[Partition, int] = {}  # where the logs end, as far as the broker has said

    def poll(self, timeout_seconds: float) -> Batch:
        """Give what has come; waits for no more than a second."""
        remaining = self._pause_until - self._clock.monotonic()
        if remaining > 0:
            self._clock.wait(self._never, min(remaining, timeout_seconds))
            if remaining > timeout_seconds:
                return self._batch({})
        if self._client is None:
            self._open()
        return self._batch({} if self._client is None else self._fetch(self._client, timeout_seconds))

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
        self._progress.release(self._progress.owned)
        if client is None:
            return
        try:
            client.close(timeout_seconds=_CLOSE_SECONDS)
        except ClientError as error:  # it is thrown away because it is broken
            log.warning("kafka closed with an error error=%s: %s", error.name, error.text)

    def _fetch(self, client: KafkaClient, timeout_seconds: float) -> Mapping[Partition, Fetched]:
        fetched: Mapping[Partition, Fetched] = {}
        try:
            self._settle(client)
            try:
                fetched = client.poll(min(timeout_seconds, _LONGEST_POLL_SECONDS))
            except OutOfRangeError as error:
                self._leave_gap(client, error.offsets)
            except TruncatedError as error:
                self._go_back(client, error.ends)
            self._settle(client)
            self._ask_whether_empty(client)
            self._ends = client.log_ends()
        except FencedError as error:
            raise self._fenced() from error
        except ClientError as error:  # what was fetched before it is good, and will not come again
            self._failed(error)
        else:
            if fetched:
                self._recovered()
        return fetched

    def _settle(self, client: KafkaClient) -> None:
        """Take notice of what came and went, and look up where to read what came."""
        for what, partitions in client.notes():
            self._waiting.difference_update(partitions)
            self._progress.release(partition.name for partition in partitions)
            if what == "assigned":
                self._tally.n_rebalances += 1
                self._waiting.update(partitions)
            log.info("partitions %s: %s", what, ", ".join(sorted(partition.name for partition in partitions)) or "none")
        if self._waiting:
            self._place(client, sorted(self._waiting))

    def _place(self, client: KafkaClient, partitions: Sequence[Partition]) -> None:
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
                client.seek(partition, offset)
                self._progress.assign(partition.name, offset, now)
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
            self._jump(client, partition, to)

    def _go_back(self, client: KafkaClient, ends: Mapping[Partition, int | None]) -> None:
        """Go on where a log was cut: its new leader had not seen all that we have read."""
        first = client.first_offsets(list(ends), timeout_seconds=_ASK_SECONDS)
        for partition, end in ends.items():
            to = first[partition] if end is None else end
            log.error("log truncated %s: going on at %d", partition.name, to)
            self._jump(client, partition, to)

    def _jump(self, client: KafkaClient, partition: Partition, offset: int) -> None:
        client.seek(partition, offset)
        self._progress.assign(partition.name, offset, self._clock.monotonic())

    def _ask_whether_empty(self, client: KafkaClient) -> None:
        """Learn of silent partitions whether there is nothing to read, or nobody to ask."""
        now = self._clock.monotonic()
        assigned = client.assignment()
        silent = [partition for partition in map(Partition.of, self._progress.silent(now)) if partition in assigned]
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
        rebuilds = self._client is not None and self._n_same > error.n_borne
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

    def _batch(self, fetched: Mapping[Partition, Fetched]) -> Batch:
        now_ms = round(self._clock.now() * 1000)
        n_bad: Counter[str] = Counter()
        owned = self._progress.owned
        parts = [self._decode(partition, one, now_ms, n_bad) for partition, one in fetched.items() if partition.name in owned]
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

    def _decode(self, partition: Partition, fetched: Fetched, now_ms: int, n_bad: Counter[str]) -> Columns:
        topic, records = partition.topic, fetched.records
        if topic not in self._decoders:
            self._decoders[topic] = self._decoder_of(topic)
        decoded = self._decoders[topic](records, self._table)
        n_bad.update(decoded.rejected)
        if fetched.n_empty:
            n_bad["no_value"] += fetched.n_empty
        for rejection in decoded.rejections:
            n_held = self._limit.passes(f"rejected {topic} {rejection.reason}")
            if n_held is not None:
                where = partition.at(fetched.offsets[rejection.index])
                log.warning("record rejected at=%s reason=%s %s (and %d before)", where, rejection.reason, rejection.detail, n_held)
        times = decoded.columns.time_ms
        believed = times[times <= now_ms + self._max_future_ms]
        self._progress.took(
            partition.name,
            first_offset=fetched.first_offset,
            next_offset=fetched.next_offset,
            newest_ms=min(int(believed.max()), now_ms) if len(believed) else None,
            now=self._clock.monotonic(),
        )
        self._tally.n_records[topic] += len(records) + fetched.n_empty
        self._tally.n_bytes[topic] += sum(len(one.value) for one in records)
        return decoded.columns

    def _lag(self) -> dict[tuple[str, int], int]:
        """Count what is there and not handed out yet."""
        offsets = {partition: self._progress.offset(partition.name) for partition in self._ends}
        return {(one.topic, one.number): max(0, self._ends[one] - offset) for one, offset in offsets.items() if offset is not None}

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
        self.n_rebalances = 0

    def report(self, lag: Mapping[tuple[str, int], int]) -> SourceReport:
        """Give it as it is handed on."""
        return SourceReport(self.n_records, self.n_bytes, self.n_lost, self.commits, self.errors, self.n_rebalances, lag)


def _reported_ms(metadata: str | None) -> int | None:
    """Read what `_metadata` wrote; None for anything else: another version's, or another program's."""
    try:
        found = json.loads(metadata or "")
        return int(found["wm"]) if found["v"] == _VERSION else None
    except (ValueError, KeyError, TypeError):
        return None
