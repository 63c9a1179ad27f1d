"""The daemon over a real Apache Kafka.

Trained, killed and cut off from its broker, it must give the results of a daemon that nothing disturbed.
"""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import confluent_kafka
import pytest
from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from models.registry import Registry
from monitor.clock import SystemClock
from monitor.config.kafka import KafkaConfig
from monitor.errors import SourceError
from monitor.kafka.libraries import library_of
from monitor.kafka.record_decoder import Decoding
from monitor.kafka.source import KafkaSource
from monitor.sample import SeriesTable
from monitor.sources.position import NOTHING_YET, PartitionPosition, Position
from tests.kafka.batches import T0, has, values
from tests.kafka.broker import Kafka, free_port, needed, why_not, write_certificate
from tests.kafka.harness import WATCH, check, lives_of, run_through_kills
from tests.kafka.verifiable import METRICS, STEP_MS, Workload

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.e2e, pytest.mark.kafka]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    needed(why_not())
    broker = Kafka(tmp_path_factory.mktemp("kafka"))
    yield broker
    broker.stop()


@pytest.fixture
def produce(kafka):
    """Send payloads to a partition and wait until the broker has them."""

    def send(topic, payloads, partition=0):
        producer = confluent_kafka.Producer({"bootstrap.servers": kafka.servers[0], "log_level": 0})
        for payload in payloads:
            producer.produce(topic, payload, partition=partition)
        assert producer.flush(30) == 0

    return send


@pytest.fixture(params=["kafka-python", "confluent"])
def client(request):
    """Run each test of a source over both client libraries."""
    return request.param


@pytest.fixture
def open_source(kafka, sample_decoder, request, client):
    """Open Kafka sources in a group of this test's own."""
    opened = []

    def make(topic, *, resumed=None, servers=None, **settings):
        config = KafkaConfig.model_validate(
            {
                "client": client,
                "bootstrap_servers": servers or kafka.servers,
                "topics": [topic],
                "group_id": request.node.name,
                "start": "earliest",
                "session_timeout_seconds": 6.0,
                **settings,
            }
        )
        source = KafkaSource(
            config, Decoding(lambda _: sample_decoder), SeriesTable(), SystemClock(),
            rewind_ms=10_000, max_future_ms=60_000, resumed=resumed,
        )  # fmt: skip
        opened.append(source)
        return source

    yield make
    for source in opened:
        source.close()


# One daemon, trained, killed, and its broker too


def test_a_trained_daemon_killed_ten_times_sends_the_alerts_of_an_undisturbed_one(kafka, tmp_path):
    workload, lives = Workload(n_steps=1200), lives_of(10, seed=2)
    topic = kafka.topic("killed", workload.n_partitions)
    train(tmp_path, workload, until_step=150)
    champion = Registry(tmp_path / "data" / "bundles" / "w").serving(
        lambda version, error: pytest.fail(f"{version}: {error}")
    )[1]
    cut = threading.Timer(12.0, lambda: (kafka.kill(), kafka.start()))  # halfway through, the broker dies too
    cut.start()

    windows, alerts, reached = run_through_kills(
        tmp_path, kafka.servers, topic, workload, lives,
        records_per_second=150, group_instance_id="killed-1", session_timeout_seconds=10.0,
    )  # fmt: skip

    assert cut.finished.is_set()
    cut.join()
    check(workload, windows, alerts, reached, lives, champion=champion)


