"""From what topics hold to watches that judge it; pure.

A suggestion is a beginning: which label makes an entity, which metrics there are, how often they come. Which
of them matter, and how often an alert may be false, only their owner knows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitor.detection.entities import EntityTable
from monitor.discovery.survey import Group, Survey, group_of
from monitor.sample import Kind, SeriesTable

__all__ = ["WINDOW_LENGTH", "SuggestedWatch", "first_names", "suggest_watches"]

# Labels that name what people think of as a thing, the smallest thing first: a pod that runs on a node is
# judged as itself. These are the names of Prometheus, Telegraf, collectd, the OpenTelemetry conventions and
# Kubernetes, with dots written as underscores.
_ENTITY_LABELS = (
    ("pod", "pod_name", "k8s_pod_name", "kubernetes_pod_name"),
    ("instance", "service_instance_id"),
    ("host", "host_name", "hostname", "server", "node", "node_name", "k8s_node_name", "machine", "host_id"),
    ("service", "service_name", "container", "container_name", "k8s_container_name", "entity", "app", "job"),
)
_MOST_WATCHES = 4
_STEPS_SECONDS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)
WINDOW_LENGTH = 32  # WatchConfig's default; in steps
_MOST_PATTERNS = 24
_MOST_IGNORED = 40
_N_SHOWN = 3  # names of a list
_NAME_CHARACTERS = 32  # of each name that is shown


@dataclass(frozen=True, slots=True)
class SuggestedWatch:
    """A `[[watch]]` table, and the series that it would judge."""

    name: str
    metrics: tuple[str, ...]
    ignore: tuple[str, ...]
    counters: tuple[str, ...]  # as far as their format does not say so
    known_counters: tuple[str, ...]  # names, by their format
    by: tuple[str, ...]  # empty: each series is an entity
    step_seconds: float
    lateness_seconds: float
    topics: tuple[str, ...]
    group: Group

    @property
    def entity_table(self) -> EntityTable:
        """The watch's rules, as the daemon would apply them."""
        table = EntityTable(metrics=self.metrics, match={}, by=self.by, ignore=self.ignore)
        table.set_kinds(self.counters, ())
        return table


def suggest_watches(surveys: Sequence[Survey], table: SeriesTable) -> list[SuggestedWatch]:
    """Suggest watches that together judge the series of some topics: one an entity label, step and format."""
    parts: list[_Part] = []
    for survey in surveys:
        for label, series in _by_label(survey, table):
            step_seconds = _step_seconds(survey.interval_seconds(series))
            names = {table[number].name for number in series}
            part = _Part(label, step_seconds, survey.format or "", names, [survey], len(series))
            # Topics that hold the same metrics belong together, whatever their formats.
            like = next((other for other in parts if other.is_like(part)), None)
            if like is None:
                parts.append(part)
            else:
                like.merge(part)
    parts.sort(key=lambda part: -part.n_series)
    watches: list[SuggestedWatch] = []
    for part in parts[:_MOST_WATCHES]:
        watches.append(_watch(part, table, [watch.name for watch in watches]))
    return watches


@dataclass(slots=True)
class _Part:
    """Series of some topics with the same entity label and the same step."""

    label: str  # empty: none
    step_seconds: float
    format: str
    names: set[str]
    surveys: list[Survey]
    n_series: int

    def is_like(self, other: _Part) -> bool:
        has_same_entities = (self.label, self.step_seconds) == (other.label, other.step_seconds)
        return has_same_entities and (self.format == other.format or bool(self.names & other.names))

    def merge(self, other: _Part) -> None:
        self.names |= other.names
        self.surveys += other.surveys
        self.n_series += other.n_series


