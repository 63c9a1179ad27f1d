"""Real servers' metrics through a real Kafka, with commands as typed: trained offline, detected live, killed.

The machines are those of SMD, the Server Machine Dataset, in the folder that SMD_HOME names or next to the
clone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import confluent_kafka
import httpx
import numpy as np
import pandas as pd
import pytest

from tests.kafka.broker import Kafka, free_port, needed, why_not

ROOT = Path(__file__).parents[2]
SMD = Path(os.environ.get("SMD_HOME") or ROOT.parent / "shared" / "data" / "smd")
MACHINES = ("machine-1-6", "machine-3-4")
STEP_MS = 60_000
N_TRAIN = 2000  # steps, the newest of the published training part
N_TEST = 3200  # the first of the part with labels
N_TAIL = 40  # more, to close what is open: a window and the lateness
PARTS = ((0, 1100), (1100, 2200), (2200, N_TEST + N_TAIL))
pytestmark = [pytest.mark.e2e, pytest.mark.kafka]


@pytest.fixture(scope="module")
def machines():
    """Give each machine's metrics as (times in ms, names, values, labels)."""
    files = [SMD / "series" / f"{name}.csv.gz" for name in MACHINES]
    if not all(file.exists() for file in files):
        pytest.skip(f"{SMD} has no {files[0].name}: SMD_HOME names the folder of the Server Machine Dataset")
    return {name: pd.read_csv(file) for name, file in zip(MACHINES, files, strict=True)}


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    needed(why_not())
    broker = Kafka(tmp_path_factory.mktemp("kafka"))
    yield broker
    broker.stop()


class Daemon:
    """`barograph run` as a user types it; it may be killed and started again."""

    def __init__(self, folder, config):
        self.address = f"127.0.0.1:{free_port()}"
        self._folder, self._config = folder, config
        self._process = None

    def start(self):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "BAROGRAPH_WEB__LISTEN": self.address}
        with (self._folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "monitor", "run", "--config", self._config]
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment)

    def wait_for_step(self, step, start_ms, *, seconds=240):
        """Wait until everything before a step has been judged."""
        deadline = time.monotonic() + seconds
        while (watermark := self._watermark()) < (start_ms + step * STEP_MS) / 1000:
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, (watermark, step, self.log[-3000:])
            time.sleep(0.05)

    def _watermark(self):
        try:
            text = httpx.get(f"http://{self.address}/metrics").text
        except httpx.TransportError:
            return 0.0
        lines = [
            line for line in text.splitlines() if line.startswith("barograph_watermark_timestamp_seconds{")
        ]
        return float(lines[0].rpartition(" ")[2]) if lines else 0.0

    def kill(self):
        """Stop it as a power cut does."""
        self._process.kill()
        self._process.wait()

    def stop(self):
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=60)
        return self._process.returncode

    @property
    def log(self):
        return (self._folder / "log").read_text(errors="replace")

    def episodes(self, until_ms):
        """Give the episodes opened before a time, as `barograph episodes` lists them."""
        listed = barograph("episodes", "--config", self._config, "--json", "--all").splitlines()
        episodes = [json.loads(line) for line in listed]
        return [episode for episode in episodes if episode["opened_ms"] < until_ms]


