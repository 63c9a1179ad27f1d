"""The Kafka source against librdkafka's mock cluster: what it reads, where it begins, how it fails."""

from __future__ import annotations

import json
import time
from collections import Counter

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import InvalidRequestError, KafkaConnectionError

from monitor.errors import SourceError
from monitor.sample import SeriesTable, concatenate
from monitor.sources.position import NOTHING_YET, PartitionPosition, Position
from tests.kafka.batches import T0, has, values

OFFSET_COMMIT, HEARTBEAT, FETCH, LIST_OFFSETS = 8, 12, 1, 2  # Kafka's numbers of requests


# What each library raises; a codec that fails makes kafka-python's next poll spin for ever.
ERRORS = {
    ("kafka-python", "broken"): ValueError("not a batch"),
    ("kafka-python", "away"): KafkaConnectionError("away"),
    ("kafka-python", "invalid request"): InvalidRequestError(),
    ("confluent", "broken"): KafkaException(KafkaError(KafkaError._BAD_COMPRESSION, "not a batch")),
    ("confluent", "away"): KafkaException(KafkaError(KafkaError._TRANSPORT, "away")),
    ("confluent", "invalid request"): KafkaException(KafkaError(KafkaError.INVALID_REQUEST)),
}


class Failing:
    """A library's consumer whose polls fail."""

    def __init__(self, consumer, error):
        self._consumer, self._error, self.n_polls = consumer, error, 0

    def poll(self, *_, **__):
        self.n_polls += 1
        raise self._error

    def __getattr__(self, name):
        return getattr(self._consumer, name)


def ready(batches):
    return bool(batches) and batches[-1].ready


def total(batches, field):
    """Add up what the reports count, by label."""
    counts = {}
    for batch in batches:
        for label, count in getattr(batch.report, field).items():
            counts[label] = counts.get(label, 0) + count
    return counts


def numbered(sample, n, *, first=0, step_ms=1000):
    """Write samples whose value is their number, one a second."""
    return [sample(T0 + k * step_ms, k, host="web1") for k in range(first, first + n)]


# What is read


def test_every_partitions_records_come_once_and_in_order(cluster, open_kafka, until, sample):
    topic, table = cluster.topic(3), SeriesTable()
    for partition in range(3):
        cluster.produce(
            topic, [sample(T0 + k, k, host=f"web{partition}") for k in range(50)], partition=partition
        )

    batches = until(open_kafka(topic, table=table), has(150))

    columns = concatenate(batch.columns for batch in batches)
    assert len(columns) == 150
    for number in range(3):
        assert columns.value[columns.series == number].tolist() == list(range(50))
    assert total(batches, "n_records") == {topic: 150}


def test_what_cannot_be_decoded_is_counted_told_with_its_place_and_passed_over(
    cluster, open_kafka, until, sample, caplog
):
    topic = cluster.topic()
    cluster.produce(topic, [sample(T0, 1), b"{torn", sample(T0 + 1, 2), None, b"also", sample(T0 + 2, 3)])

    batches = until(open_kafka(topic), has(3))

    assert values(batches) == [1, 2, 3]
    n_bad = Counter()
    for batch in batches:
        n_bad.update(dict(batch.n_bad))
    assert n_bad == {"invalid_json": 2, "no_value": 1}
    rejected = [message for message in caplog.messages if message.startswith("record rejected")]
    assert len(rejected) == 1  # the second of its kind within a minute is only counted
    assert f"at={topic}[0]@1 reason=invalid_json" in rejected[0]


def test_a_header_without_a_value_counts_as_empty(cluster, open_kafka, until, sample, sample_decoder):
    topic, seen = cluster.topic(), []
    cluster._producer.produce(topic, sample(T0, 1), headers=[("Content-Encoding", None), ("trace", b"7")])
    cluster.produce(topic, [sample(T0, 2)])

    def collect(records, table):
        seen.extend(record.headers for record in records)
        return sample_decoder(records, table)

    until(open_kafka(topic, decoder=collect), has(2))

    assert seen == [(("Content-Encoding", b""), ("trace", b"7")), ()]


