"""Samples of some steps to their values: counters and deltas as rates, gaps filled. Pure.

Begin at `close_block`. It closes steps for the first time, and again once samples have come late for them:
the same samples give the same values. Nothing is calculated across the end of a series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.row_arrays import RowArrays, row_array
from monitor.detection.steps import GapMode, LocatedSamples
from monitor.sample import Kind

__all__ = ["BlockRules", "Carried", "ClosedBlock", "close_block"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRules:
    """How steps are closed.

    Parameters
    ----------
    step_ms : int
        Event time of one step.
    gap_mode : str
        What stands where nothing came: `skip` leaves NaN; `hold` repeats the last value, `zero` writes 0,
        `interpolate` draws a line to the next value.
    max_gap_steps : int
        The longest gap that is filled; 0 where none is.
    """

    step_ms: int
    gap_mode: GapMode
    max_gap_steps: int

    @property
    def n_ahead(self) -> int:
        """Steps behind a block whose samples it needs to be closed: a line across a gap may end in them."""
        return self.max_gap_steps if self.gap_mode == "interpolate" else 0


class Carried(RowArrays):
    """What a block of steps continues from: arrays (n, C).

    The kept blocks share them, so nothing writes into one: every change gives a new `Carried`.
    """

    count = row_array(np.float64, "channels", fill=np.nan)  # each counter's last sample
    count_ms = row_array(np.int64, "channels")  # its time
    held = row_array(np.float64, "channels", fill=np.nan)  # each series' last value
    held_age = row_array(np.int64, "channels")  # its age in steps

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and channels, (n, C)."""
        n_rows, n_channels = self.held.shape
        return n_rows, n_channels

    def grown(self, shape: tuple[int, int]) -> Carried:
        """Give room (n, C) for more rows and channels, of which nothing is known."""
        if self.shape == shape:
            return self
        other = Carried.of(**self.state())
        other.grow(shape[0], channels=shape[1])
        return other

    def with_rows(self, rows: Ints, other: Carried) -> Carried:
        """Give the arrays with some rows (m,) as in `other` (m, C).

        An array that is equal already stays the same object: the kept blocks share it.
        """
        replaced = other.state()
        return Carried.of(
            **{name: _with_rows(array, rows, replaced[name]) for name, array in self.state().items()}
        )

    def in_order(self, order: NDArray[np.int64]) -> Carried:
        """Give the arrays with the channels in another order (C,); of those at -1 nothing is known."""
        other = Carried.of(**self.state())
        other.rearrange("channels", order)
        return other

    def aged(self, n_steps: int) -> Carried:
        """Give the arrays as they are that many empty steps later."""
        return Carried.of(
            count=self.count, count_ms=self.count_ms, held=self.held, held_age=self.held_age + n_steps
        )

    def without(self, cells: Bools) -> Carried:
        """Give the arrays with nothing in some cells, a mask (n, C)."""
        return Carried.of(
            count=np.where(cells, np.nan, self.count),
            count_ms=self.count_ms,
            held=np.where(cells, np.nan, self.held),
            held_age=self.held_age,
        )

    def forgotten(self) -> Carried:
        """Give the same room with no values: neither rates nor gaps continue from them."""
        nothing = np.full(self.shape, np.nan)
        return Carried.of(count=nothing, count_ms=self.count_ms, held=nothing, held_age=self.held_age)


class ClosedBlock(NamedTuple):
    """A block of closed steps: `values` (T, n, C), NaN a gap, and what the next block continues from.

    `n_empty_last` counts the steps at its end that have no sample: T where none has.
    """

    values: Floats
    carried: Carried
    n_empty_last: int


