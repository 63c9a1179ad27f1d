"""The source that the loop polls: it reads from the log what the receiver has written to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute

from monitor.clock import Clock
from monitor.decode.record import DEFAULT_LIMITS, Limits, Record
from monitor.decode.remote_write import decode_remote_write
from monitor.log_limit import RateLimit
from monitor.remote_write.authentication import Authentication
from monitor.remote_write.log_writer import LogWriter
from monitor.remote_write.receiver import Receiver
from monitor.remote_write.receiver_counts import ReceiverCounts
from monitor.remote_write.recent_requests import DecodedRequest, RecentRequests
from monitor.remote_write.request_check import record_of
from monitor.remote_write.watermark import ReceivedTime
from monitor.remote_write.write_ahead_log import LogPiece, WriteAheadLog
from monitor.sample import Columns, SeriesTable, concatenate
from monitor.sources.position import NOTHING_YET, PartitionPosition, Position
from monitor.sources.source import Batch, ReceiverReport

__all__ = ["ReceiverSettings", "RemoteWriteSource"]

log = logging.getLogger(__name__)

_PARTITION = "remote_write/0"  # the log is a single partition
_BATCH_BYTES = 8 << 20  # of snappy blocks
_BATCH_SAMPLES = 100_000  # decoded in about two seconds
_RECENT_SAMPLES = 100_000  # half a kilobyte each, where every sample is of another series


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    """What the receiver takes, and from whom."""

    authentication: Authentication
    limits: Limits = DEFAULT_LIMITS
    max_request_bytes: int
    idle_seconds: float
    max_future_ms: int


class RemoteWriteSource:
    """Requests of remote write, in the order in which they were written to the log.

    Parameters
    ----------
    wal : WriteAheadLog
        Closed with the source.
    resumed : Position, optional
        The position in the checkpoint that the daemon resumes from.

    Attributes
    ----------
    routes : sequence of BaseRoute
        What the web server must serve.
    """

    def __init__(
        self,
        settings: ReceiverSettings,
        wal: WriteAheadLog,
        table: SeriesTable,
        clock: Clock,
        *,
        resumed: Position | None = None,
    ) -> None:
        self._settings = settings
        self._wal = wal
        self._table = table
        self._clock = clock
        self._arrived = threading.Event()
        self._counts = ReceiverCounts()
        self._recent = RecentRequests(_RECENT_SAMPLES)
        self._writer = LogWriter(wal.append, self._announce)
        self._receiver = Receiver(
            self._writer.submit,
            self._counts,
            authentication=settings.authentication,
            limits=settings.limits,
            max_request_bytes=settings.max_request_bytes,
            limit=RateLimit(clock.monotonic),
        )
        self.routes: Sequence[BaseRoute] = (self._receiver.route,)
        before = resumed.partitions.get(_PARTITION) if resumed else None
        self._offset = before.offset if before else 0
        complete_ms = resumed.time_ms if resumed else None
        self._time = ReceivedTime(
            idle_seconds=settings.idle_seconds,
            now=clock.monotonic(),
            newest_ms=before.newest_ms if before else NOTHING_YET,
            complete_ms=NOTHING_YET if complete_ms is None else complete_ms,
        )

    def poll(self, timeout_seconds: float) -> Batch:
        """Give the samples of the next requests, some 100,000 at most."""
        self._arrived.clear()
        if not self._wal.has_more(self._offset):
            self._clock.wait(self._arrived, timeout_seconds)
        piece = self._wal.read(self._offset, most_bytes=_BATCH_BYTES, most_samples=_BATCH_SAMPLES)
        self._offset = piece.next_offset
        now_ms = round(self._clock.now() * 1000)
        columns = self._decode(piece)
        if piece.requests:
            self._time.record(self._newest_ms(columns, now_ms), self._clock.monotonic())
        complete_ms = self._time.advance(self._clock.monotonic(), clock_ms=now_ms)
        counted = self._counts.collect()
        return Batch(
            columns,
            now_ms,
            n_bad=tuple(counted.rejected.items()),
            complete_ms=complete_ms,
            report=ReceiverReport(
                requests=counted.requests,
                n_samples=counted.n_samples,
                n_bytes=counted.n_bytes,
                n_log_failures=counted.n_log_failures,
                n_log_damaged=piece.n_damaged,
                n_log_bytes=self._wal.n_bytes,
                n_unread_samples=self._wal.n_unread,
            ),
        )

    def position(self) -> Position:
        """Give the offset in the log behind the requests that were returned."""
        complete_ms = self._time.complete_ms
        return Position(
            None if complete_ms == NOTHING_YET else complete_ms,
            {_PARTITION: PartitionPosition(self._offset, self._offset, self._time.newest_ms)},
        )

    def commit(self, position: Position) -> None:
        """Senders were told already; see `release`."""

    def release(self, position: Position) -> None:
        """Delete the files of the log that are covered by the position of a checkpoint on disk.

        Not by `commit`, which follows a checkpoint that could not be saved too: the one before it, from which
        a restart goes on, still needs them.
        """
        before = position.partitions.get(_PARTITION)
        if before is not None:
            self._wal.release(before.offset)

    def close(self) -> None:
        """Write what was received, and close the log."""
        self._receiver.close()
        self._writer.close()
        self._wal.close()

    def _announce(self, written: Sequence[tuple[int, DecodedRequest]]) -> None:
        for end, decoded in written:
            self._recent.add(end, decoded)
        self._arrived.set()

    def _decode(self, piece: LogPiece) -> Columns:
        """Give the samples of requests in their order. What cannot be read was counted when they came."""
        parts: list[Columns] = []
        records: list[Record] = []

        def decode_records() -> None:
            if records:
                parts.append(decode_remote_write(records, self._table, self._settings.limits).columns)
            records.clear()

        for request, end in zip(piece.requests, piece.ends, strict=True):
            decoded = self._recent.take(end)
            if decoded is None:
                records.append(record_of(request))
            else:
                decode_records()
                parts.append(decoded.numbered(self._table))
        decode_records()
        return concatenate(parts)

    def _newest_ms(self, columns: Columns, now_ms: int) -> int | None:
        """Give the newest time that is credible, not ahead of the clock; None where there is none."""
        credible_ms = columns.time_ms[columns.time_ms <= now_ms + self._settings.max_future_ms]
        return min(int(credible_ms.max()), now_ms) if len(credible_ms) else None