def test_lag_is_what_is_there_and_not_read(cluster, open_kafka, until, sample):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 25))
    source = open_kafka(topic, max_poll_records=10)

    filled = [batch for batch in until(source, has(25)) if len(batch.columns)]

    n_read = np.cumsum([len(batch.columns) for batch in filled])
    assert [batch.report.lag[topic, 0] for batch in filled] == (25 - n_read).tolist()
    assert len(filled) >= 3


# Event time


def test_the_slowest_partition_tells_how_far_everything_is_complete(cluster, open_kafka, until, sample):
    topic = cluster.topic(2)
    cluster.produce(topic, [sample(T0 + 9000, 1)], partition=0)
    source = open_kafka(topic)
    assert {batch.complete_ms for batch in until(source, has(1))} == {NOTHING_YET}

    cluster.produce(topic, [sample(T0 + 4000, 1)], partition=1)
    assert until(source, has(1))[-1].complete_ms == T0 + 4000


def test_an_idle_partition_lets_the_others_go_on(cluster, open_kafka, until, sample):
    topic = cluster.topic(2)
    cluster.produce(topic, [sample(T0, 1)], partition=0)
    cluster.produce(topic, [sample(T0, 1)], partition=1)
    source = open_kafka(topic, idle_seconds=2.0)
    until(source, has(2))

    begun, k, complete_ms = time.monotonic(), 0, T0
    while complete_ms == T0:  # the first partition never falls silent
        assert time.monotonic() - begun < 20
        k += 1
        cluster.produce(topic, [sample(T0 + k * 1000, 1)], partition=0)
        complete_ms = until(source, has(1))[-1].complete_ms

    assert complete_ms == T0 + k * 1000
    assert time.monotonic() - begun >= 1.5


def test_a_timestamp_from_the_future_moves_nothing(cluster, open_kafka, until, sample):
    topic = cluster.topic()
    tomorrow = round(time.time() * 1000) + 86_400_000
    cluster.produce(topic, [sample(T0, 1), sample(tomorrow, 2), sample(T0 + 1000, 3)])

    batches = until(open_kafka(topic), has(3))

    assert batches[-1].complete_ms == T0 + 1000
    assert values(batches) == [1, 2, 3]  # the pipeline refuses and counts it


# Where it begins


def test_a_new_group_begins_at_the_end_unless_told_otherwise(cluster, open_kafka, until, sample):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 5))
    source = open_kafka(topic, start="latest")
    until(source, ready)
    cluster.produce(topic, numbered(sample, 2, first=5))

    assert values(until(source, has(2))) == [5, 6]


def test_a_daemon_that_dies_before_its_first_checkpoint_begins_where_it_had(
    cluster, open_kafka, until, sample, committed
):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 5))
    source = open_kafka(topic, start="latest")
    until(source, ready)
    assert committed(source, topic) == (5, '{"v":1}')
    source.close()  # without a commit of its own
    cluster.produce(topic, numbered(sample, 2, first=5))

    assert values(until(open_kafka(topic, start="latest"), has(2))) == [5, 6]


def test_a_daemon_with_its_checkpoint_goes_on_behind_the_last_record_it_took(
    cluster, open_kafka, until, sample
):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 40))
    source = open_kafka(topic, max_poll_records=10)
    batches = until(source, has(20))
    position = source.position()
    source.close()

    again = open_kafka(topic, max_poll_records=10, resumed=position)
    rest = until(again, has(40 - len(values(batches))))

    assert values(batches) + values(rest) == list(range(40))
    assert rest[-1].complete_ms == T0 + 39_000