def barograph(*arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "monitor", *map(str, arguments)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def configured(folder, kafka, topic, group):
    folder.mkdir(exist_ok=True)
    file = folder / "mine.toml"
    file.write_text(f"""
data_dir = "{folder}/data"
checkpoint_seconds = 0.5
[source]
kind = "kafka"
[source.replay]
time_unit = "s"
[source.kafka]
bootstrap_servers = ["{kafka.servers[0]}"]
topics = ["{topic}"]
group_id = "{group}"
group_instance_id = "{group}"
session_timeout_seconds = 10.0
start = "earliest"
idle_seconds = 3600.0
max_poll_records = 200
[alerts]
max_alert_age_seconds = 0.0   # these times are old, and every alert counts
[[watch]]
name = "machines"
by = ["entity"]
step_seconds = 60.0
window_length = 16
budget = "1/day"
[watch.alert]
close_seconds = 600.0
rest_seconds = 600.0
[watch.model]
epochs = 3
hidden = 16
latent = 8
windows_per_epoch = 1024
""")
    return file


def test_smd_machines_through_kills_give_the_alerts_of_an_undisturbed_run(machines, kafka, tmp_path):
    topic = kafka.topic("smd", len(MACHINES))  # retention.ms=-1: these times are old
    first_test = {name: int((table["split"] == "test").idxmax()) for name, table in machines.items()}
    start_ms = {name: int(machines[name]["timestamp"][first]) * 1000 for name, first in first_test.items()}
    undisturbed = Daemon(
        tmp_path / "undisturbed", configured(tmp_path / "undisturbed", kafka, topic, "undisturbed")
    )
    killed = Daemon(tmp_path / "killed", configured(tmp_path / "killed", kafka, topic, "killed"))
    files = [SMD / "series" / f"{name}.csv.gz" for name in MACHINES]
    since = min(start_ms.values()) - N_TRAIN * STEP_MS
    trained = barograph(
        "train",
        *files,
        "--config",
        tmp_path / "killed" / "mine.toml",
        "--where",
        "split=train",
        "--start",
        since,
    )
    assert "machines" in trained
    shutil.copytree(tmp_path / "killed" / "data", tmp_path / "undisturbed" / "data")
    last_ms = max(start_ms.values()) + N_TEST * STEP_MS
    begun = max(start_ms.values())

    try:
        produce(kafka, topic, machines, first_test, *PARTS[0])
        killed.start()
        undisturbed.start()
        for number, (first, last) in enumerate(PARTS):
            killed.wait_for_step((first + min(last, N_TEST)) // 2, begun)
            if number + 1 < len(PARTS):
                produce(kafka, topic, machines, first_test, *PARTS[number + 1])
                killed.kill()
                killed.start()
        for daemon in (killed, undisturbed):
            daemon.wait_for_step(N_TEST, begun)
            assert daemon.stop() == 0, daemon.log[-3000:]
    finally:
        killed.stop()
        undisturbed.stop()

    found, expected = killed.episodes(last_ms), undisturbed.episodes(last_ms)
    assert found == expected
    assert len(expected) >= 4
    assert {episode["entity"] for episode in expected} == set(MACHINES)
    # An alert may be delivered twice, if the kill came between a delivery and its checkpoint; but never
    # changed.
    opened = Counter(
        line.partition("episode opened ")[2] for line in killed.log.splitlines() if "episode opened" in line
    )
    assert set(opened) == {
        line.partition("episode opened ")[2]
        for line in undisturbed.log.splitlines()
        if "episode opened" in line
    }
    assert max(opened.values()) <= 2
    hit = faults_caught(expected, machines, first_test, start_ms)
    assert hit, "no labelled fault was caught: what was compared means nothing"


def produce(kafka, topic, machines, first_test, first, last):
    """Send rows of every machine, one message each, each machine's to its own partition."""
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": kafka.servers[0], "log_level": 0, "queue.buffering.max.messages": 1_000_000}
    )
    for partition, (name, table) in enumerate(machines.items()):
        rows = table.iloc[first_test[name] + first : first_test[name] + last]
        names = [column for column in table.columns if column not in ("timestamp", "label", "split")]
        for time_s, values in zip(rows["timestamp"].tolist(), rows[names].to_numpy().tolist(), strict=True):
            time_ms = int(time_s) * 1000
            metrics = {column: [value] for column, value in zip(names, values, strict=True)}
            message = {"time_ms": [time_ms], "labels": {"entity": name}, "metrics": metrics}
            producer.produce(topic, json.dumps(message), name, partition=partition, timestamp=time_ms)
    assert producer.flush(60) == 0


def faults_caught(episodes, machines, first_test, start_ms):
    """Give the labelled faults during which an episode opened."""
    caught = set()
    for name, table in machines.items():
        labels = table["label"].to_numpy()[first_test[name] : first_test[name] + N_TEST]
        numbers = np.cumsum(np.diff(labels, prepend=0) == 1) * labels  # 0 outside faults
        for episode in episodes:
            step = (episode["opened_ms"] - start_ms[name]) // STEP_MS
            if episode["entity"] == name and numbers[step]:
                caught.add((name, int(numbers[step])))
    return caught
