"""What goes into a decoder and what comes out: records, limits, samples and rejections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from monitor.sample import Columns, SeriesTable

__all__ = [
    "DEFAULT_LIMITS",
    "MAX_TIME_MS",
    "MIN_TIME_MS",
    "Decoded",
    "Decoder",
    "Limits",
    "Record",
    "RejectedError",
    "Rejection",
]

MIN_TIME_MS = 0  # 1970
MAX_TIME_MS = 253_370_764_800_000  # the start of the year 9999: later times are in a wrong unit


class Record(NamedTuple):
    """One message as it arrived: a Kafka record, an HTTP body, a line of a file.

    `time_ms` is the timestamp that the broker or the producer set, -1 if there is none. It is used as a
    sample's time only in formats that may omit that.
    """

    value: bytes
    time_ms: int = -1
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a record may hold before it is rejected. Checked before memory is allocated for it."""

    max_record_bytes: int = 16 << 20  # after decompression
    max_label_bytes: int = 16 << 10  # of one label's value


DEFAULT_LIMITS = Limits()


class RejectedError(Exception):
    """A record, or a part of one, cannot be read: `reason` from a small closed set, `detail` for people."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Rejection:
    """What could not be read of one record: its index in the batch, the reason, and how many of its parts.

    A record may have several rejections, one for each reason; `detail` describes the first part.
    """

    index: int
    reason: str
    detail: str = ""
    n_parts: int = 1


@dataclass(frozen=True, slots=True)
class Decoded:
    """The samples of a batch of records, in their order, and what was rejected.

    A value is NaN where the producer wrote a gap (null, NaN, an infinity), and `monitor.sample.STALE_NAN`
    where it marked the end of the series. `n_histograms` native histograms gave two of the samples each.
    """

    columns: Columns
    rejections: tuple[Rejection, ...] = ()
    n_histograms: int = 0

    @property
    def rejected(self) -> dict[str, int]:
        """Number of rejected records and parts, by reason."""
        counts: Counter[str] = Counter()
        for rejection in self.rejections:
            counts[rejection.reason] += rejection.n_parts
        return dict(counts)


Decoder = Callable[[Sequence[Record], SeriesTable], Decoded]