def test_a_daemon_without_its_checkpoint_fills_its_windows_again_and_knows_what_was_told(
    cluster, open_kafka, until, sample, committed
):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 100))
    source = open_kafka(topic, rewind_ms=10_000, max_poll_records=1)
    until(source, has(100))
    source.commit(source.position())
    # The newest is at 99 s: records since 89 s are needed. Marks are 10000 // 32 = 312 ms apart, so each
    # record has its own.
    assert committed(source, topic) == (89, f'{{"v":1,"wm":{T0 + 99_000}}}')
    source.close()
    cluster.produce(topic, numbered(sample, 1, first=100))

    again = open_kafka(topic, rewind_ms=10_000)
    batches = until(again, has(12))

    assert values(batches) == list(range(89, 101))
    assert batches[-1].delivered_ms == T0 + 99_000

    again.commit(Position(T0 + 95_000, again.position().partitions))  # killed again before it had caught up
    assert json.loads(committed(again, topic)[1]) == {"v": 1, "wm": T0 + 99_000}


@pytest.mark.parametrize("metadata", ["", "{", '{"v":2,"wm":5}', '{"wm":5}', "[1]", "null"])
def test_metadata_of_another_version_or_program_says_nothing(cluster, open_kafka, until, sample, metadata):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 5))
    source = open_kafka(topic)
    group = KafkaConsumer(
        bootstrap_servers=cluster.servers,
        group_id=source._config.group_id,
        api_version=(2, 3),
        enable_auto_commit=False,
    )
    group.assign([TopicPartition(topic, 0)])
    group.commit({TopicPartition(topic, 0): OffsetAndMetadata(3, metadata, -1)}, timeout_ms=10_000)
    group.close()

    batches = until(source, has(2))

    assert values(batches) == [3, 4]
    assert batches[-1].delivered_ms is None


# Records that are gone


@pytest.mark.parametrize(
    ("on_gap", "expected", "n_lost"), [("earliest", [60, 61], 40), ("latest", [100], 80)]
)
def test_records_deleted_before_they_were_read_are_counted_and_told(
    cluster, open_kafka, until, sample, caplog, on_gap, expected, n_lost
):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 100))
    cluster.tell("delete", topic, 0, 60)
    behind = Position(T0 + 19_000, {f"{topic}/0": PartitionPosition(20, 20, T0 + 19_000)})

    source = open_kafka(topic, resumed=behind, on_gap=on_gap)
    seen = until(source, lambda batches: total(batches, "n_lost") != {})
    if on_gap == "latest":
        cluster.produce(topic, numbered(sample, 1, first=100))
    batches = seen + until(source, has(1))

    assert values(batches)[: len(expected)] == expected
    assert total(batches, "n_lost") == {topic: n_lost}
    assert f"records lost at={topic}[0]@20: {n_lost} were deleted before they were read" in caplog.text


def test_a_log_that_ends_before_our_place_is_read_from_its_beginning(
    cluster, open_kafka, until, sample, caplog
):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 3))
    ahead = Position(
        T0, {f"{topic}/0": PartitionPosition(5000, 5000, T0)}
    )  # of a topic of that name that was deleted

    batches = until(open_kafka(topic, resumed=ahead), has(3))

    assert values(batches) == [0, 1, 2]
    assert total(batches, "n_lost") == {}
    assert f"log ends before at={topic}[0]@5000" in caplog.text


# Brokers that fail


def test_a_broker_that_is_away_at_the_start_is_waited_for(cluster, open_kafka, until, sample):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 3))
    for broker in cluster.brokers:
        cluster.tell("down", broker)
    source = open_kafka(topic)
    away = [source.poll(1.0) for _ in range(3)]
    assert not any(batch.ready or len(batch.columns) for batch in away)

    for broker in cluster.brokers:
        cluster.tell("up", broker)
    batches = until(source, has(3))

    assert values(batches) == [0, 1, 2]
    assert until(source, ready)


