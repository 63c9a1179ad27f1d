"""Real senders of remote write into a daemon that is killed between: what it reads is what they have."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml

from monitor.sample import labels_of, series_text

ROOT = Path(__file__).parents[2]
PASSWORD, TOKEN = "secret of a test", "token-of-a-test"
pytestmark = pytest.mark.e2e

DEBIAN_1 = ("prometheus", {"basic_auth": {"username": "prom", "password": PASSWORD}})
NEWEST_1 = ("prometheus3", {"authorization": {"credentials": TOKEN}})
NEWEST_2 = (
    "prometheus3",
    {"authorization": {"credentials": TOKEN}, "protobuf_message": "io.prometheus.write.v2.Request"},
)
not_in_debian = pytest.mark.kafka  # as conftest.py says, what Debian does not have may be missing


@pytest.fixture
def start():
    """Start a program with its log in a file; each is killed in the end."""
    processes = []

    def run(log_file, *command):
        with log_file.open("ab") as log:
            processes.append(
                subprocess.Popen(
                    [str(word) for word in command],
                    cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
        return processes[-1]

    yield run
    for process in reversed(processes):
        process.kill()
        process.wait()


class Daemon:
    """A daemon that writes down what it reads."""

    def __init__(self, start, folder, address, **prometheus):
        self.url = f"http://{address}"
        self._start, self._folder = start, folder
        self._file = folder / "samples"
        config = {
            "data_dir": str(folder / "data"),
            "checkpoint_seconds": 2.0,
            "web": {"listen": address},
            "source": {"kind": "prometheus", "prometheus": prometheus},
            "watch": [{"name": "all", "by": ["job"], "step_seconds": 1.0}],
        }
        (folder / "config.json").write_text(json.dumps(config))

    def start(self, servers):
        arguments = ("-u", "-m", "tests.e2e.recording_daemon", self._folder / "config.json", self._file)
        self.process = self._start(self._folder / "log", sys.executable, *arguments)
        servers.wait_for("the daemon to be ready", self._is_ready, seconds=120)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.log

    @property
    def log(self):
        return (self._folder / "log").read_text()

    def _is_ready(self):
        assert self.process.poll() is None, self.log
        return httpx.get(f"{self.url}/-/ready").status_code == 200

    def metric(self, name):
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))

    def samples(self):
        """Give every sample that was read, by series and time; what was read twice must be the same."""
        found = {}
        for line in self._file.read_text().splitlines() if self._file.exists() else []:
            for series, time_ms, value in json.loads(line):
                assert found.setdefault((series, time_ms), value) == value
        return found


def program_of(name):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not on PATH")
    return path


@pytest.mark.parametrize(
    "sender",
    [
        pytest.param(DEBIAN_1, id="2.42, message 1.0, password"),
        pytest.param(NEWEST_1, id="3, message 1.0, token", marks=not_in_debian),
        pytest.param(NEWEST_2, id="3, message 2.0, token", marks=not_in_debian),
    ],
)
def test_the_samples_of_a_prometheus_arrive_as_it_has_them_through_a_kill(sender, start, servers, tmp_path):
    program, settings = program_of(sender[0]), sender[1]
    address, own = servers.free_address(), servers.free_address()
    daemon = Daemon(
        start,
        tmp_path,
        address,
        receive_username="prom",
        receive_password=PASSWORD,
        receive_bearer_token=TOKEN,
    )
    daemon.start(servers)
    (tmp_path / "prometheus.yml").write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s"},
                "scrape_configs": [{"job_name": "self", "static_configs": [{"targets": [own]}]}],
                "remote_write": [
                    {
                        "url": f"{daemon.url}/api/v1/write",
                        "queue_config": {"batch_send_deadline": "1s", "max_backoff": "1s"},
                        **settings,
                    }
                ],
            }
        )
    )
    prometheus = start(
        tmp_path / "prometheus.log",
        program,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address={own}",
    )

    servers.wait_for("samples", lambda: len(daemon.samples()) > 5000, seconds=90)
    daemon.kill()
    away_since = time.time()
    servers.wait_for(
        "Prometheus to have sent in vain",
        lambda: value_of(own, "prometheus_remote_storage_samples_retried_total") > 0,
        seconds=60,
    )
    daemon.start(servers)
    end_ms = round(time.time() * 1000)
    newest = servers.wait_for(
        "what Prometheus has",
        lambda: max(time_ms for _, time_ms in daemon.samples()) > end_ms + 3000,
        seconds=120,
    )

    received = {key: value for key, value in daemon.samples().items() if value is not None}
    expected = samples_of(own, end_ms)
    assert newest
    assert len(expected) > 5000
    assert any(time_ms > away_since * 1000 for _, time_ms in expected)
    missing = {key for key in expected if key not in received}
    assert missing == set()
    assert {key for key in received if key[1] <= end_ms} == set(expected)
    for key, value in expected.items():
        assert received[key] == pytest.approx(value, rel=1e-12, abs=0), key
    assert value_of(own, "prometheus_remote_storage_samples_failed_total") == 0
    assert value_of(own, "prometheus_remote_storage_samples_dropped_total") == 0
    assert daemon.metric('barograph_remote_write_requests_total{status="400"}') == 0
    prometheus.terminate()
    prometheus.wait(30)
    daemon.stop()


def value_of(prometheus, name):
    """Give a metric of a Prometheus by its own scrape; 0 where it does not have it yet."""
    lines = httpx.get(f"http://{prometheus}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def samples_of(prometheus, end_ms):
    """Give all samples of a Prometheus up to a time, by series and time, but for NaN."""
    answer = httpx.get(
        f"http://{prometheus}/api/v1/query",
        params={"query": '{job="self"}[30m]', "time": end_ms / 1000},
        timeout=60,
    ).json()
    assert answer["status"] == "success", answer
    found = {}
    for series in answer["data"]["result"]:
        labels = dict(series["metric"])
        text = series_text(labels.pop("__name__"), labels_of(labels))
        for time_s, value in series.get("values", []):
            if value != "NaN":
                found[text, round(time_s * 1000)] = float(value)
    return found


@not_in_debian
def test_telegraf_sends_what_it_also_writes_to_a_file(start, servers, tmp_path):
    program = program_of("telegraf")
    address = servers.free_address()
    daemon = Daemon(start, tmp_path, address, receive_username="prom", receive_password=PASSWORD)
    daemon.start(servers)
    (tmp_path / "telegraf.conf").write_text(
        f"""
