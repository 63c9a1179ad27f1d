"""The text of a scrape, rendered ahead of it.

Metrics of entities have a renderer of their own: prometheus_client takes 12 microseconds a series, and holds
the interpreter meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np
import orjson
from numpy.typing import NDArray
from prometheus_client.exposition import generate_latest

from monitor.alerting.alert import ChannelShare
from monitor.detection.scored_step import Reason, ScoredStep
from monitor.detection.view import WatchView
from monitor.metrics.instruments import Metrics
from monitor.metrics.watch_metrics import withheld_rows

__all__ = ["ENTITY_METRICS", "Exposition", "enough_series"]

ENTITY_METRICS = {
    "barograph_score": (
        "Surprise over limit of an entity's newest step; 1 or more is anomalous. Absent while not judged."
    ),
    "barograph_limit": (
        "Surprise at which the entity's alert budget is spent; frozen while an episode is open."
    ),
    "barograph_anomaly": "1 while an episode of the entity is open, and not withheld as too old, else 0.",
    "barograph_out_of_range": (
        "1 while a value of the entity lies outside its valid range at the newest step, else 0."
    ),
    "barograph_judged": "1 if the entity's newest step was judged, else 0: warming, gap or stale.",
    "barograph_not_judged_since_timestamp_seconds": (
        "Event time up to which an entity was judged that should be and is not; if it never was, when it was "
        "first expected. Of each watch the first ten, those without data for longest."
    ),
    "barograph_warming_steps": "Steps that are missing before the entity can be judged.",
    "barograph_actual": (
        "Newest value of a channel, in its own unit; counters as a rate per second. Present while an episode "
        "of the entity is open or its score is 0.5 or more; always where web.export_all_channels is true."
    ),
    "barograph_expected": (
        "Value that the model expected in place of the newest one, in the channel's unit. Present as "
        "barograph_actual is."
    ),
    "barograph_hours_to_bound": (
        "Hours until a channel leaves its valid range by the model's forecast, where a range is set and the "
        "model has a forecast head; bound: min, max; +Inf if not within 20 horizons. Computed once a minute."
    ),
    "barograph_episode_score": "Highest score of the entity's open episode so far.",
    "barograph_episode_opened_timestamp_seconds": "Event time at which the entity's open episode opened.",
    "barograph_episode_share": (
        "Share of the squared error at the open episode's highest score, for the most deviating channels."
    ),
    "barograph_episode_actual": (
        "Value of such a channel where it deviated most, up to the episode's highest score; in its own unit."
    ),
    "barograph_episode_expected": "Value that was usual in place of barograph_episode_actual.",
    "barograph_episode_deviation_timestamp_seconds": (
        "Event time of barograph_episode_actual (when: at), or from which on the channel has deviated like "
        "that (when: since)."
    ),
}


_BOUNDS = ("min", "max")
_NOTABLE_SCORE = 0.5  # half the limit
_N_SERIES_OF_ENTITY = 6  # besides those of its channels
_MOST_SERIES = 10  # of a cell (entity times channel): those of an entity, two values and two hours to a bound
_N_MISSING = 10  # entities of a watch that are shown as not judged, beyond the cap: an alert names them


@dataclass(slots=True)
class Exposition:
    """The text of the next scrape: the loop renders it, the HTTP thread reads the reference `text`.

    Parameters
    ----------
    max_series : int
        Series of entities that a scrape may hold. Open episodes are always shown. Scores of all entities come
        before values of channels, open episodes before others, and then the highest scores.
    all_channels : bool
        Show the values of all channels, not only of entities with an open episode or a notable score.
    """

    metrics: Metrics
    max_series: int
    all_channels: bool = False
    text: bytes = b""
    _prefixes: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _versions: dict[str, int] = field(default_factory=dict)

    def render(self, views: Iterable[WatchView], withheld: AbstractSet[str] = frozenset()) -> None:
        """Write the text anew; the views were made since the last batch.

        Parameters
        ----------
        withheld : set of str
            Open episodes without a notification, by identity: they are shown as if they were not open.
        """
        lines: dict[str, list[str]] = {name: [] for name in ENTITY_METRICS}
        n_left = self.max_series
        n_lost = 0
        scored_views = []
        for view in views:
            self._drop_stale_prefixes(view)
            hidden_rows = withheld_rows(view.open_alerts, withheld)
            is_open = view.is_open.copy()
            is_open[list(hidden_rows)] = False
            shown = np.empty(0, np.int64)
            if view.last_scored is not None:
                n_bounds = int((~np.isnan(view.hours_to_bound)).any(axis=0).sum())
                per_entity = _N_SERIES_OF_ENTITY + n_bounds
                current = np.flatnonzero(view.last_scored.reason != Reason.STALE)
                shown = _first(current, n_left // per_entity, is_open, view.last_scored.score)
                n_lost += (len(current) - len(shown)) * per_entity
                n_left -= len(shown) * per_entity
                self._write_scores(view, view.last_scored, shown, is_open, lines)
                _write_bounds(view, shown, lines["barograph_hours_to_bound"])
                scored_views.append((view, view.last_scored, shown, is_open))
            lines["barograph_not_judged_since_timestamp_seconds"] += _missing_lines(view)
            self._write_episodes(view, set(shown.tolist()), hidden_rows, lines)
        for view, scored, shown, is_open in scored_views:  # behind all scores: these matter more
            per_entity = 2 * max(1, scored.actual.shape[1])
            notable = shown if self.all_channels else _notable(shown, is_open, scored.score)
            valued = _first(notable, n_left // per_entity, is_open, scored.score)
            n_lost += (len(notable) - len(valued)) * per_entity
            n_left -= len(valued) * per_entity
            self._write_channels(view, scored, valued, lines)
        self.metrics.not_exported(n_lost)
        own = generate_latest(self.metrics.registry)
        parts = []
        for name, help_text in ENTITY_METRICS.items():
            parts.append(f"# HELP {name} {help_text}\n# TYPE {name} gauge\n")
            parts += lines[name]
        self.text = own + "".join(parts).encode("utf-8", "replace")

    def _drop_stale_prefixes(self, view: WatchView) -> None:
        """Drop the cached beginnings of lines where entities have other rows than before."""
        if self._versions.get(view.name) != view.entities_version:
            self._versions[view.name] = view.entities_version
            self._prefixes = {key: cached for key, cached in self._prefixes.items() if key[0] != view.name}

    def _write_episodes(
        self, view: WatchView, shown: set[int], hidden_rows: AbstractSet[int], lines: dict[str, list[str]]
    ) -> None:
        """Write the open episodes: also of stale entities, beyond the cap, and before the first step."""
        for row, alert in sorted(view.open_alerts.items()):
            if row in hidden_rows:
                continue
            labels = f'watch="{view.name}",entity="{_escaped(alert.entity)}"'
            if row not in shown:
                lines["barograph_anomaly"].append(f"barograph_anomaly{{{labels}}} 1.0\n")
            lines["barograph_episode_score"].append(f"barograph_episode_score{{{labels}}} {alert.score!r}\n")
            opened = f"barograph_episode_opened_timestamp_seconds{{{labels}}} {alert.opened_ms / 1000!r}\n"
            lines["barograph_episode_opened_timestamp_seconds"].append(opened)
            for channel in alert.channels:
                if channel.share > 0:
                    by_channel = f'{labels},channel="{_escaped(channel.channel)}"'
                    line = f"barograph_episode_share{{{by_channel}}} {channel.share!r}\n"
                    lines["barograph_episode_share"].append(line)
                    _write_deviation(channel, by_channel, lines)

    def _write_scores(
        self,
        view: WatchView,
        scored: ScoredStep,
        shown: NDArray[np.int64],
        is_open: NDArray[np.bool_],
        lines: dict[str, list[str]],
    ) -> None:
        """Write what the newest step says of the entities in rows `shown`."""
        by_entity = {
            "barograph_score": np.where(scored.judged, scored.score, np.nan),
            "barograph_limit": view.limits,
            "barograph_anomaly": is_open.astype(float),
            "barograph_out_of_range": view.out_of_range.astype(float),
            "barograph_judged": scored.judged.astype(float),
            "barograph_warming_steps": view.missing_steps.astype(float),
        }
        for name, values in by_entity.items():
            lines[name] += _lines(self._entity_prefixes(view, name), shown, values[shown])

    def _write_channels(
        self, view: WatchView, scored: ScoredStep, rows: NDArray[np.int64], lines: dict[str, list[str]]
    ) -> None:
        """Write the actual and expected values of the entities in some rows."""
        if not len(rows):
            return
        n_channels = scored.actual.shape[1]
        cells = (rows[:, None] * n_channels + np.arange(n_channels)).ravel()
        for name, array in (("barograph_actual", scored.actual), ("barograph_expected", scored.expected)):
            lines[name] += _lines(self._channel_prefixes(view, name, n_channels), cells, array[rows].ravel())

    def _entity_prefixes(self, view: WatchView, name: str) -> list[str]:
        cached = self._prefixes.setdefault((view.name, name), [])
        for entity in view.entities[len(cached) :]:
            cached.append(f'{name}{{watch="{view.name}",entity="{_escaped(entity)}"}} ')
        return cached

    def _channel_prefixes(self, view: WatchView, name: str, n_channels: int) -> list[str]:
        cached = self._prefixes.get((view.name, name), [])
        if len(cached) != len(view.entities) * n_channels:
            cached = list(_channel_prefixes(name, view, n_channels))
            self._prefixes[view.name, name] = cached
        return cached


def enough_series(max_series: Iterable[int]) -> int:
    """Give a cap that leaves out nothing of watches with room for so many entities times channels each."""
    return _MOST_SERIES * sum(max_series)


def _notable(
    rows: NDArray[np.int64], is_open: NDArray[np.bool_], score: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Choose the rows whose values have something to say: of an open episode, or near the limit."""
    return rows[is_open[rows] | (score[rows] >= _NOTABLE_SCORE)]


