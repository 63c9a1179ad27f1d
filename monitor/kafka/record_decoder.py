"""From fetched records to samples; what becomes of bad ones, and which partitions are in a wrong format."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitor.config.kafka import KafkaConfig
from monitor.decode.record import Decoded, Decoder, Record, Rejection
from monitor.kafka.client import Fetched, Partition
from monitor.kafka.dead_letter import DeadLetter
from monitor.kafka.format_check import FormatChange, FormatCheck
from monitor.log_limit import RateLimit, times_before
from monitor.sample import Columns, SeriesTable

__all__ = ["Decoding", "RecordDecoder"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decoding:
    """How records are decoded.

    `decoder_of` gives a topic's decoder, and is called once for each topic. `explain` says for people in
    which format a topic is read, and which one a record seems to be in.
    """

    decoder_of: Callable[[str], Decoder]
    explain: Callable[[str, Record], str] = lambda topic, record: f"{topic} may be in another format"


class RecordDecoder:
    """Decodes the records that are handed out; knows which partitions are in a wrong format.

    Parameters
    ----------
    limit : RateLimit
        By which the log lines about rejected records are limited.
    send_dead_letter : callable, optional
        Takes a dead letter; None where no topic for them is configured.
    """

    def __init__(
        self,
        config: KafkaConfig,
        decoding: Decoding,
        table: SeriesTable,
        limit: RateLimit,
        *,
        send_dead_letter: Callable[[DeadLetter], None] | None = None,
    ) -> None:
        self._decoding = decoding
        self._decoders: dict[str, Decoder] = {}
        self._table = table
        self._limit = limit
        self._send_dead_letter = send_dead_letter
        self._check = FormatCheck(run=config.wrong_format_run, ratio=config.wrong_format_ratio)

    def held_offset(self, partition: Partition) -> int | None:
        """Give the first bad record of a partition that is in a wrong format; None for any other."""
        return self._check.held_offset(partition.name)

    def forget(self, partition: Partition) -> None:
        """Forget what was seen of a partition: it is read from another offset."""
        self._check.forget(partition.name)

    def read(self, partition: Partition, fetched: Fetched, n_bad: Counter[str]) -> tuple[Columns, int]:
        """Give the samples of some records, and the number of dead letters that were withheld.

        Parameters
        ----------
        n_bad : Counter
            Bad records by reason; is added to.
        """
        topic = partition.topic
        records = fetched.records
        if topic not in self._decoders:
            self._decoders[topic] = self._decoding.decoder_of(topic)
        decoder = self._decoders[topic]
        decoded = decoder(records, self._table)
        n_bad.update(decoded.rejected)
        if fetched.n_empty:
            n_bad["no_value"] += fetched.n_empty
        first: dict[int, Rejection] = {}  # the first of each record
        for rejection in decoded.rejections:
            first.setdefault(rejection.index, rejection)
            self._log_rejection(partition.position(fetched.offsets[rejection.index]), topic, rejection)
        bad = sorted(self._unreadable(decoder, records, decoded, first))
        checked = self._check.record(partition.name, fetched.offsets, bad)
        for change in checked.changes:
            self._log_change(partition, change, fetched, bad, first)
        if self._send_dead_letter is None:
            return decoded.columns, 0
        dead = set(checked.dead_letters)
        if self._check.held_offset(partition.name) is None:
            dead.update(first.keys() - set(bad))  # readable in part; a held partition is read again anyway
        for index in sorted(dead):
            self._send_dead_letter(_dead_letter(partition, fetched, first[index]))
        return decoded.columns, len(first) - len(dead)

    def _unreadable(
        self, decoder: Decoder, records: Sequence[Record], decoded: Decoded, first: dict[int, Rejection]
    ) -> set[int]:
        """Give the indices of records without any sample: a bad line among good ones is no wrong format."""
        rejected = set(first)
        if not rejected or not len(decoded.columns):
            return rejected
        # Decoders do not say which record a sample is from; the few that matter are cheap to decode again.
        if not len(decoder([records[index] for index in sorted(rejected)], self._table).columns):
            return rejected
        return {index for index in rejected if not len(decoder([records[index]], self._table).columns)}

    def _log_rejection(self, position: str, topic: str, rejection: Rejection) -> None:
        n_suppressed = self._limit.passes(f"rejected {topic} {rejection.reason}")
        if n_suppressed is not None:
            log.warning(
                "record rejected at=%s reason=%s %s%s",
                position, rejection.reason, rejection.detail, times_before(n_suppressed),
            )  # fmt: skip

    def _log_change(
        self,
        partition: Partition,
        change: FormatChange,
        fetched: Fetched,
        bad: Sequence[int],
        first: dict[int, Rejection],
    ) -> None:
        since = partition.position(change.first_offset)
        if not change.is_wrong:
            log.warning(
                "format right again at=%s: %d records since %s could not be read and are skipped; "
                "their bytes are still in the topic",
                partition.position(change.offset), change.n_bad, since,
            )  # fmt: skip
            return
        index = next(index for index in bad if fetched.offsets[index] == change.offset)
        log.error(
            "wrong format at=%s: %d records from there to %d cannot be read, the last because of %s (%s); "
            "%s. The commit of %s is held there, and further dead letters of it are withheld; other "
            "partitions are not affected. Correct [decode] and restart: the records are read again",
            since, change.n_bad, change.offset, first[index].reason, first[index].detail,
            self._decoding.explain(partition.topic, fetched.records[index]), partition.name,
        )  # fmt: skip


def _dead_letter(partition: Partition, fetched: Fetched, rejection: Rejection) -> DeadLetter:
    index = rejection.index
    record = fetched.records[index]
    return DeadLetter(
        partition.topic,
        partition.number,
        fetched.offsets[index],
        record.time_ms,
        rejection.reason,
        rejection.detail,
        record.value,
        fetched.key_of(index),
        record.headers,
    )
