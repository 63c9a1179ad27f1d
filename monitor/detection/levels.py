"""Which episodes end with a new level and which entities go back to an old one, asked step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.detector import Detector
from models.levels import Levels, level_steps, median_and_spread
from monitor.alerting.alert import LevelChange
from monitor.detection.recent_steps import RecentSteps
from monitor.detection.scored_step import ScoredStep
from monitor.detection.settings import WatchSettings

__all__ = ["LevelTracker", "RecordedLevels", "StepLevels", "level_changes"]

_SOON_STEPS = 4  # a return is found within so many steps
# Times L, from the onset of an episode on: a level that is stable then has changed for good. The least number
# counts where the other would come after an episode is accepted anyway.
_SETTLED, _LEAST_SETTLED = 24, 8


class StepLevels(Protocol):
    """What a judge asks of levels: of the live ones, and of those that were recorded the first time."""

    def begin(self, row: int, since_ms: int, past: NDArray[np.float64], *, follows: bool = False) -> None:
        """Remember an entity's levels before an episode that begins at the last of some steps (T, n, C).

        If it `follows` another one, which is not over, what was before that counts still.
        """

    def second_since_ms(
        self, step: ScoredStep, rows: NDArray[np.int64], over: NDArray[np.bool_], limits: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Tell since when a second fault has been over the limit in open episodes (m,); 0 where none is.

        Those that are `over` (m,) the limit at all can show one; `limits` are of all entities (n,).
        """

    def due(self, step: ScoredStep, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give those of some entities with open episodes that are to be asked for new levels at this step."""

    def changes(self, step: ScoredStep, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give by how much open episodes' channels (m, C) have come to new levels; 0 where they have not."""

    def returning(self, step: ScoredStep, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which entities (m,) are about to leave their level for an earlier one."""

    def accept(self, row: int, shift: NDArray[np.float64], step: ScoredStep) -> None:
        """Judge an entity around new levels, `shift` (C,) above the old ones, from the next step on."""

    def go_back(self, row: int, step: ScoredStep) -> None:
        """Judge an entity around its earlier levels from the next step on."""


class LevelTracker:
    """The levels of a watch's entities; moves the centre that they are scaled around.

    Parameters
    ----------
    detector : callable
        Gives the detector that judges now, None before there is any.

    Attributes
    ----------
    rows : Levels
        What is known of each entity.
    n_steps : int
        How many steps a level is measured by, L.
    """

    def __init__(self, settings: WatchSettings, detector: Callable[[], Detector | None]) -> None:
        self.rows = Levels(0, channels=0)
        self.n_steps = level_steps(settings.window_length)
        self._step_ms = settings.step_ms
        self._lasting_ms = round(settings.alert.accept_after_seconds * 1000)
        self._detector = detector
        n_before_accepted = self._lasting_ms // self._step_ms - self.n_steps
        least, most = _LEAST_SETTLED * self.n_steps, _SETTLED * self.n_steps
        self._n_settled = min(most, max(least, n_before_accepted))

    def begin(self, row: int, since_ms: int, past: NDArray[np.float64], *, follows: bool = False) -> None:
        """Remember an entity's levels before an episode that begins at the last of some steps (T, n, C).

        If it `follows` another one, which is not over, what was before that counts still.
        """
        detector = self._detector()
        if follows:
            self.rows.begin_again(row, since_ms=since_ms)
        elif detector is not None:
            window, scaling = past[-1 - self.n_steps : -1, row], detector.scaling
            near_ms = self.n_steps * self._step_ms
            self.rows.begin(
                row, window, scaling.centre[row], scaling.scale[row], since_ms=since_ms, near_ms=near_ms
            )

    def second_since_ms(
        self, step: ScoredStep, rows: NDArray[np.int64], over: NDArray[np.bool_], limits: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Tell since when a second fault has been over the limit in open episodes (m,); 0 where none is.

        Those that are `over` (m,) the limit at all can show one; `limits` are of all entities (n,). None is
        in the first L steps: the fault itself may grow there.
        """
        shows = over & (self.rows.n_behind(rows, step.time_ms, self._step_ms) >= self.n_steps)
        detector = self._detector()
        if detector is None:
            shows[:] = False
        elif shows.any():
            shows[shows] = _show_second_fault(self.rows, step, rows[shows], limits, detector)
        self.rows.show_second(rows, shows, time_ms=step.time_ms)
        return np.asarray(self.rows.second_since_ms[rows])

    def end(self, row: int, time_ms: int) -> None:
        """Note when an episode ended."""
        self.rows.ended_ms[row] = time_ms

    def blame(self, step: ScoredStep, frozen: NDArray[np.bool_]) -> None:
        """Note which channels of those `frozen` (n,) in an episode are to blame for a step over the limit."""
        over = np.flatnonzero(frozen & (step.score >= 1.0))
        # An error that a second fault brings is no measure for itself while that is held.
        over = over[self.rows.second_since_ms[over] == 0]
        if over.size:
            self.rows.blame(over, step.channel_error[over])

    def due(self, step: ScoredStep, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give those of some entities with open episodes that are to be asked for new levels at this step.

        That is each quarter of L behind the onset.
        """
        return np.asarray(
            rows[self.rows.n_behind(rows, step.time_ms, self._step_ms) % (self.n_steps // 4) == 0]
        )

    def changes(self, step: ScoredStep, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give by how much open episodes' channels (m, C) have come to new levels; 0 where they have not.

        None has before an episode has lasted 24 L steps: what comes and goes meanwhile is a fault.
        """
        shifts, detector = np.zeros((len(rows), step.actual.shape[1])), self._detector()
        old_enough = self.rows.n_behind(rows, step.time_ms, self._step_ms) >= self._n_settled
        which = rows[old_enough]
        if detector is not None and step.past is not None and which.size:
            scale = detector.scaling.scale[which]
            shifts[old_enough] = self.rows.changes(which, step.past[1:, which], scale)
        return shifts

    def returning(self, step: ScoredStep, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which entities (m,) are about to leave their level for an earlier one."""
        if step.past is None:
            return np.zeros(len(rows), bool)
        return self.rows.returning(rows, step.past[:, rows], step.channel_error[rows])

    def accept(self, row: int, shift: NDArray[np.float64], step: ScoredStep) -> None:
        """Judge an entity around new levels, `shift` (C,) above the old ones, from the next step on."""
        self.rows.accept(row, shift, time_ms=step.time_ms)
        self._move(row, shift)

    def newest_steps(self, row: int, recent: RecentSteps) -> NDArray[np.float64]:
        """Give the newer half of an open episode's steps (T, C), L at most: it may begin on its way."""
        n_episode = recent.newest_step + 2 - int(self.rows.since_ms[row]) // self._step_ms
        n_newest = min(max(1, n_episode - n_episode // 2), self.n_steps)
        return recent.values[-n_newest:, row]

    def declared(self, row: int, steps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give by how much the channels (C,) of an open episode differ from before it in some steps."""
        detector = self._detector()
        if detector is None or not len(steps):
            return np.zeros(self.rows.shift.shape[1])
        return self.rows.declared(row, steps, detector.scaling.scale[row])

    def declare(self, row: int, shift: NDArray[np.float64], recent: RecentSteps) -> None:
        """Judge an entity around levels that `declared` gave from the next step on."""
        newest_step = recent.newest_step
        time_ms = (newest_step + 1) * self._step_ms
        steps = recent.values[-self.n_steps :, row]
        self.rows.declare(row, shift, steps, newest_step=newest_step, time_ms=time_ms)
        self._move(row, shift)

    def go_back(self, row: int, step: ScoredStep) -> None:
        """Judge an entity around its earlier levels from the next step on."""
        assert step.past is not None
        newest_step = step.time_ms // self._step_ms - 1
        shift = self.rows.go_back(
            row,
            step.past[:, row],
            newest_step=newest_step,
            time_ms=step.time_ms,
            lasting_ms=self._lasting_ms,
        )
        self._move(row, shift)

    def take_over(self, old: LevelTracker) -> None:
        """Continue with what another one knew of open episodes; the model has a scaling of its own."""
        self.rows = old.rows
        self.rows.forget_shifts()

    def shift_time(self, n_steps: int) -> None:
        """Move all times back by so many steps: the clock that they came from was ahead."""
        self.rows.shift_time(n_steps, self._step_ms)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give every array by name."""
        return {f"levels.{name}": array for name, array in self.rows.state().items()}

    def load_state(self, arrays: Mapping[str, NDArray[Any]], *, n_rows: int, n_channels: int) -> None:
        """Copy arrays that `state` gave; a state from before there were levels has none.

        Raises
        ------
        ValueError
            If an array is missing or does not fit.
        """
        of_rows = {
            name.removeprefix("levels."): array
            for name, array in arrays.items()
            if name.startswith("levels.")
        }
        self.rows = Levels(n_rows, channels=n_channels)
        if of_rows:  # earlier versions knew no second faults: what their episodes' errors were is not known
            no_time = np.zeros_like(of_rows["since_ms"])
            unknown = {
                "highest_error": np.full_like(of_rows["before"], np.inf),
                "second_since_ms": no_time,
                "followed_ms": no_time,
            }
            self.rows.load_state(unknown | of_rows)

    def _move(self, row: int, shift: NDArray[np.float64]) -> None:
        detector = self._detector()
        assert detector is not None, "an episode has levels only where a detector judges"
        detector.scaling.move(row, shift)
        detector.gaussian.settle(np.array([row]), (shift != 0)[None])


class RecordedLevels:
    """Changes of level as they were the first time, when steps are judged again; nothing is remembered.

    Parameters
    ----------
    shifts : ndarray, shape (T, m, C)
        By how much the levels changed at each step.
    followed_ms : ndarray, shape (T, m)
        Onset of the second fault that began an episode of its own at a step; 0 where none did.
    """

    def __init__(self, shifts: NDArray[np.float64], followed_ms: NDArray[np.int64]) -> None:
        self._shifts, self._followed_ms = shifts, followed_ms
        self.at_step(0)

    def at_step(self, t: int) -> None:
        """Say which step is judged next."""
        self._followed_now_ms = self._followed_ms[t]
        self._shift, self._soon = self._shifts[t], np.abs(self._shifts[t : t + _SOON_STEPS]).sum(axis=0)

    def begin(self, row: int, since_ms: int, past: NDArray[np.float64], *, follows: bool = False) -> None:
        """Leave the entity to its snapshots, which say what it was judged by."""

    def second_since_ms(
        self, step: ScoredStep, rows: NDArray[np.int64], over: NDArray[np.bool_], limits: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Give the onset of the second fault that began an episode at this step the first time; 0: none."""
        return np.asarray(self._followed_now_ms[rows])

    def due(self, step: ScoredStep, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give those of some entities whose level changed at this step."""
        return np.asarray(rows[self._shift[rows].any(axis=1)])

    def changes(self, step: ScoredStep, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give by how much the channels (k, C) of some entities changed their level at this step."""
        return np.asarray(self._shift[rows])

    def returning(self, step: ScoredStep, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which entities changed their level at this step, or soon: its sample may have come late."""
        return np.asarray(self._soon[rows].any(axis=1))

    def accept(self, row: int, shift: NDArray[np.float64], step: ScoredStep) -> None:
        """Leave the entity to its snapshots, which say what it was judged by."""

    def go_back(self, row: int, step: ScoredStep) -> None:
        """Leave the entity to its snapshots, which say what it was judged by."""


def level_changes(
    shift: NDArray[np.float64], window: NDArray[np.float64], channels: Sequence[str]
) -> tuple[LevelChange, ...]:
    """Put the changes (C,) of one entity into words, the largest in units of the new noise first.

    `window` (T, C) holds the newest steps, which lie on the new levels.
    """
    level, spread = median_and_spread(window)
    size = np.abs(shift) / np.maximum(spread, 1e-12)
    order = np.argsort(-size, kind="stable")
    moved = [channel for channel in order.tolist() if shift[channel] != 0]
    return tuple(
        LevelChange(channels[channel], float(level[channel] - shift[channel]), float(level[channel]))
        for channel in moved
    )


def _show_second_fault(
    levels: Levels,
    step: ScoredStep,
    rows: NDArray[np.int64],
    limits: NDArray[np.float64],
    detector: Detector,
) -> NDArray[np.bool_]:
    """Tell which entities (m,) were over their limit by a second fault alone.

    The raw scores that it would have follow from its share of the squared error.
    """
    found, learnable = np.zeros(len(rows), bool), step.learnable
    if learnable is None or step.past is None:
        return found
    place = np.full(len(step.score), -1)
    place[learnable.rows] = np.arange(len(learnable.rows))
    scored = np.flatnonzero(place[rows] >= 0)
    which = rows[scored]
    share = levels.second_fault(
        which, step.past[:, which], step.channel_error[which], detector.scaling.scale[which]
    )
    raw_scores = learnable.raw_scores[place[which]] * np.sqrt(share)[:, None]
    found[scored] = detector.surprise(which, raw_scores) >= limits[which]
    return found
