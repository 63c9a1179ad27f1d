"""The season of a day: how high and low each channel usually goes at this time, and what is missing.

The day (UTC) is cut into slots. For each slot the profile knows the usual highest and lowest value of a
*neighbourhood*, the slot and the slots beside it, so that a job which begins ten minutes early changes
nothing. A value far beyond the usual at this time is evidence; so is a usual height that was not reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.limits import Budget
from models.row_arrays import RowArrays, row_array

__all__ = ["GROSS", "OutOfSeason", "SeasonProfile", "accept_season", "explain_season", "slots_of_day"]

_DAY_MS = 86_400_000
_SLOT_SECONDS = 1800.0
_LONGEST_STEP_SECONDS = 3600.0  # longer steps have too few of them in a day
_MEMORY_DAYS = 14.0  # a day enters the mean with 1/14: two weekends and ten working days
_LEAST_DAYS = 7  # a slot says nothing before a whole week was seen: the first weekend would be missing things
_SIGMAS = 3.0  # a weekend at half differs from the mean of all days by less than 2.5 of their spreads
_LEAST_SPREAD = 0.5  # scaled units
_MEASURED_SHARE = 0.8  # of a neighbourhood's steps; with more gaps its height is not known
_RECORD_DAYS = 28
_LEAST_RECORD_DAYS = 5  # before the own record of a row can be judged by
_ALLOWED_DAYS = 2  # of a record, which may have been higher than the limit
_BUDGET_SHARE = 0.25  # of the false episodes that a watch is allowed
_MARGIN = 1.25  # of the limit above the record
GROSS = 6.0  # the lowest limit: six spreads beyond three
_LONGEST_SLOTS = 4  # what lasts longer than its neighbourhood and a slot is no matter of the time of day
_HIGHEST, _LOWEST = 1.0, -1.0  # signs: the lowest value is the highest of the negated ones


def slots_of_day(step_seconds: float) -> int:
    """Give the number of slots that a day is cut into, each 30 minutes and two steps long at least.

    0 for steps of more than an hour, which have no season.
    """
    if step_seconds > _LONGEST_STEP_SECONDS:
        return 0
    return int(86400.0 / max(_SLOT_SECONDS, 2 * step_seconds))


@dataclass(frozen=True, slots=True)
class OutOfSeason:
    """What speaks against the channels of some rows at their time of day, (n, C) each, in scaled units.

    `evidence` in spreads, NaN where it is not known. `actual` is the newest value where that lies beyond the
    usual, or the height that was reached where a usual one is missing; `usual` the mean of all days' heights.
    """

    evidence: NDArray[np.float32]
    actual: NDArray[np.float32]
    usual: NDArray[np.float32]


class SeasonProfile(RowArrays):
    """The usual extremes of each time of day, for each row and channel, and evidence against them.

    Call `begin_step` for each closed step, then `raw_score`, then `learn`. All values are in scaled
    units. Every step is learned, those of an alert too: after some days the new habit is usual.
    Costs 1.1 kB for each channel of a row with 48 slots.

    Axes of length 2 hold the highest value, then the highest negated value. The `bound` of each is
    that of the newest value now, then that which the neighbourhood that ended last should have reached.

    The raw score counts spreads (standard deviations over days) beyond the mean of all days' extremes
    and three spreads, and takes the largest over channels. The limit of a row is the third highest of
    its days' raw scores in four weeks with a margin of a quarter, and 6 at least. Where the days of all
    rows that were higher than their limits are more than a quarter of the budget, all limits are raised
    until they are not.
    """

    mean = row_array(np.float32, "channels", 2, "slots")  # over days, of a neighbourhood's extremes
    variance = row_array(np.float32, "channels", 2, "slots")
    n_days = row_array(np.int16, "channels", "slots")
    extreme = row_array(np.float32, "channels", 2, 4, fill=-np.inf)  # of this slot and of the three before it
    n_measured = row_array(np.int16, "channels", 4)  # their measured steps
    slot = row_array(np.int64, fill=-2)  # since the epoch
    bound = row_array(np.float32, "channels", 2, 2, fill=np.nan)
    spread = row_array(np.float32, "channels", 2, 2, fill=1.0)
    slot_peak = row_array(np.float32)  # highest raw score of this slot
    n_lasting = row_array(np.int16)  # slots before it with a gross raw score each
    day_peak = row_array(np.float32, _RECORD_DAYS, fill=np.nan)  # by the day since the epoch, modulo 28
    limit = row_array(np.float32, fill=np.inf)

    def __init__(self, n_rows: int, n_channels: int, step_seconds: float) -> None:
        self._step_seconds = step_seconds
        self._n_slots = slots_of_day(step_seconds)
        steps_together = 3 * 86400.0 / step_seconds / max(self._n_slots, 1)
        self._n_needed = _MEASURED_SHARE * steps_together
        super().__init__(n_rows, channels=n_channels, slots=self._n_slots)

    def begin_step(
        self,
        time_ms: int,
        *,
        budget: Budget | None = None,
        sharing: NDArray[np.bool_] | None = None,
        n_apart: int = 0,
        learns: bool = True,
    ) -> None:
        """Prepare all rows for the step that ends at `time_ms` (event time), once before it is judged.

        Parameters
        ----------
        budget, sharing : Budget and ndarray of shape (n_rows,), optional
            The false episodes allowed, and the rows that share them; without it each row has its own limit.
        n_apart : int
            Entities that share the budget, where each row is to keep its own part of it by its own days.
        learns : bool
            When a slot ends, learn what was seen of its neighbourhood, and set bounds and limits. False for
            a step that is judged again: that is done by its snapshot.
        """
        if not self._n_slots:
            return
        slot = int(_slot_at(time_ms, self._n_slots))
        changed = np.flatnonzero(self.slot != slot)
        if not changed.size:
            return
        follows = changed[self.slot[changed] == slot - 1]
        if learns:
            self._set_bounds(changed, slot)
            self._learn_neighbourhood(follows, (slot - 2) % self._n_slots)
            is_lasting = self.slot_peak[follows] >= GROSS
            self.n_lasting[follows] = np.where(is_lasting, self.n_lasting[follows] + 1, 0)
            limit, record = self._own_limits(changed, slot // self._n_slots)
            scores = record / limit[:, None]
            if budget is not None and n_apart:
                limit = limit * _excess(scores, budget.rate_per_second(n_apart) / n_apart)
            elif budget is not None and sharing is not None:
                of_all = scores[sharing].reshape(1, -1)
                limit = limit * _excess(of_all, budget.rate_per_second(int(sharing.sum())))
            self.limit = limit.astype(np.float32)
        for array, fill in ((self.extreme, -np.inf), (self.n_measured, 0)):
            shifted = array[follows, ..., :-1]
            array[changed] = fill
            array[follows, ..., 1:] = shifted
        self.slot[changed] = slot
        self.slot_peak[changed] = 0.0

    def channel_evidence(self, rows: NDArray[np.int64], step: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the spreads (n, C) by which each channel is out of season; NaN where that is not known.

        Parameters
        ----------
        step : ndarray, shape (n, C)
            The newest step of distinct rows; NaN is a gap.
        """
        # Slices instead of reductions: numpy is ten times slower along an axis of two or three.
        bound, spread = self.bound[rows], self.spread[rows]
        before = _heights(self.extreme[rows], self.n_measured[rows], self._n_needed)
        beyond = (_signed(step) - bound[:, :, 0]) / spread[:, :, 0]  # (n, C, 2)
        missing = (bound[:, :, 1] - before) / spread[:, :, 1]
        furthest = np.fmax(beyond, missing)
        evidence: NDArray[np.float32] = np.fmax(furthest[..., 0], furthest[..., 1])
        return np.maximum(evidence, np.float32(0.0))

    def raw_score(self, rows: NDArray[np.int64], step: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the raw scores (n,) of one step (n, C) of distinct rows; NaN where nothing is known.

        0 where gross evidence has lasted for two hours: what stays is no matter of the time of day.
        """
        evidence: NDArray[np.float32] = np.fmax.reduce(self.channel_evidence(rows, step), axis=1)
        return np.where(self.n_lasting[rows] < _LONGEST_SLOTS, evidence, evidence * np.float32(0.0))

    def score(self, rows: NDArray[np.int64], step: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the raw scores (n,) over the limit of each row: 1 is at its limit; NaN where not known."""
        return np.asarray(self.raw_score(rows, step) / self.limit[rows], np.float64)

    def learn(self, rows: NDArray[np.int64], step: NDArray[np.float32]) -> None:
        """Learn one step (n, C) of distinct rows that was judged."""
        if not self._n_slots:
            return
        self._learn_raw_score(rows, step)
        self.observe(rows, step)

    def observe(self, rows: NDArray[np.int64], step: NDArray[np.float32]) -> None:
        """Take one step (n, C) of distinct rows into their present slot; learn nothing else."""
        if self._n_slots:
            self._observe(rows, _signed(step), ~np.isnan(step))

    def start(self, rows: NDArray[np.int64], history: NDArray[np.float32], steps: NDArray[np.int64]) -> None:
        """Learn from scaled history (T, n, C) of rows that are new: first what is usual, then the limit.

        Parameters
        ----------
        steps : ndarray, shape (T, n)
            Their numbers since the epoch, ascending: step k ends at `(k + 1) * step_seconds`.
        """
        if not self._n_slots or not history.size:
            return
        ends_ms = np.rint((steps + 1) * self._step_seconds * 1000).astype(np.int64)
        # Steps that end together were together, so that nearly always all rows start together.
        _, of_rows = np.unique(steps[-1], return_inverse=True)
        for number in range(int(of_rows.max()) + 1):
            together = np.flatnonzero(of_rows == number)
            profile = self.take(np.full(len(together), -1))
            profile._start(history[:, together], ends_ms[:, together[0]])
            self.put(rows[together], profile)

    def _start(self, history: NDArray[np.float32], ends_ms: NDArray[np.int64]) -> None:
        """Live through scaled steps (T, n, C) of all rows, by their ends (T,), a slot at a time."""
        everyone = np.arange(self.n_rows)
        numbers = _slot_at(ends_ms, self._n_slots)
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1))
        for start, stop in zip(starts, [*starts[1:], len(history)], strict=True):
            self.begin_step(int(ends_ms[start]))
            in_slot = history[start:stop]
            highest, lowest = np.fmax.reduce(in_slot, axis=0), np.fmin.reduce(in_slot, axis=0)
            # The furthest value of a slot has its highest raw score.
            self._learn_raw_score(everyone, highest)
            self._learn_raw_score(everyone, lowest)
            extremes = np.stack([highest, -lowest], axis=-1)
            self._observe(everyone, extremes, (~np.isnan(in_slot)).sum(axis=0))

    def snapshot(self) -> dict[str, NDArray[np.generic]]:
        """Copy what a step is judged by; the usual extremes of other times of the day are not among it."""
        return {name: getattr(self, name).copy() for name in (*_JUDGED_BY, *_FOLLOWED)}

    def restore(self, snapshot: Mapping[str, NDArray[Any]], *, begins: bool) -> None:
        """Judge by a snapshot; restore the last slots only if a run of snapshots `begins`."""
        self.bound = snapshot["bound"].copy()
        self.spread = snapshot["spread"].copy()
        self.n_lasting = snapshot["n_lasting"].copy()
        self.limit = snapshot["limit"].copy()
        if begins:
            self.slot = snapshot["slot"].copy()
            self.extreme = snapshot["extreme"].copy()
            self.n_measured = snapshot["n_measured"].copy()

    def replace_rows(self, rows: NDArray[np.int64], other: Self) -> None:
        """Continue some rows from where another profile has come to that saw their newest steps again."""
        self.extreme[rows], self.n_measured[rows] = other.extreme, other.n_measured

    def _set_bounds(self, rows: NDArray[np.int64], slot: int) -> None:
        """Set what rows are judged by in a slot: the usual now, and the usual of the neighbourhood before."""
        known = np.maximum(self.n_days[rows], 2)[:, :, None].astype(np.float32)  # (n, C, 1, slots)
        spread = np.sqrt(self.variance[rows] * known / (known - 1))  # (n, C, 2, slots)
        # Of the whole day: a few days at a time of day may have been alike by chance.
        floor = np.maximum(np.median(spread, axis=-1), _LEAST_SPREAD)  # (n, C, 2)
        for kind, of_slot, sign in ((0, slot, _HIGHEST), (1, slot - 2, _LOWEST)):
            at = of_slot % self._n_slots
            here = np.maximum(spread[..., at], floor)
            bound = self.mean[rows, :, :, at] + sign * _SIGMAS * here
            bound[self.n_days[rows, :, at] < _LEAST_DAYS] = np.nan
            self.bound[rows, :, kind], self.spread[rows, :, kind] = bound, here

    def _learn_neighbourhood(self, rows: NDArray[np.int64], at: int) -> None:
        """Learn the extremes of the three slots that end now as those around the time of day `at`."""
        is_whole = self.n_measured[rows, :, :3].sum(axis=-1) >= self._n_needed  # (n, C)
        seen = np.where(is_whole[..., None], self.extreme[rows, :, :, :3].max(axis=-1), 0.0)
        n_days = self.n_days[rows, :, at] + is_whole
        rate = np.where(is_whole, 1.0 / np.clip(n_days, 1.0, _MEMORY_DAYS), 0.0)[..., None]
        mean, variance = self.mean[rows, :, :, at], self.variance[rows, :, :, at]
        self.mean[rows, :, :, at] = mean + rate * (seen - mean)
        self.variance[rows, :, :, at] = (1 - rate) * (variance + rate * (seen - mean) ** 2)
        self.n_days[rows, :, at] = np.minimum(n_days, _RECORD_DAYS)

    def _learn_raw_score(self, rows: NDArray[np.int64], step: NDArray[np.float32]) -> None:
        evidence = np.fmax.reduce(self.channel_evidence(rows, step), axis=1)
        self.slot_peak[rows] = np.fmax(self.slot_peak[rows], evidence)
        at = self.slot[rows] // max(self._n_slots, 1) % _RECORD_DAYS
        counts = self.n_lasting[rows] < _LONGEST_SLOTS
        self.day_peak[rows[counts], at[counts]] = np.fmax(
            self.day_peak[rows[counts], at[counts]], evidence[counts]
        )

    def _observe(
        self, rows: NDArray[np.int64], extremes: NDArray[np.float32], n_measured: NDArray[np.integer[Any]]
    ) -> None:
        self.extreme[rows, :, :, 0] = np.fmax(self.extreme[rows, :, :, 0], extremes)
        self.n_measured[rows, :, 0] += n_measured.astype(np.int16)

    def _own_limits(
        self, changed: NDArray[np.int64], day: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give each row's limit (n,) by its record (n, 28) of all days before this one, and that record.

        Where the day begins, room is made for it.
        """
        days = day - np.arange(_RECORD_DAYS)
        # Days that were skipped are new as well.
        which, number = np.nonzero(days > (self.slot[changed] // self._n_slots)[:, None])
        self.day_peak[changed[which], days[number] % _RECORD_DAYS] = np.nan
        record = self.day_peak.copy()
        record[:, day % _RECORD_DAYS] = np.nan
        highest = np.sort(np.nan_to_num(record, nan=-1.0), axis=1)[:, -1 - _ALLOWED_DAYS]
        is_known = (~np.isnan(record)).sum(axis=1) >= _LEAST_RECORD_DAYS
        limit = np.where(is_known, np.maximum(_MARGIN * highest, GROSS), np.inf)
        return limit, record

    def _blank(self, n_rows: int) -> Self:
        return type(self)(n_rows, self.mean.shape[1], self._step_seconds)


def explain_season(profile: SeasonProfile, rows: NDArray[np.int64], step: NDArray[np.float32]) -> OutOfSeason:
    """Give what speaks most against each channel of one step (n, C) of distinct rows."""
    bound, spread = profile.bound[rows], profile.spread[rows]
    before = _heights(profile.extreme[rows], profile.n_measured[rows], profile._n_needed)
    shown = np.stack([_signed(step), before], axis=2)  # (n, C, 2, 2), as `bound`
    sides = np.array([_HIGHEST, _LOWEST], np.float32)
    signs = sides[:, None]  # what is beyond lies above its bound, what is missing below
    evidence = (signs * (shown - bound) / spread).reshape(*step.shape, 4)
    usual = bound - signs * np.float32(_SIGMAS) * spread
    most = np.argmax(np.nan_to_num(evidence, nan=-np.inf), axis=2)[..., None]
    strongest, actual, expected = (
        np.take_along_axis(array.reshape(*step.shape, 4), most, axis=2)[..., 0]
        for array in (evidence, shown * sides, usual * sides)
    )
    return OutOfSeason(np.maximum(strongest, np.float32(0.0)), actual, expected)


def accept_season(profile: SeasonProfile, row: int) -> None:
    """Let what one row has shown today against its time of day be normal, and judge it by that at once.

    So many earlier days are recorded as today that its own limit follows from it; they are forgotten by age.
    """
    at = int(profile.slot[row]) // max(profile._n_slots, 1) % _RECORD_DAYS
    record = profile.day_peak[row]  # a view
    peak = record[at]
    if np.isnan(peak):
        return
    days = np.flatnonzero((np.arange(_RECORD_DAYS) != at) & ~np.isnan(record))
    lowest = days[np.argsort(record[days], kind="stable")[: _ALLOWED_DAYS + 1]]
    record[lowest] = np.maximum(record[lowest], peak)
    limit = profile.limit.copy()  # snapshots refer to the old one
    limit[row] = np.maximum(limit[row], np.float32(_MARGIN) * peak)
    profile.limit = limit


_JUDGED_BY = ("bound", "spread", "n_lasting", "limit")
_FOLLOWED = ("slot", "extreme", "n_measured")


def _excess(scores: NDArray[np.float32], allowed_per_second: float) -> NDArray[np.float32]:
    """Give the factors (g,) that limits of groups of rows lack for a quarter of what each group is allowed.

    Parameters
    ----------
    scores : ndarray, shape (g, m)
        The highest raw scores of a group's days in four weeks over the limits; NaN where not known.
    """
    n_allowed = max(1, int(_BUDGET_SHARE * allowed_per_second * _RECORD_DAYS * 86400.0))
    if n_allowed >= scores.shape[1]:
        return np.ones(1, np.float32)
    ascending = np.partition(np.nan_to_num(scores, nan=0.0), -1 - n_allowed, axis=1)
    return np.maximum(ascending[:, -1 - n_allowed], np.float32(1.0))


def _slot_at(time_ms: int | NDArray[np.int64], n_slots: int) -> NDArray[np.int64]:
    """Give the slot since the epoch of a step that ends at a time."""
    return (np.asarray(time_ms) - 1) * n_slots // _DAY_MS


def _heights(
    extreme: NDArray[np.float32], measured: NDArray[np.int16], n_needed: float
) -> NDArray[np.float32]:
    """Give the extremes (n, C, 2) of the neighbourhood that ended last; NaN where they are not known."""
    heights: NDArray[np.float32] = np.maximum(np.maximum(extreme[..., 1], extreme[..., 2]), extreme[..., 3])
    is_whole = measured[..., 1] + measured[..., 2] + measured[..., 3] >= n_needed
    heights[~is_whole] = np.nan
    return heights


def _signed(step: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give values (n, C) and their negation, shape (n, C, 2)."""
    return np.stack([step, -step], axis=-1)
