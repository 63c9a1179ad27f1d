"""A partition in a wrong format is held, and read again once the setting is right; it delays no other."""

from __future__ import annotations

import threading
import time
from collections import Counter

import numpy as np

from monitor.clock import SystemClock
from monitor.config.explain import parse_config
from monitor.daemon.daemon import Daemon
from monitor.decode.influx import decode_influx
from monitor.detection.view import WatchObserver
from monitor.kafka.client import FatalClientError
from monitor.sample import SeriesTable
from monitor.sources.position import NOTHING_YET
from tests.kafka.batches import T0, has, values
from tests.kafka.harness import config_of
from tests.kafka.verifiable import Workload


def numbered(sample, n, *, first=0, host="web1"):
    return [sample(T0 + k * 1000, k, host=host) for k in range(first, first + n)]


def other(payloads):
    """Write the same in a format that this daemon does not read."""
    return [b"#" + payload for payload in payloads]


def read_other(decoder):
    """Give the decoder that the settings should have named."""
    return lambda records, table: decoder(
        [record._replace(value=record.value.removeprefix(b"#")) for record in records], table
    )


def is_wrong(topic, *partitions):
    return lambda batches: (
        bool(batches) and all(batches[-1].report.wrong_format.get((topic, number)) for number in partitions)
    )


def test_one_partition_in_a_wrong_format_delays_nobody_and_only_its_commit_is_held(
    cluster, open_kafka, until, sample, committed, caplog
):  # fmt: skip
    topic = cluster.topic(2)
    cluster.produce(topic, numbered(sample, 5, host="web1"), partition=1)
    cluster.produce(topic, other(numbered(sample, 200, first=5, host="web1")), partition=1)
    source = open_kafka(topic, idle_seconds=1.0, rewind_ms=1)
    batches = until(source, is_wrong(topic, 1))
    assert batches[-1].ready

    deadline, k, complete_ms = time.monotonic() + 30, 0, NOTHING_YET
    while complete_ms != T0 + k * 1000 or k < 10:  # the garbage goes on, and so does the other one's time
        assert time.monotonic() < deadline
        k += 1
        cluster.produce(topic, [sample(T0 + k * 1000, k, host="web0")], partition=0)
        cluster.produce(topic, other(numbered(sample, 3)), partition=1)
        complete_ms = until(source, has(1))[-1].complete_ms
    position = source.position()
    source.commit(position)

    assert (position.partitions[f"{topic}/0"].offset, position.partitions[f"{topic}/1"].offset) == (k, 5)
    assert committed(source, topic, 1)[0] == 5
    assert committed(source, topic, 0)[0] == k - 1
    until(
        source, lambda batches: bool(batches) and batches[-1].report.lag[topic, 1] == 0
    )  # it is read on all the same
    (line,) = [message for message in caplog.messages if message.startswith("wrong format")]
    assert line.startswith(
        f"wrong format at={topic}[1]@5: 95 records from there to 99 cannot be read, "
        "the last because of invalid_json"
    )
    assert "Correct [decode] and restart" in line


def test_what_was_held_is_read_again_once_the_format_is_right_and_nothing_of_it_is_missing(
    cluster, open_kafka, until, sample, sample_decoder
):  # fmt: skip
    topic = cluster.topic()
    payloads = numbered(sample, 300)
    cluster.produce(topic, [*payloads[:50], *other(payloads[50:])])
    source = open_kafka(topic, wrong_format_run=20, rewind_ms=1)
    before = until(source, is_wrong(topic, 0))
    until(source, lambda _: source._progress.offset(f"{topic}/0") == 300)
    position = source.position()
    source.commit(position)
    source.close()
    assert values(before) == list(range(50))
    assert before[-1].complete_ms == T0 + 49_000  # nobody else tells a time

    for resumed in (position, None):  # with the checkpoint, and without it: then a window is read again
        again = open_kafka(topic, resumed=resumed, decoder=read_other(sample_decoder), rewind_ms=1)
        after = until(again, lambda batches: values(batches)[-1:] == [299])
        assert values(after)[-250:] == list(range(50, 300))
        assert after[-1].complete_ms == T0 + 299_000
        assert after[-1].report.wrong_format == {(topic, 0): False}
        again.close()


def test_a_topic_in_which_nothing_can_be_read_is_not_ready_and_nothing_of_it_is_committed(
    cluster, open_kafka, until, sample, committed
):  # fmt: skip
    topic = cluster.topic(2)
    for partition in range(2):
        cluster.produce(topic, other(numbered(sample, 150)), partition=partition)
    source = open_kafka(topic, idle_seconds=0.5)

    batches = until(source, is_wrong(topic, 0, 1))
    batches += until(source, lambda batches: len(batches) >= 3)
    source.commit(source.position())

    assert not batches[-1].ready
    assert batches[-1].complete_ms == NOTHING_YET  # time does not go on by itself
    assert [committed(source, topic, partition)[0] for partition in range(2)] == [0, 0]


