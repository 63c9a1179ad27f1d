"""The newest steps of every entity of a watch, and how much each entity has shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.row_arrays import RowArrays, rearranged, row_array
from monitor.detection.steps import Reclosed

__all__ = ["RecentSteps", "SeenRows"]


class SeenRows(RowArrays):
    """How much each entity has shown; steps are grid numbers.

    The arrays are replaced and never written into: snapshots of steps refer to them.
    """

    n_seen = row_array(np.int64)  # steps in which an entity showed something
    last_seen = row_array(np.int64, fill=-1)  # -1 before an entity's first sample
    known_since = row_array(np.int64, fill=-1)  # the step before the first in which the entity had a row

    def add_step(self, step: int, seen: NDArray[np.bool_]) -> None:
        """Count a step in which some of the entities (n,) were seen."""
        self.n_seen = self.n_seen + seen
        self.last_seen = np.where(seen, step, self.last_seen)

    def correct(self, rows: NDArray[np.int64], n_more: NDArray[np.int64], newest: NDArray[np.int64]) -> None:
        """Count late steps of some entities: so many more (m,), the newest of them (m,)."""
        self.n_seen = self.n_seen.copy()
        self.n_seen[rows] += n_more
        self.last_seen = self.last_seen.copy()
        self.last_seen[rows] = np.maximum(self.last_seen[rows], newest)

    def appear(self, n_rows: int, step: int) -> None:
        """Make room for entities that have a row from this step on."""
        first = self.n_rows
        self.grow(n_rows)
        self.known_since[first:] = step - 1  # just allocated: nothing refers to these

    def stale_from_ms(self, step_ms: int, stale_ms: int) -> NDArray[np.int64]:
        """Tell from when on each entity (n,) is stale, if no more samples come.

        An entity that was never seen counts from its first step.
        """
        last = np.where(self.last_seen >= 0, self.last_seen, self.known_since)
        return (last + 1) * step_ms + stale_ms

    def filling_ms(self, step_ms: int, window_length: int) -> NDArray[np.int64]:
        """Give the end of each entity's newest step (n,) while its first window fills; else 0."""
        is_filling = (self.last_seen >= 0) & (self.n_seen < window_length)
        return np.where(is_filling, (self.last_seen + 1) * step_ms, 0)

    def shift_time(self, n_steps: int) -> None:
        """Move all times back by so many steps."""
        was_seen = self.last_seen >= 0
        self.last_seen = np.where(was_seen, np.maximum(self.last_seen - n_steps, 0), self.last_seen)
        self.known_since = self.known_since - n_steps


