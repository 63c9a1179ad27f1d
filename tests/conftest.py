"""Which skips a run may have; and Kafka for tests: librdkafka's mock cluster, and samples for its topics.

With REQUIRE_SERVERS set, as in CI, no test is skipped except those marked `gpu`, and without KAFKA_HOME those
marked `kafka`.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import confluent_kafka
import numpy as np
import pytest
from prometheus_client import disable_created_metrics

from monitor.clock import SystemClock
from monitor.config.kafka import KafkaConfig
from monitor.decode.record import Decoded, Rejection
from monitor.kafka.dead_letter_producer import DeadLetterProducer
from monitor.kafka.libraries import library_of
from monitor.kafka.record_decoder import Decoding
from monitor.kafka.source import KafkaSource
from monitor.sample import Columns, SeriesTable, labels_of

# As the daemon does, once for the whole process: no test may depend on another that built a daemon.
disable_created_metrics()

MOCK = Path(__file__).parent / "kafka" / "mock_cluster.py"
OFFSET_COMMIT, PRODUCE, FETCH, LIST_OFFSETS = 8, 0, 1, 2  # Kafka's numbers of requests


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    may_be_skipped = item.get_closest_marker("gpu") or (
        item.get_closest_marker("kafka") and not os.environ.get("KAFKA_HOME")
    )
    if report.skipped and os.environ.get("REQUIRE_SERVERS") and not may_be_skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, which REQUIRE_SERVERS does not allow: {reason}"
    return report


class MockCluster:
    """The mock cluster's process, and a producer to it."""

    def __init__(self, n_brokers=3):
        self._process = subprocess.Popen(
            [sys.executable, MOCK, str(n_brokers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.brokers = range(1, n_brokers + 1)
        self.servers = self._process.stdout.readline().strip().split(",")
        self._names = itertools.count()
        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": ",".join(self.servers),
                "linger.ms": 0,
                "log_level": 0,
                "reconnect.backoff.max.ms": 500,
            }
        )

    def tell(self, *words):
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        assert answer == "ok", f"{words}: {answer}"

    def topic(self, n_partitions=1):
        name = f"metrics-{next(self._names)}"
        self.tell("topic", name, n_partitions)
        return name

    def produce(self, topic, payloads, *, partition=0):
        for payload in payloads:
            self._producer.produce(topic, payload, partition=partition)
        assert self._producer.flush(20) == 0

    def mend(self):
        """Take back every fault."""
        for broker in self.brokers:
            self.tell("up", broker)
            self.tell("rtt", broker, 0)
        for api in (OFFSET_COMMIT, PRODUCE, FETCH, LIST_OFFSETS):
            self.tell("clear", api)

    def close(self):
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()


@pytest.fixture(scope="session")
def _mock_process():
    cluster = MockCluster()
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(_mock_process):
    """Give a mock cluster of three brokers without a fault; each test makes topics of its own."""
    _mock_process.mend()
    yield _mock_process
    _mock_process.mend()


def payload(time_ms, value, *, name="load", **labels):
    """Write one sample as a record's value."""
    return json.dumps({"name": name, "labels": labels, "time_ms": time_ms, "value": value}).encode()


def decode(records, table):
    """Read what `payload` writes; the simplest decoder there can be."""
    samples, rejections = [], []
    for index, record in enumerate(records):
        try:
            sample = json.loads(record.value)
            samples.append(
                (
                    table.intern(sample["name"], labels_of(sample["labels"])),
                    sample["time_ms"],
                    sample["value"],
                )
            )
        except ValueError as error:
            rejections.append(Rejection(index, "invalid_json", str(error)))
    series, times, values = zip(*samples, strict=True) if samples else ((), (), ())
    return Decoded(
        Columns(np.array(series, np.int32), np.array(times, np.int64), np.array(values, np.float64)),
        tuple(rejections),
    )


@pytest.fixture
def client():
    """Name the client library of `open_kafka`; tests of both give it as a parameter."""
    return "kafka-python"


@pytest.fixture
def open_kafka(cluster, request, client):
    """Open Kafka sources over the mock cluster, in a group of this test's own; they are closed after it."""
    opened = []
    group = f"{request.node.name[:80]}-{time.monotonic_ns()}"

    def make(
        topic,
        *,
        table=None,
        resumed=None,
        rewind_ms=10_000,
        max_future_ms=60_000,
        clock=None,
        decoder=decode,
        **settings,
    ):
        config = KafkaConfig.model_validate(
            {
                "client": client,
                "bootstrap_servers": cluster.servers,
                "topics": [topic] if isinstance(topic, str) else topic,
                "group_id": group,
                "api_version": "2.3",
                "start": "earliest",
                "session_timeout_seconds": 2.0,
                **settings,
            }
        )
        table = SeriesTable() if table is None else table
        clock = clock or SystemClock()
        dead_letters = (
            DeadLetterProducer(config, library_of(config), clock, version="0.test")
            if config.dead_letter_topic
            else None
        )
        limits = {"rewind_ms": rewind_ms, "max_future_ms": max_future_ms}
        source = KafkaSource(
            config,
            Decoding(lambda _: decoder),
            table,
            clock,
            **limits,
            resumed=resumed,
            dead_letters=dead_letters,
        )
        opened.append(source)
        return source

    yield make
    for source in opened:
        source.close()


def poll_until(source, condition, *, seconds=30.0):
    """Poll until the batches so far satisfy a condition; give them."""
    batches, deadline = [], time.monotonic() + seconds
    while not condition(batches):
        assert time.monotonic() < deadline, f"not reached within {seconds} s, with {len(batches)} batches"
        batches.append(source.poll(1.0))
    return batches


@pytest.fixture
def until():
    """Give `poll_until`."""
    return poll_until


@pytest.fixture
def sample():
    """Give `payload`."""
    return payload


@pytest.fixture
def sample_decoder():
    """Give `decode`."""
    return decode