def train(folder, workload, *, until_step):
    """Train the watch on the workload's first steps, as a user does from a file."""
    file = folder / "history.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["time", "name", "value", "host"])
        for step in range(until_step):
            for host in range(workload.n_hosts):
                for metric, name in enumerate(METRICS):
                    writer.writerow(
                        [
                            workload.start_ms + step * STEP_MS,
                            name,
                            workload.values[host, metric, step],
                            f"host{host}",
                        ]
                    )
    config = folder / "train.toml"
    text = f'data_dir = "{folder}/data"\n[[watch]]\n' + "".join(
        f"{key} = {json.dumps(value)}\n" for key, value in WATCH.items() if key != "alert"
    )
    alert = "".join(f"{key} = {value}\n" for key, value in WATCH["alert"].items())
    config.write_text(f"{text}[watch.model]\nepochs = 2\nhidden = 8\nlatent = 4\n[watch.alert]\n{alert}")
    command = [sys.executable, "-m", "monitor", "train", str(file), "--config", str(config)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr


# What the mock cannot do


def test_partitions_added_to_a_topic_are_read_from_their_beginning(
    kafka, produce, open_source, client, until, sample
):
    topic = kafka.topic(f"growing-{client}")
    produce(topic, [sample(T0, 1)])
    source = open_source(topic, start="latest")
    until(source, lambda batches: bool(batches) and batches[-1].ready)
    produce(topic, [sample(T0 + 1, 2)])
    assert values(until(source, has(1))) == [2]

    kafka.add_partitions(topic, 2)
    produce(topic, [sample(T0 + 2, 3)], partition=1)

    assert values(until(source, has(1), seconds=60)) == [3]  # metadata is 30 s old at most


def test_a_damaged_batch_is_skipped_and_nothing_else(
    kafka, produce, open_source, client, until, sample, caplog
):
    topic = kafka.topic(f"damaged-{client}")
    for numbers in (range(5), range(5, 12), range(12, 20)):  # three batches
        produce(topic, [sample(T0 + number, number) for number in numbers])
    kafka.damage(topic, 0, 5)

    batches = until(open_source(topic, max_rebuilds_at_offset=1), has(13), seconds=120)

    assert values(batches) == [*range(5), *range(12, 20)]
    assert [dict(batch.n_bad) for batch in batches if batch.n_bad] == [{"unreadable": 7}]
    assert any(
        f"records unreadable at={topic}[0]@5: 7 from there on break the client" in line
        for line in caplog.messages
    )


def test_a_topic_that_is_missing_is_waited_for(kafka, produce, open_source, client, until, sample):
    topic = f"late-{client}"
    source = open_source(topic)
    away = [source.poll(1.0) for _ in range(4)]
    assert not any(batch.ready for batch in away)
    assert {batch.complete_ms for batch in away} == {NOTHING_YET}

    kafka.topic(topic)
    produce(topic, [sample(T0, 1)])

    assert values(until(source, has(1), seconds=60)) == [1]


def test_a_topic_that_is_deleted_is_waited_for_and_read_from_its_beginning_when_it_is_back(
    kafka, produce, open_source, client, until, sample
):
    topic = kafka.topic(f"deleted-{client}")
    produce(topic, [sample(T0 + k, k) for k in range(3)])
    source = open_source(topic)
    until(source, has(3))

    kafka.delete_topic(topic)
    until(source, lambda batches: bool(batches) and not batches[-1].ready, seconds=60)
    kafka.topic(topic)
    produce(topic, [sample(T0 + 3, 3), sample(T0 + 4, 4)])

    assert values(until(source, has(2), seconds=90)) == [3, 4]


def test_a_topic_that_is_made_again_while_it_is_read_is_read_from_its_new_start(
    kafka, produce, open_source, client, until, sample, caplog
):
    topic = kafka.topic(f"remade-{client}")
    produce(topic, [sample(T0 + k, k) for k in range(3)])
    source = open_source(topic)
    batches = until(source, has(3))
    batches += until(source, lambda _: source.position().partitions[f"{topic}/0"].topic_id)  # within seconds
    source.commit(source.position())

    kafka.delete_topic(topic)
    kafka.topic(topic)
    produce(topic, [sample(T0 + k, k) for k in range(10, 20)])  # more than were read of the old one

    batches += until(source, lambda more: set(range(10, 20)) <= set(values(more)), seconds=90)
    batches += [source.poll(1.0) for _ in range(3)]
    assert values(batches)[:3] == [0, 1, 2]
    assert values(batches)[-10:] == list(range(10, 20))  # in one piece, and nothing behind it
    assert sum(batch.report.n_recreated.get(topic, 0) for batch in batches) == 1
    (line,) = [line for line in caplog.messages if line.startswith("topic recreated")]
    assert f"topic recreated topic={topic}" in line


def test_a_topic_that_is_made_again_while_the_daemon_is_stopped_is_read_from_its_new_start(
    kafka, produce, open_source, client, until, sample, caplog
):
    topic = kafka.topic(f"remade-stopped-{client}")
    produce(topic, [sample(T0 + k, k) for k in range(3)])
    first = open_source(topic)
    until(first, has(3))
    until(first, lambda _: first.position().partitions[f"{topic}/0"].topic_id)  # comes within seconds
    position = first.position()
    first.commit(position)
    first.close()

    kafka.delete_topic(topic)
    kafka.topic(topic)
    produce(topic, [sample(T0 + k, k) for k in range(10, 20)])

    batches = until(open_source(topic, resumed=position, start="latest"), has(10))
    assert values(batches) == list(range(10, 20))
    assert sum(batch.report.n_recreated.get(topic, 0) for batch in batches) == 1
    (line,) = [line for line in caplog.messages if line.startswith("topic recreated")]
    assert f"topic recreated topic={topic}" in line


def test_both_clients_give_a_topic_the_same_id(kafka):
    topics = [kafka.topic(f"ids-{number}") for number in range(8)]  # every second id has a - or _
    ids = {}
    for name in ("kafka-python", "confluent"):
        config = KafkaConfig(
            client=name, bootstrap_servers=kafka.servers, topics=topics, group_id=f"ids-{name}"
        )
        opened = library_of(config).open_client(config)
        ids[name] = opened.topic_ids([*topics, "missing"], timeout_seconds=10.0)
        opened.close(timeout_seconds=10.0)

    assert sorted(ids["confluent"]) == topics
    assert ids["kafka-python"] == ids["confluent"]


def test_members_that_come_and_go_cost_no_record(kafka, produce, open_source, client, until, sample):
    topic = kafka.topic(f"storm-{client}", 3)
    source = open_source(topic)
    batches = until(source, lambda batches: bool(batches) and batches[-1].ready)
    n_sent = 0
    for _ in range(4):
        with passing_member(kafka, source, batches):
            for _ in range(2):  # while it comes, and while it is there
                produce(
                    topic,
                    [sample(T0 + n_sent + k, n_sent + k) for k in range(30)],
                    partition=n_sent // 30 % 3,
                )
                n_sent += 30
                batches += until(source, lambda more: len(more) >= 3)
        batches += until(source, lambda more: len(source._progress.owned) == 3)
    batches += until(
        source,
        lambda more: (
            len(more[-1].report.lag) == 3 and not any(more[-1].report.lag.values()) if more else False
        ),
    )

    assert sorted(values(batches)) == list(range(n_sent))
    assert sum(batch.report.n_rebalances for batch in batches) >= 1 + 4
    assert batches[-1].ready


@contextlib.contextmanager
def passing_member(kafka, source, batches):
    """Let another member join the group, take partitions, commit nothing, and leave.

    `batches` gets what the source reads meanwhile.
    """
    consumer = KafkaConsumer(
        bootstrap_servers=kafka.servers,
        group_id=source._config.group_id,
        enable_auto_commit=False,
        session_timeout_ms=6000,
        partition_assignment_strategy=[CooperativeStickyAssignor()],
    )
    consumer.subscribe(source._config.topics)
    stop = threading.Event()

    def take_part():
        while not stop.is_set():
            consumer.poll(timeout_ms=500)

    thread = threading.Thread(target=take_part)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not consumer.assignment():
            assert time.monotonic() < deadline
            batches.append(source.poll(1.0))
        yield
    finally:
        stop.set()
        thread.join()
        consumer.close()


def test_the_second_of_two_daemons_with_one_id_shuts_the_first_out(
    kafka, produce, open_source, client, until, sample
):
    topic = kafka.topic(f"fenced-{client}")
    produce(topic, [sample(T0, 1)])
    first = open_source(topic, group_instance_id="same")
    until(first, has(1))
    second = open_source(topic, group_instance_id="same")
    until(second, lambda batches: bool(batches) and batches[-1].ready)

    taken = r'another daemon has taken source\.kafka\.group_instance_id "same"'
    with pytest.raises(SourceError, match=taken):
        first.commit(first.position())
    second.commit(second.position())
    assert second.poll(1.0).report.commits == {"done": 1}


def test_retention_that_overtakes_a_daemon_is_counted_in_records(
    kafka, produce, open_source, client, until, sample
):
    topic = kafka.topic(f"overtaken-{client}")
    produce(topic, [sample(T0 + k, k) for k in range(100)])
    kafka.delete_records(topic, 0, 60)

    batches = until(
        open_source(topic, resumed=Position(T0, {f"{topic}/0": PartitionPosition(20, 20, T0)})), has(40)
    )

    assert values(batches) == list(range(60, 100))
    assert sum(batch.report.n_lost.get(topic, 0) for batch in batches) == 40


def test_a_time_back_is_where_a_new_group_begins(kafka, open_source, client, until, sample):
    topic = kafka.topic(f"by-time-{client}")
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.servers[0], "log_level": 0})
    now_ms = round(time.time() * 1000)
    for age_seconds in (7200, 5400, 1800, 60):
        producer.produce(
            topic,
            sample(now_ms - age_seconds * 1000, age_seconds),
            partition=0,
            timestamp=now_ms - age_seconds * 1000,
        )
    assert producer.flush(30) == 0

    assert values(until(open_source(topic, start=3600.0), has(2))) == [1800, 60]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec_is_read(kafka, open_source, client, until, sample, codec):
    topic = kafka.topic(f"codec-{codec}-{client}")
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": kafka.servers[0], "log_level": 0, "compression.type": codec, "linger.ms": 100}
    )
    for k in range(200):
        producer.produce(topic, sample(T0 + k, k), partition=0)
    assert producer.flush(30) == 0

    assert values(until(open_source(topic), has(200))) == list(range(200))


