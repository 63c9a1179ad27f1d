"""What the newest closed steps were made of: late samples are put in, and the steps closed again. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.detection.rates import BlockRules, Carried, close_block
from monitor.detection.steps import (
    LocatedSamples,
    Reclosed,
    join_located,
    latest_of_steps,
    load_located,
    no_located,
)

__all__ = ["ClosedBlocks", "Revision"]

_MAX_SAMPLES = 1 << 22  # 25 bytes each: bounds what is kept, however many series there are


@dataclass(frozen=True, slots=True)
class _Block:
    """What some consecutive steps were closed from: their samples, and what was carried into them."""

    first_step: int
    n_steps: int
    samples: LocatedSamples
    carried: Carried

    @property
    def end(self) -> int:
        """The number of the first step behind it."""
        return self.first_step + self.n_steps


class Revision(NamedTuple):
    """What late samples have changed.

    `carried` holds the rows of `reclosed` as the open steps continue from them. `newest_ms` is the event time
    of the newest sample in the kept steps, None where there is none; `n_conflicting` counts late samples that
    gave another value for a series and time than one that was there.
    """

    reclosed: Reclosed
    carried: Carried
    newest_ms: int | None
    n_conflicting: int


class ClosedBlocks:
    """The newest closed blocks of steps, oldest first, and the late samples that wait to be put into them.

    Parameters
    ----------
    n_steps : int
        The newest closed steps for which late samples are taken; 0 keeps nothing.
    """

    def __init__(self, rules: BlockRules, n_steps: int) -> None:
        self._rules = rules
        self._n_steps = n_steps
        self._blocks: deque[_Block] = deque()
        self._late = no_located()

    def first_step(self, next_step: int) -> int:
        """Give the oldest step for which late samples are taken, where `next_step` is the oldest open one."""
        return max(self._blocks[0].first_step, next_step - self._n_steps) if self._blocks else next_step

    def append(self, first_step: int, n_steps: int, samples: LocatedSamples, carried: Carried) -> None:
        """Keep what a block was closed from; drop the blocks for which late samples are no longer taken."""
        if not self._n_steps:
            return
        self._blocks.append(_Block(first_step, n_steps, samples, carried))
        n_samples = sum(len(block.samples.row) for block in self._blocks)
        oldest = first_step + n_steps - self._n_steps
        while self._blocks and (self._blocks[0].end <= oldest or n_samples > _MAX_SAMPLES):
            n_samples -= len(self._blocks.popleft().samples.row)

    def add_late(self, samples: LocatedSamples) -> None:
        """Take late samples of the kept steps, for the next call of `revise`."""
        self._late = join_located(self._late, samples)

    def revise(self, pending: LocatedSamples, shape: tuple[int, int]) -> Revision | None:
        """Close the steps of late samples again, as if these had come in time; None where there are none.

        Parameters
        ----------
        pending : LocatedSamples
            Those of the open steps.
        shape : tuple of int
            Rows and channels that there are now, (n, C).
        """
        late = self._late
        self._late = no_located()
        if not len(late.row):
            return None
        step = late.time_ms // self._rules.step_ms
        n_before = sum(block.end <= step.min() for block in self._blocks)  # blocks that nothing came late for
        n_conflicting = 0
        for index, block in list(enumerate(self._blocks))[n_before:]:
            of_block = late.take((step >= block.first_step) & (step < block.end))
            samples, n_more = latest_of_steps(join_located(block.samples, of_block), self._rules.step_ms)
            self._blocks[index] = replace(block, samples=samples)
            n_conflicting += n_more
        rows = np.unique(late.row).astype(np.int64)
        values, carried = self._close_again(n_before, rows, pending, shape)
        reclosed = Reclosed(
            self._blocks[n_before].first_step, rows, values, int((~np.isnan(late.value)).sum())
        )
        return Revision(reclosed, carried, self._newest_ms(), n_conflicting)

    def clear(self) -> None:
        """Keep nothing: no late sample is taken for what is closed up to here."""
        self._blocks.clear()

    def rows(self) -> NDArray[np.int32]:
        """Give the entity row of every sample that is kept or waits."""
        return np.concatenate([self._late.row, *(block.samples.row for block in self._blocks)])

    def forget_cells(self, cells: NDArray[np.bool_]) -> None:
        """Let nothing be carried into some cells, a mask (n, C) of all that there are now."""
        for index, block in enumerate(self._blocks):
            carried = block.carried.grown(cells.shape)
            self._blocks[index] = replace(block, carried=carried.without(cells))

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these rows and number them anew, in their order.

        The others must have no samples here.
        """
        self._late = self._late.renumbered(rows)
        for index, block in enumerate(self._blocks):
            carried = Carried.of(**block.carried.state())
            carried.keep_rows(rows)
            self._blocks[index] = replace(block, samples=block.samples.renumbered(rows), carried=carried)

    def rearrange_channels(self, order: NDArray[np.int64]) -> None:
        """Put the channels (C,) into another order, as `LocatedSamples.rearranged` does."""
        self._late = self._late.rearranged(order)
        for index, block in enumerate(self._blocks):
            samples, carried = block.samples.rearranged(order), block.carried.in_order(order)
            self._blocks[index] = replace(block, samples=samples, carried=carried)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give the kept samples, and what was carried into the first of them: the rest follows from these."""
        samples = join_located(*(block.samples for block in self._blocks))
        carried = self._blocks[0].carried if self._blocks else Carried(0, channels=0)
        blocks = [(block.first_step, block.n_steps, len(block.samples.row)) for block in self._blocks]
        return {
            "kept.blocks": np.array(blocks, np.int64).reshape(-1, 3),
            **samples.state("kept"),
            **{f"kept_{name}": array for name, array in carried.state().items()},
        }

    def load_state(
        self, arrays: Mapping[str, NDArray[Any]], pending: LocatedSamples, shape: tuple[int, int]
    ) -> Carried | None:
        """Take over arrays that `state` gave.

        Returns
        -------
        Carried or None
            What the open steps continue from, shape (n, C); None where nothing is kept.
        """
        self._blocks.clear()
        if "kept.blocks" not in arrays or not self._n_steps:  # an older version's checkpoint has none
            return None
        samples = load_located(arrays, "kept")
        carried = Carried(0, channels=0)
        carried.load_state({name: arrays[f"kept_{name}"] for name in carried.state()})
        start = 0
        for first_step, n_steps, n_samples in arrays["kept.blocks"].tolist():
            of_block = samples.take(np.arange(start, start + n_samples))
            self._blocks.append(_Block(first_step, n_steps, of_block, carried))
            start += n_samples
        if not self._blocks:
            return None
        _, carried = self._close_again(0, np.arange(shape[0]), pending, shape)
        return carried

    def _close_again(
        self, n_before: int, rows: NDArray[np.int64], pending: LocatedSamples, shape: tuple[int, int]
    ) -> tuple[NDArray[np.float64], Carried]:
        """Close all blocks but the first `n_before` again, for some rows (m,), each from the end of the last.

        Returns
        -------
        ndarray, Carried
            The rows' values (T, m, C), and what the open steps continue from, (m, C).
        """
        blocks = list(self._blocks)[n_before:]
        samples = _of_rows([*(block.samples for block in blocks), pending], rows, n_rows=shape[0])
        carried = blocks[0].carried.grown(shape).take(rows)
        values = []
        for index, block in enumerate(blocks, start=n_before):
            if index > n_before:
                into_rows = block.carried.grown(shape).with_rows(rows, carried)
                self._blocks[index] = replace(block, carried=into_rows)
            step = samples.time_ms // self._rules.step_ms
            seen = samples.take(step < block.end + self._rules.n_ahead)
            closed = close_block(
                seen, carried, self._rules, first_step=block.first_step, n_steps=block.n_steps
            )
            samples = samples.take(step >= block.end)
            carried = closed.carried
            values.append(closed.values)
        return np.concatenate(values), carried

    def _newest_ms(self) -> int | None:
        times = [block.samples.time_ms[~np.isnan(block.samples.value)] for block in self._blocks]
        times_ms = np.concatenate(times)
        return int(times_ms.max()) if len(times_ms) else None


def _of_rows(parts: Sequence[LocatedSamples], rows: NDArray[np.int64], *, n_rows: int) -> LocatedSamples:
    """Give the samples of some rows, numbered by their index in `rows`."""
    is_chosen = np.zeros(n_rows, bool)
    is_chosen[rows] = True
    return join_located(*(part.take(is_chosen[part.row]) for part in parts)).renumbered(rows)