def test_a_producer_that_comes_to_its_senses_ends_it_and_the_commit_moves_on(
    cluster, open_kafka, until, sample, committed, caplog
):
    topic = cluster.topic()
    cluster.produce(topic, other(numbered(sample, 150)))
    source = open_kafka(topic, rewind_ms=1)
    batches = until(source, is_wrong(topic, 0))

    cluster.produce(topic, numbered(sample, 120, first=150))
    batches += until(source, has(120))
    source.commit(source.position())

    assert batches[-1].report.wrong_format == {(topic, 0): False}
    assert batches[-1].ready
    assert committed(source, topic)[0] >= 150
    assert f"format right again at={topic}[0]@" in caplog.text
    assert f": 150 records since {topic}[0]@0 could not be read and are skipped" in caplog.text


def test_a_whole_stream_of_garbage_is_a_hundred_dead_letters(cluster, open_kafka, until, sample):
    topic, dead = cluster.topic(), cluster.topic()
    cluster.produce(topic, other(numbered(sample, 1000)))
    source = open_kafka(topic, dead_letter_topic=dead)

    def counts(batches):
        return sum((Counter(batch.report.dead_letters) for batch in batches), Counter())

    batches = until(source, lambda batches: counts(batches).total() >= 1000)

    assert counts(batches) == {"sent": 100, "withheld": 900}


def test_a_consumer_that_is_opened_anew_still_holds(cluster, open_kafka, until, sample, monkeypatch):
    topic = cluster.topic()
    cluster.produce(topic, other(numbered(sample, 150)))
    source = open_kafka(topic)
    until(source, is_wrong(topic, 0))
    broken = source._client

    def poll(timeout_seconds):
        raise FatalClientError("ValueError", "not a batch")

    monkeypatch.setattr(broken, "poll", poll)
    until(source, lambda _: source._client not in (broken, None))
    cluster.produce(topic, other(numbered(sample, 5)))
    until(source, lambda _: source._progress.offset(f"{topic}/0") == 155)

    assert source.position().partitions[f"{topic}/0"].offset == 0


def test_a_bad_part_in_every_record_is_no_wrong_format(cluster, open_kafka, until):
    topic = cluster.topic()
    cluster.produce(topic, [b"cpu,host=a load=%d %d000000\nno line" % (k, T0 + k) for k in range(300)])

    batches = until(open_kafka(topic, decoder=decode_influx), has(300))

    assert sum(count for batch in batches for _, count in batch.n_bad) == 300
    assert batches[-1].report.wrong_format == {(topic, 0): False}


def test_held_samples_that_could_be_read_come_again_with_the_times_they_had(
    cluster, open_kafka, until, sample
):
    topic, table = cluster.topic(), SeriesTable()
    payloads = numbered(sample, 200)
    mixed = [
        payload if k % 3 == 0 else b"#" + payload for k, payload in enumerate(payloads)
    ]  # two thirds cannot be read
    cluster.produce(topic, mixed)
    source = open_kafka(topic, table=table)
    first = until(source, has(67))
    assert is_wrong(topic, 0)(first)
    position = source.position()
    source.close()

    again = until(open_kafka(topic, table=table, resumed=position), has(66))

    assert position.partitions[f"{topic}/0"].offset == 1  # the first of them
    assert values(again) == values(first)[1:]


def test_a_daemon_with_the_wrong_settings_loses_no_window(cluster, client, tmp_path):
    workload = Workload(n_steps=240)
    topic = cluster.topic(workload.n_partitions)
    records = list(workload.records())
    half = len(records) // 2
    reported = {}

    def produce(some):
        for partition in range(workload.n_partitions):
            cluster.produce(
                topic, [payload for number, payload in some if number == partition], partition=partition
            )

    def is_read(batch):
        return len(batch.report.lag) == workload.n_partitions and not any(batch.report.lag.values())

    def live(until, **decode):
        config = config_of(
            tmp_path, cluster.servers, topic, client=client, api_version="2.3", session_timeout_seconds=6.0
        )
        daemon = Daemon(
            parse_config({**config, "decode": decode}, origin="test"), outlets=[], clock=SystemClock()
        )
        stop = threading.Event()
        (watch,), poll = daemon.pipeline.watches, daemon._source.poll

        def record(scored):
            hosts = np.argsort(watch.entities.entities)
            step = (scored.time_ms - workload.start_ms) // 1000 - 1
            reported.setdefault(step, []).append(scored.actual[hosts])

        def poll_until(timeout_seconds):
            batch = poll(timeout_seconds)
            if until(batch):
                stop.set()
            return batch

        watch.observe(WatchObserver(on_scored=record))
        daemon._source.poll = poll_until
        try:
            daemon.run(stop)
        finally:
            daemon.close()

    produce(records[:half])
    live(is_read)
    n_reported = len(reported)
    assert n_reported > 100
    produce([*records[half:], *workload.tail()])
    live(lambda batch: is_read(batch) and not batch.ready, format="influx")
    assert len(reported) == n_reported
    live(is_read)

    for step in range(workload.n_steps):
        (values,) = reported[step]
        np.testing.assert_allclose(values, workload.values[:, :, step], rtol=1e-6)
