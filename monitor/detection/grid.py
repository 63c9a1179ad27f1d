"""Samples to closed steps: event time only, no clock, no I/O; vectorised over entities and channels.

A step is `[k * step, (k + 1) * step)` of event time. It closes when the watermark passes its end; samples
that come for it afterwards are late. The newest closed steps keep their samples: late samples are put among
these, and the steps are closed again. Samples that come later still are dropped.

Where a series has two samples in a step, the later one stands for the step. At the very same time the larger
value stands, and it is counted, so that the result does not depend on which came first. Deltas of one series
add up to the step's rate, those of one time counted once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.derive.derivation import Derivation
from monitor.detection.late_samples import ClosedBlocks
from monitor.detection.rates import BlockRules, Carried, close_block
from monitor.detection.steps import (
    ClosedSteps,
    GapMode,
    LocatedSamples,
    Reclosed,
    join_located,
    latest_of_steps,
    load_located,
    no_located,
)

__all__ = ["Grid"]

# Closed at once, at most: bounds the dense arrays when a file is replayed at full speed.
_MAX_BLOCK_STEPS = 512
_MAX_BLOCK_CELLS = 1 << 18
_NONE = -(1 << 62)  # stands for None among the scalars of a saved state


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
        What stands where nothing came: `skip` leaves NaN; `hold` repeats the last value, `zero` writes 0,
        `interpolate` draws a line to the next value (and closes steps that much later).
    max_gap_steps : int
        The longest gap that is filled.
    empty_steps : int
        Wholly empty steps given out before the rest of a long silence is skipped.
    revision_steps : int
        The newest closed steps for which late samples are still taken; none across a skipped silence.
    derivation : Derivation, optional
        Makes the channels of the watch out of the grid's; without it they are the same.

    Attributes
    ----------
    next_step : int or None
        The oldest open step.
    watermark_ms : int or None
        Event time up to which the source is taken as complete. It never goes back, but by `restart_at`.
    n_conflicting : int
        Samples so far that gave another value for a series and time than one that was there.
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
        derivation: Derivation | None = None,
    ) -> None:
        self.step_ms = step_ms
        self._derivation = derivation
        self._lateness_ms = lateness_ms
        self._idle_ms = idle_ms
        self._rules = BlockRules(
            step_ms=step_ms, gap_mode=gap_mode, max_gap_steps=0 if gap_mode == "skip" else max_gap_steps
        )
        self._empty_limit = empty_steps
        self._closed = ClosedBlocks(self._rules, revision_steps)
        self._pending = no_located()
        self._carried = Carried(0, channels=0)
        self.next_step: int | None = None
        self.watermark_ms: int | None = None
        self._newest_ms: int | None = None
        self._n_empty = 0  # the newest closed steps that have no sample
        self.n_conflicting = 0

    def add(self, samples: LocatedSamples, *, opens: bool = True) -> int:
        """Take samples in; give the number of those dropped as too late, not counting ends of series.

        Samples that are late for kept steps wait for `revise`.

        Parameters
        ----------
        opens : bool
            The first batch decides where the grid begins. False where other partitions may still bring much
            older samples: `close` then decides, once the source is complete up to some time.
        """
        if not len(samples.row):
            return 0
        step = samples.time_ms // self.step_ms
        if self.next_step is None and opens:
            self.next_step = _first_step(int(samples.time_ms.min()), self.step_ms, self._lateness_ms)
        newest_ms = int(samples.time_ms.max())
        self._newest_ms = newest_ms if self._newest_ms is None else max(self._newest_ms, newest_ms)
        on_time = step >= self.next_step if self.next_step is not None else np.ones(len(step), bool)
        joined = join_located(self._pending, samples.take(on_time))
        self._pending, n_conflicting = latest_of_steps(joined, self.step_ms)
        self.n_conflicting += n_conflicting
        if self.next_step is None or on_time.all():
            return 0
        is_kept = ~on_time & (step >= self._closed.first_step(self.next_step))
        self._closed.add_late(samples.take(is_kept))
        return int((~on_time & ~is_kept & ~np.isnan(samples.value)).sum())

    def revise(self, *, n_rows: int, n_channels: int) -> Reclosed | None:
        """Close the steps of late samples again, as if these had come in time; None where there are none.

        The open steps continue from them.
        """
        shape = (n_rows, n_channels)
        revision = self._closed.revise(self._pending, shape)
        if revision is None:
            return None
        self._carried = self._carried.grown(shape).with_rows(revision.reclosed.rows, revision.carried)
        self.n_conflicting += revision.n_conflicting
        if revision.newest_ms is not None:
            assert self.next_step is not None
            self._n_empty = self.next_step - 1 - revision.newest_ms // self.step_ms
        if self._derivation is None:
            return revision.reclosed
        reclosed = revision.reclosed
        values = self._derivation.apply_again(reclosed.first_step, reclosed.rows, reclosed.values)
        return replace(reclosed, values=values)

    def restart_at(self, first_ms: int) -> int:
        """Drop the open steps and what counters and gaps continue from, and begin anew.

        For a source whose clock was set back: all of that lies in a time that is still to come.

        Parameters
        ----------
        first_ms : int
            Event time of the oldest sample that is to come next.

        Returns
        -------
        int
            How many steps the grid went back.
        """
        assert self.next_step is not None
        first_step = _first_step(first_ms, self.step_ms, self._lateness_ms)
        n_back = self.next_step - first_step
        self.next_step = first_step
        self._pending = no_located()
        self.watermark_ms = None
        self._newest_ms = None
        self._n_empty = 0
        self._closed.clear()
        self._carried = self._carried.forgotten()
        if self._derivation is not None:
            self._derivation.restart()
        return n_back

    def close(
        self,
        now_ms: int,
        *,
        n_rows: int,
        n_channels: int,
        finished: bool = False,
        complete_ms: int | None = None,
    ) -> Iterator[ClosedSteps]:
        """Advance the watermark and give the steps it has passed, oldest first, in blocks.

        Parameters
        ----------
        now_ms : int
            The source's event time: live the clock's time, in a replay how far the file has been read.
        finished : bool
            Nothing more will come: close all that is open.
        complete_ms : int, optional
            Event time up to which the source has been read, where it says so: it then replaces the newest
            sample and the source's own time.
        """
        if self._newest_ms is None:
            return
        watermark_ms = self._watermark(self._newest_ms, now_ms, complete_ms, finished=finished)
        if self.next_step is None:
            first = _first_step(int(self._pending.time_ms.min()), self.step_ms, self._lateness_ms)
            if watermark_ms // self.step_ms - self._rules.n_ahead <= first:
                return
            self.next_step = first
        if self.watermark_ms is not None:
            watermark_ms = max(self.watermark_ms, watermark_ms)
        self.watermark_ms = watermark_ms
        until = watermark_ms // self.step_ms - self._rules.n_ahead
        self._carried = self._carried.grown((n_rows, n_channels))
        while self.next_step < until:
            waiting = np.unique(self._pending.time_ms // self.step_ms)
            first = int(waiting[0]) if len(waiting) else until
            if self._n_empty >= self._empty_limit and first > self.next_step:
                # Skip the rest of a silence that is so long that nothing remembers what was before.
                self.next_step = min(first, until)
                self._carried = self._carried.aged(self._rules.max_gap_steps + 1)
                self._closed.clear()
                continue
            yield self._close_block(self._block_length(waiting, first, until))

    @property
    def longest_delay_ms(self) -> int:
        """How far the newest closed step's end lies behind the source's time, at most.

        As long as samples come about once a step.
        """
        # One step until the next sample, one that it falls into; half a step more for samples that come
        # unevenly.
        return self._lateness_ms + self._rules.n_ahead * self.step_ms + 5 * self.step_ms // 2

    @property
    def newest_ms(self) -> int | None:
        """Event time of the newest sample; None before the first."""
        return self._newest_ms

    @property
    def closed_until_ms(self) -> int | None:
        """Event time before which every step is closed; None before the first sample."""
        return None if self.next_step is None else self.next_step * self.step_ms

    def closed_ms(self, complete_ms: int) -> int:
        """Give the event time up to which steps are closed once the source is complete to `complete_ms`."""
        return complete_ms - self._lateness_ms - self._rules.n_ahead * self.step_ms

    def waiting(self, n_rows: int) -> NDArray[np.bool_]:
        """Tell which of the first rows have samples in open or kept steps; shape (n,)."""
        row = np.concatenate([self._pending.row, self._closed.rows()])
        return np.bincount(row, minlength=n_rows)[:n_rows] > 0

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these rows and number them anew, in their order.

        The others must have no samples waiting.
        """
        self._pending = self._pending.renumbered(rows)
        self._closed.keep_rows(rows)
        carried = Carried.of(**self._carried.state())
        carried.keep_rows(rows)
        self._carried = carried
        if self._derivation is not None:
            self._derivation.keep_rows(rows)

    def forget_cells(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> None:
        """Let the series that come next in some cells (k,) continue from nothing that was there."""
        cells = np.zeros(self._carried.shape, bool)
        here = (rows < cells.shape[0]) & (columns < cells.shape[1])  # others were never closed
        cells[rows[here], columns[here]] = True
        self._carried = self._carried.without(cells)
        self._closed.forget_cells(cells)

    def rearrange_channels(self, order: NDArray[np.int64]) -> None:
        """Put the channels (C,) into another order, as `LocatedSamples.rearranged` does."""
        if self._derivation is not None:  # its inputs have their columns for good
            self._derivation.rearrange_channels(order)
            return
        self._pending = self._pending.rearranged(order)
        self._closed.rearrange_channels(order)
        self._carried = self._carried.in_order(order)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give everything that is open or kept, by name."""
        scalars = (self.next_step, self.watermark_ms, self._newest_ms)
        return {
            **self._pending.state("pending"),
            "scalars": np.array(
                [_NONE if value is None else value for value in scalars] + [self._n_empty], np.int64
            ),
            **self._carried.state(),
            **self._closed.state(),
            **({} if self._derivation is None else self._derivation.state()),
        }

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over arrays that `state` gave."""
        self._pending = load_located(arrays, "pending")
        *scalars, self._n_empty = arrays["scalars"].tolist()
        self.next_step, self.watermark_ms, self._newest_ms = (
            None if value == _NONE else value for value in scalars
        )
        carried = Carried(0, channels=0)
        carried.load_state(arrays)
        self._carried = self._closed.load_state(arrays, self._pending, carried.shape) or carried
        if self._derivation is not None:
            self._derivation.load_state(arrays)

    def _watermark(self, newest_ms: int, now_ms: int, complete_ms: int | None, *, finished: bool) -> int:
        if complete_ms is None:
            watermark_ms = max(newest_ms - self._lateness_ms, now_ms - self._lateness_ms - self._idle_ms)
        else:
            watermark_ms = complete_ms - self._lateness_ms
        if finished:
            end_ms = (newest_ms // self.step_ms + 1 + self._rules.n_ahead) * self.step_ms
            watermark_ms = max(watermark_ms, end_ms)
        return watermark_ms

    def _block_length(self, waiting: NDArray[np.int64], first: int, until: int) -> int:
        """Choose how many steps to close at once.

        Parameters
        ----------
        waiting : ndarray, shape (n,)
            The steps that have samples, ascending; `first` is the first of them.
        until : int
            The first step that stays open.
        """
        assert self.next_step is not None
        n_rows, n_channels = self._carried.shape
        most = max(1, min(_MAX_BLOCK_STEPS, _MAX_BLOCK_CELLS // max(1, n_rows * n_channels)))
        n_steps = min(until - self.next_step, most)
        if first > self.next_step:  # give out the empty stretch first, up to its limit
            return min(n_steps, first - self.next_step, self._empty_limit - self._n_empty)
        before_silence = waiting[:-1][np.diff(waiting) - 1 > self._empty_limit]
        return min(n_steps, int(before_silence[0]) + 1 - first) if len(before_silence) else n_steps

    def _close_block(self, n_steps: int) -> ClosedSteps:
        assert self.next_step is not None
        first_step = self.next_step
        end = first_step + n_steps
        step = self._pending.time_ms // self.step_ms
        seen = self._pending.take(step < end + self._rules.n_ahead)
        of_block = self._pending.take(step < end) if self._rules.n_ahead else seen
        self._closed.append(first_step, n_steps, of_block, self._carried)
        block = close_block(seen, self._carried, self._rules, first_step=first_step, n_steps=n_steps)
        self._carried = block.carried
        self._pending = self._pending.take(step >= end)
        self.next_step = end
        is_all_empty = block.n_empty_last == n_steps
        self._n_empty = block.n_empty_last + (self._n_empty if is_all_empty else 0)
        values = block.values
        if self._derivation is not None:
            values = self._derivation.apply(first_step, values)
        return ClosedSteps(first_step, self.step_ms, values)


def _first_step(first_ms: int, step_ms: int, lateness_ms: int) -> int:
    """Give the oldest step to open: samples that follow may be older than the first, by the lateness."""
    return first_ms // step_ms - -(-lateness_ms // step_ms)
