"""How good episodes and scores are on labelled rows. No point adjustment anywhere.

Point adjustment calls a whole segment found once one of its rows is marked, which makes random marks look
excellent (Kim et al. (2022), "Towards a Rigorous Evaluation of Time-series Anomaly Detection", AAAI).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sets import Trial, segments

__all__ = ["WEEK_SECONDS", "Episode", "average_precision", "entity_measures", "set_measures", "vus_pr"]

WEEK_SECONDS = 604800
BUFFER_ROWS = 20  # of VUS-PR, at most
_N_LEVELS = 250  # of VUS-PR, as in its authors' code


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode of an entity: rows [start, end), and the channel it names first, if any."""

    start: int
    end: int
    channel: str = ""


def average_precision(label: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Give the area under precision over recall of scores (T,); NaN without a label.

    Equal scores keep the order of their rows.
    """
    hit = label[np.argsort(-score, kind="stable")]
    if not hit.any():
        return math.nan
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    return float(precision[hit].mean())


def vus_pr(label: NDArray[np.bool_], score: NDArray[np.float64], buffer_rows: int = BUFFER_ROWS) -> float:
    """Give the volume under the precision-recall surface of scores (T,); NaN without a label.

    For each buffer of 0 to `buffer_rows` rows, labels grow ramps of half that length on both sides, recall
    is multiplied by the share of segments that are touched at all, and the area under the curve over 250
    levels is taken; the volume is the mean of the areas.

    References
    ----------
    Paparrizos et al. (2022), "Volume Under the Surface: A New Accuracy Evaluation Measure for Time-Series
    Anomaly Detection", VLDB 15(11), section 4.
    """
    if not label.any():
        return math.nan
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    levels = ranked[np.linspace(0, len(score) - 1, _N_LEVELS).astype(np.int64)]
    n_marked = np.searchsorted(-ranked, -levels, side="right")  # rows with a score at the level or above
    areas = []
    for width in range(buffer_rows + 1):
        soft, parts = _softened(label, width)
        true = np.cumsum(soft[order])[n_marked - 1]
        highest = np.array([score[first:end].max() for first, end in parts])
        touched = (highest[:, None] >= levels).mean(axis=0)
        n_positive = (label.sum() + soft.sum()) / 2
        recall = np.concatenate([[0.0], np.minimum(true / n_positive, 1.0) * touched])
        areas.append(float(np.diff(recall) @ (true / n_marked)))
    return float(np.mean(areas))


def _softened(label: NDArray[np.bool_], width: int) -> tuple[NDArray[np.float64], list[tuple[int, int]]]:
    """Give labels with ramps of `width // 2` rows, and the segments that they then form."""
    soft = label.astype(np.float64)
    half = width // 2
    parts: list[tuple[int, int]] = []
    for first, end in segments(label, gap=0):
        # One row less behind than before, as the authors' code has it.
        start, stop = max(first - half, 0), min(end + max(half - 1, 0), len(label))
        before, behind = np.arange(start, first), np.arange(end, stop)
        soft[before] += np.sqrt(1 - (first - before) / max(width, 1))
        soft[behind] += np.sqrt(1 - (behind - end + 1) / max(width, 1))
        if parts and start <= parts[-1][1]:
            parts[-1] = (parts[-1][0], stop)
        else:
            parts.append((start, stop))
    return np.minimum(soft, 1.0), parts


def entity_measures(
    trial: Trial, row: int, episodes: Sequence[Episode], scores: NDArray[np.float64]
) -> dict[str, Any]:
    """Measure one entity.

    An episode is true if it overlaps a labelled segment; a segment is caught if an episode overlaps it.

    Parameters
    ----------
    scores : ndarray, shape (T,)
        By row of the trial; 0 where nothing was judged.
    """
    first, end = trial.test_span(row)
    label = trial.label[first:end, row]
    found = [(start + first, stop + first) for start, stop in segments(label)]
    true = [
        any(episode.start < stop and episode.end > start for start, stop in found) for episode in episodes
    ]
    delays = []
    for start, stop in found:
        hits = [episode for episode in episodes if episode.start < stop and episode.end > start]
        if hits:
            delays.append(max(0, min(episode.start for episode in hits) - start) * trial.step_seconds)
    n_named, n_right = _named_right(trial, trial.entities[row], episodes)
    return {
        "entity": trial.entities[row],
        "ap": average_precision(label, scores[first:end]),
        "vus_pr": vus_pr(label, scores[first:end]),
        "chance": float(label.mean()),
        "segments": len(found),
        "caught": len(delays),
        "episodes": len(episodes),
        "true_episodes": sum(true),
        "weeks": (end - first) * trial.step_seconds / WEEK_SECONDS,
        "delays": delays,
        "named": n_named,
        "named_right": n_right,
    }


def _named_right(trial: Trial, entity: str, episodes: Iterable[Episode]) -> tuple[int, int]:
    """Count the blamed segments with an episode that names a channel, and those where it is blamed."""
    n_named = n_right = 0
    for first, end, channels in trial.blamed.get(entity, []):
        hit = next(
            (e for e in episodes if e.channel and e.start < end and e.end > first),
            None,
        )
        if hit is not None:
            n_named += 1
            n_right += hit.channel in channels
    return n_named, n_right


def set_measures(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Sum up the entities of a set: events and episodes are pooled, AP and VUS-PR are means of entities."""

    def total(key: str) -> float:
        return sum(row[key] for row in rows)

    recall = total("caught") / max(1, total("segments"))
    precision = total("true_episodes") / max(1, total("episodes"))
    false = total("episodes") - total("true_episodes")
    delays = [delay for row in rows for delay in row["delays"]]
    return {
        "ap": _mean([row["ap"] for row in rows]),
        "vus_pr": _mean([row["vus_pr"] for row in rows]),
        "chance": _mean([row["chance"] for row in rows]),
        "event_recall": recall,
        "episode_precision": precision,
        "event_f1": 2 * recall * precision / max(1e-9, recall + precision),
        "false_episodes": false,
        "false_over_budget": false / total("weeks"),
        "delay_seconds": float(np.median(delays)) if delays else math.nan,
        "named": total("named"),
        "top_channel_right": total("named_right") / total("named") if total("named") else math.nan,
        "episodes": total("episodes"),
        "segments": total("segments"),
        "entity_weeks": total("weeks"),
    }


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
