"""Records that were fetched and are not handed out yet; pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

from monitor.kafka.client import Fetched, Partition

__all__ = ["Backlog"]


class _Waiting(NamedTuple):
    partition: Partition
    fetched: Fetched
    sizes: Sequence[int]  # of the records' values, in bytes


class Backlog:
    """What polls brought, not decoded yet; handed out in pieces, each partition's records in their order."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self.n_records = 0
        self.n_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, fetched: Mapping[Partition, Fetched]) -> None:
        """Add what was fetched."""
        for partition, part in fetched.items():
            sizes = [len(record.value) for record in part.records]
            self._waiting.append(_Waiting(partition, part, sizes))
            self._count(sizes, +1)

    def take(self, *, most_records: int, most_bytes: int) -> list[tuple[Partition, Fetched]]:
        """Hand out the oldest records, as many as fit; a record larger than `most_bytes` comes alone."""
        pieces: list[tuple[Partition, Fetched]] = []
        while self._waiting:
            partition, fetched, sizes = self._waiting[0]
            n_fitting = _n_fitting(sizes, most_records, most_bytes)
            if sizes and not n_fitting:
                if pieces:
                    break
                n_fitting = 1
            self._waiting.popleft()
            fitting = sizes[:n_fitting]
            self._count(fitting, -1)
            most_records -= n_fitting
            most_bytes -= sum(fitting)
            if n_fitting == len(sizes):
                pieces.append((partition, fetched))
                continue
            head, rest = _cut(fetched, n_fitting)
            pieces.append((partition, head))
            self._waiting.appendleft(_Waiting(partition, rest, sizes[n_fitting:]))
            break
        return pieces

    def holds(self, partition: Partition) -> bool:
        """Tell whether anything of a partition is waiting."""
        return any(waiting.partition == partition for waiting in self._waiting)

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Drop what is waiting of some partitions: another member reads it, or it is read again."""
        dropped = set(partitions)
        for partition, _, sizes in self._waiting:
            if partition in dropped:
                self._count(sizes, -1)
        self._waiting = deque(waiting for waiting in self._waiting if waiting.partition not in dropped)

    def clear(self) -> None:
        """Drop everything that is waiting."""
        self.drop([waiting.partition for waiting in self._waiting])

    def _count(self, sizes: Sequence[int], sign: int) -> None:
        self.n_records += sign * len(sizes)
        self.n_bytes += sign * sum(sizes)


def _n_fitting(sizes: Sequence[int], most_records: int, most_bytes: int) -> int:
    if sum(sizes) <= most_bytes:
        return max(0, min(len(sizes), most_records))
    ends = list(accumulate(sizes[: max(0, most_records)]))
    return bisect_right(ends, most_bytes)


def _cut(fetched: Fetched, n_first: int) -> tuple[Fetched, Fetched]:
    """Cut what was fetched after so many records; those without a value count with the first part."""
    cut_offset = fetched.offsets[n_first]
    head = replace(
        fetched, records=fetched.records[:n_first], offsets=fetched.offsets[:n_first], next_offset=cut_offset
    )
    rest = replace(
        fetched,
        records=fetched.records[n_first:],
        offsets=fetched.offsets[n_first:],
        n_empty=0,
        first_offset=cut_offset,
        key_of=lambda index: fetched.key_of(n_first + index),
    )
    return head, rest