def test_an_outage_is_not_ready_and_ends_without_a_record_lost_or_doubled(cluster, open_kafka, until, sample):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 10))
    source = open_kafka(topic)
    before = until(source, has(10))
    for broker in cluster.brokers:
        cluster.tell("down", broker)

    def not_ready(batches):
        source.commit(source.position())
        return bool(batches) and not batches[-1].ready

    during = until(source, not_ready)
    started, cpu = time.monotonic(), time.process_time()
    during += [source.poll(1.0) for _ in range(3)]
    assert time.process_time() - cpu < 0.5 * (time.monotonic() - started)  # it does not spin

    for broker in cluster.brokers:
        cluster.tell("up", broker)
    cluster.produce(topic, numbered(sample, 10, first=10))
    after = until(source, has(10))

    assert values(before + during + after) == list(range(20))
    assert total(during + after, "errors").keys() <= {"retried", "rebuilt"}
    assert total(during + after, "commits")["failed"] >= 1


def test_one_broker_of_three_may_be_away(cluster, open_kafka, until, sample):
    topic = cluster.topic(1)
    cluster.tell("leader", topic, 0, 1)
    source = open_kafka(topic)
    cluster.tell("coordinator", source._config.group_id, 1)
    cluster.produce(topic, numbered(sample, 5))
    batches = until(source, has(5))
    cluster.tell("down", 3)
    cluster.produce(topic, numbered(sample, 5, first=5))

    batches += until(source, has(5))

    assert values(batches) == list(range(10))
    assert batches[-1].ready


def test_a_coordinator_that_moves_or_loads_is_waited_for(
    cluster, open_kafka, client, until, sample, committed
):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 5))
    source = open_kafka(topic)
    read = until(source, has(5))
    cluster.tell("errors", OFFSET_COMMIT, 14, 15, 16)

    def done(batches):
        source.commit(source.position())
        return total(batches, "commits").get("done", 0) > 0

    batches = until(source, done, seconds=60)

    if (
        client == "kafka-python"
    ):  # librdkafka looks for the coordinator at its leisure: its session may end over it, and it joins anew
        assert total(batches, "commits") == {"done": 1}
    assert committed(source, topic)[0] == 0
    assert values(read + batches) == list(range(5))


@pytest.mark.parametrize(
    "code", [27, 22, 25], ids=["rebalance in progress", "illegal generation", "unknown member"]
)
def test_a_commit_that_the_group_refuses_is_counted_and_made_up_for(cluster, open_kafka, until, sample, code):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 5))
    source = open_kafka(topic)
    batches = until(source, has(5))
    cluster.tell("errors", OFFSET_COMMIT, code)

    source.commit(source.position())
    cluster.produce(topic, numbered(sample, 5, first=5))
    batches += until(source, has(5))
    batches += until(source, ready)
    source.commit(source.position())
    batches.append(source.poll(1.0))

    assert values(batches) == list(range(10))
    assert total(batches, "commits") == {"failed": 1, "done": 1}


def test_metadata_that_is_too_large_for_the_broker_is_left_out(
    cluster, open_kafka, until, sample, committed, caplog
):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 5))
    source = open_kafka(topic)
    until(source, has(5))
    cluster.tell("errors", OFFSET_COMMIT, 12)

    source.commit(source.position())
    source.commit(source.position())

    assert committed(source, topic)[1] == ""
    assert "offset.metadata.max.bytes is too small" in caplog.text


def test_a_member_that_another_took_the_place_of_stops_with_a_clear_message(
    cluster, open_kafka, until, sample
):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 5))
    source = open_kafka(topic, group_instance_id="one")
    until(source, has(5))
    cluster.tell("errors", OFFSET_COMMIT, 82)

    with pytest.raises(SourceError, match=r'another daemon has taken source.kafka.group_instance_id "one"'):
        source.commit(source.position())


@pytest.mark.parametrize("client", ["confluent"])  # kafka-python's heartbeats only log it
@pytest.mark.parametrize("asks", ["poll", "commit"])
def test_a_member_that_hears_by_its_heartbeat_that_another_took_its_place_stops_as_well(
    cluster, open_kafka, until, sample, asks
):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 5))
    source = open_kafka(topic, group_instance_id="one")
    until(source, has(5))
    cluster.tell("errors", HEARTBEAT, 82)

    def go_on(_):
        if asks == "commit":
            source.commit(source.position())
        return False

    with pytest.raises(SourceError, match=r'another daemon has taken source.kafka.group_instance_id "one"'):
        until(source, go_on)


