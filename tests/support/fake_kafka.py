"""A cluster in memory behind the Kafka client's Protocol: one member, which has every partition at once."""

from __future__ import annotations

from monitor.decode.record import Record
from monitor.kafka.client import Committed, Fetched, Partition, RebalanceEvent, UnreadableError

M0, M1 = Partition("m", 0), Partition("m", 1)


def fetched(values, *, first=0, n_empty=0, step=1):
    """Give records as a poll brings them; each is its own key."""
    offsets = [first + step * index for index in range(len(values))]
    next_offset = first + step * len(values) + n_empty
    return Fetched(
        [Record(value) for value in values], offsets, n_empty, first, next_offset, values.__getitem__
    )


class FakeKafka:
    """Logs of records by partition, what the group has committed, and a client to read them with.

    It is a library, too: `open_client` gives it. `errors` are raised by the calls of that name, oldest
    first; an offset that is `damaged` breaks every poll that comes to it.
    """

    def __init__(self, **logs):
        self.logs = {Partition.of(name.replace("_", "/")): list(values) for name, values in logs.items()}
        self.first = dict.fromkeys(self.logs, 0)  # offsets before it are deleted
        self.group = {}
        self.topics = {}  # by topic: the id; an older broker's have none
        self.errors = {}
        self.damaged = {}  # by partition: a range of offsets, which lie in one batch
        self.calls = []
        self.n_opened = 0
        self.is_closed = False
        self._events, self._positions, self._paused, self._assigned = [], {}, set(), set()

    # The library

    def check(self, config):
        pass

    def open_client(self, config):
        self._raise("open_client")
        self.n_opened += 1
        self._positions, self._paused = {}, set()
        self.assign(*self.logs)
        return self

    # What the group does

    def assign(self, *partitions):
        self._assigned.update(partitions)
        self._events.append(RebalanceEvent("assigned", partitions))

    def revoke(self, *partitions):
        self._assigned.difference_update(partitions)
        self._events.append(RebalanceEvent("revoked", partitions))
        for partition in partitions:
            self._positions.pop(partition, None)

    # The client

    def poll(self, timeout_seconds):
        self._raise("poll")
        found = {}
        for partition, position in self._positions.items():
            damaged = self.damaged.get(partition, range(0))
            if position in damaged and partition not in self._paused:
                raise UnreadableError("CorruptRecordError", "crc", partition)
            values = self.logs[partition][position : damaged.start if position < damaged.start else None]
            if values and partition not in self._paused:
                found[partition] = fetched(values, first=position)
                self._positions[partition] = position + len(values)
        return found

    def rebalance_events(self):
        events, self._events = self._events, []
        return events

    def assignment(self):
        return frozenset(self._assigned)

    def seek(self, partition, offset):
        self._raise("seek")
        self.calls.append(("seek", partition, offset))
        self._positions[partition] = offset

    def pause(self, partitions):
        self._paused.update(partitions)

    def resume(self, partitions):
        self._paused.difference_update(partitions)

    def position(self, partition, *, timeout_seconds):
        return self._positions.get(partition)

    def log_ends(self):
        return {partition: len(values) for partition, values in self.logs.items()}

    def first_offsets(self, partitions, *, timeout_seconds):
        self._raise("first_offsets")
        self.calls.append(("first_offsets", *partitions))
        return {partition: self.first[partition] for partition in partitions}

    def end_offsets(self, partitions, *, timeout_seconds):
        self._raise("end_offsets")
        self.calls.append(("end_offsets", *partitions))
        return {partition: len(self.logs[partition]) for partition in partitions}

    def offsets_at(self, partitions, time_ms, *, timeout_seconds):
        """Offsets are stamped with themselves, in seconds."""
        self.calls.append(("offsets_at", time_ms, *partitions))
        offsets = dict.fromkeys(partitions, -(-time_ms // 1000))
        return {
            partition: offset for partition, offset in offsets.items() if offset < len(self.logs[partition])
        }

    def topic_ids(self, topics, *, timeout_seconds):
        self._raise("topic_ids")
        self.calls.append(("topic_ids", *topics))
        return {topic: self.topics[topic] for topic in topics if topic in self.topics}

    def committed(self, partitions, *, timeout_seconds):
        self._raise("committed")
        return {partition: self.group[partition] for partition in partitions if partition in self.group}

    def commit(self, offsets, *, timeout_seconds):
        self._raise("commit")
        assert all(isinstance(committed, Committed) for committed in offsets.values())
        self.calls.append(("commit", dict(offsets)))
        self.group.update(offsets)

    def close(self, *, timeout_seconds):
        self._assigned.clear()
        self._events.clear()
        self.is_closed = True

    def _raise(self, call):
        if self.errors.get(call):
            raise self.errors[call].pop(0)