def close_block(
    samples: LocatedSamples, carried: Carried, rules: BlockRules, *, first_step: int, n_steps: int
) -> ClosedBlock:
    """Close consecutive steps.

    Parameters
    ----------
    samples : LocatedSamples
        Those of the steps, and of `rules.n_ahead` steps behind them; of each series and step one value (a
        delta for each time) and one end at most.
    carried : Carried
        What the block before left; its shape (n, C) is that of the steps.
    first_step, n_steps : int
        The grid number of the first step, and T.
    """
    is_end = np.isnan(samples.value)
    spread = _spread(samples.take(~is_end), carried.shape, rules, first_step, n_steps + rules.n_ahead)
    ends = _ends(samples.take(is_end), spread, rules, first_step)
    values, count, count_ms = _to_rates(spread, ends, carried, n_steps)
    values, held, held_age = _fill_gaps(values, ends, carried, rules, n_steps)
    is_empty = np.asarray(np.isnan(spread.value[:n_steps]).all(axis=(1, 2)))
    n_empty_last = n_steps if is_empty.all() else int(np.argmin(is_empty[::-1]))
    return ClosedBlock(
        values, Carried.of(count=count, count_ms=count_ms, held=held, held_age=held_age), n_empty_last
    )


class _Spread(NamedTuple):
    """Samples in their cells: value, NaN for none, and time (T, n, C); and which are counters (n, C)."""

    value: Floats
    time_ms: Ints
    is_counter: Bools


class _Ends(NamedTuple):
    """The first step whose values belong to the series that goes on, (T, n, C); -1 where none has ended.

    `before` as each step's own value sees the values before it, `after` as seen from the step's end.
    """

    before: Ints
    after: Ints


