"""Reading a cluster from outside, over a fake of the library's consumer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError

from monitor.config.kafka import KafkaConfig
from monitor.decode.record import Record
from monitor.errors import SourceError
from monitor.kafka.topic_reader import Bounds, Peek, TopicReader
from monitor.testing import FakeClock


class Consumer:
    """A cluster with a topic of two partitions, three records each; a poll gives one record of each."""

    def __init__(self, **options):
        self.options = options
        self.error = None
        self._positions = {}
        self._paused = set()
        self.is_closed = False

    def bootstrap(self, *, timeout_ms):
        pass

    def topics(self):
        self._fail()
        return {"b", "a"}

    def partitions_for_topic(self, name):
        return {1, 0} if name == "a" else None

    def beginning_offsets(self, partitions, *, timeout_ms):
        self._fail()
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions, *, timeout_ms):
        return dict.fromkeys(partitions, 3)

    def offsets_for_times(self, times, *, timeout_ms):
        return {
            partition: SimpleNamespace(offset=2) if partition.partition == 0 else None for partition in times
        }

    def assign(self, partitions):
        self._positions = dict.fromkeys(partitions, 0)
        self._paused = set()

    def seek(self, partition, offset):
        self._positions[partition] = offset

    def position(self, partition, *, timeout_ms):
        return self._positions[partition]

    def pause(self, partition):
        self._paused.add(partition)

    def poll(self, *, timeout_ms):
        self._fail()
        fetched = {}
        for partition, offset in self._positions.items():
            if partition not in self._paused:
                value = b"%d" % offset if offset != 1 else None
                record = SimpleNamespace(offset=offset, value=value, timestamp=offset, headers=None, key=b"k")
                fetched[partition] = [record]
                self._positions[partition] = offset + 1
        return fetched

    def close(self, *, autocommit, timeout_ms):
        self.is_closed = True

    def _fail(self):
        if self.error is not None:
            raise self.error


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def reader(monkeypatch, clock):
    monkeypatch.setattr("monitor.kafka.topic_reader.KafkaConsumer", Consumer)
    return TopicReader(KafkaConfig(topics=["a"], group_id="g"), clock, timeout_seconds=30.0)


def test_no_group_is_joined(reader):
    assert reader._consumer.options["group_id"] is None
    assert reader._consumer.options["group_instance_id"] is None


def test_topics_and_their_bounds_are_given(reader):
    assert reader.topics() == {"a": (0, 1), "b": ()}
    assert reader.bounds("a", (0, 1)) == {0: Bounds(0, 3), 1: Bounds(0, 3)}


def test_a_partition_without_a_record_since_a_time_begins_at_its_end(reader):
    assert reader.since("a", reader.bounds("a", (0, 1)), 5000) == {0: 2, 1: 3}


def test_records_are_read_up_to_the_bounds_and_no_further(reader):
    peeks = list(reader.read("a", {0: 0, 1: 2}, {0: Bounds(0, 2), 1: Bounds(0, 3)}))

    assert peeks == [
        Peek(0, [Record(b"0", 0)], 1, 0),
        Peek(1, [Record(b"2", 2)], 1, 0),
        Peek(0, [], 1, 1),
    ]
    assert reader._consumer._positions == {}  # nothing stays assigned


def test_reading_ends_when_the_time_is_up(reader, clock):
    reading = reader.read("a", {0: 0}, {0: Bounds(0, 3)})
    next(reading)

    clock.advance(31.0)

    assert list(reading) == []
    assert reader.seconds_left() == 0.0


def test_a_partition_that_is_at_its_end_already_is_not_read(reader):
    assert list(reader.read("a", {0: 3}, {0: Bounds(0, 3)})) == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            TopicAuthorizationFailedError("a"),
            "asked where a begins: this user may not read it. Ask for the right",
        ),
        (KafkaTimeoutError("late"), r"asked where a begins: no answer in time. .*\(advertised.listeners\)"),
        (ValueError("two\nlines"), "asked where a begins: ValueError: two lines"),
    ],
)
def test_a_question_without_an_answer_says_what_was_asked_and_what_to_do(reader, error, expected):
    reader._consumer.error = error

    with pytest.raises(SourceError, match=expected):
        reader.bounds("a", (0,))


def test_a_cluster_that_cannot_be_reached_is_explained_and_nothing_stays_open(monkeypatch, clock):
    opened = []

    class Failing(Consumer):
        def __init__(self, **options):
            super().__init__(**options)
            opened.append(self)

        def bootstrap(self, *, timeout_ms):
            raise KafkaTimeoutError

    monkeypatch.setattr("monitor.kafka.topic_reader.KafkaConsumer", Failing)
    monkeypatch.setattr("monitor.kafka.topic_reader.why_unreachable", lambda config: "the broker is down")

    with pytest.raises(SourceError, match="the broker is down"):
        TopicReader(KafkaConfig(topics=["a"]), clock, timeout_seconds=30.0)
    assert [consumer.is_closed for consumer in opened] == [True]
