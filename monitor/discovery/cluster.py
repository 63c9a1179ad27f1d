"""`barograph topics`: from a broker to what is in it, and to settings that judge it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from monitor.config.decode import DecodeConfig
from monitor.config.kafka import KafkaConfig
from monitor.config.watch import WatchConfig
from monitor.decode.topic_decoders import TopicDecoders
from monitor.detection.entities import EntityTable
from monitor.discovery.suggest import SuggestedWatch, suggest_watches, toml_of
from monitor.discovery.survey import MAX_SAMPLES, Group, Survey, group_of, how_to_key
from monitor.errors import SourceError
from monitor.kafka.topic_reader import Reader
from monitor.sample import SeriesTable
from monitor.text import printable

__all__ = [
    "RECENT_SECONDS",
    "ClusterReport",
    "SuggestedGroup",
    "TopicReport",
    "inspect",
    "notes_of",
    "suggestion_of",
    "to_json",
    "user_settings",
]

RECENT_SECONDS = 60.0  # what counts as coming in now
_MOST_SERIES = 200_000  # of all topics: 100 MB
_SHOWN = 3  # names of a list
_INTERNAL = "_"  # what such names begin with: Kafka's own, schemas', Confluent's


@dataclass(slots=True)
class TopicReport:
    """One topic: how much is in it, what of it was read, and what that holds; `problem` where nothing was."""

    name: str
    n_partitions: int
    n_records: int | None = None
    lag: int | None = None  # None: nothing committed, or not known
    read: str = ""
    live: bool = False
    problem: str = ""
    survey: Survey | None = None

    @property
    def seen(self) -> bool:
        """Whether series were found."""
        return self.survey is not None and bool(self.survey.series)


@dataclass(frozen=True, slots=True)
class SuggestedGroup:
    """What a configured watch would take of what was seen."""

    name: str
    by: tuple[str, ...]
    group: Group


@dataclass(slots=True)
class ClusterReport:
    """Everything that was seen."""

    table: SeriesTable
    topics: list[TopicReport] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # asked for, and not there
    others: list[str] = field(default_factory=list)  # there, and not asked for
    n_internal: int = 0
    knows_lag: bool = True
    watches: list[SuggestedGroup] = field(default_factory=list)
    suggested: list[SuggestedWatch] = field(default_factory=list)

    @property
    def surveys(self) -> list[Survey]:
        """What the topics hold in which series were found."""
        return [topic.survey for topic in self.topics if topic.survey is not None and topic.seen]


def inspect(
    reader: Reader,
    wanted: Sequence[str],
    decode: DecodeConfig,
    watches: Sequence[WatchConfig],
    *,
    now: float,
    n_newest: int,
) -> ClusterReport:
    """Look at topics, at the records of the last minute in each or, where nothing is that new, at its newest ones.

    Parameters
    ----------
    wanted : sequence of str
        Names or patterns (`*` and `?`) of topics; all but internal ones when empty.
    now : float
        Seconds since the epoch.
    n_newest : int
        Records of each partition that are read, at most.

    Raises
    ------
    SourceError
        If nothing that was asked for is there, or the cluster does not answer.
    """
    there = reader.topics()
    report = ClusterReport(SeriesTable(_MOST_SERIES))
    chosen = _chosen(there, wanted, report)
    committed = reader.committed({name: there[name] for name in chosen})
    report.knows_lag = committed is not None
    decoders = TopicDecoders(decode.settings, decode.topics, decode.format)
    for name in chosen:
        topic = TopicReport(name, len(there[name]))
        report.topics.append(topic)
        if not reader.seconds_left():
            topic.problem = "not read: the time was up (--timeout)"
        elif len(report.table) >= _MOST_SERIES:
            topic.problem = f"not read: {len(report.table)} series are enough for one look (--topic)"
        else:
            _inspect_topic(
                reader,
                topic,
                there[name],
                committed or {},
                decoders,
                report.table,
                now_ms=round(now * 1000),
                n_newest=n_newest,
            )
    for watch in watches:
        rules = EntityTable(
            metrics=watch.metrics, match=watch.match, by=watch.settings().entity_labels, ignore=watch.ignore
        )
        report.watches.append(
            SuggestedGroup(
                watch.name, watch.settings().entity_labels, group_of(rules, report.table, report.surveys)
            )
        )
    report.suggested = suggest_watches(report.surveys, report.table)
    return report


def _chosen(there: Mapping[str, object], wanted: Sequence[str], report: ClusterReport) -> list[str]:
    if not there:
        raise SourceError(
            "the cluster has no topic, or shows this user none: let a producer send something, or ask for the right to describe"
        )
    visible = [name for name in there if not name.startswith(_INTERNAL)]
    report.n_internal = len(there) - len(visible)
    if not wanted:
        return visible
    chosen = [name for name in there if any(name == one or fnmatchcase(name, one) for one in wanted)]
    report.missing = [
        one for one in wanted if not any(name == one or fnmatchcase(name, one) for name in there)
    ]
    report.others = [name for name in visible if name not in chosen]
    if not chosen:
        raise SourceError(f"{_missing_text(report.missing, report.others)}")
    return chosen


def _missing_text(missing: Sequence[str], others: Sequence[str]) -> str:
    near = difflib.get_close_matches(missing[0], others, n=1, cutoff=0.5)
    there = (
        f"did you mean {near[0]}?"
        if near
        else f"there are {_some(others)}"
        if others
        else "there is no other"
    )
    return f"no topic is named {', '.join(missing)}: {there}"


def _inspect_topic(
    reader: Reader,
    topic: TopicReport,
    partitions: tuple[int, ...],
    committed: Mapping[tuple[str, int], int],
    decoders: TopicDecoders,
    table: SeriesTable,
    *,
    now_ms: int,
    n_newest: int,
) -> None:
    def surveyed(starts: Mapping[int, int]) -> Survey:
        survey = Survey(topic.name, decoders.format_of(topic.name), decoders.of(topic.name), table)
        for peek in reader.read(topic.name, starts, bounds):
            survey.take(peek.partition, peek.records, n_keyed=peek.n_keyed, n_empty=peek.n_empty)
            if survey.n_samples > MAX_SAMPLES:
                topic.read += f", cut at {MAX_SAMPLES} samples"
                break
        else:
            if not reader.seconds_left():
                topic.read += ", until the time was up"
        return survey

    try:
        bounds = reader.bounds(topic.name, partitions)
        topic.n_records = sum(one.end - one.first for one in bounds.values())
        known = {
            number: committed[topic.name, number]
            for number in partitions
            if (topic.name, number) in committed
        }
        if known:
            topic.lag = sum(
                max(0, bounds[number].end - known.get(number, bounds[number].first)) for number in partitions
            )
        if not topic.n_records:
            topic.problem = "empty"
            return
        newest = {number: max(one.first, one.end - n_newest) for number, one in bounds.items()}
        recent = reader.since(topic.name, bounds, now_ms - round(RECENT_SECONDS * 1000))
        topic.live = any(offset < bounds[number].end for number, offset in recent.items())
        if topic.live:
            starts = {number: max(offset, newest[number]) for number, offset in recent.items()}
            cut = any(starts[number] > offset for number, offset in recent.items())
            topic.read = f"last {RECENT_SECONDS:.0f} s" + (f", newest {n_newest} a partition" if cut else "")
            topic.survey = surveyed(starts)
        twice = topic.survey is not None and (
            topic.survey.interval_seconds() is not None or not topic.survey.series
        )
        if not twice and reader.seconds_left() and (topic.survey is None or newest != starts):
            topic.read = f"newest {n_newest} a partition" if topic.n_records > n_newest else "all there is"
            topic.survey = surveyed(newest)
    except SourceError as error:
        topic.problem = str(error)


def notes_of(report: ClusterReport) -> Iterator[str]:
    """Say what is not as it should be, and what to do about it."""
    if report.missing:
        yield _missing_text(report.missing, report.others)
    for topic in report.topics:
        if topic.problem and topic.problem != "empty":
            yield f"{topic.name}: {topic.problem}"
        survey = topic.survey
        if survey is None:
            continue
        if not topic.live and survey.newest_ms is not None:
            yield f"{topic.name}: nothing came in the last {RECENT_SECONDS:.0f} s"
        if survey.rejected:
            n_parts, n_good = sum(survey.rejected.values()), survey.n_samples
            detail = survey.first_rejection.detail if survey.first_rejection else ""
            reasons = ", ".join(f"{reason} {count}" for reason, count in survey.rejected.most_common())
            yield f"{topic.name}: {n_parts} parts could not be read, {n_good} samples could ({reasons}): {detail}"
        yield from _spread_notes(topic, survey, report)
    if any(
        survey.format in ("otlp_proto", "otlp_json")
        for watch in report.suggested
        if not watch.by
        for survey in report.surveys
    ):
        yield "series without a host: the Collector's processor resourcedetection writes host.name onto them"
    if not report.knows_lag:
        yield "the lag is not known: the broker does not tell this user of the group"


def _spread_notes(topic: TopicReport, survey: Survey, report: ClusterReport) -> Iterator[str]:
    """Tell of series and entities on more than one partition, and of the setting that keeps them on one."""
    spread = survey.spread_series
    label = next(
        (watch.by[0] for watch in report.suggested if watch.by and topic.name in watch.topics), "host"
    )
    entities: list[str] = []
    for watch in report.suggested:
        if topic.name in watch.topics and watch.by:
            entities += group_of(watch.entity_map, report.table, [survey]).spread
    if spread:
        what = f"{len(spread)} of {len(survey.series)} series are on several partitions, their samples may overtake each other"
    elif entities:
        what = f"{len(entities)} entities are on several partitions ({_some(entities)}): a group of several daemons could not share them"
    else:
        return
    yield f"{topic.name}: {what}. {how_to_key(survey.format, label)}"


def suggestion_of(report: ClusterReport, kafka: Mapping[str, Any], decode: Mapping[str, Any]) -> str:
    """Write settings that read and judge what was seen; empty where nothing was.

    Parameters
    ----------
    kafka, decode : mapping
        The tables `[source.kafka]` and `[decode]` as the user wrote them, with the brokers that were asked.
    """
    watched = {name for watch in report.suggested for name in watch.topics}
    formats = {
        one.topic: one.format for one in report.surveys if one.format is not None and one.topic in watched
    }
    if not formats:
        return ""
    live = any(topic.live for topic in report.topics if topic.name in formats)
    kept = {key: value for key, value in decode.items() if key not in ("topics", "format")}
    return toml_of(kafka, kept, formats, report.suggested, live=live)


def user_settings(
    document: Mapping[str, Any], named: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give `[source.kafka]` and `[decode]` of a file, with what was named beside it, for new settings; no secret is copied."""
    kafka = {**document.get("source", {}).get("kafka", {}), **named}
    kafka.setdefault("bootstrap_servers", KafkaConfig().bootstrap_servers)
    for key in ("sasl_password", "ssl_password"):
        if isinstance(kafka.get(key), str):
            kafka[key] = {"from_env": f"KAFKA_{key.upper()}"}
    return kafka, dict(document.get("decode", {}))


