"""Scores the newest steps of some entities a second time, by what they were scored by the first time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.levels import level_steps, on_present_level
from models.limits import Limit
from monitor.detection.levels import RecordedLevels
from monitor.detection.scored_step import ScoredStep, scale_block, score_step, snapshot_of
from monitor.detection.scorer import Scorer
from monitor.detection.steps import ClosedSteps

__all__ = ["Rescorer"]


class Rescorer:
    """Scores the newest steps of some entities again, each by its snapshot; learns nothing.

    It is built anew for each second scoring, and scores as many steps as it has snapshots.

    Parameters
    ----------
    first : Scorer
        Has scored the steps the first time; its recent steps are corrected already, and it is left as it is.
    rows : ndarray, shape (m,)
        Entities that were calibrated at the first snapshot.
    snapshots : sequence of mapping
        What the first scorer judged each of its newest steps by, oldest first.

    Attributes
    ----------
    limit : Limit or None
        The limit that the first scorer has now.
    """

    def __init__(
        self, first: Scorer, rows: NDArray[np.int64], snapshots: Sequence[Mapping[str, NDArray[Any]]]
    ) -> None:
        assert first.detector is not None
        self.detector = first.detector.take(rows)
        self.limit: Limit | None = first.limit
        self.elevated_since: NDArray[np.int64] = snapshots[0]["elevated_since"][rows]
        self._settings = first.settings
        n_before = level_steps(self._settings.window_length)
        self._recent = first.recent.as_of(len(snapshots), rows, snapshots[0], n_steps=n_before)
        self._snapshots = [{name: array[rows] for name, array in snapshot.items()} for snapshot in snapshots]
        self._limits: NDArray[np.float64] = self._snapshots[0]["limits"]
        # Snapshots from before there were levels have none: their level is the present one.
        centre = self.detector.scaling.centre
        centres = [snapshot.get("centre", centre) for snapshot in self._snapshots] + [centre]
        self._shifts = np.array([after - before for before, after in pairwise(centres)])
        followed_ms = first.levels.rows.followed_ms[rows]
        followed = [snapshot.get("followed_ms", followed_ms) for snapshot in self._snapshots] + [followed_ms]
        self._followed_ms = np.array(followed)
        has_followed = np.diff(self._followed_ms, axis=0) != 0
        self.levels = RecordedLevels(self._shifts, np.where(has_followed, self._followed_ms[1:], 0))
        unmoved = {"joint": np.full(len(rows), -1), "jump": np.zeros_like(centre)}
        self._levels = [
            (of_step, *(snapshot.get(name, unmoved[name]) for name in unmoved))
            for of_step, snapshot in zip(centres, self._snapshots, strict=False)
        ]

    def limits(self) -> NDArray[np.float64]:
        """Give the limit that each entity (m,) had at the step that was scored last."""
        return self._limits

    def stale_from_ms(self) -> NDArray[np.int64]:
        """Tell from when on each entity (m,) is stale, if no more samples come."""
        return self._recent.seen.stale_from_ms(self._settings.step_ms, self._settings.stale_ms)

    def score(self, closed: ClosedSteps) -> Iterator[ScoredStep]:
        """Score the steps as they are now, in order."""
        detector, seen, window = self.detector, self._recent.seen, self._settings.window_length
        n_before = level_steps(window)
        steps = self._recent.before(n_before, closed.values)
        for t in range(len(closed.values)):
            self._restore(t)
            centre, joint, jump = self._levels[t]
            if t == 0 or self._shifts[t - 1].any():
                past = on_present_level(steps, closed.first_step - n_before, joint, jump, centre)
                scaled = scale_block(past[n_before - window + 1 :], detector)
            detector.season.begin_step(closed.end_ms(t), learns=False)
            snapshot = snapshot_of(
                self._limits,
                seen,
                self.elevated_since,
                detector,
                joint=joint,
                jump=jump,
                followed_ms=self._followed_ms[t],
            )
            self._recent.count_step(closed.first_step + t, closed.values[t])
            step = score_step(
                closed,
                t,
                scaled,
                detector,
                seen,
                elevated_since=self.elevated_since,
                limits=self._limits,
                stale_ms=self._settings.stale_ms,
            )
            self.elevated_since = step.elevated_since_ms
            if step.learnable is not None:
                detector.season.observe(step.learnable.rows, step.learnable.windows[:, -1])
            yield replace(step, learnable=None, past=past[t : t + n_before + 1], snapshot=snapshot)

    def learn(self, step: ScoredStep, frozen: NDArray[np.bool_]) -> None:
        """Learn nothing: the step was learned when it was judged the first time."""

    def freeze(self, row: int) -> None:
        """Leave the entity to its snapshots, which say what it was judged by."""

    def thaw(self, row: int, *, keep: bool) -> None:
        """Leave the entity to its snapshots, which say what it was judged by."""

    def _restore(self, t: int) -> None:
        """Let the detector know what it knew at the t-th step."""
        snapshot = self._snapshots[t]
        self.levels.at_step(t)
        self._limits = snapshot["limits"]
        of_detector = {
            name.removeprefix("detector."): array
            for name, array in snapshot.items()
            if name.startswith("detector.")
        }
        self.detector.restore(of_detector, begins=t == 0)
        self.detector.scaling.restore(self._levels[t][0])
        if t:
            self.detector.gaussian.settle(np.arange(len(self._limits)), self._shifts[t - 1] != 0)
