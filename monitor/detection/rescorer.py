"""Scores the newest steps of some entities a second time, by what they were scored by the first time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.limits import Limit
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
        n_before = self._settings.window_length - 1
        self._recent = first.recent.as_of(len(snapshots), rows, snapshots[0], n_steps=n_before)
        self._snapshots = [{name: array[rows] for name, array in snapshot.items()} for snapshot in snapshots]
        self._limits: NDArray[np.float64] = self._snapshots[0]["limits"]

    def limits(self) -> NDArray[np.float64]:
        """Give the limit that each entity (m,) had at the step that was scored last."""
        return self._limits

    def stale_from_ms(self) -> NDArray[np.int64]:
        """Tell from when on each entity (m,) is stale, if no more samples come."""
        return self._recent.seen.stale_from_ms(self._settings.step_ms, self._settings.stale_ms)

    def score(self, closed: ClosedSteps) -> Iterator[ScoredStep]:
        """Score the steps as they are now, in order."""
        detector, seen = self.detector, self._recent.seen
        scaled = scale_block(self._recent.before(self._settings.window_length - 1, closed.values), detector)
        for t in range(len(closed.values)):
            self._restore(t)
            detector.season.begin_step(closed.end_ms(t), learns=False)
            snapshot = snapshot_of(self._limits, seen, self.elevated_since, detector)
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
            yield replace(step, learnable=None, snapshot=snapshot)

    def learn(self, step: ScoredStep, frozen: NDArray[np.bool_]) -> None:
        """Learn nothing: the step was learned when it was judged the first time."""

    def freeze(self, row: int) -> None:
        """Leave the entity to its snapshots, which say what it was judged by."""

    def thaw(self, row: int, *, keep: bool) -> None:
        """Leave the entity to its snapshots, which say what it was judged by."""

    def _restore(self, t: int) -> None:
        """Let the detector know what it knew at the t-th step."""
        snapshot = self._snapshots[t]
        self._limits = snapshot["limits"]
        of_detector = {
            name.removeprefix("detector."): array
            for name, array in snapshot.items()
            if name.startswith("detector.")
        }
        self.detector.restore(of_detector, begins=t == 0)