[agent]
  interval = "1s"
  flush_interval = "1s"
  hostname = "host-b"
[[inputs.mem]]
[[inputs.cpu]]
[[outputs.http]]
  url = "{daemon.url}/api/v1/write"
  username = "prom"
  password = "{PASSWORD}"
  use_batch_format = false  # else Telegraf leaves all but the newest value of a batch out
  data_format = "prometheusremotewrite"
  [outputs.http.headers]
    Content-Type = "application/x-protobuf"
    Content-Encoding = "snappy"
    X-Prometheus-Remote-Write-Version = "0.1.0"
[[outputs.file]]
  files = ["{tmp_path}/telegraf.json"]
  data_format = "json"
  json_timestamp_units = "1ms"
"""
    )
    telegraf = start(tmp_path / "telegraf.log", program, "--quiet", "--config", tmp_path / "telegraf.conf")

    servers.wait_for("samples", lambda: len(daemon.samples()) > 500, seconds=90)
    daemon.kill()
    servers.wait_for(
        "Telegraf to have sent in vain",
        lambda: "write" in (tmp_path / "telegraf.log").read_text(),
        seconds=60,
    )
    daemon.start(servers)
    end_ms = round(time.time() * 1000)
    servers.wait_for(
        "what Telegraf has",
        lambda: max(time_ms for _, time_ms in daemon.samples()) > end_ms + 3000,
        seconds=120,
    )
    telegraf.terminate()
    telegraf.wait(30)
    daemon.stop()

    received = daemon.samples()
    records = [json.loads(line) for line in (tmp_path / "telegraf.json").read_text().splitlines()]
    memory = [record for record in records if record["name"] == "mem" and record["timestamp"] <= end_ms]
    assert len(memory) > 5
    for record in memory:
        for field, value in record["fields"].items():
            got = received[f'mem_{field}{{host="host-b"}}', record["timestamp"]]
            assert got == pytest.approx(value, rel=1e-12, abs=0)
