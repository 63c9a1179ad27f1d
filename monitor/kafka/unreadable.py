"""Records that break the client wherever they are met: how often they are tried, and how far they reach.

A damaged batch breaks a client at every offset in it, and no client says where it ends. So the end is
searched for: 1, 2, 4, ... offsets behind the first, and back in halves from where records come again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from monitor.clock import Clock
from monitor.kafka.client import ClientError, Fetched, KafkaClient, Partition, UnreadableError
from monitor.kafka.dead_letter import DeadLetter
from monitor.kafka.progress import ReadProgress
from monitor.kafka.record_decoder import RecordDecoder

__all__ = ["Passed", "ReadNext", "UnreadableRecords", "UnreadableStretches"]

log = logging.getLogger(__name__)

_REASON = "unreadable"


@dataclass(frozen=True, slots=True)
class Passed:
    """Offsets that are not read any more: from `begin` up to, and without, `end`."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class ReadNext:
    """The offset to read a partition from, and what is `passed` once that is known."""

    offset: int
    begin: int
    passed: Passed | None = None


@dataclass(slots=True)
class _Search:
    begin: int
    n_failures: int = 0  # at `begin`
    low: int = 0  # the highest offset that is known to break the client
    high: int | None = None  # the lowest behind it from which records come
    target: int = 0  # what is read now
    step: int = 1

    def is_begun(self, max_rebuilds: int) -> bool:
        return self.n_failures > max_rebuilds

    def go_on(self) -> ReadNext:
        """Give what to read next; done where the lowest good offset follows the highest bad one."""
        if self.high is not None:
            if self.high - self.low <= 1:
                return ReadNext(self.high, self.begin, Passed(self.begin, self.high))
            self.target = (self.low + self.high) // 2
        return ReadNext(self.target, self.begin)

    def break_at(self, offset: int, end: int | None) -> ReadNext:
        """Take down that an offset breaks the client; `end` is that of the log, where it is known."""
        self.low = offset
        if self.high is None:
            self.target = offset + (self.step if end is not None else 1)
            self.step *= 2
            if end is not None and self.target >= end:
                self.high = end  # there is nothing to read that could be broken
        return self.go_on()


class UnreadableStretches:
    """Counts how often a client broke at an offset, and finds the stretch to pass when that was too often.

    Parameters
    ----------
    max_rebuilds : int
        Clients that are built anew at the same offset before it is passed.
    """

    def __init__(self, max_rebuilds: int) -> None:
        self._max_rebuilds = max_rebuilds
        self._searches: dict[Partition, _Search] = {}

    def fail(self, partition: Partition, offset: int, end: int | None) -> ReadNext:
        """Give what to read next of a partition that broke the client at an offset."""
        search = self._searches.get(partition)
        if search is None or search.target != offset:
            search = self._searches[partition] = _Search(offset, target=offset)
        if not search.is_begun(self._max_rebuilds):
            search.n_failures += 1
            if not search.is_begun(self._max_rebuilds):
                return ReadNext(offset, offset)
        return self._finished(partition, search.break_at(offset, end))

    def succeed(self, partition: Partition, first_offset: int) -> ReadNext | None:
        """Give what to read next of a partition whose records have come, from an offset on.

        None where nothing is searched for in it. They are to be handed out only if that is where to go on.
        """
        search = self._searches.get(partition)
        if search is None:
            return None
        if not search.is_begun(self._max_rebuilds) or first_offset < search.target:
            del self._searches[partition]  # it can be read after all, or is read from elsewhere
            return None
        search.high = search.target
        return self._finished(partition, search.go_on())

    def _finished(self, partition: Partition, following: ReadNext) -> ReadNext:
        if following.passed is not None:
            del self._searches[partition]
        return following


class UnreadableRecords:
    """Moves partitions behind what breaks the client; what is passed is logged, counted and dead-lettered.

    Parameters
    ----------
    send_dead_letter : callable, optional
        Takes a dead letter, which has the position and no bytes; None where no topic is configured.
    """

    def __init__(
        self,
        max_rebuilds: int,
        progress: ReadProgress,
        decoder: RecordDecoder,
        clock: Clock,
        send_dead_letter: Callable[[DeadLetter], None] | None,
    ) -> None:
        self._stretches = UnreadableStretches(max_rebuilds)
        self._progress = progress
        self._decoder = decoder
        self._clock = clock
        self._send_dead_letter = send_dead_letter
        self._n_passed = 0
        self._errors: dict[Partition, str] = {}

    def meet(self, error: UnreadableError, client: KafkaClient) -> None:
        """Let a partition continue where it is to be tried next, by another client."""
        partition = error.partition
        offset = self._progress.offset(partition.name)
        if offset is None:
            return
        self._errors[partition] = f"{error.name}: {error.text}"
        try:
            end = client.log_ends().get(partition)
        except ClientError:
            end = None
        self._move(partition, self._stretches.fail(partition, offset, end))

    def check(self, fetched: Mapping[Partition, Fetched]) -> Iterator[tuple[Partition, int]]:
        """Give the partitions to read from another offset, in place of what was fetched of them."""
        for partition, records in fetched.items():
            following = self._stretches.succeed(partition, records.first_offset)
            if following is None:
                continue
            self._move(partition, following)
            if following.passed is None:
                yield partition, following.offset

    def drain_counts(self) -> Counter[str]:
        """Give how many records were passed since the last call, under the reason why."""
        n_passed, self._n_passed = self._n_passed, 0
        return Counter({_REASON: n_passed} if n_passed else {})

    def _move(self, partition: Partition, following: ReadNext) -> None:
        self._progress.assign(partition.name, following.offset, self._clock.monotonic())
        passed = following.passed
        held_offset = self._decoder.held_offset(partition)
        if held_offset is None and passed is None and following.offset != following.begin:
            held_offset = following.begin  # a daemon that dies while it searches begins to search again
        self._progress.hold(partition.name, held_offset)
        if passed is None:
            return
        n_passed = passed.end - passed.begin
        self._n_passed += n_passed
        cause = self._errors.pop(partition)
        log.error(
            "records unreadable at=%s: %d from there on break the client (%s) and are skipped; "
            "continuing at %d",
            partition.position(passed.begin), n_passed, cause, passed.end,
        )  # fmt: skip
        if self._send_dead_letter is not None:
            detail = f"{n_passed} records up to offset {passed.end - 1}, without their bytes: {cause}"
            position = (partition.topic, partition.number, passed.begin)
            self._send_dead_letter(DeadLetter(*position, -1, _REASON, detail, b""))
