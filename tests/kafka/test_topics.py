"""Reading a cluster from outside, over its wire protocol: what a fake in a test does not have."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from monitor.clock import SystemClock
from monitor.config.kafka import KafkaConfig
from monitor.errors import SourceError
from monitor.kafka.topic_reader import Bounds, TopicReader


@pytest.fixture
def open_reader(cluster):
    """Open readers of the mock cluster."""
    opened = []

    def make(*, timeout_seconds=30.0, **settings):
        config = KafkaConfig.model_validate(
            {"bootstrap_servers": cluster.servers, "api_version": "2.3", **settings}
        )
        reader = TopicReader(config, SystemClock(), timeout_seconds=timeout_seconds)
        opened.append(reader)
        return reader

    yield make
    for reader in opened:
        reader.close()


def produce(cluster, topic, records):
    """Send `(partition, key, value, time_ms)`."""
    producer = Producer({"bootstrap.servers": ",".join(cluster.servers), "log_level": 0})
    for partition, key, value, time_ms in records:
        producer.produce(topic, value, key, partition=partition, timestamp=time_ms)
    assert producer.flush(20) == 0


def test_partitions_bounds_times_and_records_are_read(cluster, open_reader):
    topic = cluster.topic(2)
    produce(
        cluster,
        topic,
        [(0, b"k", b"a", 1000), (0, None, b"b", 2000), (1, None, None, 3000), (0, None, b"c", 3000)],
    )
    reader = open_reader()

    assert reader.topics()[topic] == (0, 1)
    bounds = reader.bounds(topic, (0, 1))
    assert bounds == {0: Bounds(0, 3), 1: Bounds(0, 1)}
    peeks = list(reader.read(topic, {0: 1, 1: 0}, bounds))

    found = {
        number: [record.value for peek in peeks if peek.partition == number for record in peek.records]
        for number in (0, 1)
    }
    assert found == {0: [b"b", b"c"], 1: []}
    assert sum(peek.n_empty for peek in peeks) == 1
    assert sum(peek.n_keyed for peek in peeks) == 0


def test_a_partition_is_read_up_to_where_it_ended_when_that_was_asked(cluster, open_reader):
    topic = cluster.topic()
    produce(cluster, topic, [(0, None, b"old", 1)] * 3)
    reader = open_reader()
    bounds = reader.bounds(topic, (0,))
    produce(cluster, topic, [(0, None, b"new", 2)] * 3)

    assert [record.value for peek in reader.read(topic, {0: 0}, bounds) for record in peek.records] == [
        b"old"
    ] * 3


def test_reading_again_is_possible_after_it_was_broken_off(cluster, open_reader):
    topic = cluster.topic()
    produce(cluster, topic, [(0, None, b"x", 1)] * 3)
    reader = open_reader()
    bounds = reader.bounds(topic, (0,))

    reading = reader.read(topic, {0: 0}, bounds)
    next(reading)
    reading.close()

    assert sum(len(peek.records) for peek in reader.read(topic, {0: 0}, bounds)) == 3


def test_looking_joins_no_group_and_commits_nothing(cluster, open_reader):
    topic, group = cluster.topic(2), f"looked-at-{time.monotonic_ns()}"
    produce(cluster, topic, [(0, None, b"x", 1)] * 5)
    consumer = Consumer({"bootstrap.servers": ",".join(cluster.servers), "group.id": group, "log_level": 0})
    try:
        consumer.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)
        reader = open_reader(group_id=group, group_instance_id="one")
        assert sum(len(peek.records) for peek in reader.read(topic, {0: 0}, reader.bounds(topic, (0,)))) == 5

        assert reader.committed({topic: (0, 1)}) == {(topic, 0): 2}
        reader.close()
        assert consumer.committed([TopicPartition(topic, 0)], timeout=10)[0].offset == 2
    finally:
        consumer.close()


def test_a_broker_that_goes_away_ends_the_look_in_time(cluster, open_reader):
    topic = cluster.topic()
    produce(cluster, topic, [(0, None, b"x", 1)])
    reader = open_reader(timeout_seconds=6.0)
    bounds = reader.bounds(topic, (0,))
    for broker in cluster.brokers:
        cluster.tell("down", broker)
    begun = time.monotonic()

    assert list(reader.read(topic, {0: 0}, bounds)) == []
    with pytest.raises(SourceError, match=f"asked where {topic} begins: "):
        reader.bounds(topic, (0,))
    assert time.monotonic() - begun < 20
