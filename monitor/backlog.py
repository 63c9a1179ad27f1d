"""Records that were fetched and not handed out yet, and how many are handed out at once; pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

__all__ = ["Backlog", "Pace"]

_FEWEST_RECORDS = 100  # a step's own cost, whatever comes in it, must not end in one record a step

P = TypeVar("P", bound=Hashable)  # a partition
R = TypeVar("R")  # a record


class Backlog(Generic[P, R]):
    """Raw records by partition, handed out in pieces, those of a partition in their order.

    Parameters
    ----------
    size_of : callable
        Gives a record's bytes.
    """

    def __init__(self, size_of: Callable[[R], int]) -> None:
        self._size_of = size_of
        self._waiting: deque[tuple[P, Sequence[R], Sequence[int]]] = deque()  # records and their sizes
        self.n_records = 0
        self.n_bytes = 0

    def put(self, fetched: Mapping[P, Sequence[R]]) -> None:
        """Take what was fetched."""
        for partition, records in fetched.items():
            if records:
                sizes = list(map(self._size_of, records))
                self._waiting.append((partition, records, sizes))
                self._count(sizes, +1)

    def take(self, *, most_records: int, most_bytes: int) -> dict[P, list[R]]:
        """Hand out the oldest records, as many as fit; one that is larger than what fits comes alone."""
        taken: dict[P, list[R]] = {}
        while self._waiting:
            partition, records, sizes = self._waiting[0]
            n_fitting = _n_fitting(sizes, most_records, most_bytes) or int(not taken)
            if not n_fitting:
                break
            self._waiting.popleft()
            fitting = sizes[:n_fitting]
            self._count(fitting, -1)
            most_records -= n_fitting
            most_bytes -= sum(fitting)
            taken.setdefault(partition, []).extend(records[:n_fitting])
            if n_fitting < len(records):
                self._waiting.appendleft((partition, records[n_fitting:], sizes[n_fitting:]))
                break
        return taken

    def holds(self, partition: P) -> bool:
        """Tell whether anything of a partition is waiting."""
        return any(one == partition for one, _, _ in self._waiting)

    def drop(self, partitions: Iterable[P]) -> None:
        """Forget what is waiting of some partitions: somebody else reads it."""
        gone = set(partitions)
        for partition, _, sizes in self._waiting:
            if partition in gone:
                self._count(sizes, -1)
        self._waiting = deque(one for one in self._waiting if one[0] not in gone)

    def clear(self) -> None:
        """Forget all that is waiting."""
        self.drop([partition for partition, _, _ in self._waiting])

    def _count(self, sizes: Sequence[int], sign: int) -> None:
        self.n_records += sign * len(sizes)
        self.n_bytes += sign * sum(sizes)


def _n_fitting(sizes: Sequence[int], most_records: int, most_bytes: int) -> int:
    if sum(sizes) <= most_bytes:
        return max(0, min(len(sizes), most_records))
    ends = list(accumulate(sizes[: max(0, most_records)]))
    return bisect_right(ends, most_bytes)


class Pace:
    """How many records make a batch, so that dealing with one takes about a second.

    A batch that took longer makes the next ones smaller, by as much; each full one that took less than half makes
    them twice as large again. What a record holds is taken to be what those of the last batch held.

    Parameters
    ----------
    most_records, most_samples : int
        More never come in one batch.
    target_seconds : float
        Time for one batch: a stop signal waits for it, and so does a scrape.
    """

    def __init__(self, *, most_records: int, most_samples: int, target_seconds: float = 1.0) -> None:
        self._most_records = self._n_timely = most_records
        self._most_samples = most_samples
        self._target_seconds = target_seconds
        self._samples_each = 0.0

    @property
    def n_records(self) -> int:
        """How many make the next batch."""
        n_fitting = self._most_samples / self._samples_each if self._samples_each else self._most_records
        return max(1, min(self._n_timely, int(n_fitting)))

    def took(self, n_records: int, n_samples: int, seconds: float) -> None:
        """Take note of how long a batch took, from being handed out to the next one being asked for."""
        if not n_records:
            return
        n_allowed = self.n_records
        self._samples_each = n_samples / n_records
        if seconds > self._target_seconds:
            timely = max(_FEWEST_RECORDS, int(n_records * self._target_seconds / seconds))
            self._n_timely = min(self._n_timely, timely)
        elif seconds < self._target_seconds / 2 and n_records >= n_allowed:
            self._n_timely = min(self._most_records, 2 * self._n_timely)