def _first(
    rows: NDArray[np.int64], n_fitting: int, is_open: NDArray[np.bool_], score: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Choose the rows that fit into a scrape: open episodes first, then the highest scores."""
    if len(rows) <= n_fitting:
        return rows
    order = np.lexsort((-np.nan_to_num(score[rows], nan=-1.0), ~is_open[rows]))
    return np.sort(rows[order[:n_fitting]])


def _write_bounds(view: WatchView, shown: NDArray[np.int64], lines: list[str]) -> None:
    """Write the hours left of the entities in rows `shown`, where they are known."""
    hours = view.hours_to_bound
    is_shown = np.isin(np.arange(len(hours)), shown)[:, None, None]
    for row, column, side in np.argwhere(is_shown & ~np.isnan(hours)).tolist():
        value = float(hours[row, column, side])
        lines.append(
            f'barograph_hours_to_bound{{watch="{view.name}",entity="{_escaped(view.entities[row])}",'
            f'channel="{_escaped(view.channels[column])}",bound="{_BOUNDS[side]}"}} '
            f"{'+Inf' if math.isinf(value) else repr(value)}\n"
        )


def _missing_lines(view: WatchView) -> list[str]:
    """Write since when the first entities are not judged that should be."""
    return [
        f'barograph_not_judged_since_timestamp_seconds{{watch="{view.name}",'
        f'entity="{_escaped(view.entities[row])}"}} {int(view.coverage.since_ms[row]) / 1000!r}\n'
        for row in view.coverage.longest_missing(_N_MISSING).tolist()
    ]


def _write_deviation(channel: ChannelShare, labels: str, lines: dict[str, list[str]]) -> None:
    """Write what a channel of an open episode showed, what was usual, and when."""
    values = (("actual", channel.actual), ("expected", channel.expected))
    for name, value in values:
        if math.isfinite(value):
            metric = f"barograph_episode_{name}"
            lines[metric].append(f"{metric}{{{labels}}} {value!r}\n")
    time_ms, when = (channel.since_ms, "since") if channel.since_ms else (channel.at_ms, "at")
    if time_ms:
        metric = "barograph_episode_deviation_timestamp_seconds"
        lines[metric].append(f'{metric}{{{labels},when="{when}"}} {time_ms / 1000!r}\n')


def _lines(prefixes: Sequence[str], cells: NDArray[np.int64], values: NDArray[np.float64]) -> list[str]:
    """Write a line for each finite value, after the prefix of its cell."""
    finite = np.isfinite(values)
    if not finite.any():
        return []
    # orjson writes an array of floats in a tenth of the time that repr takes for each of them.
    array = orjson.dumps(np.ascontiguousarray(values[finite]), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    texts = array[1:-1].split(",")
    return [f"{prefixes[cell]}{text}\n" for cell, text in zip(cells[finite].tolist(), texts, strict=True)]


def _channel_prefixes(name: str, view: WatchView, n_channels: int) -> Iterator[str]:
    for entity in view.entities:
        for channel in view.channels[
            :n_channels
        ]:  # a channel that is newer than the last step has no value yet
            yield f'{name}{{watch="{view.name}",entity="{_escaped(entity)}",channel="{_escaped(channel)}"}} '


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
