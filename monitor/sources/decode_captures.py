"""What is read from files of payloads: samples, gaps, the ends of series, and what could not be read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import orjson

from monitor.decode.record import Decoder, Rejection
from monitor.sample import Columns, SeriesTable, concatenate, is_stale
from monitor.sources.captures import Captured

__all__ = ["N_SHOWN", "DecodeOutcome", "decode_captured", "json_lines", "printable", "report"]

N_SHOWN = 20  # rows or rejections that fit on a screen


@dataclass(frozen=True, slots=True)
class DecodeOutcome:
    """What some records hold: their samples, topic by topic, and the rejections with their places."""

    columns: Columns
    rejections: tuple[tuple[str, Rejection], ...]
    n_records: int

    @property
    def n_stale(self) -> int:
        """Marks of a series' end."""
        return int(is_stale(self.columns.value).sum())

    @property
    def n_gaps(self) -> int:
        """Samples without a value that are no such marks."""
        return int(np.isnan(self.columns.value).sum()) - self.n_stale

    @property
    def n_values(self) -> int:
        """Samples with a value."""
        return len(self.columns) - self.n_gaps - self.n_stale

    @property
    def n_series(self) -> int:
        """Series that have a sample, a gap or an end."""
        return len(np.unique(self.columns.series))

    @property
    def rejected(self) -> dict[str, int]:
        """What could not be read, by reason."""
        counts: dict[str, int] = {}
        for _, rejection in self.rejections:
            counts[rejection.reason] = counts.get(rejection.reason, 0) + rejection.n_parts
        return counts

    @property
    def has_read(self) -> bool:
        """Whether a record could be read: an empty one can, and one of which something could."""
        n_rejected = len({(place, rejection.index) for place, rejection in self.rejections})
        return len(self.columns) > 0 or n_rejected < self.n_records


def decode_captured(
    captured: Iterable[Captured], decoder_of: Callable[[str], Decoder], table: SeriesTable
) -> DecodeOutcome:
    """Decode records, each topic's with the decoder that `decoder_of` gives for it."""
    by_topic: dict[str, list[Captured]] = {}
    for one in captured:
        by_topic.setdefault(one.topic, []).append(one)
    parts: list[Columns] = []
    rejections: list[tuple[str, Rejection]] = []
    for topic, ones in by_topic.items():
        decoded = decoder_of(topic)([one.record for one in ones], table)
        parts.append(decoded.columns)
        rejections += [(ones[rejection.index].place, rejection) for rejection in decoded.rejections]
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
    """Say in lines what was taken as what, what could not be read and where, and how much there is of everything."""
    for topic, name in formats.items():
        yield printable(
            f"{topic}: "
            + (f"read as {name}" if name else "in no format that can be told; name one with --format")
        )
    shown = outcome.rejections if shows_all else outcome.rejections[:N_SHOWN]
    for place, rejection in shown:
        times = f" ({rejection.n_parts} parts)" if rejection.n_parts > 1 else ""
        yield printable(f"{place}: {rejection.reason}: {rejection.detail}{times}")
    if len(shown) < len(outcome.rejections):
        yield f"... and {len(outcome.rejections) - len(shown)} more rejections: --all shows them"
    rejected = (
        ", ".join(f"{reason} {count}" for reason, count in sorted(outcome.rejected.items())) or "nothing"
    )
    yield (
        f"{outcome.n_records} records: {outcome.n_values} samples of {outcome.n_series} series, "
        f"{outcome.n_gaps} gaps, {outcome.n_stale} stale markers; rejected: {rejected}"
    )


def printable(text: str) -> str:
    """Replace what a terminal would take as a command: payloads may hold anything."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)
