"""One closed step of all entities of a watch, scored: what it holds, and how a detector scores it.

The functions are shared by the scorer, which scores each step once and lets the detector learn, and by the
rescorer, which scores steps again once late data has changed them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.baselines import HIGH_DEVIATION
from models.dataset import windows_of
from models.detector import BlockRawScores, Detector
from models.row_arrays import rearranged
from monitor.detection.recent_steps import SeenRows
from monitor.detection.steps import ClosedSteps

__all__ = [
    "Learnable",
    "Reason",
    "ScaledBlock",
    "ScoredStep",
    "scale_block",
    "score_step",
    "score_windows",
    "snapshot_of",
]


class Reason(IntEnum):
    """Why an entity was not judged at a step; JUDGED when it was."""

    JUDGED = 0
    WARMING = 1  # too few steps of it have been seen
    GAP = 2  # too much of the window is missing
    STALE = 3  # no sample has come for longer than stale_seconds


@dataclass(frozen=True, slots=True)
class Learnable:
    """What the detector can learn from one step: the windows of m entities, and their R raw scores.

    `rows` (m,) are the entities that were judged; `raw_scores` (m, R) and `windows` (m, W, C) run parallel.
    """

    rows: NDArray[np.int64]
    raw_scores: NDArray[np.float64]
    windows: NDArray[np.float32]

    def without(self, rows: NDArray[np.int64]) -> Learnable:
        """Give what can be learned from the other entities."""
        which = ~np.isin(self.rows, rows)
        return Learnable(self.rows[which], self.raw_scores[which], self.windows[which])


@dataclass(frozen=True, slots=True)
class ScoredStep:
    """One closed step of all n entities (rows) and C channels.

    `score` is surprise over limit, or what is out of season over its limit where that is more; NaN
    where not judged. `channel_error` is each channel's error over its normal error;
    `elevated_since_ms` is when that last rose above 1, or 0. `actual` and `expected` are in the
    channels' own units, NaN where there is no value.

    `learnable`, `past` and `snapshot` are for the judge alone and are dropped behind it: windows take
    much memory. `past` (L + 1, n, C) are the L steps before this step that levels are measured by, and
    this step, in the channels' own units; where a level has jumped in between, the steps before lie on the
    present level too. `snapshot` is what the step was judged by, by name and with a row first; None where
    steps are not judged again.
    """

    time_ms: int
    reason: NDArray[np.int8]
    surprise: NDArray[np.float64]
    score: NDArray[np.float64]
    channel_error: NDArray[np.float64]
    elevated_since_ms: NDArray[np.int64]
    actual: NDArray[np.float64]
    expected: NDArray[np.float64]
    learnable: Learnable | None = None
    past: NDArray[np.float64] | None = None
    snapshot: Mapping[str, NDArray[Any]] | None = None

    @property
    def judged(self) -> NDArray[np.bool_]:
        """True where the entity was judged; shape (n,)."""
        return np.asarray(self.reason == Reason.JUDGED)

    def without_inputs(self) -> ScoredStep:
        """Give the step without what only the judge needs."""
        return replace(self, learnable=None, past=None, snapshot=None)

    def take(self, rows: NDArray[np.int64]) -> ScoredStep:
        """Give these entities' step, in order and without inputs; rows beyond the last are ignored."""
        rows = rows[rows < len(self.reason)]
        return ScoredStep(
            self.time_ms,
            reason=self.reason[rows],
            surprise=self.surprise[rows],
            score=self.score[rows],
            channel_error=self.channel_error[rows],
            elevated_since_ms=self.elevated_since_ms[rows],
            actual=self.actual[rows],
            expected=self.expected[rows],
        )

    def rearranged(self, order: NDArray[np.int64]) -> ScoredStep:
        """Give the step, without inputs, with its channels (C,) in another order; -1 is one of gaps."""
        return replace(
            self.without_inputs(),
            channel_error=rearranged(self.channel_error, order, axis=1, fill=0),
            elevated_since_ms=rearranged(self.elevated_since_ms, order, axis=1, fill=0),
            actual=rearranged(self.actual, order, axis=1, fill=np.nan),
            expected=rearranged(self.expected, order, axis=1, fill=np.nan),
        )

    def with_rows(self, rows: NDArray[np.int64], other: ScoredStep) -> ScoredStep:
        """Give the step, without inputs, with some entities replaced by all those of another, in order."""
        return ScoredStep(
            self.time_ms,
            reason=_with_rows(self.reason, rows, other.reason),
            surprise=_with_rows(self.surprise, rows, other.surprise),
            score=_with_rows(self.score, rows, other.score),
            channel_error=_with_rows(self.channel_error, rows, other.channel_error),
            elevated_since_ms=_with_rows(self.elevated_since_ms, rows, other.elevated_since_ms),
            actual=_with_rows(self.actual, rows, other.actual),
            expected=_with_rows(self.expected, rows, other.expected),
        )