class RecentSteps:
    """The newest steps as arrays, and how much each entity has shown up to the newest.

    Parameters
    ----------
    n_steps : int
        How many steps are held.

    Attributes
    ----------
    values : ndarray, shape (up to n_steps, n, C)
        In the channels' own units, oldest first; NaN is a gap.
    newest_step : int
        Grid number of the newest step that was judged.
    """

    def __init__(self, n_steps: int) -> None:
        self._n_steps = n_steps
        self.values: NDArray[np.float64] = np.empty((0, 0, 0))
        self.seen = SeenRows(0)
        self.newest_step = -1

    def make_room(self, n_rows: int, n_channels: int, first_step: int) -> None:
        """Make room for more entities and channels; new entities are known from `first_step` on."""
        more_rows, more_channels = n_rows - self.values.shape[1], n_channels - self.values.shape[2]
        if more_rows or more_channels:
            more = ((0, 0), (0, more_rows), (0, more_channels))
            self.values = np.pad(self.values, more, constant_values=np.nan)
        if n_rows > self.seen.n_rows:
            self.seen.appear(n_rows, first_step)

    def count_step(self, step: int, values: NDArray[np.float64]) -> None:
        """Count which entities a step (n, C) shows, as it is judged."""
        self.newest_step = step
        self.seen.add_step(step, np.asarray(~np.isnan(values).all(axis=1)))

    def append(self, values: NDArray[np.float64]) -> None:
        """Add steps (T, n, C) that were judged; the oldest are dropped."""
        self.values = np.concatenate([self.values, values])[-self._n_steps :]

    def before(self, n_steps: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give steps (T, n, C) behind the newest `n_steps` before them, gaps where fewer are held.

        The result has shape (n_steps + T, n, C).
        """
        n_held = min(len(self.values), n_steps)
        joined = np.concatenate([self.values[len(self.values) - n_held :], values])
        if n_held == n_steps:
            return joined
        blank = np.full((n_steps - n_held, *values.shape[1:]), np.nan)
        return np.concatenate([blank, joined])

    def n_shown(self) -> NDArray[np.int64]:
        """Count the held steps in which each entity (n,) shows something."""
        return np.asarray((~np.isnan(self.values).all(axis=2)).sum(axis=0))

    def patch(self, reclosed: Reclosed) -> tuple[int, NDArray[np.int64]] | None:
        """Put steps that were closed again in place of what they were.

        Returns
        -------
        tuple of int and ndarray, or None
            The first step that differs, and the rows that do; None where nothing differs.
        """
        next_step, rows = reclosed.first_step + len(reclosed.values), reclosed.rows
        n_steps = min(len(reclosed.values), len(self.values))
        first_step = next_step - n_steps
        new = reclosed.values[len(reclosed.values) - n_steps :]
        old = self.values[len(self.values) - n_steps :, rows]
        differs = (new != old) & ~(np.isnan(new) & np.isnan(old))  # (T, m, C)
        if not differs.any():
            return None
        self.values[len(self.values) - n_steps :, rows] = new
        is_seen, was_seen = ~np.isnan(new).all(axis=2), ~np.isnan(old).all(axis=2)
        steps = np.arange(first_step, next_step)[:, None]
        newest = np.where(is_seen, steps, -1).max(axis=0)
        self.seen.correct(rows, is_seen.sum(axis=0) - was_seen.sum(axis=0), newest)
        n_before = int(np.argmax(differs.any(axis=(1, 2))))
        return first_step + n_before, rows[differs.any(axis=(0, 2))]

    def as_of(
        self, n_back: int, rows: NDArray[np.int64], snapshot: Mapping[str, NDArray[Any]], *, n_steps: int
    ) -> RecentSteps:
        """Give some entities' steps, `n_steps` at most, as they were before the newest `n_back` steps.

        Parameters
        ----------
        snapshot : mapping
            `n_seen` and `last_seen` at that time, of all rows.
        """
        end = max(0, len(self.values) - n_back)
        earlier = RecentSteps(n_steps)
        earlier.values = self.values[max(0, end - n_steps) : end, rows]
        earlier.seen = SeenRows.of(
            n_seen=snapshot["n_seen"][rows],
            last_seen=snapshot["last_seen"][rows],
            known_since=self.seen.known_since[rows],
        )
        earlier.newest_step = self.newest_step - n_back
        return earlier

    def shift_time(self, n_steps: int) -> None:
        """Move all times back by so many steps: the clock that they came from was ahead."""
        self.seen.shift_time(n_steps)
        self.newest_step -= n_steps

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these entities, which are numbered anew, in this order."""
        self.values = self.values[:, rows[rows < self.values.shape[1]]]
        self.seen.keep_rows(rows)

    def rearrange_channels(self, order: NDArray[np.int64]) -> None:
        """Put the channels (C,) into another order by their present numbers; -1 is a channel of gaps."""
        self.values = rearranged(self.values, order, axis=2, fill=np.nan)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give every array by name; the arrays themselves, not copies."""
        return {"recent": self.values, **self.seen.state()}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Copy arrays that `state` gave.

        Raises
        ------
        KeyError, ValueError
            If an array is missing or does not fit.
        """
        self.seen.load_state(arrays)
        self.values = arrays["recent"].copy()
        self.newest_step = int(np.max(self.seen.last_seen, initial=-1))
