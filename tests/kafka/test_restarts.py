"""The daemon ends, hangs, finds a damaged checkpoint, runs out of file descriptors: nothing is lost."""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.request

import confluent_kafka
import pytest

from monitor.daemon.checkpoints import position_of
from monitor.storage.alert_history import read_episodes
from monitor.storage.checkpoint import load_checkpoint
from tests.kafka.harness import ROOT, Producer, check, config_of, run_through_kills, undisturbed_alerts
from tests.kafka.verifiable import Workload, verify_windows


def test_a_poll_that_hangs_ends_the_daemon_and_its_successor_lacks_nothing(cluster, tmp_path):
    workload, lives = Workload(n_steps=500), [{"hangs_at": nth, "seconds": 60.0} for nth in (3, 8)]
    topic = cluster.topic(workload.n_partitions)

    windows, alerts, reached = run_through_kills(
        tmp_path,
        cluster.servers,
        topic,
        workload,
        lives,
        records_per_second=400,
        api_version="2.3",
        session_timeout_seconds=1.5,
    )

    assert reached == ["poll.hangs"] * 2  # the launcher sees each life end with the watchdog's code
    check(workload, windows, alerts, [], [])
    log = (tmp_path / "log").read_text()
    assert log.count("loop hangs") == 2
    assert "in poll_or_hang" in log


def test_a_checkpoint_that_is_spoilt_or_of_another_version_is_rebuilt_from_kafka(cluster, tmp_path):
    workload, ways = Workload(n_steps=500), ("cut off", "a bit turned", "newer", "older")
    dies = {"point": "checkpoint.after_rename", "nth": 3, "seconds": 30.0}
    lives = [dies, *({**dies, "damaged": how} for how in ways)]
    topic = cluster.topic(workload.n_partitions)

    windows, _, reached = run_through_kills(
        tmp_path,
        cluster.servers,
        topic,
        workload,
        lives,
        records_per_second=150,
        api_version="2.3",
        session_timeout_seconds=1.5,
    )

    assert reached == ["checkpoint.after_rename"] * len(lives)
    verdict = verify_windows(windows, workload)
    assert verdict.faultless, verdict
    log = (tmp_path / "log").read_text()
    assert log.count("checkpoint refused error=") == len(ways)
    assert "has format 1, this program reads" in log


def test_a_daemon_that_catches_up_and_is_killed_tells_what_is_young_and_sums_up_the_rest(cluster, tmp_path):
    begun_ms = round(time.time() * 1000)
    workload = Workload(n_steps=600, start_ms=begun_ms - 700_000)  # its tail is a minute behind its end
    topic = cluster.topic(workload.n_partitions)
    points = ("outlets.after", "checkpoint.before", "checkpoint.after_rename", "commit.before")
    lives = [{"seconds": 3.0}, *({"point": point, "nth": 2, "seconds": 30.0} for point in points)]

    windows, alerts, _ = run_through_kills(
        tmp_path, cluster.servers, topic, workload, lives,
        records_per_second=math.inf, max_alert_age_seconds=300.0,
        api_version="2.3", session_timeout_seconds=1.5,
    )  # fmt: skip

    found = {episode.identity: episode for episode in read_episodes(tmp_path / "data" / "episodes.sqlite")}
    sent = [json.loads(line) for line in alerts]
    openings, ends = (
        {alert["identity"] for alert in sent if (alert["resolved_ms"] is None) == is_open}
        for is_open in (True, False)
    )
    truth = [json.loads(line) for line in undisturbed_alerts(workload, windows)]
    over_ms = {alert["identity"]: alert["resolved_ms"] for alert in truth if alert["resolved_ms"] is not None}
    # The clock goes on while it runs: what ended in between may be sent or not. Steps take 4.5 s to close.
    young, old = round(time.time() * 1000) - 304_500, begun_ms - 304_500
    assert set(found) == set(over_ms)
    assert openings == ends == {identity for identity, episode in found.items() if episode.notified}
    assert openings >= {name for name, resolved_ms in over_ms.items() if resolved_ms > young}
    assert not openings & {name for name, resolved_ms in over_ms.items() if resolved_ms < old}
    assert min(len(openings), len(set(found) - openings)) > 5  # there is enough of both
    summed_up = [int(line) for line in (tmp_path / "summaries").read_text().split()]
    assert set(summed_up) == {len(set(found) - openings)}, summed_up


