"""Records that were fetched and not handed out yet, and how many are handed out at once; pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from monitor.kafka.client import Fetched, Partition

__all__ = ["Backlog"]


class Backlog:
    """What polls brought, raw, handed out in pieces, the records of a partition in their order."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Partition, Fetched, Sequence[int]]] = (
            deque()
        )  # the last are the records' bytes
        self.n_records = 0
        self.n_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, fetched: Mapping[Partition, Fetched]) -> None:
        """Take what was fetched."""
        for partition, one in fetched.items():
            sizes = [len(record.value) for record in one.records]
            self._waiting.append((partition, one, sizes))
            self._count(sizes, +1)

    def take(self, *, most_records: int, most_bytes: int) -> list[tuple[Partition, Fetched]]:
        """Hand out the oldest records, as many as fit; one that is larger than what fits comes alone."""
        taken: list[tuple[Partition, Fetched]] = []
        while self._waiting:
            partition, one, sizes = self._waiting[0]
            n_fitting = _n_fitting(sizes, most_records, most_bytes)
            if sizes and not n_fitting:
                if taken:
                    break
                n_fitting = 1
            self._waiting.popleft()
            fitting = sizes[:n_fitting]
            self._count(fitting, -1)
            most_records -= n_fitting
            most_bytes -= sum(fitting)
            if n_fitting == len(sizes):
                taken.append((partition, one))
                continue
            head, rest = _cut(one, n_fitting)
            taken.append((partition, head))
            self._waiting.appendleft((partition, rest, sizes[n_fitting:]))
            break
        return taken

    def holds(self, partition: Partition) -> bool:
        """Tell whether anything of a partition is waiting."""
        return any(one == partition for one, _, _ in self._waiting)

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Forget what is waiting of some partitions: somebody else reads it, or it is read again."""
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


def _cut(one: Fetched, n_first: int) -> tuple[Fetched, Fetched]:
    """Cut what was fetched behind so many records; those without a value count with the first part."""
    at = one.offsets[n_first]
    head = replace(one, records=one.records[:n_first], offsets=one.offsets[:n_first], next_offset=at)
    rest = replace(
        one,
        records=one.records[n_first:],
        offsets=one.offsets[n_first:],
        n_empty=0,
        first_offset=at,
        key_of=lambda index: one.key_of(n_first + index),
    )
    return head, rest
