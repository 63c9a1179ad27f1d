"""Levels of the channels that an episode left behind: found once they are stable, and when they go back.

An episode freezes what judges its entity. So a change for good would stay an anomaly for ever, and a second
fault behind it would not be seen. Here each channel has two references: one from the steps before the onset,
and the newest steps. Where the newest are stable and differ, the level has changed, and the entity is judged
around the new level from then on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.row_arrays import RowArrays, row_array

__all__ = ["Levels", "level_steps", "median_and_spread", "on_present_level"]

_LEAST_STEPS = 32  # that a level is measured by: the median of fewer is too uncertain
_IQR_OF_NORMAL = 1.349  # interquartile range of a normal distribution of standard deviation 1
_MIN_NOISE = 0.05  # of a channel's scale: less is no change that a score would show
_MATERIAL = 4.0  # times the noise: a change of level
_STABLE_NOISE = 1.5  # times the noise: between the halves of a window of 32, white noise stays below 0.9
_STABLE_SHARE = 0.05  # of the change: a ramp of the same slope passes only when it is ten windows long
_BLAMED_SHARE = 0.1  # of an entity's squared error
_SECOND_FACTOR = 1.2  # of a channel's highest error in an episode: what is beyond it is a second fault's
_SECOND_SHARE = 0.25  # of its squared error, where its value has moved again by half as much
_RETURN_NOISE = 3.0  # times the noise ...
_RETURN_SHARE = 0.25  # ... and of the change: how far a return may miss the old level


class Levels(RowArrays):
    """What is known of n entities' levels, in the channels' own units.

    `joint` and `jump` are replaced and never written into: a change of them ends a block of scaled steps.
    """

    since_ms = row_array(np.int64)  # onset of the newest episode
    before = row_array(np.float64, "channels", fill=np.nan)  # median of the L steps before it
    noise = row_array(np.float64, "channels", fill=np.nan)  # robust spread of those steps
    blamed = row_array(np.bool_, "channels")  # had much of the error while over the limit
    highest_error = row_array(np.float64, "channels")  # within that episode, or one that it followed
    second_since_ms = row_array(np.int64)  # 0 while that episode shows no second fault over the limit
    followed_ms = row_array(np.int64)  # onset of the last second fault that began an episode of its own
    ended_ms = row_array(np.int64)  # when that episode ended
    shift = row_array(np.float64, "channels")  # the change to come back from, new minus old; 0: none
    offset = row_array(np.float64, "channels")  # of the present level from the model's own centre
    shift_noise = row_array(np.float64, "channels")
    shift_ms = row_array(np.int64)  # when it was found
    joint = row_array(np.int64, fill=-1)  # first step on the present level; earlier ones lie a jump away
    jump = row_array(np.float64, "channels")

    def begin(
        self,
        row: int,
        window: NDArray[np.float64],
        centre: NDArray[np.float64],
        scale: NDArray[np.float64],
        *,
        since_ms: int,
        near_ms: int,
    ) -> None:
        """Remember an entity's levels before an episode.

        Where the last one ended less than `near_ms` before, its own onset counts: the window may be full
        of what it was about.

        Parameters
        ----------
        window : ndarray, shape (T, C)
            The steps before the onset. Where only half of them or less have a value, the centre counts.
        centre, scale : ndarray, shape (C,)
            The channels' own.
        """
        is_near = self.ended_ms[row] > 0 and since_ms - self.ended_ms[row] < near_ms
        self.since_ms[row] = since_ms
        self.blamed[row] = False
        self.highest_error[row] = 0.0
        self.second_since_ms[row] = 0
        if not is_near:
            level, spread = median_and_spread(window)
            n_known = (~np.isnan(window)).sum(axis=0)
            is_few = (n_known > 0) & (2 * n_known <= len(window))
            self.before[row] = np.where(is_few, centre, level)
            self.noise[row] = np.fmax(spread, _MIN_NOISE * scale)

    def blame(self, rows: NDArray[np.int64], channel_error: NDArray[np.float64]) -> None:
        """Note which channels have much of the error (m, C) of entities that are over their limit."""
        self.highest_error[rows] = np.fmax(self.highest_error[rows], channel_error)
        squared = channel_error**2
        most = np.minimum(_BLAMED_SHARE * squared.sum(axis=1), squared.max(axis=1, initial=0.0))
        self.blamed[rows] |= (squared >= most[:, None]) & (squared > 0)

    def begin_again(self, row: int, *, since_ms: int) -> None:
        """Note that an episode follows another one, which is not over: what was before that counts still."""
        self.since_ms[row], self.followed_ms[row] = since_ms, self.second_since_ms[row]
        self.blamed[row] = False

    def show_second(self, rows: NDArray[np.int64], shows: NDArray[np.bool_], *, time_ms: int) -> None:
        """Note in which open episodes (m,) a second fault shows over the limit at a step."""
        is_new = shows & (self.second_since_ms[rows] == 0)
        self.second_since_ms[rows[is_new]] = time_ms
        self.second_since_ms[rows[~shows]] = 0

    def second_fault(
        self,
        rows: NDArray[np.int64],
        steps: NDArray[np.float64],
        channel_error: NDArray[np.float64],
        scale: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Give the share of open episodes' squared error (m,) that a second fault brings; 0 without one.

        A second fault is sudden: the newest step differs by 4 noises from the level of the L steps before,
        and not towards the level before the episode. Of such a channel counts the squared error beyond 1.2
        times its highest within the episode. Errors are capped, so of one that leaves the range of these L
        steps by half of its first change, a quarter of the squared error counts at least.

        Parameters
        ----------
        steps : ndarray, shape (T, m, C)
            The newest step and the L before it.
        channel_error, scale : ndarray, shape (m, C)
            Of the newest step; the channels' own.
        """
        newest, earlier = steps[-1], steps[:-1]
        level, spread = median_and_spread(earlier)
        displacement = level - self.before[rows]
        noise = np.fmax(self.noise[rows], _MIN_NOISE * scale)
        known = ~np.isnan(earlier)
        highest = np.where(known, earlier, -np.inf).max(axis=0)
        lowest = np.where(known, earlier, np.inf).min(axis=0)
        with np.errstate(invalid="ignore"):
            is_sudden = np.abs(newest - level) > _MATERIAL * np.fmax(spread, _MIN_NOISE * scale)
            has_moved = np.abs(displacement) > _MATERIAL * noise
            leads_back = has_moved & ((newest - level) * displacement < 0)
            beyond = np.maximum(newest - highest, lowest - newest)
            moves_again = beyond >= 0.5 * np.fmax(np.abs(displacement), _MATERIAL * noise)
        squared = channel_error**2
        more = np.maximum(squared - (_SECOND_FACTOR * self.highest_error[rows]) ** 2, 0.0)
        more = np.where(moves_again, np.fmax(more, _SECOND_SHARE * squared), more)
        more = np.where(is_sudden & ~leads_back, more, 0.0)
        return np.asarray(more.sum(axis=1) / np.maximum(squared.sum(axis=1), 1e-12))

    def n_behind(self, rows: NDArray[np.int64], time_ms: int, step_ms: int) -> NDArray[np.int64]:
        """Count the steps (m,) from the onsets of episodes to a time."""
        return np.asarray((time_ms - self.since_ms[rows]) // step_ms)

    def changes(
        self, rows: NDArray[np.int64], window: NDArray[np.float64], scale: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Give how far the channels of open episodes lie from where they were, where that is stable.

        Only blamed channels count. As long as a single one of them that has moved is not stable, none has.

        Parameters
        ----------
        window : ndarray, shape (L, m, C)
            The newest steps.
        scale : ndarray, shape (m, C)
            The channels' own.

        Returns
        -------
        ndarray, shape (m, C)
            New minus old level; 0 where it is the old one, not stable or not known.
        """
        middle = len(window) // 2
        first, _ = median_and_spread(window[:middle])
        second, spread = median_and_spread(window[middle:])
        level, _ = median_and_spread(window)
        shift = level - self.before[rows]
        noise, has_moved = self._moved(rows, shift, spread, scale)
        allowed = np.maximum(_STABLE_NOISE * noise, _STABLE_SHARE * np.abs(shift))
        with np.errstate(invalid="ignore"):
            is_stable = np.abs(second - first) <= allowed
        counts = has_moved & (is_stable | ~has_moved).all(axis=1, keepdims=True)
        return np.asarray(np.where(counts, shift, 0.0))

    def returning(
        self, rows: NDArray[np.int64], steps: NDArray[np.float64], channel_error: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Tell which entities (m,) go back to the level before the newest change, or to where they began.

        Every channel with much of the error must.

        Parameters
        ----------
        steps : ndarray, shape (T, m, C)
            The newest step and the L before it.
        channel_error : ndarray, shape (m, C)
            Of the newest step.
        """
        squared = channel_error**2
        has_much = (channel_error > 1.0) & (squared >= _BLAMED_SHARE * squared.sum(axis=1, keepdims=True))
        comes_back = np.zeros(len(rows), bool)
        for shift in (self.shift[rows], self.offset[rows]):
            goes_back = self._miss(rows, steps, shift) <= 1.0
            comes_back |= goes_back.any(axis=1) & (goes_back | ~has_much).all(axis=1)
        return np.asarray(comes_back)

    def accept(self, row: int, shift: NDArray[np.float64], *, time_ms: int) -> None:
        """Let an entity be judged around new levels; all steps that are still needed lie there."""
        self.shift[row], self.shift_noise[row], self.shift_ms[row] = shift, self.noise[row], time_ms
        self.offset[row] += shift
        self.ended_ms[row] = 0  # what was before the episode is no reference any more
        self._join(row, -1, np.zeros_like(shift))

    def declared(
        self, row: int, steps: NDArray[np.float64], scale: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Give how far the channels (C,) of an open episode lie from where they were, stable or not.

        An operator says that this is normal. Only blamed channels count.

        Parameters
        ----------
        steps : ndarray, shape (T, C)
            The newest steps of the episode.
        """
        level, spread = median_and_spread(steps)
        shift = level - self.before[row]
        _, has_moved = self._moved(row, shift, spread, scale)
        return np.asarray(np.where(has_moved, shift, 0.0))

    def declare(
        self,
        row: int,
        shift: NDArray[np.float64],
        steps: NDArray[np.float64],
        *,
        newest_step: int,
        time_ms: int,
    ) -> None:
        """Let an entity be judged around levels that `declared` gave; earlier steps lie on the old ones.

        Parameters
        ----------
        steps : ndarray, shape (T, C)
            The newest that are still needed; those of the new level are the last of them.
        """
        self.accept(row, shift, time_ms=time_ms)
        channel = self._clearest(row, shift)
        n_new = _n_newest_off(steps[:, channel], self.before[row, channel], shift[channel])
        self._join(row, newest_step + 1 - n_new, shift)

    def go_back(
        self, row: int, steps: NDArray[np.float64], *, newest_step: int, time_ms: int, lasting_ms: int
    ) -> NDArray[np.float64]:
        """Let an entity be judged around its old levels again, and give by how much they differ (C,).

        A level that lasted for `lasting_ms` is a normal one: going there again will be silent too. After a
        shorter one, which was a fault, what is left to come back from is the way to where all began.

        Parameters
        ----------
        steps : ndarray, shape (T, C)
            The newest, of which the last few lie on the old level.
        """
        rows = np.array([row])
        ways = np.stack([self.shift[row], self.offset[row]])
        misses = [np.min(self._miss(rows, steps[:, None], way[None])) for way in ways]
        back: NDArray[np.float64] = -ways[int(np.argmin(misses))]
        self.offset[row] += back
        lasted = time_ms - self.shift_ms[row] >= lasting_ms
        self.shift[row] = back if lasted else self.offset[row]
        self.shift_ms[row], self.ended_ms[row] = time_ms, 0
        channel = self._clearest(row, back)
        level, _ = median_and_spread(steps[:-1, channel])
        n_back = _n_newest_off(steps[:, channel], level, back[channel])
        self._join(row, newest_step + 1 - n_back, back)
        return back

    def forget_shifts(self) -> None:
        """Begin anew with a model that has its own scaling; what was before open episodes is kept."""
        self.shift, self.offset = np.zeros_like(self.shift), np.zeros_like(self.offset)
        self.highest_error = np.full_like(self.highest_error, np.inf)  # its errors are no measure for the old
        self.joint, self.jump = np.full_like(self.joint, -1), np.zeros_like(self.jump)

    def shift_time(self, n_steps: int, step_ms: int) -> None:
        """Move all times back by so many steps."""
        for times in (self.since_ms, self.ended_ms, self.shift_ms, self.second_since_ms, self.followed_ms):
            times[times != 0] -= n_steps * step_ms
        self.joint = np.where(self.joint >= 0, np.maximum(self.joint - n_steps, -1), self.joint)

    def _moved(
        self,
        rows: int | NDArray[np.int64],
        shift: NDArray[np.float64],
        spread: NDArray[np.float64],
        scale: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Give the noise that shifts (..., C) are measured by, and which blamed channels have moved."""
        noise = np.fmax(np.fmax(self.noise[rows], spread), _MIN_NOISE * scale)
        with np.errstate(invalid="ignore"):
            return noise, self.blamed[rows] & (np.abs(shift) > _MATERIAL * noise)

    def _miss(
        self, rows: NDArray[np.int64], steps: NDArray[np.float64], shift: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Give how far the newest of steps (T, m, C) misses a way back by `shift` (m, C).

        1 is the most that is allowed; infinite where there is no way back.
        """
        level, spread = median_and_spread(steps[:-1])
        noise = np.fmax(self.shift_noise[rows], spread)
        allowed = _RETURN_SHARE * np.abs(shift) + _RETURN_NOISE * noise
        miss = np.abs(steps[-1] - level + shift)
        is_way = (shift != 0) & ~np.isnan(miss)
        return np.asarray(np.where(is_way, miss / np.maximum(allowed, 1e-12), np.inf))

    def _clearest(self, row: int, shift: NDArray[np.float64]) -> int:
        """Give the channel whose shift (C,) is the largest in units of its noise."""
        return int(np.argmax(np.abs(shift) / np.maximum(self.shift_noise[row], 1e-12)))

    def _join(self, row: int, joint: int, jump: NDArray[np.float64]) -> None:
        self.joint, self.jump = self.joint.copy(), self.jump.copy()
        self.joint[row], self.jump[row] = joint, jump


def level_steps(window_length: int) -> int:
    """Give how many steps a level is measured by, L: a window, but not too few."""
    return max(window_length, _LEAST_STEPS)


def on_present_level(
    steps: NDArray[np.float64],
    first_step: int,
    joint: NDArray[np.int64],
    jump: NDArray[np.float64],
    centre: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Give steps (T, n, C) with those before an entity's newest jump moved by it; the rest as they are.

    A value that is nearer to the present level without that stays: it came late, and lies behind the jump.

    Parameters
    ----------
    first_step : int
        Number of the first of the steps.
    joint, jump : ndarray, shapes (n,), (n, C)
        As in `Levels`.
    centre : ndarray, shape (n, C), optional
        The present level; None where there was never a jump.
    """
    rows = np.flatnonzero(joint > first_step)
    if centre is None or not rows.size:
        return steps
    steps = steps.copy()
    for row in rows.tolist():
        before = steps[: joint[row] - first_step, row]
        moved = before + jump[row]
        is_nearer = np.abs(moved - centre[row]) < np.abs(before - centre[row])
        before[:] = np.where(is_nearer, moved, before)
    return steps


def median_and_spread(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the median and IQR / 1.349 over the first axis, ignoring NaN; NaN where there is nothing else."""
    n_known = (~np.isnan(values)).sum(axis=0)
    ordered = np.sort(values, axis=0)  # NaN last
    quartiles = []
    for share in (0.25, 0.5, 0.75):
        position = share * np.maximum(n_known - 1, 0)
        below = position.astype(np.int64)
        above = np.minimum(below + 1, np.maximum(n_known - 1, 0))
        low = np.take_along_axis(ordered, below[None], axis=0)[0]
        high = np.take_along_axis(ordered, above[None], axis=0)[0]
        quartiles.append(low + (high - low) * (position - below))
    return quartiles[1], (quartiles[2] - quartiles[0]) / _IQR_OF_NORMAL


def _n_newest_off(
    values: NDArray[np.float64], level: NDArray[np.floating] | np.floating, shift: np.floating
) -> int:
    """Count the newest values (T,) without a break that lie off a level by more than half of a shift."""
    is_off = np.abs(values - level) > np.abs(shift) / 2
    return len(values) if is_off.all() else int(np.argmin(is_off[::-1]))
