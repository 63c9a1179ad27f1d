"""How far each partition has been read, in offsets and in event time; pure, with time passed in.

A step may close only when every partition has been read up to its end, whatever the order in which the
partitions are fetched. So the watermark of the source, `complete_ms`, is the *oldest* of its partitions'
newest event times. Two kinds of partitions are left out of that minimum:

- An idle one, in which no sample has come for `idle_seconds`. It is left out only while the broker keeps
  confirming that there is nothing left to read in it. A broker that cannot be asked therefore stops the
  watermark, and no sample becomes late because of an outage.
- A held one, whose records are in a wrong format, once it has been without a sample for `idle_seconds`. No
  confirmation is needed. Samples that are read from it later may be late.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.sources.position import NOTHING_YET, PartitionPosition, Position

__all__ = ["ReadProgress"]

_CONFIRMED_SECONDS = 5.0  # how long the broker's answer "empty" counts: a few polls of a second
_N_MARKS = 32  # marks in the stretch that is read again after a loss: at most a 32nd too much is read


@dataclass(slots=True)
class _Partition:
    offset: int  # the next one to read
    newest_ms: int
    last_sample_at: float  # when a sample last came, or when reading began
    confirmed_empty_at: float = -math.inf  # when the broker last said that nothing is left to read
    held_offset: int | None = None  # the first record that must be read again
    # The first offset of a stretch of records, and the newest event time in it.
    marks: list[tuple[int, int]] = field(default_factory=list)
    topic_id: str = ""  # of the topic that is read; empty where it is not known

    def wait(self, now: float) -> None:
        """Wait for samples, from now on: it is not idle."""
        self.last_sample_at = now
        self.confirmed_empty_at = -math.inf

    def confirm_empty(self, asked_at: float) -> None:
        self.confirmed_empty_at = asked_at

    def hold(self, offset: int | None) -> None:
        self.held_offset = offset

    def hand_out(self, next_offset: int) -> None:
        self.offset = next_offset

    def learn_topic_id(self, topic_id: str) -> None:
        self.topic_id = topic_id or self.topic_id

    def add_samples(self, first_offset: int, newest_ms: int, *, mark_ms: int) -> None:
        """Extend the last stretch, or begin another one after `mark_ms` of event time."""
        self.newest_ms = max(self.newest_ms, newest_ms)
        if self.marks:
            mark_offset, mark_newest_ms = self.marks[-1]
            if newest_ms // mark_ms <= mark_newest_ms // mark_ms:
                self.marks[-1] = (mark_offset, max(mark_newest_ms, newest_ms))
                return
        self.marks.append((first_offset, newest_ms))


class ReadProgress:
    """The partitions of a source; times `now` are monotonic seconds.

    Parameters
    ----------
    rewind_ms : int
        Event time before the watermark that a window may still need.
    idle_seconds : float
        A partition without a sample for this long no longer delays the others.
    resumed : Position, optional
        The position in the checkpoint that the daemon resumes from.
    """

    def __init__(self, *, rewind_ms: int, idle_seconds: float, resumed: Position | None = None) -> None:
        self._rewind_ms = rewind_ms
        self._mark_ms = max(1, rewind_ms // _N_MARKS)
        self._idle_seconds = idle_seconds
        self._partitions: dict[str, _Partition] = {}
        self._owned: set[str] = set()
        self.complete_ms = NOTHING_YET
        if resumed is None:
            return
        if resumed.time_ms is not None:
            self.complete_ms = resumed.time_ms
        for name, position in resumed.partitions.items():
            # A held partition keeps no newest event time; it has read nothing newer than the watermark.
            newest_ms = self.complete_ms if position.newest_ms == NOTHING_YET else position.newest_ms
            marks = [(position.rewind, newest_ms)] if position.rewind < position.offset else []
            self._partitions[name] = _Partition(
                position.offset, position.newest_ms, -math.inf, marks=marks, topic_id=position.topic_id
            )

    @property
    def owned(self) -> frozenset[str]:
        """The names of the partitions that are being read."""
        return frozenset(self._owned)

    def offset(self, name: str) -> int | None:
        """Give the next offset of a partition that was read before; None for any other."""
        partition = self._partitions.get(name)
        return None if partition is None else partition.offset

    def knows_topic(self, topic: str) -> bool:
        """Tell whether any partition of a topic was read before."""
        return any(name.rpartition("/")[0] == topic for name in self._partitions)

    def topic_id(self, name: str) -> str:
        """Give the id of the topic that a partition was read of; empty where it is not known."""
        partition = self._partitions.get(name)
        return "" if partition is None else partition.topic_id

    def assign(self, name: str, offset: int, now: float, topic_id: str = "") -> bool:
        """Begin to read a partition at an offset, or continue there; tell whether it begins.

        The same offset of a topic with another id is a beginning. With an empty `topic_id`, the topic is the
        one that was read before.
        """
        partition = self._partitions.get(name)
        known_id = self.topic_id(name)
        is_other_topic = bool(known_id and topic_id) and known_id != topic_id
        begins = partition is None or partition.offset != offset or is_other_topic
        if partition is None or begins:
            self._partitions[name] = _Partition(offset, NOTHING_YET, now, topic_id=topic_id or known_id)
        else:
            partition.wait(now)
            partition.learn_topic_id(topic_id)
        self._owned.add(name)
        return begins

    def learn_topic_id(self, name: str, topic_id: str) -> None:
        """Record the id of a topic that is read already."""
        self._partitions[name].learn_topic_id(topic_id)

    def release(self, names: Iterable[str]) -> None:
        """Stop reading some partitions; their offsets are remembered."""
        self._owned.difference_update(names)

    def hold(self, name: str, offset: int | None) -> None:
        """Hold a partition's position at an offset, so that it is read again from there; None releases it.

        A held partition delays the others only while samples still come from it.
        """
        self._partitions[name].hold(offset)

    def newest_ms(self, name: str) -> int:
        """Give the newest event time that was read from a partition."""
        return self._partitions[name].newest_ms

    def record(
        self, name: str, *, first_offset: int, next_offset: int, newest_ms: int | None, now: float
    ) -> None:
        """Record that some records of a partition were handed out.

        Parameters
        ----------
        newest_ms : int or None
            Newest credible event time among them; None where there is none.
        """
        partition = self._partitions[name]
        partition.hand_out(next_offset)
        if newest_ms is not None:
            partition.wait(now)
            partition.add_samples(first_offset, newest_ms, mark_ms=self._mark_ms)

    def silent(self, now: float) -> list[str]:
        """Name the partitions without a sample for `idle_seconds`: the broker should be asked about them."""
        return sorted(
            name for name in self._owned if now - self._partitions[name].last_sample_at >= self._idle_seconds
        )

    def confirm_empty(self, name: str, asked_at: float) -> None:
        """Record that the broker had nothing more to read in a partition when it was asked."""
        self._partitions[name].confirm_empty(asked_at)

    def advance(self, now: float, *, clock_ms: int) -> int:
        """Advance the watermark, and give it: the event time up to which everything has been read.

        It never goes back. When every partition is idle, it advances from the newest sample as fast as the
        clock; when every one is held, it stands still. It never passes the clock, so that one producer whose
        clock is ahead does not make the samples of the others late.
        """
        owned = [self._partitions[name] for name in self._owned]
        active = [partition for partition in owned if not self._is_idle(partition, now)]
        idle = [partition for partition in owned if partition.held_offset is None]
        if active:
            reached_ms = min(partition.newest_ms for partition in active)
        elif not idle:
            return self.complete_ms
        else:
            reached_ms = max(partition.newest_ms for partition in idle)
            if reached_ms != NOTHING_YET:
                last_sample_at = max(partition.last_sample_at for partition in idle)
                reached_ms += round((now - last_sample_at - self._idle_seconds) * 1000)
        self.complete_ms = max(self.complete_ms, min(reached_ms, clock_ms))
        return self.complete_ms

    def position(self) -> Position:
        """Give the position of every partition, for a checkpoint and for a commit."""
        positions = {
            name: self._position_of(partition) for name, partition in sorted(self._partitions.items())
        }
        return Position(None if self.complete_ms == NOTHING_YET else self.complete_ms, positions)

    def _is_idle(self, partition: _Partition, now: float) -> bool:
        if now - partition.last_sample_at < self._idle_seconds:
            return False
        return partition.held_offset is not None or now - partition.confirmed_empty_at <= _CONFIRMED_SECONDS

    def _position_of(self, partition: _Partition) -> PartitionPosition:
        rewind = self._rewind(partition)
        held_offset = partition.held_offset
        if held_offset is None:
            return PartitionPosition(partition.offset, rewind, partition.newest_ms, partition.topic_id)
        # Samples after the held offset are read again: their event times must not count before that.
        return PartitionPosition(held_offset, min(held_offset, rewind), topic_id=partition.topic_id)

    def _rewind(self, partition: _Partition) -> int:
        """Give the oldest offset that windows may still need; older marks are dropped."""
        needed_ms = self.complete_ms - self._rewind_ms
        while partition.marks and partition.marks[0][1] < needed_ms:
            del partition.marks[0]
        return partition.marks[0][0] if partition.marks else partition.offset
