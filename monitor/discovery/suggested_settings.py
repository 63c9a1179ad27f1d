"""The settings that `barograph topics` suggests, as TOML."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from monitor.config.kafka import KafkaConfig
from monitor.config.toml_text import toml_comment, toml_setting, toml_table, toml_value
from monitor.discovery.cluster import ClusterReport
from monitor.discovery.suggest import WINDOW_LENGTH, SuggestedWatch, first_names

__all__ = ["suggestion_of", "toml_of", "user_settings"]

_WARM_STEPS = WINDOW_LENGTH + 100  # steps before anything is judged
_MANY_CHANNELS = 100
_SECRETS = ("sasl_password", "ssl_password")


def suggestion_of(report: ClusterReport, kafka: Mapping[str, Any], decode: Mapping[str, Any]) -> str:
    """Write settings that read and judge what was found; empty where no series were.

    Parameters
    ----------
    kafka, decode : mapping
        The tables `[source.kafka]` and `[decode]` as the user wrote them, with the brokers that were asked.
    """
    watched = {name for watch in report.suggested for name in watch.topics}
    formats = {
        survey.topic: survey.format
        for survey in report.surveys
        if survey.format is not None and survey.topic in watched
    }
    if not formats:
        return ""
    is_live = any(topic.is_live for topic in report.topics if topic.name in formats)
    kept = {key: value for key, value in decode.items() if key not in ("topics", "format")}
    return toml_of(kafka, kept, formats, report.suggested, is_live=is_live)


def user_settings(
    document: Mapping[str, Any], named: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give `[source.kafka]` and `[decode]` of a file for new settings; no secret is copied.

    Parameters
    ----------
    named : mapping
        Keys of `[source.kafka]` that were given on the command line; they replace those of the file.
    """
    kafka = {**document.get("source", {}).get("kafka", {}), **named}
    kafka.setdefault("bootstrap_servers", KafkaConfig().bootstrap_servers)
    for key in _SECRETS:
        if isinstance(kafka.get(key), str):
            kafka[key] = {"from_env": f"KAFKA_{key.upper()}"}
    return kafka, dict(document.get("decode", {}))


def toml_of(
    kafka: Mapping[str, Any],
    decode: Mapping[str, Any],
    formats: Mapping[str, str],
    watches: Sequence[SuggestedWatch],
    *,
    is_live: bool,
) -> str:
    """Write settings as TOML.

    Parameters
    ----------
    kafka, decode : mapping
        Keys of `[source.kafka]` and `[decode]`; secrets as references.
    formats : mapping
        Of each topic that is to be read.
    is_live : bool
        Whether records are still coming; otherwise the topics are to be read from their beginning.
    """
    if is_live:
        seconds = max((watch.step_seconds for watch in watches), default=60.0) * _WARM_STEPS
        start = toml_value(float(math.ceil(seconds / 60) * 60))
        reason = "seconds back, the first time: enough to judge at once"
    else:
        start = '"earliest"'
        reason = "nothing new comes: from the first record on"
    lines = ["[source]", 'kind = "kafka"', "", "[source.kafka]"]
    lines += [toml_setting(key, value) for key, value in kafka.items() if key not in ("topics", "start")]
    lines += [toml_setting("topics", list(formats)), f"start = {start}  # {reason}", ""]
    if decode:
        lines += toml_table("decode", decode)
    lines.append("[decode.topics]")
    lines += [f"{toml_value(topic)} = {toml_value(name)}" for topic, name in formats.items()]
    lines.append("")
    for watch in watches:
        lines += _watch_lines(watch)
    return "\n".join(lines).rstrip("\n") + "\n"


def _watch_lines(watch: SuggestedWatch) -> Iterator[str]:
    group = watch.group
    entities = first_names(group.entities)
    yield "[[watch]]"
    yield f"name = {toml_value(watch.name)}"
    yield toml_comment(f"{len(group.entities)} entities ({entities}), {group.n_channels} channels in all")
    if group.n_channels > _MANY_CHANNELS and watch.by:
        yield toml_comment(
            "many channels: keep those that you would look at yourself, by metrics or by ignore"
        )
    yield toml_setting("metrics", list(watch.metrics))
    if watch.ignore:
        yield toml_comment("these never fell, and rise as time does, or too rarely to be known as counters")
        yield toml_setting("ignore", list(watch.ignore))
    if watch.known_counters:
        names = first_names(watch.known_counters)
        yield toml_comment(f"judged as rates a second: {len(watch.known_counters)} known counters ({names})")
    if watch.counters:
        yield toml_comment("these rise and never fall, but for resets: judged as rates a second, too")
        yield toml_setting("counters", list(watch.counters))
    if watch.by:
        yield toml_setting("by", list(watch.by))
    else:
        yield 'by = "series"  # no label names a host, an instance, a pod or a service'
    yield f"step_seconds = {toml_value(watch.step_seconds)}"
    yield f"lateness_seconds = {toml_value(watch.lateness_seconds)}"
    if watch.step_seconds >= 60:
        yield f"stale_seconds = {toml_value(5 * watch.step_seconds)}"
    yield 'budget = "1/week"  # false episodes that you accept, all entities together'
    yield ""
