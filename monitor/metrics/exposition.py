"""The text of a scrape, rendered ahead of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson
from numpy.typing import NDArray
from prometheus_client.exposition import generate_latest

from monitor.detection.scored_step import Reason
from monitor.detection.watch import Watch
from monitor.metrics.instruments import Metrics, withheld_rows

__all__ = ["ENTITY_METRICS", "Exposition"]

# Per entity, written by our own renderer: the client library takes 12 microseconds a series,
# with the interpreter held.
ENTITY_METRICS = {
    "barograph_score": "Surprise over limit of an entity's newest step; 1 and more is anomalous. Absent while not judged.",
    "barograph_limit": "Surprise at which the entity's alert budget is spent; frozen while an episode is open.",
    "barograph_anomaly": "1 while an episode of the entity is open, and not held back as too old, else 0.",
    "barograph_out_of_range": "1 while a value of the entity lies outside its valid range at the newest step, else 0.",
    "barograph_judged": "1 if the entity's newest step was judged, else 0: warming, gap or stale.",
    "barograph_warming_steps": "Steps that are still missing before the entity can be judged.",
    "barograph_actual": "Newest value of a channel, in its own unit; counters as a rate per second.",
    "barograph_expected": "What the model expected in place of the newest value, in the channel's unit.",
    "barograph_episode_score": "Highest score of the entity's open episode so far.",
    "barograph_episode_opened_timestamp_seconds": "Event time at which the entity's open episode opened.",
    "barograph_episode_share": "Share of the squared error at the open episode's highest score, for its most telling channels.",
}


@dataclass(slots=True)
class Exposition:
    """The text of the next scrape. The loop renders it; the HTTP thread reads the one reference and returns.

    Parameters
    ----------
    max_series : int
        Series of entities that a scrape may hold; open episodes and the highest scores stay.
    """

    metrics: Metrics
    max_series: int
    text: bytes = b""
    _prefixes: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _versions: dict[str, int] = field(default_factory=dict)

    def render(self, watches: Iterable[Watch]) -> None:
        """Write the text anew from what the watches hold now."""
        lines: dict[str, list[str]] = {name: [] for name in ENTITY_METRICS}
        n_left, n_hidden = self.max_series, 0
        for watch in watches:
            self._renumber(watch)
            shown = np.empty(0, np.int64)
            if watch.last_scored is not None:
                per_entity = 6 + 2 * watch.last_scored.actual.shape[1]
                current = np.flatnonzero(watch.last_scored.reason != Reason.STALE)
                shown = _first(current, max(0, n_left // per_entity), watch.book.is_open, watch.last_scored.score)
                n_hidden += (len(current) - len(shown)) * per_entity
                n_left -= len(shown) * per_entity
                self._write(watch, shown, lines)
            self._write_episodes(watch, set(shown.tolist()), lines)
        self.metrics.hidden(n_hidden)
        own = generate_latest(self.metrics.registry)
        parts = []
        for name, help_text in ENTITY_METRICS.items():
            parts.append(f"# HELP {name} {help_text}\n# TYPE {name} gauge\n")
            parts += lines[name]
        self.text = own + "".join(parts).encode("utf-8", "replace")

    def _renumber(self, watch: Watch) -> None:
        """Forget the beginnings of lines where entities have other rows than they had."""
        if self._versions.get(watch.name) != watch.entities.version:
            self._versions[watch.name] = watch.entities.version
            self._prefixes = {key: cached for key, cached in self._prefixes.items() if key[0] != watch.name}

    def _write_episodes(self, watch: Watch, shown: set[int], lines: dict[str, list[str]]) -> None:
        """Write what belongs to open episodes: of stale entities too, beyond the cap, and before a resumed daemon's first step."""
        withheld = withheld_rows(watch, self.metrics.withheld)
        for row, alert in sorted(watch.open_alerts.items()):
            if row in withheld:
                continue
            labels = f'watch="{watch.name}",entity="{_escaped(alert.entity)}"'
            if row not in shown:
                lines["barograph_anomaly"].append(f"barograph_anomaly{{{labels}}} 1.0\n")
            lines["barograph_episode_score"].append(f"barograph_episode_score{{{labels}}} {alert.score!r}\n")
            opened = f"barograph_episode_opened_timestamp_seconds{{{labels}}} {alert.opened_ms / 1000!r}\n"
            lines["barograph_episode_opened_timestamp_seconds"].append(opened)
            lines["barograph_episode_share"] += [
                f'barograph_episode_share{{{labels},channel="{_escaped(channel.channel)}"}} {channel.share!r}\n'
                for channel in alert.channels
                if channel.share > 0
            ]

    def _write(self, watch: Watch, shown: NDArray[np.int64], lines: dict[str, list[str]]) -> None:
        scored = watch.last_scored
        assert scored is not None
        is_anomalous = watch.book.is_open.astype(float)
        is_anomalous[withheld_rows(watch, self.metrics.withheld)] = 0.0
        by_entity = {
            "barograph_score": np.where(scored.judged, scored.score, np.nan),
            "barograph_limit": watch.scorer.limits(),
            "barograph_anomaly": is_anomalous,
            "barograph_out_of_range": watch.view().out_of_range.astype(float),
            "barograph_judged": scored.judged.astype(float),
            "barograph_warming_steps": watch.scorer.missing_steps().astype(float),
        }
        for name, values in by_entity.items():
            lines[name] += _lines(self._entity_prefixes(watch, name), shown, values[shown])
        n_channels = scored.actual.shape[1]
        places = (shown[:, None] * n_channels + np.arange(n_channels)).ravel()
        for name, array in (("barograph_actual", scored.actual), ("barograph_expected", scored.expected)):
            lines[name] += _lines(self._channel_prefixes(watch, name, n_channels), places, array[shown].ravel())

    def _entity_prefixes(self, watch: Watch, name: str) -> list[str]:
        cached = self._prefixes.setdefault((watch.name, name), [])
        for entity in watch.entities.entities[len(cached) :]:
            cached.append(f'{name}{{watch="{watch.name}",entity="{_escaped(entity)}"}} ')
        return cached

    def _channel_prefixes(self, watch: Watch, name: str, n_channels: int) -> list[str]:
        cached = self._prefixes.get((watch.name, name), [])
        if len(cached) != len(watch.entities.entities) * n_channels:
            cached = list(_channel_prefixes(name, watch, n_channels))
            self._prefixes[watch.name, name] = cached
        return cached


