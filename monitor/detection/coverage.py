"""How many of the entities that should be judged are: it shows when a watch is blind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Coverage"]


class Coverage:
    """When each entity of a watch was last judged, and when its newest sample came; in the source's time."""

    def __init__(self) -> None:
        self._judged_ms = np.empty(0, np.int64)  # end of each entity's newest judged step; 0 before the first
        self._first_now_ms: int | None = None
        self._newest_ms: int | None = None
        self._arrived_ms = 0  # when the newest sample came
        self.has_just_begun = True  # it has not had the time to close a step

    def take(self, time_ms: int, judged: NDArray[np.bool_]) -> None:
        """Record which entities (n,) were judged at the step that ends at `time_ms`."""
        if len(self._judged_ms) < len(judged):
            self._judged_ms = np.pad(self._judged_ms, (0, len(judged) - len(self._judged_ms)))
        self._judged_ms[judged] = time_ms

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these entities and number them anew, in this order."""
        self._judged_ms = self._judged_ms[rows[rows < len(self._judged_ms)]]

    def count(
        self, expected: NDArray[np.bool_], *, newest_ms: int | None, now_ms: int, longest_delay_ms: int
    ) -> int:
        """Count the expected entities (n,) whose newest judged step is as fresh as steps can be.

        A step's age is measured from the newest sample, plus the time since that came: so a source that
        trails the clock by a constant time loses nothing. A daemon that has just begun has not had the
        time to close a step: until it has, all expected entities count.

        Parameters
        ----------
        newest_ms : int or None
            Event time of the newest sample; None before the first.
        now_ms : int
            The source's time.
        longest_delay_ms : int
            How far the newest closed step ends behind the newest sample at most, while samples come.
        """
        if self._first_now_ms is None:
            self._first_now_ms = now_ms
        if newest_ms != self._newest_ms:
            self._newest_ms = newest_ms
            self._arrived_ms = now_ms
        self.has_just_begun = now_ms - self._first_now_ms < longest_delay_ms
        if self.has_just_begun:
            return int(expected.sum())
        if newest_ms is None:
            return 0
        is_fresh = self._judged_ms >= newest_ms + (now_ms - self._arrived_ms) - longest_delay_ms
        return int((expected[: len(is_fresh)] & is_fresh[: len(expected)]).sum())