def _by_label(survey: Survey, table: SeriesTable) -> Iterator[tuple[str, list[int]]]:
    """Split a topic's series by the label that names their entity; the empty label for the rest."""
    left = survey.series
    for names in _ENTITY_LABELS:
        counts = Counter(
            label for number in left for label, _ in table[number].labels if _plain(label) in names
        )
        if not counts:
            continue
        # The most frequent, and of several the one that stands first among the names.
        entity_label = max(counts, key=lambda label: (counts[label], -names.index(_plain(label))))
        labelled = [
            number for number in left if any(label == entity_label for label, _ in table[number].labels)
        ]
        yield entity_label, labelled
        left = sorted(set(left) - set(labelled))
    if left:
        yield "", left


def _plain(label: str) -> str:
    return label.lower().replace(".", "_")


def _watch(part: _Part, table: SeriesTable, used_names: Sequence[str]) -> SuggestedWatch:
    level: set[str] = set()  # metrics that do not only grow in at least one topic
    counters: set[str] = set()
    falling: set[str] = set()
    known = set()
    for survey in part.surveys:
        growth = survey.growth()
        series = [table[number] for number in survey.series]
        level |= {metric.name for metric in series} - growth.growing
        counters |= growth.counters
        falling |= growth.falling
        known |= {metric.name for metric in series if metric.kind is not Kind.GAUGE}
    names = part.names
    step = part.step_seconds
    counters = counters & names - falling
    growing = names - level - counters
    metrics = _patterns(names)
    ignore: tuple[str, ...] = ()
    if growing != names:
        ignore = tuple(sorted(growing)) if len(growing) <= _MOST_IGNORED else _patterns(growing)
    by = (part.label,) if part.label else ()
    behind = max(survey.behind_seconds() for survey in part.surveys)
    longest = step * WINDOW_LENGTH / 2  # it must be less than a window
    return SuggestedWatch(
        name=_name(part.label or "series", part.format, used_names),
        metrics=metrics,
        ignore=ignore,
        counters=tuple(map(_literal, sorted(counters))),
        known_counters=tuple(sorted(known & names)),
        by=by,
        step_seconds=step,
        lateness_seconds=float(min(max(step, _round_up(2 * behind)), longest)),
        topics=tuple(survey.topic for survey in part.surveys),
        group=group_of(EntityTable(metrics=metrics, match={}, by=by, ignore=ignore), table, part.surveys),
    )


def _step_seconds(interval: float | None) -> float:
    """Give a round step that is not shorter than the samples' interval, apart from a tenth for its jitter."""
    if interval is None:
        return 60.0
    return float(next((step for step in _STEPS_SECONDS if step >= 0.9 * interval), _STEPS_SECONDS[-1]))


def _round_up(seconds: float) -> float:
    return float(next((step for step in _STEPS_SECONDS if step >= seconds), _STEPS_SECONDS[-1]))


def _patterns(names: set[str]) -> tuple[str, ...]:
    """Give patterns that match some metrics: their first words, or the name if it alone begins so."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        first_word = re.match(r"[^_.:/-]+[_.:/-]", name)
        groups.setdefault(first_word[0] if first_word else name, []).append(name)
    patterns = []
    for beginning, members in groups.items():
        patterns.append(_literal(members[0]) if len(members) == 1 else f"{_literal(beginning)}*")
    return tuple(patterns) if len(patterns) <= _MOST_PATTERNS else ("*",)


def _literal(text: str) -> str:
    """Write text as a pattern that matches nothing else."""
    return re.sub(r"([*?[])", r"[\1]", text)


def _name(label: str, format_name: str, used_names: Sequence[str]) -> str:
    """Name a watch by what it judges: at most 64 letters, digits, . _ and -."""
    base = re.sub(r"[^A-Za-z0-9_]", "_", label)[:40]
    candidates = [base, f"{base}-{format_name}", *(f"{base}-{number}" for number in range(2, 10))]
    return next(name for name in candidates if name not in used_names)


def first_names(names: Sequence[str]) -> str:
    """Give the first of some names, each cut so that they fit on a line."""
    short = []
    for name in names[:_N_SHOWN]:
        is_long = len(name) > _NAME_CHARACTERS
        short.append(f"{name[: _NAME_CHARACTERS - 3]}..." if is_long else name)
    return ", ".join(short) + (", ..." if len(names) > _N_SHOWN else "")