# As an operator runs it


@pytest.fixture
def daemon(cluster, tmp_path):
    """Start `barograph run` over a topic that samples are sent to all the time; give it once it reads."""
    workload = Workload(n_steps=3000)
    topic = cluster.topic(workload.n_partitions)
    config = config_of(tmp_path, cluster.servers, topic, api_version="2.3", session_timeout_seconds=6.0)
    config["alerts"] = {"keep_seconds": 3600.0}  # the samples are old: every alert is withheld
    (tmp_path / "config.toml").write_text(toml_of(config))
    producer = Producer(cluster.servers, topic, workload, records_per_second=400)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor", "run", "--config", tmp_path / "config.toml"],
            cwd=tmp_path, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    try:
        wait_for(lambda: len(places(tmp_path)) == 3, process, tmp_path)
        yield process, topic
    finally:
        process.kill()
        process.wait()
        producer.finish()


def toml_of(table):
    """Write a configuration as overrides of one line each."""
    lines = [
        f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict | list)
    ]
    for name in ("alerts", "web"):
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table[name].items())]
    lines += ["[source]", 'kind = "kafka"', "[source.kafka]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in table["source"]["kafka"].items()]
    (watch,) = table["watch"]
    lines += [
        "[[watch]]",
        *(f"{key} = {json.dumps(value)}" for key, value in watch.items() if key != "alert"),
    ]
    lines += ["[watch.alert]", *(f"{key} = {json.dumps(value)}" for key, value in watch["alert"].items())]
    return "\n".join(lines) + "\n"


def wait_for(what, process, folder, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert process.poll() is None, (folder / "log").read_text()[-3000:]
        assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
        time.sleep(0.05)
    return found


def places(folder):
    """Give what the checkpoint says would be read again, by partition; nothing while there is none."""
    checkpoint = load_checkpoint(folder / "data" / "checkpoint" / "state")
    return (
        {name: place.rewind for name, place in position_of(checkpoint).partitions.items()}
        if checkpoint
        else {}
    )


def committed(cluster, topic):
    """Ask, as another program would, what the group has committed, by partition."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": ",".join(cluster.servers), "group.id": topic, "log_level": 0}
    )
    try:
        committed = consumer.committed(
            [confluent_kafka.TopicPartition(topic, partition) for partition in range(3)], timeout=20
        )
    finally:
        consumer.close()
    return {f"{partition.topic}/{partition.partition}": partition.offset for partition in committed}


def test_sigterm_under_load_drains_keeps_and_commits_and_exits_with_0(daemon, cluster, tmp_path):
    process, topic = daemon

    process.send_signal(signal.SIGTERM)

    assert (
        process.wait(timeout=20) == 0
    )  # a poll of a second, a batch, a commit of 2 s, a close of 3 s; and a busy machine
    assert (tmp_path / "log").read_text().splitlines()[-1].endswith("daemon stopped")
    assert len(places(tmp_path)) == 3
    assert committed(cluster, topic) == places(tmp_path)


def test_a_second_sigterm_ends_it_at_once(daemon):
    process, _ = daemon

    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)  # until the first has been taken notice of
        process.send_signal(signal.SIGTERM)

    assert process.returncode == -signal.SIGTERM


def test_out_of_file_descriptors_it_fails_single_operations_and_goes_on(daemon, tmp_path):
    process, _ = daemon
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)

    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, hard))  # nothing can be opened any more
    wait_for(lambda: (tmp_path / "log").read_text().count("checkpoint failed error=") >= 3, process, tmp_path)
    before = places(tmp_path)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    wait_for(
        lambda: all(offset > before[name] for name, offset in places(tmp_path).items()), process, tmp_path
    )

    assert "Too many open files" in (tmp_path / "log").read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0


def test_out_of_file_descriptors_it_is_scraped_again_once_there_are_some(daemon, tmp_path):
    process, _ = daemon
    address = next(
        line.rpartition("url=")[2]
        for line in (tmp_path / "log").read_text().splitlines()
        if "web server started" in line
    )
    soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)

    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, hard))
    with pytest.raises(OSError, match=r"timed out|reset|closed|refused"):
        urllib.request.urlopen(address, timeout=2)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (soft, hard))

    wait_for(lambda: b"barograph_checkpoint_failures_total" in scraped(address), process, tmp_path)


def scraped(address):
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.read()
    except OSError:
        return b""