def _first(rows: NDArray[np.int64], n_fitting: int, is_open: NDArray[np.bool_], score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Choose the rows that fit into a scrape, in their order: open episodes first, then the highest scores."""
    if len(rows) <= n_fitting:
        return rows
    order = np.lexsort((-np.nan_to_num(score[rows], nan=-1.0), ~is_open[rows]))
    return np.sort(rows[order[:n_fitting]])


def _lines(prefixes: Sequence[str], places: NDArray[np.int64], values: NDArray[np.float64]) -> list[str]:
    """Write a line for each finite value, behind the prefix of its place."""
    finite = np.isfinite(values)
    if not finite.any():
        return []
    # orjson writes an array of floats in a tenth of the time that repr takes for each of them.
    texts = orjson.dumps(np.ascontiguousarray(values[finite]), option=orjson.OPT_SERIALIZE_NUMPY).decode()[1:-1].split(",")
    return [f"{prefixes[place]}{text}\n" for place, text in zip(places[finite].tolist(), texts, strict=True)]


def _channel_prefixes(name: str, watch: Watch, n_channels: int) -> Iterator[str]:
    for entity in watch.entities.entities:
        for channel in watch.entities.channels[:n_channels]:  # one that is newer than the last step has no value yet
            yield f'{name}{{watch="{watch.name}",entity="{_escaped(entity)}",channel="{_escaped(channel)}"}} '


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