def _spread(
    samples: LocatedSamples, shape: tuple[int, int], rules: BlockRules, first_step: int, n_steps: int
) -> _Spread:
    """Put samples into their cells. Deltas become rates per second here: they need no value before them."""
    value = np.full((n_steps, *shape), np.nan)
    time_ms = np.zeros((n_steps, *shape), np.int64)
    is_counter = np.zeros(shape, bool)
    cells = (samples.time_ms // rules.step_ms - first_step, samples.row, samples.channel)
    value[cells] = samples.value
    time_ms[cells] = samples.time_ms
    is_counter[samples.row, samples.channel] = samples.kind == Kind.COUNTER
    is_delta = samples.kind == Kind.DELTA
    if is_delta.any():
        delta_cells = tuple(index[is_delta] for index in cells)
        value[delta_cells] = 0.0
        with np.errstate(over="ignore"):
            np.add.at(value, delta_cells, samples.value[is_delta])
        has_deltas = np.zeros(shape, bool)
        has_deltas[samples.row[is_delta], samples.channel[is_delta]] = True
        value[:, has_deltas] /= rules.step_ms / 1000
        value[np.isinf(value)] = np.nan  # a sum beyond what a float holds
    return _Spread(value, time_ms, is_counter)


def _ends(ends: LocatedSamples, spread: _Spread, rules: BlockRules, first_step: int) -> _Ends:
    """Find from the ends that came which values lie on this side of a series' end."""
    shape = spread.value.shape
    if not len(ends.row):
        never = np.broadcast_to(np.int64(-1), shape)
        return _Ends(never, never)
    ended_ms = np.full(shape, -1, np.int64)
    ended_ms[ends.time_ms // rules.step_ms - first_step, ends.row, ends.channel] = ends.time_ms
    has_ended = ended_ms >= 0
    began_again = has_ended & ~np.isnan(spread.value) & (ended_ms < spread.time_ms)
    steps = np.arange(shape[0])[:, None, None]
    own = np.where(began_again, steps, np.where(has_ended, steps + 1, -1))
    after = np.maximum.accumulate(own, axis=0)
    before = np.concatenate([np.full((1, *shape[1:]), -1), after[:-1]])
    return _Ends(np.where(began_again, steps, before), after)


def _to_rates(spread: _Spread, ends: _Ends, carried: Carried, n_steps: int) -> tuple[Floats, Floats, Ints]:
    """Turn counters into rates per second, from the last sample of one step to that of the next.

    A count that falls was reset: the increase is then the new count, as in Prometheus.

    Returns
    -------
    ndarray, ndarray, ndarray
        The values (T, n, C), and what is carried on: each counter's last sample and its time (n, C).
    """
    raw, time_ms, is_counter = spread
    last = _last_known(~np.isnan(raw[:n_steps]))
    has_ended = last < ends.after[n_steps - 1]
    if not is_counter.any():
        count = np.where(has_ended, np.nan, carried.count) if has_ended.any() else carried.count
        return raw, count, carried.count_ms
    before, before_ms = _previous(spread, carried, ends)
    with np.errstate(invalid="ignore", divide="ignore"):
        increase = np.where(raw < before, raw, raw - before)  # NaN where there was none before
        rate = increase / ((time_ms - before_ms) / 1000.0)
    has_counted = (last >= 0) & is_counter
    index = np.maximum(last, 0)[None]
    count = np.where(has_counted, np.take_along_axis(raw, index, 0)[0], carried.count)
    count = np.where(has_ended, np.nan, count)
    count_ms = np.where(has_counted, np.take_along_axis(time_ms, index, 0)[0], carried.count_ms)
    return np.where(is_counter, rate, raw), count, count_ms


def _previous(spread: _Spread, carried: Carried, ends: _Ends) -> tuple[Floats, Ints]:
    """Give the value and time of the last sample that each series had before each step, (T, n, C)."""
    latest = _latest_known(~np.isnan(spread.value))
    latest = np.concatenate([np.full((1, *latest.shape[1:]), -1), latest[:-1]])
    index = np.maximum(latest, 0)
    value = np.where(latest >= 0, np.take_along_axis(spread.value, index, 0), carried.count)
    value = np.where(latest < ends.before, np.nan, value)
    time_ms = np.where(latest >= 0, np.take_along_axis(spread.time_ms, index, 0), carried.count_ms)
    return value, time_ms


def _fill_gaps(
    values: Floats, ends: _Ends, carried: Carried, rules: BlockRules, n_steps: int
) -> tuple[Floats, Floats, Ints]:
    """Fill gaps as the rules say.

    Returns
    -------
    ndarray, ndarray, ndarray
        The values (T, n, C), and what is carried on: each series' last value and its age in steps (n, C).
    """
    if rules.gap_mode == "skip":
        return values[:n_steps], carried.held, carried.held_age
    is_known = ~np.isnan(values)
    steps = np.arange(len(values))[:, None, None]
    latest = _latest_known(is_known)
    held = np.where(latest >= 0, np.take_along_axis(values, np.maximum(latest, 0), 0), carried.held)
    held = np.where(latest < ends.after, np.nan, held)  # the series that it was of has ended
    age = np.where(latest >= 0, steps - latest, carried.held_age + steps + 1)
    is_fillable = ~is_known & ~np.isnan(held) & (age <= rules.max_gap_steps)
    if rules.gap_mode == "hold":
        filled = np.where(is_fillable, held, values)
    elif rules.gap_mode == "zero":
        filled = np.where(is_fillable, 0.0, values)
    else:
        following = np.minimum.accumulate(np.where(is_known, steps, len(values))[::-1], axis=0)[::-1]
        index = np.minimum(following, len(values) - 1)
        n_until = following - steps
        is_fillable &= (following < len(values)) & (age + n_until <= rules.max_gap_steps + 1)
        is_fillable &= np.take_along_axis(ends.before, index, 0) <= latest  # both values are of one series
        share = age / np.maximum(age + n_until, 1)
        filled = np.where(is_fillable, held + share * (np.take_along_axis(values, index, 0) - held), values)
    # Copies, not views: they may be kept for longer than the block.
    return filled[:n_steps], held[n_steps - 1].copy(), age[n_steps - 1].copy()


def _latest_known(is_known: Bools) -> Ints:
    """Give, for each step of (T, n, C), the index of the last True up to it; -1 where there is none."""
    steps = np.arange(len(is_known))[:, None, None]
    return np.asarray(np.maximum.accumulate(np.where(is_known, steps, -1), axis=0))


def _last_known(is_known: Bools) -> Ints:
    """Give the index of the last True along the first axis of (T, n, C); -1 where there is none."""
    last = len(is_known) - 1 - np.argmax(is_known[::-1], axis=0)
    return np.where(is_known.any(axis=0), last, -1)


def _with_rows(array: NDArray[np.generic], rows: Ints, of_rows: NDArray[np.generic]) -> NDArray[np.generic]:
    if np.array_equal(array[rows], of_rows, equal_nan=True):
        return array
    changed = array.copy()
    changed[rows] = of_rows
    return changed
