"""From candidates and their series of late to watches: what moves, which entity, which query. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from monitor.prometheus.kinds import MetricKinds
from monitor.quickstart.candidates import WANDERING, Candidate
from monitor.quickstart.promql import rate_name, selector, watch_query
from monitor.quickstart.sampled import Sampled, clock_like, moves, only_rises, trends
from monitor.quickstart.workload import Entity, entity_of, is_present_last, workload_of
from monitor.sample import Kind, kind_of, labels_of

__all__ = ["ChosenWatch", "choose_watch", "shares"]

_MOST_METRICS = 40  # of a watch without a preset: a person knows which of more matter
_MOST_VALUES = 20  # of a label within an entity: with more, channels come and go, and are summed instead
_NEARLY_ALL = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenWatch:
    """A `[[watch]]` table.

    Attributes
    ----------
    metrics : tuple of str
        As the query names them.
    counters, gauges : tuple of str
        Names among them whose ending says something else.
    by : tuple of str
        Empty: each series is an entity.
    match : dict
        What tells its series from those of the other watches.
    left_out : dict
        Names that are not watched, by the reason.
    """

    name: str
    title: str
    query: str
    metrics: tuple[str, ...]
    counters: tuple[str, ...]
    gauges: tuple[str, ...]
    rates: tuple[str, ...]
    by: tuple[str, ...]
    by_reason: str
    match: dict[str, str]
    n_entities: int
    n_series: int
    left_out: dict[str, list[str]] = field(default_factory=dict)

    @property
    def entities_text(self) -> str:
        """How many entities there are, in words."""
        return "1 entity" if self.n_entities == 1 else f"{self.n_entities} entities"


@dataclass(slots=True)
class _Draft:
    """A watch whose metrics are not yet cut to their number."""

    candidate: Candidate
    entity: Entity
    keep: tuple[str, ...]
    kinds: dict[str, Kind]
    channels: dict[str, set[tuple[str, ...]]]  # by metric: labels of its channels of all entities
    summed: set[str]
    left_out: dict[str, list[str]]
    entities: set[tuple[str, ...]]


def choose_watch(
    candidate: Candidate,
    sampled: Mapping[str, Sequence[Sampled]],
    types: Mapping[str, str],
    *,
    max_series: int,
    rate_seconds: int,
) -> ChosenWatch | None:
    """Make a watch of a candidate, with so many series at most; None where nothing moves, or nothing fits."""
    draft = _draft(candidate, sampled, types)
    if draft is None:
        return None
    chosen: list[str] = []
    n_series = 0
    for name in _in_order(draft):
        count = len(draft.channels[name])
        if n_series + count > max_series or (candidate.preset is None and len(chosen) == _MOST_METRICS):
            draft.left_out["no room: raise --max-series"].append(name)
            continue
        chosen.append(name)
        n_series += count
    return _watch(draft, chosen, n_series, rate_seconds) if chosen else None


def shares(sizes: Sequence[int], room: int) -> list[int]:
    """Share room between some that want so much: the small ones get what they want, the others the same."""
    given = [0] * len(sizes)
    for rank, place in enumerate(sorted(range(len(sizes)), key=lambda place: sizes[place])):
        given[place] = min(sizes[place], room // (len(sizes) - rank))
        room -= given[place]
    return given


def _draft(
    candidate: Candidate, sampled: Mapping[str, Sequence[Sampled]], types: Mapping[str, str]
) -> _Draft | None:
    kinds = _kinds(sampled, types)
    left_out: dict[str, list[str]] = defaultdict(list)
    left_out.update({reason: list(names) for reason, names in candidate.left_out.items() if names})
    moving = []
    for name in candidate.names:
        series = sampled.get(name, ())
        if not moves(series):
            left_out["constant of late"].append(name)
        elif kinds[name] is Kind.GAUGE and clock_like(series):
            left_out["a time"].append(name)
        elif kinds[name] is Kind.GAUGE and trends(series):
            left_out[WANDERING].append(name)
        else:
            moving.append(name)
    if not moving:
        return None
    entity = entity_of(
        [series for name in moving for series in sampled[name]],
        candidate.preset.by if candidate.preset else (),
    )
    return _with_channels(candidate, {name: sampled[name] for name in moving}, kinds, entity, left_out)


def _with_channels(
    candidate: Candidate,
    sampled: Mapping[str, Sequence[Sampled]],
    kinds: dict[str, Kind],
    entity: Entity,
    left_out: dict[str, list[str]],
) -> _Draft:
    """Find the labels that tell channels apart, and what is summed over the others."""
    fitting = {}
    for name, series in sampled.items():
        if sum(_entity_value(member, entity) is not None for member in series) < _NEARLY_ALL * len(series):
            left_out[f"without {', '.join(entity.labels)}"].append(name)
        else:
            fitting[name] = series
    keep = tuple(candidate.preset.keep) if candidate.preset else _telling_labels(fitting, entity)
    present = {label for series in fitting.values() for member in series for label in member.labels}
    keep = tuple(label for label in keep if label in present and label not in entity.labels)
    channels: dict[str, set[tuple[str, ...]]] = {}
    summed = set()
    for name, series in fitting.items():
        found = [
            ((_entity_value(member, entity) or ()), tuple(member.labels.get(label, "") for label in keep))
            for member in series
            if is_present_last(member)
        ]
        channels[name] = {(*of_entity, *rest) for of_entity, rest in found}
        # Where entities are coarser than what is scraped, the one pod of today is not the one of tomorrow.
        if len(channels[name]) < len(found) or entity.pod_label or entity.is_coarser:
            summed.add(name)
    entities = {
        value
        for series in fitting.values()
        for member in series
        if is_present_last(member) and (value := _entity_value(member, entity)) is not None
    }
    return _Draft(candidate, entity, keep, kinds, channels, summed, left_out, entities)


def _watch(draft: _Draft, chosen: Sequence[str], n_series: int, rate_seconds: int) -> ChosenWatch:
    entity, candidate = draft.entity, draft.candidate
    is_counter = {name: draft.kinds[name] is Kind.COUNTER for name in chosen}
    rates = [name for name in chosen if is_counter[name] and name in draft.summed and entity.labels]
    plain = [name for name in chosen if name not in rates]
    if entity.labels:
        query = watch_query(
            plain,
            rates,
            labels=tuple(dict.fromkeys((*entity.labels, *draft.keep, *(["job"] if candidate.job else [])))),
            match=candidate.match,
            rate_seconds=rate_seconds,
            pod_label=entity.pod_label,
        )
    else:
        query = selector(plain, candidate.match)
    counters = [name for name in plain if is_counter[name] and kind_of(name) is not Kind.COUNTER]
    gauges = [name for name in plain if not is_counter[name] and kind_of(name) is Kind.COUNTER]
    return ChosenWatch(
        name=candidate.name,
        title=candidate.title,
        query=query,
        metrics=(*plain, *map(rate_name, rates)),
        counters=tuple(counters),
        gauges=tuple(gauges),
        rates=tuple(rates),
        by=entity.labels,
        by_reason=entity.reason,
        match={} if candidate.job is None else {"job": re.sub(r"([*?[])", r"[\1]", candidate.job)},
        n_entities=len(draft.entities) if entity.labels else n_series,
        n_series=n_series,
        left_out={reason: names for reason, names in draft.left_out.items() if names},
    )


def _in_order(draft: _Draft) -> list[str]:
    """Give the metrics, the most important first: as a preset has them, else those with the fewest series."""
    names = [name for name in draft.candidate.names if draft.channels.get(name)]
    if draft.candidate.preset:
        return names
    return sorted(names, key=lambda name: (len(draft.channels[name]), name))


def _kinds(sampled: Mapping[str, Sequence[Sampled]], types: Mapping[str, str]) -> dict[str, Kind]:
    """Tell the kind of each metric: by its type, its name, or, where neither says it, by what it does."""
    known = MetricKinds(types)
    kinds = {}
    for name, series in sampled.items():
        labels = labels_of(series[0].labels) if series else ()
        kind = known.kind_of(name, labels)
        if kind is None:
            kind = kind_of(name)
            if kind is Kind.GAUGE and types.get(name) in (None, "unknown", "untyped") and only_rises(series):
                kind = Kind.COUNTER
        kinds[name] = kind
    return kinds


def _telling_labels(sampled: Mapping[str, Sequence[Sampled]], entity: Entity) -> tuple[str, ...]:
    """Give the labels that differ within an entity and a metric, but not so much that they come and go."""
    values: dict[tuple[str, str, tuple[str, ...]], set[str]] = defaultdict(set)
    for name, series in sampled.items():
        for member in series:
            for label, text in member.labels.items():
                values[label, name, _entity_value(member, entity) or ()].add(text)
    most: dict[str, int] = defaultdict(int)
    for (label, _, _), found in values.items():
        most[label] = max(most[label], len(found))
    hidden = {*entity.labels, *entity.hides}
    return tuple(sorted(label for label, n in most.items() if 1 < n <= _MOST_VALUES and label not in hidden))


def _entity_value(member: Sampled, entity: Entity) -> tuple[str, ...] | None:
    """Give the values of an entity's labels; None where a label is missing."""
    labels = workload_of(member.labels, entity)
    value = tuple(labels.get(label, "") for label in entity.labels)
    return value if all(value) else None
