"""Every test of a Kafka source runs over both client libraries, and captures the log."""

from __future__ import annotations

import logging

import pytest
from kafka import KafkaConsumer, TopicPartition
from maturity import mature_from_the_start


@pytest.fixture(params=["kafka-python", "confluent"])
def client(request):
    """Run each test over both libraries."""
    return request.param


@pytest.fixture(autouse=True)
def _capture_log(caplog):
    caplog.set_level(logging.INFO, logger="monitor")


@pytest.fixture(autouse=True)
def _mature(monkeypatch):
    mature_from_the_start(monkeypatch)  # as the launcher's daemons are


@pytest.fixture
def committed(cluster):
    """Ask what a group has committed, as another program would: `(offset, metadata)`, or None."""

    def ask(source, topic, partition=0):
        consumer = KafkaConsumer(
            bootstrap_servers=cluster.servers,
            group_id=source._config.group_id,
            api_version=(2, 3),
            enable_auto_commit=False,
        )
        try:
            found = consumer.committed(TopicPartition(topic, partition), metadata=True, timeout_ms=10_000)
        finally:
            consumer.close()
        return None if found is None else (found.offset, found.metadata.rstrip("\0"))

    return ask
