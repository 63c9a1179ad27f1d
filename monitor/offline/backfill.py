"""Backfill: the past that a Prometheus server holds, into the daemon's histories or into a metric file.

Samples are read chunk by chunk, in order of time over all series, so that memory holds a chunk at a time. How
long a chunk is follows from how many samples the last ones had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.config.watch import WatchConfig
from monitor.errors import MonitorError
from monitor.offline.history_fill import HistoryFill
from monitor.offline.sample_file import SampleFile
from monitor.prometheus.fetch import FetchedSamples, Query, SampleFetcher
from monitor.prometheus.ranges import ChunkLength, TimeRange, merged, subtract
from monitor.sample import Kind, SeriesTable, kind_of
from monitor.storage.step_history import Retention, list_segments

__all__ = ["BackfillReport", "backfill_file", "backfill_histories", "queries_of", "within_retention"]

_FIRST_CHUNK_MS = 3_600_000
_LONGEST_CHUNK_MS = 86_400_000
_CHUNK_SAMPLES = 1_000_000  # as JSON some 30 MB, as objects ten times that for a moment

Progress = Callable[[float, int], None]  # the share of the time that is done, and the samples so far


@dataclass(slots=True)
class BackfillReport:
    """What a backfill did.

    Attributes
    ----------
    n_samples : int
        That the server gave, each once.
    n_histograms : int
        Samples of native histograms, which are left out.
    counters : set of str
        Metrics that are counters by their type or by convention, and not by a name that ends in `_total`.
    """

    n_samples: int = 0
    n_histograms: int = 0
    counters: set[str] = field(default_factory=set)

    def count(self, fetched: FetchedSamples, table: SeriesTable) -> None:
        """Count what a chunk brought."""
        self.n_samples += len(fetched.columns)
        self.n_histograms += fetched.n_histograms
        for number in np.unique(fetched.columns.series).tolist():
            series = table[number]
            if series.kind is Kind.COUNTER and kind_of(series.name) is not Kind.COUNTER:
                self.counters.add(series.name)


def queries_of(texts: Sequence[str], watches: Sequence[WatchConfig], *, step_ms: int | None) -> list[Query]:
    """Give the queries that are named, or else those of the watches.

    Parameters
    ----------
    step_ms : int, optional
        Of expressions that are named; the shortest step of the watches when left out.

    Raises
    ------
    MonitorError
        If there is none.
    """
    if texts:
        shortest_ms = min((watch.step_ms for watch in watches), default=60_000)
        return [Query(text, step_ms or shortest_ms) for text in dict.fromkeys(texts)]
    queries = [Query(watch.query, watch.step_ms, watch.name) for watch in watches if watch.query]
    if not queries:
        raise MonitorError("nothing to ask for: name a --query, or set `query` of a watch")
    return queries


def within_retention(wanted: TimeRange, fill: HistoryFill, retention: Retention) -> TimeRange:
    """Give the part of a range that the history would not delete at once."""
    newest_ms = max([wanted.to_ms, *(segment.last_ms for segment in list_segments(fill.folder))])
    oldest_ms = newest_ms - round(retention.max_age_seconds * 1000)
    return TimeRange(min(max(wanted.from_ms, oldest_ms), wanted.to_ms), wanted.to_ms)


def backfill_histories(
    fetcher: SampleFetcher, table: SeriesTable, fills: Sequence[HistoryFill], *, progress: Progress
) -> BackfillReport:
    """Fill the planned spans of some watches' histories from the samples of all queries.

    Raises
    ------
    MonitorError
        If the server does not answer, or a history cannot be written. What was written stays, and the next
        call continues from there.
    """
    report = BackfillReport()
    spans = merged(span for fill in fills for span in fill.spans)
    for chunk, fetched in _chunks(fetcher, spans, report, progress):
        report.count(fetched, table)
        for fill in fills:
            fill.add(chunk, fetched.columns, table)
    return report


def backfill_file(
    fetcher: SampleFetcher, table: SeriesTable, file: SampleFile, wanted: TimeRange, *, progress: Progress
) -> BackfillReport:
    """Write the samples of all queries to a file; one that is there is continued up to the end of the range.

    Raises
    ------
    MonitorError
        As `backfill_histories`.
    """
    report = BackfillReport()
    covered = file.covered
    left = [wanted] if covered is None else subtract(TimeRange(covered.to_ms, wanted.to_ms), [])
    for chunk, fetched in _chunks(fetcher, left, report, progress):
        report.count(fetched, table)
        file.add(chunk, fetched.columns, table)
    return report


def _chunks(
    fetcher: SampleFetcher, spans: Iterable[TimeRange], report: BackfillReport, progress: Progress
) -> Iterator[tuple[TimeRange, FetchedSamples]]:
    """Read spans in order of time, a chunk at a time."""
    waiting = list(spans)
    whole_ms = max(1, sum(span.length_ms for span in waiting))
    done_ms = 0
    length = ChunkLength(_FIRST_CHUNK_MS, longest_ms=_LONGEST_CHUNK_MS, most_samples=_CHUNK_SAMPLES)
    for span in waiting:
        from_ms = span.from_ms
        while from_ms < span.to_ms:
            chunk = TimeRange(from_ms, min(span.to_ms, from_ms + length.length_ms))
            fetched = fetcher.fetch(chunk)
            yield chunk, fetched
            length.record(chunk, len(fetched.columns), shortest_ms=fetched.shortest_ms)
            done_ms += chunk.length_ms
            from_ms = chunk.to_ms
            progress(done_ms / whole_ms, report.n_samples)