def to_json(report: ClusterReport, suggestion: str) -> dict[str, Any]:
    """Give everything as what JSON can hold."""
    return {
        "topics": [_topic_json(topic) for topic in report.topics],
        "missing": report.missing,
        "other_topics": report.others,
        "watches": [_group_json(one.name, one.by, one.group) for one in report.watches],
        "suggested_watches": [_group_json(one.name, one.by, one.group) for one in report.suggested],
        "notes": list(notes_of(report)),
        "suggestion": suggestion,
    }


def _topic_json(topic: TopicReport) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "topic": topic.name,
        "partitions": topic.n_partitions,
        "records": topic.n_records,
        "lag": topic.lag,
        "problem": topic.problem,
        "read": topic.read,
    }
    survey = topic.survey
    if survey is not None:
        facts |= {
            "format": survey.format,
            "records_read": survey.n_records,
            "keyed": survey.n_keyed,
            "samples": survey.n_samples,
            "series": len(survey.series),
            "series_on_several_partitions": len(survey.spread_series),
            "interval_seconds": survey.interval_seconds(),
            "rejected": dict(survey.rejected),
        }
    return facts


def _group_json(name: str, by: Sequence[str], group: Group) -> dict[str, Any]:
    return {
        "name": name,
        "by": list(by) or "series",
        "series": group.n_series,
        "channels": group.n_channels,
        "entities": list(group.entities),
        "entities_on_several_partitions": list(group.spread),
    }


def _some(names: Sequence[str]) -> str:
    return printable(
        ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    )
