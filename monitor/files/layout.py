"""What every reader of files shares: the settings, the file that is being read, and the tally of what was."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from monitor.decode.formats import FormatSettings
from monitor.decode.native import SampleFields
from monitor.decode.record import Decoder
from monitor.decode.topic_decoders import TopicDecoders
from monitor.errors import SourceError
from monitor.sample import Columns, SeriesTable

__all__ = ["FileLayout", "NoMetricsError", "Reading", "Tally", "few", "stem_of"]

_MAX_LISTED = 5  # files, or values of a column, that a message lists: more would hide what it says


class NoMetricsError(SourceError):
    """A file is not of a kind that holds metrics, or lacks the columns of a metric file."""


@dataclass(frozen=True, kw_only=True)
class FileLayout:
    """How files are read; config.toml explains each field."""

    format: str = "auto"
    time_column: str = "auto"
    time_unit: str = "auto"
    time_zone: str = "UTC"
    delimiter: str = "auto"
    decimal: str = "auto"
    thousands: str = "auto"
    exclude: tuple[str, ...] = ("label", "label_*", "split")
    where: Mapping[str, str] | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    first_share: float = 1.0  # of each file's time span, counted from its first sample
    sample_fields: SampleFields = field(default_factory=SampleFields)
    decoder_of: Callable[[str], Decoder] = field(  # of a topic, for dumped records
        default_factory=lambda: TopicDecoders(FormatSettings(), {}).of
    )


@dataclass(slots=True)
class Tally:
    """What was read, before start and end apply; what could not be read; and why files gave no sample."""

    n_bad: dict[str, int] = field(default_factory=dict)  # records, by reason
    remarks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # what a person should know of files that were read
    read_as: dict[str, list[Path]] = field(default_factory=dict)  # how files were read, and which
    n_samples: int = 0
    first_ms: float = math.inf
    last_ms: float = -math.inf

    def count_samples(self, columns: Columns) -> None:
        """Count what a file gave."""
        if len(columns):
            self.n_samples += len(columns)
            self.first_ms = min(self.first_ms, int(columns.time_ms.min()))
            self.last_ms = max(self.last_ms, int(columns.time_ms.max()))

    def count_bad(self, reason: str, n_records: int) -> None:
        """Count records, rows or cells that could not be read."""
        if n_records:
            self.n_bad[reason] = self.n_bad.get(reason, 0) + n_records

    def count_rejected(self, rejected: Mapping[str, int]) -> None:
        """Count the rejections of a decoder."""
        for reason, n_records in rejected.items():
            self.count_bad(reason, n_records)

    def why_nothing_is_left(self) -> str:
        """Say why no sample is left."""
        causes = []
        if self.n_samples:
            span = f"{_iso(self.first_ms)} and {_iso(self.last_ms)}"
            causes.append(f"the {self.n_samples} samples read lie between {span}, outside start and end")
        causes += few([*self.remarks, *self.warnings])
        causes += [f"{count} could not be read ({reason})" for reason, count in self.n_bad.items()]
        return "; ".join(causes) or "there are no rows"

    def how_files_were_read(self) -> tuple[str, ...]:
        """Give a line for each way in which files were read: format, marks, units and zone."""
        lines = []
        for how, files in self.read_as.items():
            names = ", ".join(few([file.name for file in files]))
            lines.append(f"read as {how} ({names})")
        return tuple(lines)


@dataclass(slots=True)
class Reading:
    """A file that is being read: where series are interned, what is counted, and what was detected.

    `facts` are what the log says of the file, in order and each once.
    """

    file: Path
    layout: FileLayout
    table: SeriesTable
    tally: Tally
    facts: list[str] = field(default_factory=list)
    kind: str = ""  # what a table turned out to be

    def say(self, fact: str) -> None:
        """Add what was detected to the line that the log gets."""
        if fact and fact not in self.facts:
            self.facts.append(fact)

    def recognise(self, kind: str) -> None:
        """Record what a table turned out to be."""
        self.kind = kind or self.kind

    def finish(self, format_name: str) -> None:
        """Record how the file was read."""
        format_name = self.kind or format_name
        how = f"{format_name}: {', '.join(self.facts)}" if self.facts else format_name
        self.tally.read_as.setdefault(how, []).append(self.file)

    @property
    def stem(self) -> str:
        """The value of the label `entity` where a file has no labels of its own."""
        return stem_of(self.file)


def stem_of(file: Path) -> str:
    """Give a file's name without what says its kind."""
    return file.name.removesuffix(".gz").rsplit(".", 1)[0]


def few(texts: Sequence[str]) -> list[str]:
    """Shorten a list for a message."""
    n_more = len(texts) - _MAX_LISTED
    return [*texts[:_MAX_LISTED], f"and {n_more} more"] if n_more > 0 else list(texts)


def _iso(time_ms: float) -> str:
    return f"{np.datetime64(int(time_ms), 'ms')}Z"
