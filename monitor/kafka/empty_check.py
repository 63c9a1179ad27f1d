"""Whether partitions without samples are empty, or their broker is away: only the broker can say."""

from __future__ import annotations

from monitor.clock import Clock
from monitor.kafka.backlog import Backlog
from monitor.kafka.client import KafkaClient, Partition
from monitor.kafka.progress import ReadProgress

__all__ = ["EmptyCheck"]

_EVERY_SECONDS = 1.0
_ASK_SECONDS = 2.0  # for one question to the broker


class EmptyCheck:
    """Asks about the silent partitions of a source, once a second, and confirms those that are empty."""

    def __init__(self, progress: ReadProgress, backlog: Backlog, clock: Clock) -> None:
        self._progress = progress
        self._backlog = backlog
        self._clock = clock
        self._asked_at = -float("inf")

    def ask(self, client: KafkaClient) -> bool:
        """Ask where it is time to; tell whether a broker was asked, and answered.

        Partitions with records in the backlog are left out: what was fetched is not read yet.

        Raises
        ------
        ClientError
            If a broker does not answer.
        """
        now = self._clock.monotonic()
        assigned = client.assignment()
        silent = [Partition.of(name) for name in self._progress.silent(now)]
        asked = [
            partition for partition in silent if partition in assigned and not self._backlog.holds(partition)
        ]
        if not asked or now - self._asked_at < _EVERY_SECONDS:
            return False
        self._asked_at = now
        ends = client.end_offsets(asked, timeout_seconds=_ASK_SECONDS)
        for partition, end in ends.items():
            position = client.position(partition, timeout_seconds=_ASK_SECONDS)
            if position is not None and position >= end:
                self._progress.confirm_empty(partition.name, now)
        return True
