"""The NAB score: windows, three profiles, and the sweep of the level over all files.

The rules are those of Lavin and Ahmad (2015), "Evaluating Real-time Anomaly Detection Algorithms: the
Numenta Anomaly Benchmark", as the benchmark's own code (v1.1) applies them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PROFILES", "NabFile", "nab_score", "sweep", "swept_rows"]

# Value of a window's first row, cost of a missed window, cost of a false row.
PROFILES = {
    "standard": (1.0, 1.0, 0.11),
    "reward_low_FP_rate": (1.0, 1.0, 0.22),
    "reward_low_FN_rate": (1.0, 2.0, 0.11),
}
SWEPT_LEVELS = tuple(round(0.4 + 0.05 * number, 2) for number in range(53))  # 0.4 to 3.0
_REST_SHARE = 0.2  # of the probation: the rest behind a row in the sweep, 3 % of a file
_PROBATION_SHARE, _LONGEST_PROBATION = 0.15, 750


@dataclass(frozen=True)
class NabFile:
    """One file's rows, and its anomaly windows (first row, last row)."""

    n_rows: int
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """Rows at the beginning that never count."""
        return min(math.floor(_PROBATION_SHARE * self.n_rows), _LONGEST_PROBATION)


def nab_score(files: Mapping[str, NabFile], alerts: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Give the normalised score of each profile: 0 is silence, 100 is perfect.

    Parameters
    ----------
    files : mapping
        Every file of the corpus.
    alerts : mapping
        The rows that a detector marks, by file; a file that is left out is silent.
    """
    scores = {}
    for profile, (value, missed, false) in PROFILES.items():
        raw = null = perfect = 0.0
        for name, file in files.items():
            live = [window for window in file.windows if window[1] >= file.probation]
            raw += _raw(file, alerts.get(name, ()), (value, missed, false))
            null -= missed * len(live)
            perfect += value * len(live)
        scores[profile] = 100 * (raw - null) / (perfect - null) if perfect > null else 0.0
    return scores


def sweep(
    files: Mapping[str, NabFile], scores: Mapping[str, NDArray[np.float64]]
) -> tuple[float, dict[str, float]]:
    """Give the level of the best standard score, and the three profiles there.

    The level is chosen on the labels that it is scored on: this is what a detector could reach, not what it
    does.
    """
    best_level, best = math.nan, dict.fromkeys(PROFILES, -math.inf)
    for level in SWEPT_LEVELS:
        found = nab_score(files, {name: swept_rows(score, level) for name, score in scores.items()})
        if found["standard"] > best["standard"]:
            best_level, best = level, found
    return best_level, best


def swept_rows(score: NDArray[np.float64], level: float) -> list[int]:
    """Give the rows (T,) at or over a level, each followed by a rest of 3 % of the file."""
    rest = max(1, int(_REST_SHARE * NabFile(len(score), ()).probation))
    free, rows = 0, []
    for row in np.flatnonzero(score >= level).tolist():
        if row >= free:
            rows.append(row)
            free = row + rest
    return rows


def _raw(file: NabFile, rows: Sequence[int], costs: tuple[float, float, float]) -> float:
    value, missed, false = costs
    best = {window: -missed for window in file.windows if window[1] >= file.probation}
    total = 0.0
    for row in rows:
        if row < file.probation:
            continue
        inside = next((window for window in file.windows if window[0] <= row <= window[1]), None)
        if inside is not None:
            first, last = inside
            place = -(last - row + 1) / (last - first + 1)
            best[inside] = max(best[inside], value * _sigmoid(place) / _sigmoid(-1.0))
            continue
        before = [window for window in file.windows if window[1] < row]
        distance = (row - before[-1][1]) / (before[-1][1] - before[-1][0]) if before else math.inf
        total += false * _sigmoid(distance)
    return total + sum(best.values())


def _sigmoid(place: float) -> float:
    return -1.0 if place > 3 else 2 / (1 + math.exp(5 * place)) - 1