@dataclass(frozen=True, slots=True)
class ScaledBlock:
    """A block of T steps ready to be scored step by step.

    `scaled` (T + W - 1, n, C) begins with the steps that the first window needs; NaN for entities that are
    not calibrated. `raw_scores` are those of all its windows that do not depend on order.
    """

    scaled: NDArray[np.float32]
    raw_scores: BlockRawScores


def scale_block(values: NDArray[np.float64], detector: Detector) -> ScaledBlock:
    """Scale steps (T + W - 1, n, C), and let network and windowed PCA score all windows in one batch."""
    scaled = detector.scaling.apply(values)
    scaled[:, ~detector.calibrated] = np.nan
    return ScaledBlock(scaled, detector.raw_score_block(scaled))


def score_windows(
    block: ScaledBlock, t: int, detector: Detector
) -> tuple[Learnable, NDArray[np.float64], NDArray[np.floating]]:
    """Complete the raw scores of the windows that end at the t-th step of a block; steps come in order.

    Returns
    -------
    tuple
        The windows of m entities with their raw scores; each channel's error over its normal error (m, C);
        the expected values (m, C), scaled.
    """
    window = detector.settings.window_length
    ordered = block.raw_scores
    which = np.flatnonzero(ordered.index.end == t + window - 1)
    rows = ordered.index.row[which]
    windows = windows_of(block.scaled, window)[t, rows]
    raw_scores = detector.complete_raw_scores(rows, ordered.raw_scores[which], windows)
    learnable = Learnable(rows, raw_scores, windows)
    if detector.trained is not None:
        return learnable, ordered.channel_error[which], ordered.expected[which]
    gaussian = detector.gaussian
    return learnable, gaussian.deviation[rows] / HIGH_DEVIATION, gaussian.mean[rows]


def score_step(
    closed: ClosedSteps,
    t: int,
    block: ScaledBlock | None,
    detector: Detector | None,
    seen: SeenRows,
    *,
    elevated_since: NDArray[np.int64],
    limits: NDArray[np.float64],
    stale_ms: int,
) -> ScoredStep:
    """Score the t-th of some closed steps.

    Parameters
    ----------
    block, detector
        None before any entity is calibrated.
    seen : SeenRows
        With this step counted in.
    elevated_since : ndarray, shape (n, C)
        Event time at which each channel's error rose above its normal error, before this step; 0 where
        it has not.
    limits : ndarray, shape (n,)
        Surprise at which a score is 1.
    """
    actual, time_ms = closed.values[t], closed.end_ms(t)
    n_rows, n_channels = actual.shape
    reason = np.full(n_rows, Reason.WARMING, np.int8)
    surprise = np.full(n_rows, np.nan)
    channel_error = np.zeros((n_rows, n_channels))
    expected = np.full((n_rows, n_channels), np.nan)
    season = np.full(n_rows, np.nan)
    learnable = None
    if detector is not None and block is not None:
        learnable, error_here, expected_here = score_windows(block, t, detector)
        rows = learnable.rows
        surprise[rows] = detector.surprise(rows, learnable.raw_scores)
        season[rows] = detector.season.score(rows, learnable.windows[:, -1])
        reason[detector.calibrated & (seen.n_seen >= detector.settings.window_length)] = Reason.GAP
        reason[rows] = Reason.JUDGED
        channel_error[rows] = error_here
        expected[rows] = expected_here
        expected = detector.scaling.invert(expected)
    silence_ms = (closed.first_step + t - seen.last_seen) * closed.step_ms
    is_stale = (seen.last_seen >= 0) & (silence_ms > stale_ms)
    reason[is_stale & (reason != Reason.JUDGED)] = Reason.STALE
    since = np.where(elevated_since > 0, elevated_since, time_ms)
    return ScoredStep(
        time_ms,
        reason=reason,
        surprise=surprise,
        score=np.fmax(surprise / limits, season),
        channel_error=channel_error,
        elevated_since_ms=np.where(channel_error > 1.0, since, 0),
        actual=actual,
        expected=expected,
        learnable=learnable,
    )


def snapshot_of(
    limits: NDArray[np.float64],
    seen: SeenRows,
    elevated_since: NDArray[np.int64],
    detector: Detector,
    *,
    joint: NDArray[np.int64],
    jump: NDArray[np.float64],
    followed_ms: NDArray[np.int64],
) -> dict[str, NDArray[np.generic]]:
    """Give by name what the next step is judged by; arrays that are written into are copied.

    `joint`, `jump` and `followed_ms` are those of `Levels`.
    """
    return {
        "limits": limits,
        "n_seen": seen.n_seen,
        "last_seen": seen.last_seen,
        "elevated_since": elevated_since,
        "centre": detector.scaling.centre,
        "joint": joint,
        "jump": jump,
        "followed_ms": followed_ms.copy(),
        **{f"detector.{name}": array for name, array in detector.snapshot().items()},
    }


def _with_rows(array: NDArray[Any], rows: NDArray[np.int64], other: NDArray[Any]) -> NDArray[Any]:
    changed = array.copy()
    changed[rows] = other
    return changed
