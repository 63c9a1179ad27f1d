"""Runs the daemon through a workload and planned kills, and compares what it wrote with the truth."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import confluent_kafka
import numpy as np

from monitor.config.watch import WatchConfig
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.sample import Columns, SeriesTable, labels_of
from tests.kafka.launcher import POINTS, alert_line
from tests.kafka.verifiable import LATENESS_MS, METRICS, STEP_MS, verify_alerts, verify_windows

ROOT = Path(__file__).parents[2]
WATCH = {
    "name": "w",
    "by": ["host"],
    "step_seconds": STEP_MS / 1000,
    "window_length": 8,
    "lateness_seconds": LATENESS_MS / 1000,
    "budget": "1/day",
    "alert": {"close_seconds": 5.0, "rest_seconds": 5.0},
}


def undisturbed_alerts(workload, windows, champion=None):
    """Send all samples, in order, straight through a pipeline; write the alerts that come out.

    Hosts get the rows that they had in the daemon that wrote `windows`: random draws go by rows.
    """
    table = SeriesTable()
    pipeline = Pipeline(
        [build_watch(WatchConfig.model_validate(WATCH).settings(), champion)], table, max_future_ms=0
    )
    met = list(json.loads(windows[-1])["values"])
    numbers = np.array(
        [[table.intern(metric, labels_of({"host": host})) for metric in METRICS] for host in met]
    )
    rows = [int(host.removeprefix("host")) for host in met]
    lines = []
    times = [*range(workload.n_steps), workload.n_steps + 60]
    for step in times:
        time_ms = workload.start_ms + step * STEP_MS
        values = workload.values[rows, :, step] if step < workload.n_steps else np.full(numbers.shape, 100.0)
        columns = Columns(numbers.ravel().astype(np.int32), np.full(numbers.size, time_ms), values.ravel())
        lines += [alert_line(alert) for alert in pipeline.process(columns, time_ms).alerts]
    return lines


class Producer:
    """Sends a workload at a pace, in a thread of its own, until it must send the rest at once."""

    def __init__(self, servers, topic, workload, *, records_per_second):
        settings = {
            "bootstrap.servers": ",".join(servers),
            "linger.ms": 5,
            "log_level": 0,
            "reconnect.backoff.max.ms": 500,
        }
        self._producer = confluent_kafka.Producer(settings)
        self._topic, self._workload, self._records_per_second = topic, workload, records_per_second
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def finish(self):
        self._hurry.set()
        self._thread.join()
        assert self._producer.flush(60) == 0

    def _run(self):
        begun = time.monotonic()
        for number, (partition, payload) in enumerate([*self._workload.records(), *self._workload.tail()]):
            self._hurry.wait(max(0.0, begun + number / self._records_per_second - time.monotonic()))
            self._producer.produce(self._topic, payload, partition=partition)
            self._producer.poll(0)


def lives_of(n_lives, *, seed, seconds=(0.7, 2.2)):
    """Plan lives: half of them end at a named point, each point equally often, the rest at random times."""
    rng = np.random.default_rng(seed)
    lives = [{"seconds": float(rng.uniform(*seconds))} for _ in range(n_lives - n_lives // 2)]
    # Nothing is judged, and so nothing delivered, in the first 110 steps: the first lives end at random.
    named = [
        {"point": POINTS[k % len(POINTS)], "nth": 1 + k // len(POINTS) % 2, "seconds": 30.0}
        for k in range(n_lives // 2)
    ]
    first, rest = lives[:4], [*lives[4:], *named]
    return [*first, *(rest[index] for index in rng.permutation(len(rest)))]


def config_of(folder, servers, topic, *, max_alert_age_seconds=0, **kafka):
    """Give the settings of a daemon over a topic: the workload's tail closes the last steps, not silence."""
    settings = {
        "bootstrap_servers": servers,
        "topics": [topic],
        "group_id": topic,
        "start": "earliest",
        "idle_seconds": 3600.0,
    }
    return {
        "data_dir": str(folder / "data"),
        "checkpoint_seconds": 0.3,
        # 0: no alert is withheld, although a workload's times lie years back
        "alerts": {"max_alert_age_seconds": max_alert_age_seconds},
        "web": {"listen": "127.0.0.1:0"},
        "source": {"kind": "kafka", "kafka": {**settings, "max_poll_records": 120, **kafka}},
        "watch": [WATCH],
    }


def run_through_kills(folder, servers, topic, workload, lives, *, records_per_second, forgets=False, **kafka):
    """Produce a workload while the daemon is killed; give what it wrote, once it has come to the end.

    Where `records_per_second` is infinite, all is there before the daemon begins.
    """
    config = config_of(folder, servers, topic, **kafka)
    (folder / "plan.json").write_text(
        json.dumps({"config": config, "folder": str(folder), "lives": lives, "forgets": forgets})
    )
    producer = Producer(servers, topic, workload, records_per_second=records_per_second)
    if math.isinf(records_per_second):
        producer.finish()
    launcher = subprocess.Popen(
        [sys.executable, "-m", "tests.kafka.launcher", folder / "plan.json"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        said = launcher.stdout.readline()
        producer.finish()
        assert said == "the last life\n", (launcher.wait(), (folder / "log").read_text()[-3000:])
        wait_for_end(folder, workload)
    finally:
        producer.finish()
        launcher.stdin.close()
        code = launcher.wait(timeout=60)
        launcher.stdout.close()
    assert code == 0, (code, (folder / "log").read_text()[-3000:])
    return [
        (folder / name).read_text().splitlines() if (folder / name).exists() else []
        for name in ("windows", "alerts", "reached")
    ]


def wait_for_end(folder, workload, seconds=600):
    """Wait until the last step has been closed."""
    last_ms = workload.start_ms + workload.n_steps * STEP_MS
    deadline = time.monotonic() + seconds
    while True:
        text = (folder / "windows").read_text() if (folder / "windows").exists() else ""
        written = text[: text.rfind("\n") + 1].splitlines()  # the last line may be on its way
        if written and json.loads(written[-1])["time_ms"] >= last_ms + 50_000:
            return
        assert time.monotonic() < deadline, (written[-1:], (folder / "log").read_text()[-3000:])
        time.sleep(0.2)


def check(workload, windows, alerts, reached, lives, *, champion=None):
    """Find nothing missing, wrong or sent as new, and every planned point reached."""
    verdict = verify_windows(windows, workload)
    assert verdict.faultless, verdict
    verdict_on_alerts = verify_alerts(alerts, undisturbed_alerts(workload, windows, champion))
    assert verdict_on_alerts.faultless, verdict_on_alerts
    assert len(alerts) > 20  # faults enough for it to mean something
    planned = Counter(life["point"] for life in lives if "point" in life)
    assert set(Counter(reached)) == set(planned), (Counter(reached), planned)
