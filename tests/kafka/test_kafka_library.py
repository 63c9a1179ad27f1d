"""What each client library's module promises beside what the Kafka source shows: what is missing is told at the start, and its producer."""

from __future__ import annotations

import sys
import time

import pytest
from kafka import KafkaConsumer, TopicPartition

from monitor.config import KafkaConfig
from monitor.errors import SourceError
from monitor.sources.kafka_client import ClientError
from monitor.sources.kafka_library import library_of

LIBRARIES = ["kafka-python", "confluent"]


@pytest.fixture(params=LIBRARIES)
def open_producer(cluster, request):
    """Open producers to the mock cluster; they are closed behind the test."""
    opened = []

    def make(give_up_seconds=10.0):
        config = KafkaConfig.model_validate(
            {"client": request.param, "bootstrap_servers": cluster.servers, "topics": ["any"], "api_version": "2.3"}
        )
        opened.append(library_of(config).open_producer(config, give_up_seconds=give_up_seconds))
        return opened[-1]

    yield make
    cluster.mend()
    for producer in opened:
        producer.close(timeout_seconds=10.0)


def outcomes_of(producer, n, *, seconds=30.0):
    """Wait until so many outcomes are there."""
    outcomes, deadline = {}, time.monotonic() + seconds
    while len(outcomes) < n:
        assert time.monotonic() < deadline, outcomes
        outcomes |= dict(producer.outcomes())
    return outcomes


@pytest.mark.parametrize(
    ("module", "package", "what"),
    [
        ("crc32c", "crc32c", "checksums"),
        ("lz4.frame", "lz4", "lz4"),
        ("snappy", "python-snappy", "snappy"),
        ("zstandard", "zstandard", "zstd"),
    ],
)
def test_a_codec_that_is_missing_ends_the_start_with_its_packages_name(open_kafka, cluster, monkeypatch, module, package, what):
    monkeypatch.setitem(sys.modules, module, None)  # an import of it fails

    with pytest.raises(SourceError, match=rf"{what} cannot be read, because the package {package} .*`pip install {package}`"):
        open_kafka(cluster.topic())


def test_a_record_is_sent_with_its_key_and_headers_and_its_outcome_told(cluster, open_producer):
    topic = cluster.topic()
    producer = open_producer()

    first = producer.send(topic, b"\x00torn", key=b"web1", headers=[("reason", b"invalid_json"), ("topic", b"metrics")])
    second = producer.send(topic, b"more")

    assert outcomes_of(producer, 2) == {first: None, second: None}
    consumer = KafkaConsumer(bootstrap_servers=cluster.servers, api_version=(2, 3), auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    found = []
    while len(found) < 2:
        found += consumer.poll(timeout_ms=1000).get(TopicPartition(topic, 0), [])
    consumer.close()
    assert [(one.value, one.key, one.headers) for one in found] == [
        (b"\x00torn", b"web1", [("reason", b"invalid_json"), ("topic", b"metrics")]),
        (b"more", None, []),
    ]


def test_a_record_that_no_broker_takes_fails_in_time_and_holds_up_nobody(cluster, open_producer):
    topic = cluster.topic()
    producer = open_producer(give_up_seconds=2.0)
    known = producer.send(topic, b"first")
    assert outcomes_of(producer, 1) == {known: None}
    for broker in cluster.brokers:
        cluster.tell("down", broker)

    begun = time.monotonic()
    number = producer.send(topic, b"second")
    assert time.monotonic() - begun < 1.5
    (error,) = outcomes_of(producer, 1).values()

    assert isinstance(error, ClientError)
    assert error.name
    assert number != known


def test_a_topic_that_was_never_seen_while_brokers_are_away_fails_in_time_too(cluster, open_producer):
    producer = open_producer(give_up_seconds=2.0)
    for broker in cluster.brokers:
        cluster.tell("down", broker)
    begun = time.monotonic()

    try:  # at once, or later
        number = producer.send(cluster.topic(), b"one")
    except ClientError as error:
        told = error
    else:
        assert time.monotonic() - begun < 1.5
        told = outcomes_of(producer, 1)[number]

    assert isinstance(told, ClientError)
    assert time.monotonic() - begun < 15.0