# TLS and SASL


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """Start a broker that listens with TLS and asks for a password.

    Gives the broker, its address, and the certificate of its authority.
    """
    needed(why_not() or (None if shutil.which("openssl") else "openssl is not installed"))
    folder = tmp_path_factory.mktemp("secured")
    write_certificate(folder)
    port = free_port()
    module = "org.apache.kafka.common.security"
    properties = f"""
sasl.enabled.mechanisms=SCRAM-SHA-256,PLAIN
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_bob="pw";
"""
    scram = ["--add-scram", "SCRAM-SHA-256=[name=alice,password=secret]"]
    broker = Kafka(
        folder, properties=properties, listeners=[f"SASL_SSL://localhost:{port}"], format_options=scram
    )
    yield broker, f"localhost:{port}", folder / "ca.pem"
    broker.stop()


@pytest.mark.parametrize(
    ("mechanism", "name", "password"), [("SCRAM-SHA-256", "alice", "secret"), ("PLAIN", "bob", "pw")]
)
def test_tls_and_a_password_are_spoken(
    secured, kafka, open_source, client, until, sample, mechanism, name, password
):
    broker, address, authority = secured
    topic = broker.topic(f"secured-{name}-{client}")
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.servers[0], "log_level": 0})
    producer.produce(topic, sample(T0, 7), partition=0)
    assert producer.flush(30) == 0
    settings = {
        "servers": [address], "security_protocol": "SASL_SSL", "ssl_cafile": str(authority),
        "sasl_mechanism": mechanism, "sasl_username": name,
    }  # fmt: skip

    assert values(until(open_source(topic, sasl_password=password, **settings), has(1))) == [7]

    refused = open_source(topic, sasl_password="wrong", **settings)
    batches = [refused.poll(1.0) for _ in range(2)]
    assert not any(batch.ready or len(batch.columns) for batch in batches)
    assert any(batch.report.errors for batch in batches)
