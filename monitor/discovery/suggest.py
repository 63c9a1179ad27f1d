"""From what topics hold to settings that read and judge it: `[source.kafka]`, `[decode.topics]` and `[[watch]]` tables.

What is suggested is a beginning: which label makes an entity, which metrics there are, how often
they come. What matters among them, and how often an alarm may be false, only their owner knows.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.detection.entities import EntityTable
from monitor.discovery.survey import Group, Survey, group_of
from monitor.sample import SeriesTable

__all__ = ["SuggestedWatch", "first_names", "suggest_watches", "toml_of"]

# Labels that are known to name what people call one thing, the smallest thing first: a pod that
# runs on a node is judged as itself. By the names that Prometheus, Telegraf, collectd, the OpenTelemetry
# conventions and Kubernetes give them, dots written as underscores.
_ENTITY_LABELS = (
    ("pod", "pod_name", "k8s_pod_name", "kubernetes_pod_name"),
    ("instance", "service_instance_id"),
    ("host", "host_name", "hostname", "server", "node", "node_name", "k8s_node_name", "machine", "host_id"),
    ("service", "service_name", "container", "container_name", "k8s_container_name", "entity", "app", "job"),
)
_MOST_WATCHES = 4
_STEPS_SECONDS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)
_WINDOW_LENGTH = 32  # as WatchConfig's default, by which the other times are measured
_WARM_STEPS = _WINDOW_LENGTH + 100  # before anything is judged
_MOST_PATTERNS = 24
_MOST_IGNORED = 40
_MANY_CHANNELS = 100
_LINE = 96  # characters
_SHOWN = 3  # names of a list ...
_NAME_WIDTH = 32  # ... and of each so many characters


@dataclass(frozen=True, slots=True)
class SuggestedWatch:
    """A `[[watch]]` table, and what it would take of what was seen."""

    name: str
    metrics: tuple[str, ...]
    ignore: tuple[str, ...]
    by: tuple[str, ...]  # empty: each series is an entity
    step_seconds: float
    lateness_seconds: float
    topics: tuple[str, ...]
    group: Group

    @property
    def entity_map(self) -> EntityTable:
        """The watch's rules, as the daemon would apply them."""
        return EntityTable(metrics=self.metrics, match={}, by=self.by, ignore=self.ignore)


def suggest_watches(surveys: Sequence[Survey], table: SeriesTable) -> list[SuggestedWatch]:
    """Give watches that together take the series of some topics: one for each label that makes entities, step and format."""
    found: list[_Part] = []
    for survey in surveys:
        for label, series in _by_label(survey, table):
            step = _step_seconds(survey.interval_seconds(series))
            names = {table[number].name for number in series}
            part = _Part(label, step, survey.format or "", names, [survey], len(series))
            # Topics that hold the same metrics are parts of one thing, in whatever format they come.
            like = next((one for one in found if one.is_like(part)), None)
            if like is None:
                found.append(part)
            else:
                like.names |= names
                like.surveys.append(survey)
                like.n_series += part.n_series
    watches: list[SuggestedWatch] = []
    for part in sorted(found, key=lambda one: -one.n_series)[:_MOST_WATCHES]:
        watches.append(_watch(part, table, [one.name for one in watches]))
    return watches


@dataclass(slots=True)
class _Part:
    """Series of some topics that have the same label for their entity, and the same step."""

    label: str  # empty: none
    step_seconds: float
    format: str
    names: set[str]
    surveys: list[Survey]
    n_series: int

    def is_like(self, other: _Part) -> bool:
        same = (self.label, self.step_seconds) == (other.label, other.step_seconds)
        return same and (self.format == other.format or bool(self.names & other.names))


def _by_label(survey: Survey, table: SeriesTable) -> Iterator[tuple[str, list[int]]]:
    """Split a topic's series by the label that names their entity; the empty label for the rest."""
    left = survey.series
    for names in _ENTITY_LABELS:
        counts = Counter(
            label for number in left for label, _ in table[number].labels if _plain(label) in names
        )
        if counts:
            label = max(counts, key=lambda one: (counts[one], -names.index(_plain(one))))
            taken = [number for number in left if any(one == label for one, _ in table[number].labels)]
            yield label, taken
            left = sorted(set(left) - set(taken))
    if left:
        yield "", left


def _plain(label: str) -> str:
    return label.lower().replace(".", "_")


def _watch(part: _Part, table: SeriesTable, taken: Sequence[str]) -> SuggestedWatch:
    names, step = part.names, part.step_seconds
    level = set().union(
        *(_names(survey, table) - set(survey.growing()) for survey in part.surveys)
    )  # in one topic at least
    growing = names - level
    metrics = _patterns(names)
    ignore = (
        ()
        if growing == names
        else tuple(sorted(growing))
        if len(growing) <= _MOST_IGNORED
        else _patterns(growing)
    )
    by = (part.label,) if part.label else ()
    behind = max(survey.behind_seconds() for survey in part.surveys)
    longest = step * _WINDOW_LENGTH / 2  # it must be less than a window
    return SuggestedWatch(
        name=_name(part.label or "series", part.format, taken),
        metrics=metrics,
        ignore=ignore,
        by=by,
        step_seconds=step,
        lateness_seconds=float(min(max(step, _round_up(2 * behind)), longest)),
        topics=tuple(survey.topic for survey in part.surveys),
        group=group_of(EntityTable(metrics=metrics, match={}, by=by, ignore=ignore), table, part.surveys),
    )


