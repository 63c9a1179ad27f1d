"""What a Kafka cluster holds: every topic with its size and lag, and what its newest records are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.config.decode import DecodeConfig
from monitor.config.watch import WatchConfig
from monitor.decode.topic_decoders import TopicDecoders
from monitor.detection.entities import EntityTable
from monitor.discovery.suggest import SuggestedWatch, suggest_watches
from monitor.discovery.survey import MAX_SAMPLES, Group, Survey, group_of
from monitor.discovery.topic_choice import ChosenTopics, choose_topics
from monitor.errors import SourceError
from monitor.kafka.topic_reader import Bounds, Reader
from monitor.sample import SeriesTable

__all__ = ["RECENT_SECONDS", "ClusterReport", "TopicReport", "WatchGroup", "inspect"]

RECENT_SECONDS = 60.0  # a topic with a record this new is live
_N_INTERVALS = 20  # of samples that are read at least: fewer do not show which series are counters
_MOST_SERIES = 200_000  # of all topics: 100 MB


@dataclass(frozen=True, slots=True)
class TopicReport:
    """One topic: how much is in it, which part of it was read, and what that part holds.

    `lag` is None where the group has committed nothing, or where that is not known. `read` says which part,
    as a terminal shows it; `problem` says why nothing, or not everything, was read.
    """

    name: str
    n_partitions: int
    n_records: int | None = None
    lag: int | None = None
    is_live: bool = False
    read: str = ""
    problem: str = ""
    survey: Survey | None = None

    @property
    def has_series(self) -> bool:
        """Whether any series were found."""
        return self.survey is not None and bool(self.survey.series)


@dataclass(frozen=True, slots=True)
class WatchGroup:
    """The series that a configured watch would judge."""

    name: str
    by: tuple[str, ...]
    group: Group


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """Everything that was found; `table` holds the series of all topics."""

    table: SeriesTable
    chosen: ChosenTopics
    knows_lag: bool
    topics: tuple[TopicReport, ...]
    watches: tuple[WatchGroup, ...]
    suggested: tuple[SuggestedWatch, ...]

    @property
    def surveys(self) -> list[Survey]:
        """The surveys of the topics in which series were found."""
        return [topic.survey for topic in self.topics if topic.survey is not None and topic.has_series]


def inspect(
    reader: Reader,
    wanted: Sequence[str],
    decode: DecodeConfig,
    watches: Sequence[WatchConfig],
    *,
    now: float,
    n_newest: int,
) -> ClusterReport:
    """Inspect topics by the records of the last minute or, where nothing is that new, by the newest ones.

    Where the samples of a series are rare, more than a minute is read.

    Parameters
    ----------
    wanted : sequence of str
        Names or patterns (`*` and `?`) of topics; all but internal ones when empty.
    now : float
        Seconds since the epoch.
    n_newest : int
        At most so many records of each partition are read.

    Raises
    ------
    SourceError
        If nothing that was asked for exists, or the cluster does not answer.
    """
    partitions = reader.topics()
    chosen = choose_topics(list(partitions), wanted)
    committed = reader.committed({name: partitions[name] for name in chosen.names})
    table = SeriesTable(_MOST_SERIES)
    decoders = TopicDecoders(decode.settings, decode.topics, decode.format)
    inspector = _TopicInspector(reader, decoders, table, now_ms=round(now * 1000), n_newest=n_newest)
    topics = tuple(inspector.inspect(name, partitions[name], committed or {}) for name in chosen.names)
    surveys = [topic.survey for topic in topics if topic.survey is not None and topic.has_series]
    return ClusterReport(
        table,
        chosen,
        knows_lag=committed is not None,
        topics=topics,
        watches=tuple(_watch_groups(watches, table, surveys)),
        suggested=tuple(suggest_watches(surveys, table)),
    )


def _watch_groups(
    watches: Sequence[WatchConfig], table: SeriesTable, surveys: Sequence[Survey]
) -> Iterator[WatchGroup]:
    for watch in watches:
        by = watch.settings().entity_labels
        entities = EntityTable(metrics=watch.metrics, match=watch.match, by=by, ignore=watch.ignore)
        yield WatchGroup(watch.name, by, group_of(entities, table, surveys))


class _TopicInspector:
    """Reads a part of each topic, as long as there is time and room."""

    def __init__(
        self, reader: Reader, decoders: TopicDecoders, table: SeriesTable, *, now_ms: int, n_newest: int
    ) -> None:
        self._reader = reader
        self._decoders = decoders
        self._table = table
        self._now_ms = now_ms
        self._n_newest = n_newest

    def inspect(
        self, name: str, partitions: tuple[int, ...], committed: Mapping[tuple[str, int], int]
    ) -> TopicReport:
        """Report on a topic; what cannot be read is a problem of this topic only."""
        report = TopicReport(name, len(partitions))
        if not self._reader.seconds_left():
            return replace(report, problem="not read: the time was up (--timeout)")
        if len(self._table) >= _MOST_SERIES:
            return replace(
                report, problem=f"not read: {len(self._table)} series are enough at once (--topic)"
            )
        try:
            bounds = self._reader.bounds(name, partitions)
        except SourceError as error:
            return replace(report, problem=str(error))
        n_records = sum(bound.end - bound.first for bound in bounds.values())
        report = replace(report, n_records=n_records, lag=_lag(name, bounds, committed))
        return self._read_records(report, bounds) if n_records else replace(report, problem="empty")

    def _read_records(self, report: TopicReport, bounds: Mapping[int, Bounds]) -> TopicReport:
        """Read the last minute, more where samples are rare, and the newest records where it has none."""
        newest = {number: max(bound.first, bound.end - self._n_newest) for number, bound in bounds.items()}
        report, starts = self._read_recent(report, bounds, newest, RECENT_SECONDS)
        seconds = _seconds_wanted(report.survey)
        has_older = any(bounds[number].first < start for number, start in starts.items())
        if not report.problem and has_older and seconds > RECENT_SECONDS and self._reader.seconds_left():
            longer, _ = self._read_recent(report, bounds, newest, seconds)
            return report if longer.problem else longer
        if report.problem or _shows_intervals(report.survey) or not self._reader.seconds_left():
            return report
        if report.survey is not None and newest == starts:
            return report
        is_all = (report.n_records or 0) <= self._n_newest
        part = "all there is" if is_all else f"newest {self._n_newest} a partition"
        return self._read(report, part, newest, bounds)

    def _read_recent(
        self, report: TopicReport, bounds: Mapping[int, Bounds], newest: Mapping[int, int], seconds: float
    ) -> tuple[TopicReport, Mapping[int, int]]:
        """Read the records of the last seconds, but none before `newest`; give the first offsets too."""
        try:
            recent = self._reader.since(report.name, bounds, self._now_ms - round(seconds * 1000))
        except SourceError as error:
            return replace(report, problem=str(error)), {}
        if not any(offset < bounds[number].end for number, offset in recent.items()):
            return report, {}
        starts = {number: max(offset, newest[number]) for number, offset in recent.items()}
        part = f"last {seconds:.0f} s"
        if any(starts[number] > offset for number, offset in recent.items()):
            part += f", newest {self._n_newest} a partition"
        return self._read(replace(report, is_live=True), part, starts, bounds), starts

    def _read(
        self, report: TopicReport, part: str, starts: Mapping[int, int], bounds: Mapping[int, Bounds]
    ) -> TopicReport:
        """Survey the records from some offsets on."""
        name = report.name
        survey = Survey(name, self._decoders.format_of(name), self._decoders.of(name), self._table)
        try:
            for peek in self._reader.read(name, starts, bounds):
                survey.add(peek.partition, peek.records, n_keyed=peek.n_keyed, n_empty=peek.n_empty)
                if survey.n_samples > MAX_SAMPLES:
                    part += f", cut at {MAX_SAMPLES} samples"
                    break
            else:
                if not self._reader.seconds_left():
                    part += ", until the time was up"
        except SourceError as error:
            return replace(report, read=part, problem=str(error))
        return replace(report, read=part, survey=survey)


def _shows_intervals(survey: Survey | None) -> bool:
    """Tell whether a survey is enough: a series comes twice in it, or there are none."""
    return survey is not None and (survey.interval_seconds() is not None or not survey.series)


def _seconds_wanted(survey: Survey | None) -> float:
    """Give the time in which each series comes often enough; 0 where that is not known, or too much."""
    interval = None if survey is None else survey.interval_seconds()
    if survey is None or interval is None:
        return 0.0
    seconds = _N_INTERVALS * interval
    return seconds if survey.n_samples * seconds / RECENT_SECONDS <= MAX_SAMPLES else 0.0


def _lag(name: str, bounds: Mapping[int, Bounds], committed: Mapping[tuple[str, int], int]) -> int | None:
    """Count the records that the group has not committed; in a partition without a commit, all of them."""
    offsets = {number: committed[name, number] for number in bounds if (name, number) in committed}
    if not offsets:
        return None
    return sum(max(0, bound.end - offsets.get(number, bound.first)) for number, bound in bounds.items())
