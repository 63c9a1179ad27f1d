"""What a cluster holds, as JSON: `barograph topics --json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.discovery.advice import advice
from monitor.discovery.cluster import ClusterReport, TopicReport
from monitor.discovery.survey import Group

__all__ = ["to_json"]


def to_json(report: ClusterReport, suggestion: str) -> dict[str, Any]:
    """Give everything that was found, and the suggested settings, as what JSON can hold."""
    return {
        "topics": [_topic_json(topic) for topic in report.topics],
        "missing": list(report.chosen.missing),
        "other_topics": list(report.chosen.others),
        "watches": [_group_json(watch.name, watch.by, watch.group) for watch in report.watches],
        "suggested_watches": [_group_json(watch.name, watch.by, watch.group) for watch in report.suggested],
        "notes": list(advice(report)),
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
    if survey is None:
        return facts
    return facts | {
        "format": survey.format,
        "records_read": survey.n_records,
        "keyed": survey.n_keyed,
        "samples": survey.n_samples,
        "series": len(survey.series),
        "series_on_several_partitions": len(survey.spread_series),
        "interval_seconds": survey.interval_seconds(),
        "rejected": dict(survey.rejected),
    }


def _group_json(name: str, by: Sequence[str], group: Group) -> dict[str, Any]:
    return {
        "name": name,
        "by": list(by) or "series",
        "series": group.n_series,
        "channels": group.n_channels,
        "entities": list(group.entities),
        "entities_on_several_partitions": list(group.spread),
    }
