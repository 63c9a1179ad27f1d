"""Dead letters and a real Apache Kafka: a topic that is missing, or that rejects large records."""

from __future__ import annotations

import logging

import confluent_kafka
import pytest
from kafka import KafkaConsumer

from monitor.clock import SystemClock
from monitor.config.kafka import KafkaConfig
from monitor.kafka.dead_letter_producer import DeadLetterProducer
from monitor.kafka.libraries import library_of
from monitor.kafka.record_decoder import Decoding
from monitor.kafka.source import KafkaSource
from monitor.sample import SeriesTable
from tests.kafka.batches import T0, values
from tests.kafka.broker import Kafka, needed, why_not

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    needed(why_not())
    kafka = Kafka(tmp_path_factory.mktemp("kafka"))
    yield kafka
    kafka.stop()


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_topic_that_is_missing_or_takes_no_large_records_stops_nothing(
    broker, until, sample, sample_decoder, client, caplog
):
    caplog.set_level(logging.INFO, logger="monitor")
    topic, dead = f"metrics-{client}", f"dead-{client}"
    broker.topic(topic, **{"max.message.bytes": "3000000"})
    config = KafkaConfig.model_validate(
        {
            "client": client,
            "bootstrap_servers": broker.servers,
            "topics": [topic],
            "group_id": topic,
            "start": "earliest",
            "dead_letter_topic": dead,
        }
    )
    clock = SystemClock()
    dead_letters = DeadLetterProducer(config, library_of(config), clock, version="0.test")
    source = KafkaSource(
        config, Decoding(lambda _: sample_decoder), SeriesTable(), clock,
        rewind_ms=10_000, max_future_ms=60_000, dead_letters=dead_letters,
    )  # fmt: skip
    batches = []

    def produce(*payloads):
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": broker.servers[0], "message.max.bytes": 3_000_000, "log_level": 0}
        )
        for payload in payloads:
            producer.produce(topic, payload)
        assert producer.flush(30) == 0

    def poll_until(n_samples, **results):
        def reached(newest):
            every = [*batches, *newest]
            counts = {
                result: sum(batch.report.dead_letters.get(result, 0) for batch in every) for result in results
            }
            return counts == results and sum(len(batch.columns) for batch in every) == n_samples

        batches.extend(until(source, reached, seconds=60))

    try:
        produce(b"bad", sample(T0, 1))
        poll_until(1, failed=1)
        assert f"dead letter failed at={topic}[0]@0 reason=invalid_json topic={dead}" in caplog.text

        broker.topic(dead, **{"max.message.bytes": "1000000"})
        produce(b"worse", sample(T0 + 1, 2))
        poll_until(2, failed=1, sent=1)

        produce(b"x" * 2_000_000, b"worst", sample(T0 + 2, 3))
        poll_until(3, failed=2, sent=2)
    finally:
        source.close()

    assert values(batches) == [1, 2, 3]
    consumer = KafkaConsumer(
        dead,
        bootstrap_servers=broker.servers,
        auto_offset_reset="earliest",
        group_id=None,
        consumer_timeout_ms=20_000,
    )
    try:
        assert [next(consumer).value for _ in range(2)] == [b"worse", b"worst"]
    finally:
        consumer.close()
