"""Telling a wrong format from bad records, partition by partition; pure.

A bad record is passed over. But a partition in which most records cannot be read is in another format than the
one that the settings name, or a producer has gone wrong: what came since its first bad record is worth being read
again once that is put right, and a hundred dead letters say as much as a million.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Checked", "FormatChange", "FormatCheck"]

_N_NEWEST = (
    1000  # records of which the share that is bad is taken: a standard deviation of 0.016 where half are
)


class FormatChange(NamedTuple):
    """A partition is found to be in a wrong format, or to be good again.

    `first_offset` is that of the first record which could not be read, `offset` that of the record which told, and
    `n_bad` the number of bad ones from the first to that.
    """

    is_wrong: bool
    first_offset: int
    offset: int
    n_bad: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What is made of some records: the places of the bad ones that are dead letters, and what turned."""

    dead_letters: tuple[int, ...] = ()
    turns: tuple[FormatChange, ...] = ()


class _Stretch(NamedTuple):
    first_offset: int
    n_records: int
    is_bad: bool


@dataclass(slots=True)
class _Partition:
    newest: deque[_Stretch] = field(default_factory=deque)  # good and bad ones by turns
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
            if (
                n_gone < oldest.n_records
            ):  # where the rest of it begins is not known: read again too much rather than too little
                self.newest.appendleft(oldest._replace(n_records=oldest.n_records - n_gone))

    def n_bad_among(self, n_newest: int) -> int:
        """Count the bad ones among so many of the newest."""
        n_bad, n_left = 0, n_newest
        for stretch in reversed(self.newest):
            n_taken = min(n_left, stretch.n_records)
            n_bad += n_taken * stretch.is_bad
            n_left -= n_taken
            if not n_left:
                break
        return n_bad


class FormatCheck:
    """The newest records of each partition, and whether they are in a wrong format.

    Parameters
    ----------
    run : int
        So many bad records one behind the other are a wrong format.
    ratio : float
        And so is a larger share than this of the newest thousand, or of as many as there were, at least `run`.

    It is over when of the newest `run` records no more than half of that share is bad.
    """

    def __init__(self, *, run: int, ratio: float) -> None:
        self._run = run
        self._ratio = ratio
        self._partitions: dict[str, _Partition] = {}

    def held_offset(self, name: str) -> int | None:
        """Give the first record of a partition that is in a wrong format; None of any other."""
        known = self._partitions.get(name)
        return None if known is None else known.held_offset

    def forget(self, name: str) -> None:
        """Begin anew with a partition: it is read from another place."""
        self._partitions.pop(name, None)

    def record(self, name: str, offsets: Sequence[int], bad: Sequence[int]) -> Checked:
        """Take note of records as they were read.

        Parameters
        ----------
        offsets : sequence of int
            Of the records, in their order.
        bad : sequence of int
            Places of those that nothing could be read of, ascending.
        """
        one = self._partitions.setdefault(name, _Partition())
        dead_letters: list[int] = []
        turns: list[FormatChange] = []
        for begin, end, is_bad in _stretches(len(offsets), bad):
            if not is_bad:
                one.add(offsets[begin], end - begin, is_bad=False)
                continue
            at = begin
            while (
                at < end and one.held_offset is None
            ):  # one by one: which one tells does not depend on how they come
                one.add(offsets[at], 1, is_bad=True)
                dead_letters.append(at)
                first_offset = self._wrong_from(one)
                if first_offset is not None:
                    one.held_offset, one.n_bad_since = first_offset, one.n_bad
                    turns.append(FormatChange(True, first_offset, offsets[at], one.n_bad))
                at += 1
            if at < end:
                one.add(offsets[at], end - at, is_bad=True)
        if one.held_offset is not None and self._is_good_again(one):
            turns.append(FormatChange(False, one.held_offset, offsets[-1], one.n_bad_since))
            self._partitions[name] = _Partition()
        return Checked(tuple(dead_letters), tuple(turns))

    def _wrong_from(self, one: _Partition) -> int | None:
        """Give the offset from which the format is wrong, where it is."""
        if one.newest[-1].n_records >= self._run:
            return one.newest[-1].first_offset
        if one.n_records >= self._run and one.n_bad > self._ratio * one.n_records:
            return next(stretch.first_offset for stretch in one.newest if stretch.is_bad)
        return None

    def _is_good_again(self, one: _Partition) -> bool:
        return one.n_bad_among(self._run) <= self._ratio / 2 * self._run


def _stretches(n_records: int, bad: Sequence[int]) -> Iterator[tuple[int, int, bool]]:
    """Cut records into stretches of good and of bad ones: begin, end, whether bad."""
    begin = at = 0
    while at < len(bad):
        first = bad[at]
        if begin < first:
            yield begin, first, False
        begin = first
        while at < len(bad) and bad[at] == begin:
            begin, at = begin + 1, at + 1
        yield first, begin, True
    if begin < n_records:
        yield begin, n_records, False
