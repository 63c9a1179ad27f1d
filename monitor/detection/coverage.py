"""Which of the entities that should be judged are: it shows when a watch is blind, and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Coverage", "CoverageView"]


@dataclass(frozen=True, slots=True)
class CoverageView:
    """Which entities should be judged and which of them are not; shapes (n,).

    `since_ms` is the end of each entity's newest judged step; where none was, when it was first expected.
    """

    expected: NDArray[np.bool_]
    missing: NDArray[np.bool_]
    since_ms: NDArray[np.int64]

    def longest_missing(self, n_most: int) -> NDArray[np.int64]:
        """Give the rows of those that are not judged, longest first, and these in the order of their rows."""
        rows = np.flatnonzero(self.missing)
        return rows[np.argsort(self.since_ms[rows], kind="stable")[:n_most]]


class Coverage:
    """When each entity of a watch was last judged, and when its newest sample came; in the source's time.

    Attributes
    ----------
    has_just_begun : bool
        It has not had the time to close a step.
    """

    def __init__(self) -> None:
        self._judged_ms = np.empty(0, np.int64)  # end of each entity's newest judged step; 0 before the first
        self._expected = np.empty(0, bool)
        self._missing = np.empty(0, bool)  # as long as `_expected`
        self._expected_ms = np.empty(0, np.int64)  # the same: from when on it is expected; -1 while it is not
        self._first_now_ms: int | None = None
        self._newest_ms: int | None = None
        self._arrived_ms = 0  # when the newest sample came
        self.has_just_begun = True

    @property
    def n_expected(self) -> int:
        """Entities that should be judged."""
        return int(self._expected.sum())

    @property
    def n_judged(self) -> int:
        """Those of them that are."""
        return self.n_expected - int(self._missing.sum())

    def view(self) -> CoverageView:
        """Give which entities should be judged, and which of them are not."""
        judged_ms = _padded(self._judged_ms, len(self._expected))
        since_ms = np.where(judged_ms > 0, judged_ms, self._expected_ms)
        return CoverageView(self._expected, self._missing, since_ms)

    def take(self, time_ms: int, judged: NDArray[np.bool_]) -> None:
        """Record which entities (n,) were judged at the step that ends at `time_ms`."""
        if len(self._judged_ms) < len(judged):
            self._judged_ms = _padded(self._judged_ms, len(judged))
        self._judged_ms[judged] = time_ms

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these entities and number them anew, in this order."""
        self._judged_ms = self._judged_ms[rows[rows < len(self._judged_ms)]]
        rows = rows[rows < len(self._expected)]
        self._expected, self._missing = self._expected[rows], self._missing[rows]
        self._expected_ms = self._expected_ms[rows]

    def update(
        self,
        expected: NDArray[np.bool_],
        *,
        filling_ms: NDArray[np.int64],
        newest_ms: int | None,
        now_ms: int,
        longest_delay_ms: int,
        step_ms: int,
        finished: bool = False,
    ) -> None:
        """Find the expected entities (n,) whose newest judged step is not as fresh as steps can be.

        A step's age is measured from the newest sample, plus the time since that came: so a source that
        trails the clock by a constant time loses nothing. A daemon that has just begun has not had the
        time to close a step: until it has, none is missing. Nor is an entity that is just expected, nor one
        that a model knows while its first window fills: it is shown by steps as fresh as they can be.

        Parameters
        ----------
        filling_ms : ndarray, shape (m,)
            The end of the newest step of each entity whose first window fills, and 0 of the others; entities
            that it is too short for have shown nothing.
        newest_ms : int or None
            Event time of the newest sample; None before the first.
        now_ms : int
            The source's time.
        longest_delay_ms : int
            How far the newest closed step ends behind the newest sample at most, while samples come.
        finished : bool
            The source has come to its end: nothing will be judged any more, however fresh the last step is.
        """
        if self._first_now_ms is None:
            self._first_now_ms = now_ms
        if newest_ms != self._newest_ms:
            self._newest_ms = newest_ms
            self._arrived_ms = now_ms
        self.has_just_begun = now_ms - self._first_now_ms < longest_delay_ms
        expected_ms = _padded(self._expected_ms, len(expected), fill=-1)
        self._expected_ms = np.where(expected, np.where(expected_ms >= 0, expected_ms, now_ms), -1)
        self._expected = expected
        if finished:
            self._missing = expected
        elif self.has_just_begun:
            self._missing = np.zeros(len(expected), bool)
        elif newest_ms is None:
            self._missing = expected
        else:
            oldest_ms = newest_ms + (now_ms - self._arrived_ms) - longest_delay_ms
            judged_ms = _padded(self._judged_ms, len(expected))
            # A step more: where all channels are counters, an entity's first step has no rate.
            is_due = (judged_ms > 0) | (now_ms - self._expected_ms >= longest_delay_ms + step_ms)
            fresh_ms = np.where(judged_ms > 0, judged_ms, _padded(filling_ms, len(expected)))
            self._missing = expected & is_due & ((fresh_ms < oldest_ms) | (fresh_ms == 0))

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Give the arrays by name: what a restart goes on from, and what `barograph status` shows."""
        return {"judged_ms": self._judged_ms, "expected": self._expected, "missing": self._missing}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over when each entity was last judged; a state of an older version does not say it."""
        if "judged_ms" in arrays:
            self._judged_ms = np.array(arrays["judged_ms"], np.int64)


def _padded(times_ms: NDArray[np.int64], n_rows: int, *, fill: int = 0) -> NDArray[np.int64]:
    return np.pad(times_ms, (0, max(0, n_rows - len(times_ms))), constant_values=fill)[:n_rows]
