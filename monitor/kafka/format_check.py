"""Whether a partition is in a wrong format, or only holds bad records; pure.

A bad record is skipped. But a partition in which most records cannot be read is in another format than the
configured one, or its producer is broken. The records since its first bad one are worth reading again once
that is corrected, and a hundred dead letters say as much as a million.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Checked", "FormatChange", "FormatCheck"]

_N_NEWEST = 1000  # records whose bad share counts: a standard deviation of 0.016 where half are bad


class FormatChange(NamedTuple):
    """A partition turns out to be in a wrong format, or to be readable again.

    `first_offset` is that of the first bad record, `offset` that of the record which revealed the change, and
    `n_bad` the number of bad records between them, both included.
    """

    is_wrong: bool
    first_offset: int
    offset: int
    n_bad: int


@dataclass(frozen=True, slots=True)
class Checked:
    """The result for some records: indices of the bad ones that become dead letters, and format changes."""

    dead_letters: tuple[int, ...] = ()
    changes: tuple[FormatChange, ...] = ()


class _Stretch(NamedTuple):
    first_offset: int
    n_records: int
    is_bad: bool


@dataclass(slots=True)
class _Partition:
    newest: deque[_Stretch] = field(default_factory=deque)  # good and bad stretches in turn
    n_records: int = 0
    n_bad: int = 0
    held_offset: int | None = None  # of the first bad record, while the format is wrong
    n_bad_since: int = 0

    def add(self, offset: int, n_records: int, *, is_bad: bool) -> None:
        if self.newest and self.newest[-1].is_bad == is_bad:
            last = self.newest.pop()
            self.newest.append(last._replace(n_records=last.n_records + n_records))
        else:
            self.newest.append(_Stretch(offset, n_records, is_bad))
        self.n_records += n_records
        self.n_bad += n_records * is_bad
        self.n_bad_since += n_records * is_bad
        while self.n_records > _N_NEWEST:
            oldest = self.newest.popleft()
            n_gone = min(oldest.n_records, self.n_records - _N_NEWEST)
            self.n_records -= n_gone
            self.n_bad -= n_gone * oldest.is_bad
            if n_gone < oldest.n_records:
                # The offset where the rest begins is not known: rather read too much again than too little.
                self.newest.appendleft(oldest._replace(n_records=oldest.n_records - n_gone))

    def hold(self, offset: int) -> None:
        self.held_offset = offset
        self.n_bad_since = self.n_bad

    def n_bad_among(self, n_newest: int) -> int:
        """Count the bad records among so many of the newest."""
        n_bad = 0
        n_left = n_newest
        for stretch in reversed(self.newest):
            n_counted = min(n_left, stretch.n_records)
            n_bad += n_counted * stretch.is_bad
            n_left -= n_counted
            if not n_left:
                break
        return n_bad


class FormatCheck:
    """The newest records of each partition, and whether it is in a wrong format.

    The format is right again when no more than half of `ratio` of the newest `run` records is bad.

    Parameters
    ----------
    run : int
        So many bad records in a row are a wrong format.
    ratio : float
        So is a larger share than this of the newest thousand, or of as many as there were, at least `run`.
    """

    def __init__(self, *, run: int, ratio: float) -> None:
        self._run = run
        self._ratio = ratio
        self._partitions: dict[str, _Partition] = {}

    def held_offset(self, name: str) -> int | None:
        """Give the first bad record of a partition that is in a wrong format; None for any other."""
        partition = self._partitions.get(name)
        return None if partition is None else partition.held_offset

    def forget(self, name: str) -> None:
        """Forget what was seen of a partition: it is read from another offset."""
        self._partitions.pop(name, None)

    def record(self, name: str, offsets: Sequence[int], bad: Sequence[int]) -> Checked:
        """Record which of some records were bad.

        Parameters
        ----------
        offsets : sequence of int
            Of the records, in their order.
        bad : sequence of int
            Indices of the records without any sample, ascending.
        """
        partition = self._partitions.setdefault(name, _Partition())
        dead_letters: list[int] = []
        changes: list[FormatChange] = []
        for begin, end, is_bad in _stretches(len(offsets), bad):
            if not is_bad:
                partition.add(offsets[begin], end - begin, is_bad=False)
                continue
            index = begin
            # Record by record, so that the one which reveals it does not depend on how they are fetched.
            while index < end and partition.held_offset is None:
                partition.add(offsets[index], 1, is_bad=True)
                dead_letters.append(index)
                first_offset = self._wrong_from(partition)
                if first_offset is not None:
                    partition.hold(first_offset)
                    changes.append(FormatChange(True, first_offset, offsets[index], partition.n_bad))
                index += 1
            if index < end:
                partition.add(offsets[index], end - index, is_bad=True)
        if partition.held_offset is not None and self._is_right_again(partition):
            changes.append(FormatChange(False, partition.held_offset, offsets[-1], partition.n_bad_since))
            self._partitions[name] = _Partition()
        return Checked(tuple(dead_letters), tuple(changes))

    def _wrong_from(self, partition: _Partition) -> int | None:
        """Give the offset from which the format is wrong; None while it is right."""
        if partition.newest[-1].n_records >= self._run:
            return partition.newest[-1].first_offset
        if partition.n_records >= self._run and partition.n_bad > self._ratio * partition.n_records:
            return next(stretch.first_offset for stretch in partition.newest if stretch.is_bad)
        return None

    def _is_right_again(self, partition: _Partition) -> bool:
        return partition.n_bad_among(self._run) <= self._ratio / 2 * self._run


def _stretches(n_records: int, bad: Sequence[int]) -> Iterator[tuple[int, int, bool]]:
    """Cut records into stretches of good and of bad ones: begin, end, whether bad."""
    begin = 0
    n_passed = 0  # of the bad indices
    while n_passed < len(bad):
        first = bad[n_passed]
        if begin < first:
            yield begin, first, False
        begin = first
        while n_passed < len(bad) and bad[n_passed] == begin:
            begin += 1
            n_passed += 1
        yield first, begin, True
    if begin < n_records:
        yield begin, n_records, False
