"""The daemon, killed repeatedly under load, misses no window, gets none wrong, repeats no alert as new."""

from __future__ import annotations

import itertools
import json
import threading

import numpy as np
import pytest
from kafka import KafkaConsumer, TopicPartition

from monitor.clock import SystemClock
from monitor.config.explain import parse_config
from monitor.daemon.build import build_daemon
from monitor.detection.view import WatchObserver
from tests.kafka.harness import WATCH, check, config_of, lives_of, run_through_kills, undisturbed_alerts
from tests.kafka.verifiable import Workload, verify_alerts, verify_windows


def test_nothing_is_lost_wrong_or_sent_as_new_by_fifty_kills(cluster, tmp_path):
    workload, lives = Workload(n_steps=2400), lives_of(50, seed=1)
    topic = cluster.topic(workload.n_partitions)

    windows, alerts, reached = run_through_kills(
        tmp_path, cluster.servers, topic, workload, lives,
        records_per_second=130, api_version="2.3", session_timeout_seconds=1.5,
    )  # fmt: skip

    check(workload, windows, alerts, reached, lives)


def test_the_other_client_loses_nothing_by_fourteen_kills_either(cluster, tmp_path):
    workload, lives = Workload(n_steps=1000), lives_of(14, seed=2)
    topic = cluster.topic(workload.n_partitions)

    windows, alerts, reached = run_through_kills(
        tmp_path, cluster.servers, topic, workload, lives,
        records_per_second=130, client="confluent", api_version="2.3", session_timeout_seconds=1.5,
    )  # fmt: skip

    check(workload, windows, alerts, reached, lives)


def test_a_run_that_nothing_disturbs_repeats_nothing(cluster, tmp_path):
    workload = Workload(n_steps=400)
    topic = cluster.topic(workload.n_partitions)

    windows, alerts, _ = run_through_kills(
        tmp_path,
        cluster.servers,
        topic,
        workload,
        [],
        records_per_second=10_000,
        api_version="2.3",
        session_timeout_seconds=6.0,
    )

    on_windows, on_alerts = (
        verify_windows(windows, workload),
        verify_alerts(alerts, undisturbed_alerts(workload, windows)),
    )
    assert (on_windows.faultless, on_windows.repeated) == (True, 0), on_windows
    assert (on_alerts.faultless, on_alerts.repeated) == (True, 0), on_alerts


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_neither_failing_brokers_nor_a_full_disk_nor_a_frozen_daemon_nor_retention_at_its_heels_lose_anything(
    cluster, tmp_path, client
):
    workload = Workload(n_steps=900)
    lives = [
        {"seconds": 3.0},
        {"seconds": 8.0, "frozen_seconds": 3.0},  # twice as long as its session lasts
        {"seconds": 6.0, "full_disk": True},
        {"seconds": 5.0},
    ]
    topic = cluster.topic(workload.n_partitions)
    stop = threading.Event()
    weather = threading.Thread(
        target=bad_weather, args=(cluster, topic, tmp_path / "data" / "checkpoint" / "state", stop)
    )
    weather.start()
    try:
        windows, alerts, _ = run_through_kills(
            tmp_path, cluster.servers, topic, workload, lives,
            records_per_second=200, client=client, api_version="2.3", session_timeout_seconds=1.5,
        )  # fmt: skip
    finally:
        stop.set()
        weather.join()

    check(workload, windows, alerts, [], [])
    assert "checkpoint failed" in (tmp_path / "log").read_text()
    cluster.mend()  # a broker may be away still
    assert sum(first_offsets(cluster, topic).values()) > 0


def bad_weather(cluster, group, checkpoint, stop):
    """Cause one fault after the other: brokers away or slow, moved coordinators and leaders, deletions."""
    for turn in itertools.count():
        if checkpoint.exists():
            header = json.loads(checkpoint.read_bytes().partition(b"\n")[0])
            for name, position in header["about"]["partitions"].items():
                cluster.tell("delete", *name.split("/"), position["offset"])
        broker = 1 + turn % 3
        for words in (
            ("down", broker),
            ("up", broker),
            ("rtt", broker, 300),
            ("rtt", broker, 0),
            ("coordinator", group, broker),
            ("leader", group, turn % 3, 1 + (turn + 1) % 3),
        ):
            cluster.tell(*words)
            if stop.wait(0.7):
                return


def first_offsets(cluster, topic):
    """Ask where the partitions of a topic begin."""
    consumer = KafkaConsumer(bootstrap_servers=cluster.servers, api_version=(2, 3))
    try:
        return consumer.beginning_offsets(
            [TopicPartition(topic, number) for number in range(3)], timeout_ms=10_000
        )
    finally:
        consumer.close()


def test_a_daemon_that_loses_its_checkpoint_each_time_still_closes_every_step_rightly(cluster, tmp_path):
    workload = Workload(n_steps=400)
    lives = [{"seconds": 2.0 + 0.3 * number} for number in range(5)]
    topic = cluster.topic(workload.n_partitions)

    windows, _, _ = run_through_kills(
        tmp_path, cluster.servers, topic, workload, lives,
        records_per_second=200, forgets=True, api_version="2.3", session_timeout_seconds=1.5,
    )  # fmt: skip

    verdict = verify_windows(windows, workload)
    assert verdict.faultless, verdict


def test_what_is_read_again_fills_the_windows_behind_what_was_told(cluster, tmp_path):
    workload = Workload(n_steps=300)
    topic = cluster.topic(workload.n_partitions)
    records = list(workload.records())
    for part in (records[: len(records) // 2], [*records[len(records) // 2 :], *workload.tail()]):
        for partition in range(workload.n_partitions):
            cluster.produce(
                topic, [payload for number, payload in part if number == partition], partition=partition
            )
        closed, reported = run_without_state(tmp_path, cluster, topic)

    first_reported = min(reported)
    assert first_reported > 100
    window = range(first_reported - WATCH["window_length"] + 1, first_reported + 1)
    for step in window:
        np.testing.assert_array_equal(closed[step], workload.values[:, :, step])
    assert sorted(reported) == list(range(first_reported, workload.n_steps + 58))


def run_without_state(folder, cluster, topic):
    """Let a daemon without state read a topic to its end; give the steps it closed, and those it reported."""
    config = parse_config(
        config_of(folder, cluster.servers, topic, api_version="2.3", session_timeout_seconds=6.0),
        origin="test",
    )
    daemon = build_daemon(config, outlets=[], clock=SystemClock(), keeps_state=False)
    (watch,) = daemon.loop.pipeline.watches
    stop, closed, reported = threading.Event(), {}, []
    first_step = Workload.start_ms // 1000
    poll = daemon.loop.source.poll

    def record_closed(block):
        hosts = np.argsort(watch.entities.entities)
        for t in range(len(block.values)):
            closed[block.first_step + t - first_step] = block.values[t, hosts].copy()

    def record_scored(scored):
        reported.append(scored.time_ms // 1000 - 1 - first_step)

    def poll_to_the_end(timeout_seconds):
        batch = poll(timeout_seconds)
        if len(batch.report.lag) == 3 and not any(batch.report.lag.values()):
            stop.set()
        return batch

    watch.observe(WatchObserver(on_scored=record_scored, on_closed=record_closed))
    daemon.loop.source.poll = poll_to_the_end
    try:
        daemon.run(stop)
    finally:
        daemon.close()
    return closed, reported
