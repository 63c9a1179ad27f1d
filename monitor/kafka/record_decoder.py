"""From fetched records to samples; what becomes of those that cannot be read, and when that is a wrong format."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from monitor.config.kafka import KafkaConfig
from monitor.decode.record import Decoded, Decoder, Record, Rejection
from monitor.kafka.client import Fetched, Partition
from monitor.kafka.dead_letter import DeadLetter
from monitor.kafka.format_check import FormatChange, FormatCheck
from monitor.log_limit import RateLimit
from monitor.sample import Columns, SeriesTable

__all__ = ["Handling", "RecordDecoder"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Handling:
    """What to do about records.

    `decoder_of` gives a topic's decoder, and is asked once for each topic; `explain` says for people in which format a
    topic is read and which one a record is in; `keep` takes a dead letter, where there is a place for them.
    """

    decoder_of: Callable[[str], Decoder]
    explain: Callable[[str, Record], str] = field(default=lambda topic, record: f"{topic} may be in another format")
    keep: Callable[[DeadLetter], None] | None = None


class RecordDecoder:
    """Decodes what is handed out; remembers which partitions are in a wrong format."""

    def __init__(self, config: KafkaConfig, handling: Handling, table: SeriesTable, limit: RateLimit) -> None:
        self._handling = handling
        self._decoders: dict[str, Decoder] = {}
        self._table = table
        self._limit = limit
        self._check = FormatCheck(run=config.wrong_format_run, ratio=config.wrong_format_ratio)

    def held_offset(self, partition: Partition) -> int | None:
        """Give the first record of a partition that is in a wrong format; None of any other."""
        return self._check.held_offset(partition.name)

    def forget(self, partition: Partition) -> None:
        """Begin anew with a partition: it is read from another place."""
        self._check.forget(partition.name)

    def read(self, partition: Partition, fetched: Fetched, n_bad: Counter[str]) -> tuple[Columns, int]:
        """Give the samples of some records, and how many bad ones were withheld from the dead letters; count the bad."""
        topic, records = partition.topic, fetched.records
        if topic not in self._decoders:
            self._decoders[topic] = self._handling.decoder_of(topic)
        decoder = self._decoders[topic]
        decoded = decoder(records, self._table)
        n_bad.update(decoded.rejected)
        if fetched.n_empty:
            n_bad["no_value"] += fetched.n_empty
        first: dict[int, Rejection] = {}  # of each record
        for rejection in decoded.rejections:
            first.setdefault(rejection.index, rejection)
            n_held = self._limit.passes(f"rejected {topic} {rejection.reason}")
            if n_held is not None:
                where = partition.at(fetched.offsets[rejection.index])
                log.warning("record rejected at=%s reason=%s %s (and %d before)", where, rejection.reason, rejection.detail, n_held)
        bad = sorted(self._unread(decoder, records, decoded, first))
        checked = self._check.record(partition.name, fetched.offsets, bad)
        for turn in checked.turns:
            self._tell(partition, turn, fetched, bad, first)
        if self._handling.keep is None:
            return decoded.columns, 0
        # A record that could be read in part is a dead letter too: not while its partition will be read again anyway.
        in_part = () if self._check.held_offset(partition.name) is not None else first.keys() - set(bad)
        dead_letters = sorted({*checked.dead_letters, *in_part})
        for index in dead_letters:
            self._handling.keep(_dead_letter(partition, fetched, first[index]))
        return decoded.columns, len(first) - len(dead_letters)

    def _unread(self, decoder: Decoder, records: Sequence[Record], decoded: Decoded, first: dict[int, Rejection]) -> set[int]:
        """Give the places of the records of which nothing could be read: a bad line among good ones is no wrong format."""
        rejected = set(first)
        if not rejected or not len(decoded.columns):
            return rejected
        # Decoders do not say which record a sample is of; the few that matter are cheap to decode again.
        if not len(decoder([records[index] for index in sorted(rejected)], self._table).columns):
            return rejected
        return {index for index in rejected if not len(decoder([records[index]], self._table).columns)}

    def _tell(self, partition: Partition, turn: FormatChange, fetched: Fetched, bad: Sequence[int], first: dict[int, Rejection]) -> None:
        where = partition.at(turn.first_offset)
        if not turn.is_wrong:
            log.warning(
                "format right again at=%s: %d records since %s could not be read and are passed over; their bytes are still there",
                partition.at(turn.offset), turn.n_bad, where,
            )  # fmt: skip
            return
        index = next(one for one in bad if fetched.offsets[one] == turn.offset)
        log.error(
            "wrong format at=%s: %d records from there to %d cannot be read, the last because of %s (%s); %s. The commit of %s is held "
            "there, and no dead letters are sent any more; other partitions go on. Put [decode] right and restart: it is read again",
            where, turn.n_bad, turn.offset, first[index].reason, first[index].detail,
            self._handling.explain(partition.topic, fetched.records[index]), partition.name,
        )  # fmt: skip


def _dead_letter(partition: Partition, fetched: Fetched, rejection: Rejection) -> DeadLetter:
    index = rejection.index
    value, time_ms, headers = fetched.records[index]
    place = (partition.topic, partition.number, fetched.offsets[index])
    return DeadLetter(*place, time_ms, rejection.reason, rejection.detail, value, fetched.key_of(index), headers)
