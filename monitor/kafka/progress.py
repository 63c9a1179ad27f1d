"""How far a source has been read: offsets and event time of every partition; pure, with time passed in.

A step may close only when every partition has been read up to its end, whatever the order in which
the partitions are fetched. So the source is complete up to the *oldest* of its partitions' newest
samples. A partition in which nothing comes any more that tells a time is left out of that, but only
while the broker says, again and again, that there is nothing left to read in it: a broker that cannot be
asked holds everything up, and no sample is late because of it. One whose records cannot be read is left out
without that: it holds nobody up, and what comes of it later may be late.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.sources.position import NOTHING_YET, PartitionPosition, Position

__all__ = ["ReadProgress"]

_CONFIRMED_SECONDS = 5.0  # so long counts what the broker said: a few polls of a second
_N_MARKS = 32  # pieces of the stretch that is read again after a loss: at most a 32nd too much


@dataclass(slots=True)
class _Partition:
    offset: int
    newest_ms: int
    told_at: float  # when a record last told a time, or when the partition came to us
    empty_at: float = -math.inf  # when the broker last had nothing more in it, but what told no time
    held: int | None = None  # offset of the first record that is to be read again
    marks: list[tuple[int, int]] = field(
        default_factory=list
    )  # first offset of a stretch, newest event time in it


class ReadProgress:
    """The partitions of a source; times `now` are monotonic seconds.

    Parameters
    ----------
    rewind_ms : int
        Event time behind the complete one that a window may still need.
    idle_seconds : float
        Silence after which a partition holds the others up no longer.
    resumed : Position, optional
        Where a checkpoint was taken.
    """

    def __init__(self, *, rewind_ms: int, idle_seconds: float, resumed: Position | None = None) -> None:
        self._rewind_ms = rewind_ms
        self._piece_ms = max(1, rewind_ms // _N_MARKS)
        self._idle_seconds = idle_seconds
        self._partitions: dict[str, _Partition] = {}
        self._owned: set[str] = set()
        self.complete_ms = NOTHING_YET
        if resumed is not None:
            self.complete_ms = NOTHING_YET if resumed.time_ms is None else resumed.time_ms
            for name, place in resumed.partitions.items():
                told_ms = (
                    self.complete_ms if place.newest_ms == NOTHING_YET else place.newest_ms
                )  # it was held
                marks = [(place.rewind, told_ms)] if place.rewind < place.offset else []
                self._partitions[name] = _Partition(place.offset, place.newest_ms, -math.inf, marks=marks)

    @property
    def owned(self) -> frozenset[str]:
        """The partitions that are being read."""
        return frozenset(self._owned)

    def offset(self, name: str) -> int | None:
        """Give the next offset of a partition that was read before; None of another."""
        known = self._partitions.get(name)
        return None if known is None else known.offset

    def knows_topic(self, topic: str) -> bool:
        """Tell whether any partition of a topic was read before."""
        return any(name.rpartition("/")[0] == topic for name in self._partitions)

    def assign(self, name: str, offset: int, now: float) -> None:
        """Begin to read a partition at an offset, or go on from there."""
        known = self._partitions.get(name)
        if known is None or known.offset != offset:
            known = self._partitions[name] = _Partition(offset, NOTHING_YET, now)
        known.told_at, known.empty_at = now, -math.inf
        self._owned.add(name)

    def release(self, names: Iterable[str]) -> None:
        """Read some partitions no longer; where they were is remembered."""
        self._owned.difference_update(names)

    def hold(self, name: str, offset: int | None) -> None:
        """Let a partition be read again from an offset by who goes on from a position; None: from where it is.

        While it is held, it holds up the others only as long as it tells times.
        """
        self._partitions[name].held = offset

    def newest_ms(self, name: str) -> int:
        """Give the newest event time that a partition has told."""
        return self._partitions[name].newest_ms

    def record(
        self, name: str, *, first_offset: int, next_offset: int, newest_ms: int | None, now: float
    ) -> None:
        """Note records that were handed out.

        Parameters
        ----------
        newest_ms : int or None
            Newest event time among them that can be believed; None where there is none.
        """
        one = self._partitions[name]
        one.offset = next_offset
        if newest_ms is None:
            return
        one.told_at, one.empty_at = now, -math.inf
        one.newest_ms = max(one.newest_ms, newest_ms)
        if one.marks and newest_ms // self._piece_ms <= one.marks[-1][1] // self._piece_ms:
            one.marks[-1] = (one.marks[-1][0], max(one.marks[-1][1], newest_ms))
        else:
            one.marks.append((first_offset, newest_ms))

    def silent(self, now: float) -> list[str]:
        """Name the partitions that have told no time for so long that the broker should be asked about them."""
        return sorted(
            name for name in self._owned if now - self._partitions[name].told_at >= self._idle_seconds
        )

    def confirm_empty(self, name: str, asked_at: float) -> None:
        """Note that the broker had nothing more in a partition at some moment."""
        self._partitions[name].empty_at = asked_at

    def advance(self, now: float, *, clock_ms: int) -> int:
        """Give the event time up to which everything has been read; it never goes back.

        When every partition is silent, time goes on from the newest sample as fast as the clock; when
        every one is held, it stands. It never passes the clock: one producer whose clock is ahead makes
        no one else late.
        """
        owned = [self._partitions[name] for name in self._owned]
        holding = [one for one in owned if not self._is_idle(one, now)]
        silent = [one for one in owned if one.held is None]
        if holding:
            reached = min(one.newest_ms for one in holding)
        elif not silent:
            return self.complete_ms
        else:
            newest = max(one.newest_ms for one in silent)
            silence = now - max(one.told_at for one in silent) - self._idle_seconds
            reached = newest if newest == NOTHING_YET else newest + round(silence * 1000)
        self.complete_ms = max(self.complete_ms, min(reached, clock_ms))
        return self.complete_ms

    def position(self) -> Position:
        """Give where everything stands, for a checkpoint and for a commit."""
        places = {name: self._position_of(one) for name, one in sorted(self._partitions.items())}
        return Position(None if self.complete_ms == NOTHING_YET else self.complete_ms, places)

    def _is_idle(self, one: _Partition, now: float) -> bool:
        return now - one.told_at >= self._idle_seconds and (
            one.held is not None or now - one.empty_at <= _CONFIRMED_SECONDS
        )

    def _position_of(self, one: _Partition) -> PartitionPosition:
        rewind = self._rewind(one)
        if one.held is None:
            return PartitionPosition(one.offset, rewind, one.newest_ms)
        return PartitionPosition(
            one.held, min(one.held, rewind)
        )  # what has told times behind it will tell them again

    def _rewind(self, one: _Partition) -> int:
        needed_ms = self.complete_ms - self._rewind_ms
        while one.marks and one.marks[0][1] < needed_ms:
            del one.marks[0]
        return one.marks[0][0] if one.marks else one.offset
