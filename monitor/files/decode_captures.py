"""What captures hold: samples, gaps, ends of series, and what could not be read; with a report for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import orjson

from monitor.decode.record import Decoder, Rejection
from monitor.files.captures import Captured
from monitor.sample import Columns, SeriesTable, concatenate, is_stale
from monitor.text import printable

__all__ = ["N_SHOWN", "DecodeOutcome", "decode_captured", "json_lines", "report"]

N_SHOWN = 20  # rows or rejections that fit on a screen


@dataclass(frozen=True, slots=True)
class DecodeOutcome:
    """What some records hold: samples, topic by topic, and rejections with the locations of their records."""

    columns: Columns
    rejections: tuple[tuple[str, Rejection], ...]
    n_records: int

    @property
    def n_stale(self) -> int:
        """Number of stale markers."""
        return int(is_stale(self.columns.value).sum())

    @property
    def n_gaps(self) -> int:
        """Number of samples without a value, stale markers excepted."""
        return int(np.isnan(self.columns.value).sum()) - self.n_stale

    @property
    def n_values(self) -> int:
        """Number of samples with a value."""
        return len(self.columns) - self.n_gaps - self.n_stale

    @property
    def n_series(self) -> int:
        """Number of series that have a sample, a gap or a stale marker."""
        return len(np.unique(self.columns.series))

    @property
    def rejected(self) -> dict[str, int]:
        """Number of records and parts that could not be read, by reason."""
        counts: dict[str, int] = {}
        for _, rejection in self.rejections:
            counts[rejection.reason] = counts.get(rejection.reason, 0) + rejection.n_parts
        return counts

    @property
    def has_read(self) -> bool:
        """Whether any record could be read: an empty one counts, and one of which a part could."""
        n_rejected = len({(location, rejection.index) for location, rejection in self.rejections})
        return len(self.columns) > 0 or n_rejected < self.n_records


def decode_captured(
    captured: Iterable[Captured], decoder_of: Callable[[str], Decoder], table: SeriesTable
) -> DecodeOutcome:
    """Decode records; `decoder_of` gives the decoder of a topic."""
    by_topic: dict[str, list[Captured]] = {}
    for record in captured:
        by_topic.setdefault(record.topic, []).append(record)
    parts: list[Columns] = []
    rejections: list[tuple[str, Rejection]] = []
    for topic, records in by_topic.items():
        decoded = decoder_of(topic)([captured_record.record for captured_record in records], table)
        parts.append(decoded.columns)
        rejections += [(records[rejection.index].location, rejection) for rejection in decoded.rejections]
    return DecodeOutcome(concatenate(parts), tuple(rejections), sum(map(len, by_topic.values())))


def json_lines(columns: Columns, table: SeriesTable) -> Iterator[bytes]:
    """Write one JSON object for each sample that has a value: its name, labels, time and value."""
    heads: dict[int, bytes] = {}
    for number, time_ms, value in zip(
        columns.series.tolist(), columns.time_ms.tolist(), columns.value.tolist(), strict=True
    ):
        if math.isfinite(value):
            head = heads.get(number)
            if head is None:
                series = table[number]
                head = heads[number] = orjson.dumps({"name": series.name, "labels": dict(series.labels)})[:-1]
            yield head + b',"time_ms":%d,"value":%s}\n' % (time_ms, orjson.dumps(value))


def report(outcome: DecodeOutcome, formats: Mapping[str, str | None], *, shows_all: bool) -> Iterator[str]:
    """Report line by line: each topic's format, what could not be read and where, and all counts."""
    for topic, name in formats.items():
        how = f"read as {name}" if name else "the format cannot be recognised; name it with --format"
        yield printable(f"{topic}: {how}")
    shown = outcome.rejections if shows_all else outcome.rejections[:N_SHOWN]
    for location, rejection in shown:
        times = f" ({rejection.n_parts} parts)" if rejection.n_parts > 1 else ""
        yield printable(f"{location}: {rejection.reason}: {rejection.detail}{times}")
    if len(shown) < len(outcome.rejections):
        yield f"... and {len(outcome.rejections) - len(shown)} more rejections: --all shows them"
    counts = [f"{reason} {count}" for reason, count in sorted(outcome.rejected.items())]
    rejected = ", ".join(counts) or "nothing"
    yield (
        f"{outcome.n_records} records: {outcome.n_values} samples of {outcome.n_series} series, "
        f"{outcome.n_gaps} gaps, {outcome.n_stale} stale markers; rejected: {rejected}"
    )
