"""What each client library's module promises beyond what the source shows: checks, and a producer."""

from __future__ import annotations

import contextlib
import sys
import time

import pytest
from kafka import KafkaConsumer, TopicPartition

from monitor.config.kafka import KafkaConfig
from monitor.errors import SourceError
from monitor.kafka.client import ClientError, Committed, Partition, RetriableError
from monitor.kafka.libraries import library_of

LIBRARIES = ["kafka-python", "confluent"]


@pytest.fixture(params=LIBRARIES)
def open_producer(cluster, request):
    """Open producers to the mock cluster; they are closed behind the test."""
    opened = []

    def make(give_up_seconds=10.0):
        config = KafkaConfig.model_validate(
            {
                "client": request.param,
                "bootstrap_servers": cluster.servers,
                "topics": ["any"],
                "api_version": "2.3",
            }
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


def sent(producer, topic):
    """Send a record, and see that it arrives: the producer knows its brokers."""
    number = producer.send(topic, b"first")
    assert outcomes_of(producer, 1) == {number: None}


@pytest.mark.parametrize(
    ("module", "package", "what"),
    [
        ("crc32c", "crc32c", "checksums"),
        ("lz4.frame", "lz4", "lz4"),
        ("snappy", "python-snappy", "snappy"),
        ("zstandard", "zstandard", "zstd"),
    ],
)
@pytest.mark.parametrize("client", ["kafka-python"])  # the other one brings them along
def test_a_codec_that_is_missing_ends_the_start_with_its_packages_name(
    open_kafka, cluster, monkeypatch, module, package, what
):
    monkeypatch.setitem(sys.modules, module, None)  # an import of it fails

    with pytest.raises(
        SourceError, match=rf"{what} cannot be read, because the package {package} .*`pip install {package}`"
    ):
        open_kafka(cluster.topic())


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_client_is_closed_in_time_while_brokers_are_away(cluster, library):
    topic = cluster.topic()
    config = KafkaConfig.model_validate(
        {
            "client": library,
            "bootstrap_servers": cluster.servers,
            "topics": [topic],
            "group_id": f"closed-{library}",
            "api_version": "2.3",
        }
    )
    client = library_of(config).open_client(config)
    while not client.rebalance_events():
        client.poll(0.5)
    for broker in cluster.brokers:
        cluster.tell("down", broker)
    with pytest.raises(RetriableError):  # and a commit is under way
        client.commit({Partition(topic, 0): Committed(0, "")}, timeout_seconds=1.0)
    begun = time.monotonic()

    with contextlib.suppress(RetriableError):
        client.close(timeout_seconds=1.0)

    assert time.monotonic() - begun < 3.0


def test_a_record_is_sent_with_its_key_and_headers_and_its_outcome_told(cluster, open_producer):
    topic = cluster.topic()
    producer = open_producer()

    first = producer.send(
        topic, b"\x00torn", key=b"web1", headers=[("reason", b"invalid_json"), ("topic", b"metrics")]
    )
    second = producer.send(topic, b"more")

    assert outcomes_of(producer, 2) == {first: None, second: None}
    consumer = KafkaConsumer(
        bootstrap_servers=cluster.servers, api_version=(2, 3), auto_offset_reset="earliest"
    )
    consumer.assign([TopicPartition(topic, 0)])
    records = []
    while len(records) < 2:
        records += consumer.poll(timeout_ms=1000).get(TopicPartition(topic, 0), [])
    consumer.close()
    assert [(record.value, record.key, record.headers) for record in records] == [
        (b"\x00torn", b"web1", [("reason", b"invalid_json"), ("topic", b"metrics")]),
        (b"more", None, []),
    ]


def test_a_record_that_no_broker_takes_fails_in_time_and_holds_up_nobody(cluster, open_producer):
    topic = cluster.topic()
    producer = open_producer(give_up_seconds=2.0)
    sent(producer, topic)
    for broker in cluster.brokers:
        cluster.tell("down", broker)

    begun = time.monotonic()
    number = producer.send(topic, b"second")
    assert time.monotonic() - begun < 1.5
    assert isinstance(outcomes_of(producer, 1)[number], ClientError)


def test_a_producer_is_closed_in_time_while_brokers_are_away_and_what_waited_has_failed(
    cluster, open_producer
):
    topic = cluster.topic()
    producer = open_producer()
    sent(producer, topic)
    for broker in cluster.brokers:
        cluster.tell("down", broker)
    number = producer.send(topic, b"second")
    begun = time.monotonic()

    producer.close(timeout_seconds=1.0)

    assert time.monotonic() - begun < 5.0
    assert isinstance(outcomes_of(producer, 1)[number], ClientError)


def test_a_topic_that_was_never_seen_while_brokers_are_away_fails_in_time_too(cluster, open_producer):
    producer = open_producer(give_up_seconds=2.0)
    for broker in cluster.brokers:
        cluster.tell("down", broker)
    begun = time.monotonic()

    try:  # at once, or later
        number = producer.send(cluster.topic(), b"one")
    except ClientError as error:
        failure = error
    else:
        assert time.monotonic() - begun < 1.5
        failure = outcomes_of(producer, 1)[number]

    assert isinstance(failure, ClientError)
    assert time.monotonic() - begun < 15.0
