"""Requests that were decoded when they were checked, so that the loop need not decode them once more.

Only a shortcut: what is not here, as after a restart, is decoded from the log, to the same samples.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from monitor.sample import Columns, Series, SeriesTable

__all__ = ["DecodedRequest", "RecentRequests"]


@dataclass(frozen=True, slots=True)
class DecodedRequest:
    """The samples of one request; `columns.series` are positions in `series`."""

    columns: Columns
    series: tuple[Series, ...]

    def numbered(self, table: SeriesTable) -> Columns:
        """Give the samples with the numbers that a table has for their series."""
        numbers = np.array(
            [table.intern(series.name, series.labels, series.kind) for series in self.series], np.int32
        )
        return Columns(numbers[self.columns.series], self.columns.time_ms, self.columns.value)


class RecentRequests:
    """The newest decoded requests, by the offset behind them in the log.

    One thread adds them in the order of their offsets, another one takes them in that order.

    Parameters
    ----------
    most_samples : int
        Bounds the memory: while so many wait, no further request is added.
    """

    def __init__(self, most_samples: int) -> None:
        self._most_samples = most_samples
        self._lock = threading.Lock()
        self._requests: dict[int, DecodedRequest] = {}  # in the order of their offsets
        self._n_samples = 0

    def add(self, offset: int, request: DecodedRequest) -> None:
        """Add a request, if there is room for it."""
        with self._lock:
            if self._n_samples + len(request.columns) <= self._most_samples:
                self._requests[offset] = request
                self._n_samples += len(request.columns)

    def take(self, offset: int) -> DecodedRequest | None:
        """Give the request before an offset, and drop it and those before it; None where it is not here."""
        with self._lock:
            taken = None
            while self._requests and (first := next(iter(self._requests))) <= offset:
                request = self._requests.pop(first)
                self._n_samples -= len(request.columns)
                taken = request if first == offset else None
            return taken
