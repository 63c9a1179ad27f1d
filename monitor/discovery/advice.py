"""What in a cluster is not as it should be, and what to do about it; pure."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.discovery.cluster import RECENT_SECONDS, ClusterReport, TopicReport
from monitor.discovery.survey import Survey, group_of, how_to_key
from monitor.discovery.topic_choice import some_of
from monitor.text import printable

__all__ = ["advice"]

_OTLP_FORMATS = ("otlp_proto", "otlp_json")


def advice(report: ClusterReport) -> Iterator[str]:
    """Give a line for each problem, with what to do about it."""
    if report.chosen.missing:
        yield report.chosen.missing_text()
    for topic in report.topics:
        if topic.problem and topic.problem != "empty":
            yield f"{topic.name}: {topic.problem}"
        if topic.survey is not None:
            yield from _record_advice(topic, topic.survey)
            yield from _spread_advice(topic, topic.survey, report)
    has_watch_by_series = any(not watch.by for watch in report.suggested)
    if has_watch_by_series and any(survey.format in _OTLP_FORMATS for survey in report.surveys):
        yield "series without a host: the Collector's processor resourcedetection writes host.name onto them"
    if not report.knows_lag:
        yield "the lag is not known: this user may not read the group's offsets"


def _record_advice(topic: TopicReport, survey: Survey) -> Iterator[str]:
    """Report a topic that is not live, and records that cannot be read."""
    if not topic.is_live and survey.newest_ms is not None:
        yield f"{topic.name}: nothing came in the last {RECENT_SECONDS:.0f} s"
    if survey.rejected:
        n_rejected = survey.rejected.total()
        reasons = ", ".join(f"{reason} {count}" for reason, count in survey.rejected.most_common())
        detail = survey.first_rejection.detail if survey.first_rejection else ""
        yield (
            f"{topic.name}: {n_rejected} parts could not be read, {survey.n_samples} samples could "
            f"({reasons}): {detail}"
        )


def _spread_advice(topic: TopicReport, survey: Survey, report: ClusterReport) -> Iterator[str]:
    """Report series and entities on several partitions, and the producer's setting that keeps them on one."""
    watches = [watch for watch in report.suggested if watch.by and topic.name in watch.topics]
    label = watches[0].by[0] if watches else "host"
    entities: list[str] = []
    for watch in watches:
        entities += group_of(watch.entity_table, report.table, [survey]).spread
    n_spread = len(survey.spread_series)
    if n_spread:
        problem = (
            f"{n_spread} of {len(survey.series)} series are on several partitions, "
            "their samples may overtake each other"
        )
    elif entities:
        names = printable(some_of(entities))
        problem = (
            f"{len(entities)} entities are on several partitions ({names}): "
            "a group of several daemons could not share them"
        )
    else:
        return
    yield f"{topic.name}: {problem}. {how_to_key(survey.format, label)}"
