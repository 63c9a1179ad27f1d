"""Samples to closed steps: event time only, no clock, no I/O; vectorised over entities and channels.

A step is `[k * step, (k + 1) * step)` of event time. It closes when the watermark passes its
end; what comes for it afterwards is late. The newest closed steps keep their samples: what is late
for them takes its place among these, and the steps are closed again. Later still, it is dropped.

Two samples of one series: the later one in a step stands for the step. At the very same time
the larger value stands, and it is counted, so that the outcome does not depend on which came first. Deltas of one
series add up to the step'"'"'s rate, those of one time counted once.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.detection.rates import Ends, ends_of, last_known, previous_values, spread
from monitor.detection.steps import LOCATED_FIELDS, ClosedSteps, GapMode, LocatedSamples, Reclosed, join_located, no_located
from monitor.sample import Kind

__all__ = ["Grid"]


# Closed at once, at most: bounds the dense arrays when a file is replayed at full speed.
_MAX_BLOCK_STEPS = 512
_MAX_BLOCK_CELLS = 1 << 18
_MAX_KEPT_SAMPLES = 1 << 22  # of closed steps, 25 bytes each: bounds what is kept of them, however many series there are
_CARRIED = {"_count": np.nan, "_count_ms": 0, "_held": np.nan, "_held_age": 0}  # from step to step, and what stands for nothing
_NONE = -(1 << 62)  # stands for None among the scalars of a saved state


@dataclass(slots=True)
class _Kept:
    """What a block of steps was closed from: its samples, and what was carried into it, in the order of `_CARRIED`."""

    first: int
    n_steps: int
    samples: LocatedSamples
    carried: tuple[NDArray[Any], ...]

    @property
    def end(self) -> int:
        """The number of the first step behind it."""
        return self.first + self.n_steps


class Grid:
    """The open steps of one watch, and what the newest closed ones were made of.

    Parameters
    ----------
    step_ms : int
        Event time of one step.
    lateness_ms : int
        How far the watermark trails the newest sample.
    idle_ms : int
        Silence after which the watermark follows the source's own time instead.
    gap_mode : str
        What stands where nothing came: `skip` leaves NaN; `hold` repeats the last value,
        `zero` writes 0, `interpolate` draws a line to the next value (and closes steps that
        much later); all for `max_gap_steps` at most.
    empty_steps : int
        Wholly empty steps given out before the rest of a long silence is skipped.
    revision_steps : int
        The newest closed steps for which late samples are still taken; none across a skipped silence.
    """

    def __init__(
        self,
        *,
        step_ms: int,
        lateness_ms: int,
        idle_ms: int,
        gap_mode: GapMode,
        max_gap_steps: int,
        empty_steps: int,
        revision_steps: int = 0,
    ) -> None:
        self.step_ms = step_ms
        self._lateness_ms = lateness_ms
        self._idle_ms = idle_ms
        self._gap_mode = gap_mode
        self._max_gap = max_gap_steps if gap_mode != "skip" else 0
        self._look_ahead = max_gap_steps if gap_mode == "interpolate" else 0
        self._empty_limit = empty_steps
        self._revision_steps = revision_steps
        self._kept: deque[_Kept] = deque()
        self._late = no_located()  # for kept steps, until `revise` is called
        self._pending = no_located()
        self.next_step: int | None = None  # the oldest open one
        self.watermark_ms: int | None = None
        self._newest_ms: int | None = None
        self._n_empty = 0
        self.n_conflicting = 0  # samples so far that gave another value for a series and time than one that was there
        # Carried from closed steps, all (n, C): the counters' last sample, the last value and its age in steps.
        self._count = np.empty((0, 0))
        self._count_ms = np.empty((0, 0), np.int64)
        self._held = np.empty((0, 0))
        self._held_age = np.empty((0, 0), np.int64)

    def add(self, samples: LocatedSamples, *, opens: bool = True) -> int:
        """Take samples in; give the number of those that were too late to be taken, ends of series not among them.

        What is late for steps that are kept waits for `revise`.

        Parameters
        ----------
        opens : bool
            The first batch tells where the grid begins. False where other partitions may still
            bring much older samples: `close` then decides, once the source is complete up to somewhere.
        """
        if not len(samples.row):
            return 0
        step = samples.time_ms // self.step_ms
        if self.next_step is None and opens:
            self.next_step = self._first_step(int(samples.time_ms.min()))
        newest = int(samples.time_ms.max())
        self._newest_ms = newest if self._newest_ms is None else max(self._newest_ms, newest)
        on_time = step >= self.next_step if self.next_step is not None else np.ones(len(step), bool)
        joined = join_located(self._pending, samples.take(on_time))
        self._pending = self._that_stand(joined)
        if on_time.all():
            return 0
        kept = ~on_time & (step >= self._kept_from)
        self._late = join_located(self._late, samples.take(kept))
        return int((~on_time & ~kept & ~np.isnan(samples.value)).sum())

    def revise(self, *, n_rows: int, n_channels: int) -> Reclosed | None:
        """Close again the steps that samples came late for, as if they had come in time; None where there were none.

        What is open goes on from them.
        """
        late, self._late = self._late, no_located()
        if not len(late.row):
            return None
        self._make_room(n_rows, n_channels)
        step, rows = late.time_ms // self.step_ms, np.unique(late.row).astype(np.int64)
        blocks = [block for block in self._kept if block.end > step.min()]
        for block in blocks:
            of_block = late.take((step >= block.first) & (step < block.end))
            block.samples = self._that_stand(join_located(block.samples, of_block))
        values = self._close_again(blocks, rows, n_rows, n_channels)
        shown = [block.samples.time_ms[~np.isnan(block.samples.value)] for block in self._kept]
        newest_ms = np.concatenate(shown).max(initial=_NONE)
        if newest_ms > _NONE:
            assert self.next_step is not None
            self._n_empty = self.next_step - 1 - int(newest_ms) // self.step_ms
        return Reclosed(blocks[0].first, rows, values, int((~np.isnan(late.value)).sum()))

    def restart_at(self, first_ms: int) -> int:
        """Forget what is open, and what counters and gaps go on from, and begin anew; give how many steps that is back.

        For a source whose clock was set back: all that lies in a time that is still to come.

        Parameters
        ----------
        first_ms : int
            Event time of the oldest sample that is to come next.
        """
        assert self.next_step is not None
        n_back, self.next_step = self.next_step - self._first_step(first_ms), self._first_step(first_ms)
        self._pending = no_located()
        self.watermark_ms = self._newest_ms = None
        self._n_empty = 0
        self._kept.clear()
        self._count[:], self._held[:] = np.nan, np.nan
        return n_back

    def close(
        self, now_ms: int, *, n_rows: int, n_channels: int, finished: bool = False, complete_ms: int | None = None
    ) -> Iterator[ClosedSteps]:
        """Advance the watermark and give the steps it has passed, oldest first, in blocks.

        Parameters
        ----------
        now_ms : int
            The source's event time: what the clock says live, how far a file is replayed.
        finished : bool
            Nothing more will come: close all that is open.
        complete_ms : int, optional
            Event time up to which the source has been read, where it says so: it then stands
            for the newest sample and for the source's own time.
        """
        if self._newest_ms is None:
            return
        if complete_ms is None:
            watermark = max(self._newest_ms - self._lateness_ms, now_ms - self._lateness_ms - self._idle_ms)
        else:
            watermark = complete_ms - self._lateness_ms
        if finished:
            watermark = max(watermark, (self._newest_ms // self.step_ms + 1 + self._look_ahead) * self.step_ms)
        if self.next_step is None:
            first = self._first_step(int(self._pending.time_ms.min()))
            if watermark // self.step_ms - self._look_ahead <= first:
                return
            self.next_step = first
        self.watermark_ms = watermark if self.watermark_ms is None else max(self.watermark_ms, watermark)
        until = self.watermark_ms // self.step_ms - self._look_ahead
        self._make_room(n_rows, n_channels)
        while self.next_step < until:
            waiting = np.unique(self._pending.time_ms // self.step_ms)
            first = int(waiting[0]) if len(waiting) else until
            if self._n_empty >= self._empty_limit and first > self.next_step:
                self.next_step = min(first, until)  # a silence so long that nothing remembers what was before
                self._held_age += self._max_gap + 1
                self._kept.clear()
                continue
            most = max(1, min(_MAX_BLOCK_STEPS, _MAX_BLOCK_CELLS // max(1, n_rows * n_channels)))
            n_steps = min(until - self.next_step, most)
            if first > self.next_step:  # give out the empty stretch first, up to its limit
                n_steps = min(n_steps, first - self.next_step, self._empty_limit - self._n_empty)
            else:  # up to the next stretch that is longer than the limit
                before_silence = waiting[:-1][np.diff(waiting) - 1 > self._empty_limit]
                n_steps = min(n_steps, int(before_silence[0]) + 1 - first) if len(before_silence) else n_steps
            yield self._close_block(n_steps, n_rows, n_channels)

    @property
    def longest_delay_ms(self) -> int:
        """How far the newest closed step ends behind the source's time at most, while samples come about once a step."""
        # One step until the next sample, one that it falls into; half a step more for samples that come unevenly.
        return self._lateness_ms + self._look_ahead * self.step_ms + 5 * self.step_ms // 2

    @property
    def newest_ms(self) -> int | None:
        """Event time of the newest sample; None before the first."""
        return self._newest_ms

    @property
    def closed_until_ms(self) -> int | None:
        """Event time before which every step is closed; None before the first sample."""
        return None if self.next_step is None else self.next_step * self.step_ms

    def closed_ms(self, complete_ms: int) -> int:
        """Give the event time up to which steps are closed when the source is complete up to `complete_ms`."""
        return complete_ms - self._lateness_ms - self._look_ahead * self.step_ms

    def waiting(self, n_rows: int) -> NDArray[np.bool_]:
        """Tell which of the first rows have samples in steps that are open or kept; shape (n,)."""
        row = np.concatenate([self._pending.row, self._late.row, *(block.samples.row for block in self._kept)])
        return np.bincount(row, minlength=n_rows)[:n_rows] > 0

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Let go of all but these rows, which are numbered anew, in their order; the others must have nothing waiting."""
        self._pending, self._late = self._pending.renumbered(rows), self._late.renumbered(rows)
        for block in self._kept:
            block.samples = block.samples.renumbered(rows)
            block.carried = tuple(array[rows[rows < len(array)]] for array in block.carried)
        for name in _CARRIED:
            array = getattr(self, name)
            setattr(self, name, array[rows[rows < len(array)]])

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give everything that is open, by name."""
        scalars = (self.next_step, self.watermark_ms, self._newest_ms)
        return {
            **{f"pending.{name}": getattr(self._pending, name) for name in LOCATED_FIELDS},
            "scalars": np.array([_NONE if value is None else value for value in scalars] + [self._n_empty], np.int64),
            "count": self._count,
            "count_ms": self._count_ms,
            "held": self._held,
            "held_age": self._held_age,
            **self._kept_state(),
        }

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over arrays that `state` gave."""
        self._pending = LocatedSamples(*(arrays[f"pending.{name}"].copy() for name in LOCATED_FIELDS))
        next_step, watermark_ms, newest_ms, n_empty = arrays["scalars"].tolist()
        self.next_step, self.watermark_ms, self._newest_ms = (
            None if value == _NONE else value for value in (next_step, watermark_ms, newest_ms)
        )
        self._n_empty = n_empty
        self._count, self._count_ms = arrays["count"].copy(), arrays["count_ms"].copy()
        self._held, self._held_age = arrays["held"].copy(), arrays["held_age"].copy()
        if "kept.blocks" in arrays:  # a checkpoint of an older version has none
            self._load_kept(arrays)

    @property
    def _kept_from(self) -> int:
        """The oldest step for which late samples are taken."""
        assert self.next_step is not None
        return max(self._kept[0].first, self.next_step - self._revision_steps) if self._kept else self.next_step

    def _keep(self, block: _Kept) -> None:
        """Keep what a block was closed from, and let go of what no late sample is taken for any more."""
        self._kept.append(block)
        n_samples = sum(len(kept.samples.row) for kept in self._kept)
        oldest = block.end - self._revision_steps
        while self._kept and (self._kept[0].end <= oldest or n_samples > _MAX_KEPT_SAMPLES):
            n_samples -= len(self._kept.popleft().samples.row)

    def _close_again(self, blocks: Sequence[_Kept], rows: NDArray[np.int64], n_rows: int, n_channels: int) -> NDArray[np.float64]:
        """Close the newest kept blocks again for some rows, carry on from there, and give the rows' values (T, m, C)."""
        shape = (n_rows, n_channels)
        again = self._over(rows, blocks, shape)
        values = []
        for block in blocks:
            if block is not blocks[0]:  # its rows begin where those of the block before it end now
                block.carried = tuple(
                    _with_rows(_padded(old, shape, fill), rows, getattr(again, name))
                    for old, (name, fill) in zip(block.carried, _CARRIED.items(), strict=True)
                )
            values.append(again._close_block(block.n_steps, len(rows), n_channels).values)
        for name in _CARRIED:
            setattr(self, name, _with_rows(getattr(self, name), rows, getattr(again, name)))
        return np.concatenate(values)

    def _over(self, rows: NDArray[np.int64], blocks: Sequence[_Kept], shape: tuple[int, int]) -> Grid:
        """Give a grid over some rows alone that stands where the first of the newest kept blocks began."""
        again = copy.copy(self)
        again._revision_steps, again._kept = 0, deque()
        again.next_step = blocks[0].first
        for carried, (name, fill) in zip(blocks[0].carried, _CARRIED.items(), strict=True):
            setattr(again, name, _padded(carried, shape, fill)[rows])
        place = np.full(shape[0], -1, np.int32)
        place[rows] = np.arange(len(rows))
        parts = [part.take(place[part.row] >= 0) for part in (*(block.samples for block in blocks), self._pending)]
        joined = join_located(*parts)
        again._pending = LocatedSamples(place[joined.row], joined.channel, joined.time_ms, joined.value, joined.kind)
        return again

    def _kept_state(self) -> dict[str, NDArray[np.generic]]:
        """Give the kept samples, and what was carried into the first of them: the rest follows from these."""
        samples = join_located(*(block.samples for block in self._kept)) if self._kept else no_located()
        carried = self._kept[0].carried if self._kept else (np.empty((0, 0)),) * len(_CARRIED)
        blocks = [(block.first, block.n_steps, len(block.samples.row)) for block in self._kept]
        return {
            "kept.blocks": np.array(blocks, np.int64).reshape(-1, 3),
            **{f"kept.{name}": getattr(samples, name) for name in LOCATED_FIELDS},
            **{f"kept{name}": array for name, array in zip(_CARRIED, carried, strict=True)},
        }

    def _load_kept(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._kept.clear()
        samples = LocatedSamples(*(arrays[f"kept.{name}"].copy() for name in LOCATED_FIELDS))
        carried, shape, at = tuple(arrays[f"kept{name}"].copy() for name in _CARRIED), self._held.shape, 0
        for first, n_steps, n_samples in arrays["kept.blocks"].tolist() if self._revision_steps else ():
            self._kept.append(_Kept(first, n_steps, samples.take(np.arange(at, at + n_samples)), carried))
            at += n_samples
        if self._kept:
            self._close_again(self._kept, np.arange(shape[0]), *shape)

    def _that_stand(self, samples: LocatedSamples) -> LocatedSamples:
        """Keep one sample of each series and step, the latest, and of two at one time the larger.

        Of deltas one for each time is kept; and beside the values the latest end of the series.
        """
        step = samples.time_ms // self.step_ms
        is_end = np.isnan(samples.value)
        part = np.where((samples.kind == Kind.DELTA) & ~is_end, samples.time_ms, step)
        order = np.lexsort((samples.value, samples.time_ms, is_end, step, samples.channel, samples.row))
        row, channel, part, is_end = samples.row[order], samples.channel[order], part[order], is_end[order]
        last = np.ones(len(order), bool)
        last[:-1] = (row[1:] != row[:-1]) | (channel[1:] != channel[:-1]) | (part[1:] != part[:-1]) | (is_end[1:] != is_end[:-1])
        one, next_one = order[:-1][~last[:-1]], order[1:][~last[:-1]]  # of one series and step
        at_one_time = samples.time_ms[one] == samples.time_ms[next_one]
        self.n_conflicting += int((at_one_time & (samples.value[one] < samples.value[next_one])).sum())  # ends are NaN: never
        return samples.take(order[last])

    def _first_step(self, first_ms: int) -> int:
        """Give the oldest step to open: samples may still come that are older than the first ones, by the lateness at most."""
        return first_ms // self.step_ms - -(-self._lateness_ms // self.step_ms)

    def _close_block(self, n_steps: int, n_rows: int, n_channels: int) -> ClosedSteps:
        assert self.next_step is not None
        first, end = self.next_step, self.next_step + n_steps
        step = self._pending.time_ms // self.step_ms
        seen = self._pending.take(step < end + self._look_ahead)
        if self._revision_steps:
            of_block = self._pending.take(step < end) if self._look_ahead else seen
            self._keep(_Kept(first, n_steps, of_block, tuple(getattr(self, name) for name in _CARRIED)))
        is_end = np.isnan(seen.value)
        raw, time_ms, counter = spread(seen.take(~is_end), first, n_steps + self._look_ahead, n_rows, n_channels, self.step_ms)
        ends = ends_of(seen.take(is_end), raw, time_ms, first, self.step_ms)
        values = self._to_rates(raw, time_ms, counter, ends, n_steps)
        values = self._fill(values, ends, n_steps)
        self._pending = self._pending.take(step >= end)
        self.next_step = end
        empty = np.asarray(np.isnan(raw[:n_steps]).all(axis=(1, 2)))
        trailing = int(np.argmin(empty[::-1])) if not empty.all() else n_steps
        self._n_empty = trailing + (self._n_empty if empty.all() else 0)
        return ClosedSteps(first, self.step_ms, values)

    def _to_rates(
        self, raw: NDArray[np.float64], time_ms: NDArray[np.int64], counter: NDArray[np.bool_], ends: Ends, n_steps: int
    ) -> NDArray[np.float64]:
        """Turn counters into rates per second, from the last sample of one step to that of the next.

        A count that falls was reset: the increase is then the new count, as in Prometheus. Nothing is
        counted across the end of a series.
        """
        last = last_known(~np.isnan(raw[:n_steps]))
        ended = last < ends.after[n_steps - 1]
        if not counter.any():
            if ended.any():
                self._count = np.where(ended, np.nan, self._count)
            return raw
        before, before_ms = previous_values(raw, time_ms, self._count, self._count_ms, ends)
        with np.errstate(invalid="ignore", divide="ignore"):
            increase = np.where(raw < before, raw, raw - before)  # NaN where there was none before
            rate = increase / ((time_ms - before_ms) / 1000.0)
        had = last >= 0
        at = np.maximum(last, 0)[None]
        counted = np.where(had & counter, np.take_along_axis(raw, at, 0)[0], self._count)
        self._count = np.where(ended, np.nan, counted)
        self._count_ms = np.where(had & counter, np.take_along_axis(time_ms, at, 0)[0], self._count_ms)
        return np.where(counter, rate, raw)

    def _fill(self, values: NDArray[np.float64], ends: Ends, n_steps: int) -> NDArray[np.float64]:
        closed = values[:n_steps]
        if self._gap_mode == "skip":
            return closed
        known = ~np.isnan(values)
        steps = np.arange(len(values))[:, None, None]
        latest = np.maximum.accumulate(np.where(known, steps, -1), axis=0)  # index of the last value up to here
        held = np.where(latest >= 0, np.take_along_axis(values, np.maximum(latest, 0), 0), self._held)
        held = np.where(latest < ends.after, np.nan, held)  # the series that it was of has ended
        age = np.where(latest >= 0, steps - latest, self._held_age + steps + 1)
        fillable = ~known & ~np.isnan(held) & (age <= self._max_gap)
        if self._gap_mode == "hold":
            filled = np.where(fillable, held, values)
        elif self._gap_mode == "zero":
            filled = np.where(fillable, 0.0, values)
        else:
            reverse = np.where(known, steps, len(values))[::-1]
            following = np.minimum.accumulate(reverse, axis=0)[::-1]
            at = np.minimum(following, len(values) - 1)
            ahead = following - steps
            fillable &= (following < len(values)) & (age + ahead <= self._max_gap + 1)
            fillable &= np.take_along_axis(ends.before, at, 0) <= latest  # both values are of one series
            share = age / np.maximum(age + ahead, 1)
            filled = np.where(fillable, held + share * (np.take_along_axis(values, at, 0) - held), values)
        self._held = held[n_steps - 1].copy()  # not a view: it may be kept for longer than the block
        self._held_age = age[n_steps - 1].copy()
        return filled[:n_steps]

    def _make_room(self, n_rows: int, n_channels: int) -> None:
        if self._held.shape != (n_rows, n_channels):
            for name, fill in _CARRIED.items():
                setattr(self, name, _padded(getattr(self, name), (n_rows, n_channels), fill))


def _padded(array: NDArray[Any], shape: tuple[int, int], fill: float) -> NDArray[Any]:
    """Make room (n, C) for more rows and channels."""
    if array.shape == shape:
        return array
    return np.pad(array, [(0, more - there) for more, there in zip(shape, array.shape, strict=True)], constant_values=fill)


def _with_rows(array: NDArray[Any], rows: NDArray[np.int64], of_rows: NDArray[Any]) -> NDArray[Any]:
    """Put other values into some rows, in a copy; give the array itself where they are no others: it is kept more than once."""
    if np.array_equal(array[rows], of_rows, equal_nan=True):
        return array
    changed = array.copy()
    changed[rows] = of_rows
    return changed
