"""Judges the newest steps of some entities a second time, by what they were judged by the first time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.limits import Limit
from monitor.detection.scored_step import ScoredStep
from monitor.detection.scorer import Scorer
from monitor.detection.steps import ClosedSteps


class Rescorer(Scorer):
    """Judges the newest steps of some entities of another scorer again: as `snapshots` say that they were judged; learns nothing.

    Parameters
    ----------
    rows : ndarray, shape (m,)
        Entities that were calibrated at the first of the moments.
    moments : sequence of mapping
        What the other scorer gave as its `snapshot` for each of its newest steps, oldest first.
    """

    def __init__(self, first: Scorer, rows: NDArray[np.int64], snapshots: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        assert first.detector is not None
        vars(self).update(vars(first))
        self.detector = first.detector.take(rows)
        before = first._recent[: len(first._recent) - len(snapshots)]
        self._recent = before[len(before) - min(len(before), self._window - 1) :, rows]
        self._known_since = first._known_since[rows]
        self._limit = first.limit
        self._snapshots = [{name: array[rows] for name, array in snapshot.items()} for snapshot in snapshots]
        for name in ("n_seen", "last_seen", "elevated_since"):
            setattr(self, f"_{name}", self._snapshots[0][name])
        self._at = 0

    @property
    def limit(self) -> Limit | None:
        """The limit that the other scorer has now."""
        return self._limit

    def score(self, closed: ClosedSteps) -> Iterator[ScoredStep]:
        """Judge the steps, as they are now, in order."""
        yield from self._score_block(closed)

    def learn(self, step: ScoredStep, frozen: NDArray[np.bool_]) -> None:
        """Learn nothing: the step has been learned as it was."""

    def freeze(self, row: int) -> None:
        """Go on by what each moment says: whether an entity was frozen then is in it."""

    def thaw(self, row: int, *, keep: bool) -> None:
        """Go on by what each moment says."""

    def _begin_step(self) -> None:
        assert self.detector is not None
        snapshot = self._snapshots[self._at]
        self._frozen_limit = snapshot["limits"]
        self.detector.restore(
            {name.removeprefix("detector."): array for name, array in snapshot.items() if name.startswith("detector.")},
            begins=self._at == 0,
        )
        self._at += 1
        super()._begin_step()