def test_authorisation_that_is_lost_is_told_and_tried_again(
    cluster, open_kafka, client, until, sample, caplog
):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 5))
    source = open_kafka(topic)
    until(source, has(5))
    cluster.tell("errors", OFFSET_COMMIT, 30)

    source.commit(source.position())
    assert not source.poll(1.0).ready
    assert {"kafka-python": "GroupAuthorizationFailedError", "confluent": "GROUP_AUTHORIZATION_FAILED"}[
        client
    ] in caplog.text

    cluster.produce(topic, numbered(sample, 2, first=5))
    assert values(until(source, has(2))) == [5, 6]  # a new consumer, once it may again


def test_a_consumer_that_breaks_is_thrown_away_and_nothing_is_lost(
    cluster, open_kafka, client, until, sample, caplog
):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 20))
    source = open_kafka(topic, max_poll_records=5)
    batches = until(source, has(5))
    broken = source._client
    broken._consumer = Failing(broken._consumer, ERRORS[client, "broken"])

    batches += until(source, lambda _: source._client is not broken)
    batches += until(source, has(20 - len(values(batches))))

    assert values(batches) == list(range(20))
    assert total(batches, "errors")["rebuilt"] == 1
    name = {"kafka-python": "ValueError", "confluent": "_BAD_COMPRESSION"}[client]
    assert f"kafka failed error={name}: not a batch; the client is closed and opened again" in caplog.text


def test_an_error_that_passes_keeps_the_consumer_until_it_has_come_five_times(
    cluster, open_kafka, client, until, sample, monkeypatch
):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 5))
    source = open_kafka(topic)
    until(source, has(5))
    kept = source._client
    monkeypatch.setattr("monitor.kafka.backoff._SHORTEST_PAUSE_SECONDS", 0.01)
    kept._consumer = failing = Failing(kept._consumer, ERRORS[client, "away"])

    batches = until(source, lambda _: source._client is not kept)

    assert failing.n_polls == 5
    assert total(batches, "errors") == {"retried": 4, "rebuilt": 1}


def test_an_invalid_request_is_borne_once(cluster, open_kafka, client, until, sample):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 5))
    source = open_kafka(topic)
    until(source, has(5))
    kept = source._client
    kept._consumer = Failing(kept._consumer, ERRORS[client, "invalid request"])

    source.poll(1.0)
    assert source._client is kept
    until(source, lambda _: source._client is not kept)


def test_a_slow_broker_is_read_slowly_and_the_group_stays_whole(cluster, open_kafka, until, sample):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 5))
    source = open_kafka(topic, session_timeout_seconds=6.0)
    batches = until(source, has(5))
    for broker in cluster.brokers:
        cluster.tell("rtt", broker, 500)
    cluster.produce(topic, numbered(sample, 5, first=5))

    later = until(source, has(5))
    later += [source.poll(1.0) for _ in range(3)]

    assert values(batches + later) == list(range(10))
    assert sum(batch.report.n_rebalances for batch in later) == 0


def test_a_leader_that_changes_costs_nothing(cluster, open_kafka, until, sample):
    topic = cluster.topic()
    cluster.tell("leader", topic, 0, 1)
    cluster.produce(topic, numbered(sample, 5))
    source = open_kafka(topic)
    batches = until(source, has(5))
    cluster.tell("leader", topic, 0, 2)
    cluster.produce(topic, numbered(sample, 5, first=5))

    batches += until(source, has(5))

    assert values(batches) == list(range(10))


# Settings


def test_a_file_that_is_missing_ends_the_start(open_kafka, cluster, tmp_path):
    with pytest.raises(SourceError, match=r"source.kafka.ssl_cafile: cannot read .*none.pem: No such file"):
        open_kafka(cluster.topic(), security_protocol="SSL", ssl_cafile=str(tmp_path / "none.pem"))