def _names(survey: Survey, table: SeriesTable) -> set[str]:
    return {table[number].name for number in survey.series}


def _step_seconds(interval: float | None) -> float:
    """Give the step for samples that come so often: a round number that is no shorter, but for the clock's own jitter."""
    if interval is None:
        return 60.0
    return float(next((step for step in _STEPS_SECONDS if step >= 0.9 * interval), _STEPS_SECONDS[-1]))


def _round_up(seconds: float) -> float:
    return float(next((step for step in _STEPS_SECONDS if step >= seconds), _STEPS_SECONDS[-1]))


def _patterns(names: set[str]) -> tuple[str, ...]:
    """Give patterns that take some metrics: their first words, or their whole names where few begin so."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        first = re.match(r"[^_.:/-]+[_.:/-]", name)
        groups.setdefault(first[0] if first else name, []).append(name)
    found = [
        _literal(members[0]) if len(members) == 1 else f"{_literal(first)}*"
        for first, members in groups.items()
    ]
    return tuple(found) if len(found) <= _MOST_PATTERNS else ("*",)


def _literal(text: str) -> str:
    """Write text as a pattern that takes nothing else."""
    return re.sub(r"([*?[])", r"[\1]", text)


def _name(label: str, format_name: str, taken: Sequence[str]) -> str:
    """Name a watch by what it judges: at most 64 letters, digits, . _ and -."""
    base = re.sub(r"[^A-Za-z0-9_]", "_", label)[:40]
    tries = [base, f"{base}-{format_name}", *(f"{base}-{number}" for number in range(2, 10))]
    return next(one for one in tries if one not in taken)


def first_names(names: Sequence[str]) -> str:
    """Give the first of some names, each cut to what fits on a line with others."""
    short = [name if len(name) <= _NAME_WIDTH else f"{name[: _NAME_WIDTH - 3]}..." for name in names[:_SHOWN]]
    return ", ".join(short) + (", ..." if len(names) > _SHOWN else "")


def toml_of(
    kafka: Mapping[str, Any],
    decode: Mapping[str, Any],
    formats: Mapping[str, str],
    watches: Sequence[SuggestedWatch],
    *,
    live: bool,
) -> str:
    """Write settings as TOML.

    Parameters
    ----------
    kafka, decode : mapping
        Keys of `[source.kafka]` and `[decode]` as they are to stand there; secrets as references.
    formats : mapping
        Of each topic that is to be read.
    live : bool
        Whether records are still coming: else the topics are to be read from their beginning.
    """
    if live:
        back = max((one.step_seconds for one in watches), default=60.0) * _WARM_STEPS
        start, why = (
            _value(float(math.ceil(back / 60) * 60)),
            "seconds back, the first time: enough to judge at once",
        )
    else:
        start, why = '"earliest"', "nothing new comes: from the first record on"
    lines = ["[source]", 'kind = "kafka"', "", "[source.kafka]"]
    lines += [_setting(key, value) for key, value in kafka.items() if key not in ("topics", "start")]
    lines += [_setting("topics", list(formats)), f"start = {start}  # {why}", ""]
    if decode:
        lines += _table("decode", decode)
    lines += [
        "[decode.topics]",
        *(f"{_value(topic)} = {_value(name)}" for topic, name in formats.items()),
        "",
    ]
    for watch in watches:
        lines += _watch_lines(watch)
    return "\n".join(lines).rstrip("\n") + "\n"


def _watch_lines(watch: SuggestedWatch) -> Iterator[str]:
    group = watch.group
    entities = first_names(group.entities)
    yield "[[watch]]"
    yield f"name = {_value(watch.name)}"
    yield _comment(f"{len(group.entities)} entities ({entities}), {group.n_channels} channels in all")
    if group.n_channels > _MANY_CHANNELS and watch.by:
        yield _comment("many channels: leave those that you would look at yourself, in metrics or by ignore")
    yield _setting("metrics", list(watch.metrics))
    if watch.ignore:
        yield _comment("these only grew, and are not told to be counters")
        yield _setting("ignore", list(watch.ignore))
    yield (
        _setting("by", list(watch.by))
        if watch.by
        else 'by = "series"  # no label names a host, an instance, a pod or a service'
    )
    yield f"step_seconds = {_value(watch.step_seconds)}"
    yield f"lateness_seconds = {_value(watch.lateness_seconds)}"
    if watch.step_seconds >= 60:
        yield f"stale_seconds = {_value(5 * watch.step_seconds)}"
    yield 'budget = "1/week"  # false episodes that you would bear, all entities together'
    yield ""


def _table(place: str, table: Mapping[str, Any]) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"[{place}]", *(_setting(key, value) for key, value in plain.items()), ""] if plain else []
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += _table(f"{place}.{_key(key)}", value)
    return lines


def _setting(key: str, value: object) -> str:
    line = f"{_key(key)} = {_value(value)}"
    if not isinstance(value, list) or len(line) <= _LINE:
        return line
    rows = [""]
    for one in (f"{_value(one)}, " for one in value):
        if len(rows[-1]) + len(one) > _LINE - 4:
            rows.append("")
        rows[-1] += one
    return "\n".join([f"{_key(key)} = [", *(f"    {row.rstrip()}" for row in rows), "]"])


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: object) -> str:
    """Write a value as TOML: its strings are JSON's, but for one character."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return "# " + "".join(one if one.isprintable() else "?" for one in text)
