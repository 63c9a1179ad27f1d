"""From a broker to settings that work: real producers, `barograph topics`, and a daemon as it suggests."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import confluent_kafka
import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest

from monitor.clock import SystemClock
from monitor.config.kafka import KafkaConfig
from monitor.kafka.topic_reader import TopicReader
from tests.kafka.broker import Kafka, free_port, needed, why_not, write_certificate

ROOT = Path(__file__).parents[2]
MODULE = "org.apache.kafka.common.security"
pytestmark = [pytest.mark.e2e, pytest.mark.kafka]


def on_path(program, maker):
    needed(None if shutil.which(program) else f"{program} is not on PATH ({maker} publishes it)")
    return program


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Start a broker with three listeners: plain, with TLS, and with a login by token or password."""
    needed(why_not() or (None if shutil.which("openssl") else "openssl is not installed"))
    folder = tmp_path_factory.mktemp("kafka")
    write_certificate(folder)
    login = "listener.name.sasl_plaintext"
    properties = f"""
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
{login}.sasl.enabled.mechanisms=PLAIN,OAUTHBEARER
{login}.plain.sasl.jaas.config={MODULE}.plain.PlainLoginModule required user_bob="pw";
{login}.oauthbearer.sasl.jaas.config={MODULE}.oauthbearer.OAuthBearerLoginModule required;
{login}.oauthbearer.sasl.server.callback.handler.class={MODULE}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler
"""
    places = {"tls": f"localhost:{free_port()}", "login": f"localhost:{free_port()}"}
    listeners = [f"SSL://{places['tls']}", f"SASL_PLAINTEXT://{places['login']}"]
    broker = Kafka(folder, properties=properties, listeners=listeners)
    yield broker, {"clear": broker.servers[0], **places}, folder / "ca.pem"
    broker.stop()


@pytest.fixture
def kafka(cluster):
    """Give the broker alone."""
    return cluster[0]


@pytest.fixture
def start(tmp_path):
    """Start programs with their logs in the test's folder; they are stopped even if the test fails."""
    running = []

    def run(name, *command, cwd=ROOT, **environment):
        with (tmp_path / f"{name}.log").open("wb") as log:
            running.append(
                subprocess.Popen(
                    command,
                    cwd=cwd,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
                )
            )
        return running[-1]

    yield run
    for process in running:
        stop(process)


def stop(process):
    if process.poll() is None:
        process.terminate()
        process.wait(timeout=60)
    return process.returncode


def barograph(*arguments):
    return printed([sys.executable, "-m", "monitor", *arguments], ROOT, {})


def printed(command, folder, environment):
    """Run a command in a folder, and give what it prints."""
    ran = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def wait_for(what, condition, *, seconds=180):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.2)
    return value


def report(server, topic, *options):
    return json.loads(barograph("topics", "--servers", server, "--topic", topic, "--json", *options))


def kept(folder, watch):
    """Give the values in the daemon's step history, by entity, channel and the step's start."""
    values = {}
    for file in sorted((folder / "data" / "history" / watch).glob("*.parquet")):
        for row in pq.read_table(file).to_pylist():
            time_ms, entity = row.pop("time_ms"), row.pop("entity")
            values |= {
                (entity, channel, time_ms): value
                for channel, value in row.items()
                if value is not None and value == value
            }
    return values


def judged_by_daemon(start, folder, config, topic, *, n_records):
    """Run the daemon with a suggested configuration until it has read all records and closed their steps."""
    address = f"127.0.0.1:{free_port()}"
    daemon = start(
        "daemon",
        sys.executable,
        "-m",
        "monitor",
        "run",
        "--config",
        str(config),
        BAROGRAPH_WEB__LISTEN=address,
        BAROGRAPH_DATA_DIR=str(folder / "data"),
        BAROGRAPH_SOURCE__KAFKA__IDLE_SECONDS="1.0",
    )
    name = f'barograph_kafka_records_total{{topic="{topic}"}}'

    def done():
        assert daemon.poll() is None, (folder / "daemon.log").read_text()
        text = exported(address)
        closed = [
            float(line.split()[1])
            for line in text.splitlines()
            if line.startswith("barograph_watermark_timestamp_seconds{")
        ]
        return metric(text, name) >= n_records and min(closed) > begun

    begun = time.time()  # nothing is produced from now on: only idle time closes steps
    wait_for(f"{n_records} records of {topic}", done)
    assert stop(daemon) == 0, (folder / "daemon.log").read_text()


def exported(address):
    try:
        return httpx.get(f"http://{address}/metrics").text
    except httpx.TransportError:
        return ""


def metric(text, name):
    return next(
        (float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} ")), 0.0
    )


# Telegraf

TELEGRAF = """
[agent]
  interval = "1s"
  flush_interval = "1s"
  hostname = "web1"
[[inputs.cpu]]
  percpu = false
[[inputs.mem]]
  fieldpass = ["used", "free", "available"]
[[inputs.file]]  # another host, with known values
  files = ["{folder}/queue.influx"]
  data_format = "influx"
[[outputs.file]]  # a copy of what it sends
  files = ["{folder}/truth"]
  data_format = "influx"
[[outputs.kafka]]
  brokers = ["{server}"]
  topic = "{topic}"
  routing_tag = "host"
  data_format = "influx"
"""


def test_telegraf_to_a_running_daemon_by_what_topics_suggests(kafka, start, tmp_path):
    telegraf = on_path("telegraf", "InfluxData")
    topic = kafka.topic("telegraf-keyed", 3)
    (tmp_path / "queue.influx").write_text("queue,host=db1 depth=7i,ratio=0.25\n")
    (tmp_path / "telegraf.conf").write_text(
        TELEGRAF.format(folder=tmp_path, server=kafka.servers[0], topic=topic)
    )
    producer = start("telegraf", telegraf, "--quiet", "--config", str(tmp_path / "telegraf.conf"))
    wait_for(
        "ten readings",
        lambda: (tmp_path / "truth").exists() and (tmp_path / "truth").read_text().count("queue,") >= 10,
    )
    config = tmp_path / "mine.toml"

    seen = report(kafka.servers[0], topic, "-o", str(config))

    (topic_report,) = seen["topics"]
    assert topic_report["format"] == "influx"
    assert (topic_report["interval_seconds"], topic_report["rejected"]) == (1.0, {})
    assert (topic_report["partitions"], topic_report["series_on_several_partitions"]) == (3, 0)
    assert topic_report["keyed"] == topic_report["records_read"]
    (watch,) = seen["suggested_watches"]
    assert (watch["by"], sorted(watch["entities"])) == (["host"], ["db1", "web1"])
    assert "good; source kafka, watches host" in barograph("check-config", "--config", str(config))
    wait_for("ten more", lambda: (tmp_path / "truth").read_text().count("queue,") >= 20)
    assert stop(producer) == 0
    truth = influx_truth((tmp_path / "truth").read_text())

    judged_by_daemon(
        start, tmp_path, config, topic, n_records=len((tmp_path / "truth").read_text().splitlines())
    )

    found = kept(tmp_path, "host")
    known = {key: value for key, value in found.items() if key[1].startswith("queue_")}
    assert len(known) >= 20
    assert set(known.values()) == {7.0, 0.25}
    live = {key: value for key, value in found.items() if key[0] == "web1"}
    assert {channel for _, channel, _ in live} >= {
        "mem_used",
        "mem_available",
        'cpu_usage_idle{cpu="cpu-total"}',
    }
    assert len(live) > 100
    # The last steps are still open when the daemon stops; in closed ones, each value is the one that Telegraf
    # sent.
    wrong = {
        key: (value, truth.get(key)) for key, value in found.items() if truth.get(key) != pytest.approx(value)
    }
    assert wrong == {}


def influx_truth(text):
    """Parse Telegraf's own file: the last value in each second, by host, channel and second."""
    values = {}
    for line in sorted(text.splitlines(), key=lambda line: int(line.rpartition(" ")[2])):
        head, fields, time_ns = line.split(" ")
        measurement, *tags = head.split(",")
        labels = dict(tag.split("=") for tag in tags)
        host = labels.pop("host")
        inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        for field in fields.split(","):
            name, value = field.split("=")
            channel = f"{measurement}_{name}{{{inside}}}" if inside else f"{measurement}_{name}"
            values[host, channel, int(time_ns) // 1_000_000_000 * 1000] = float(value.rstrip("iu"))
    return values


def test_telegraf_without_routing_tag_is_told_of_it(kafka, start, tmp_path):
    telegraf = on_path("telegraf", "InfluxData")
    topic = kafka.topic("telegraf-unkeyed", 3)
    (tmp_path / "queue.influx").write_text("queue,host=db1 depth=7i\n")
    text = TELEGRAF.replace('  routing_tag = "host"\n', "").format(
        folder=tmp_path, server=kafka.servers[0], topic=topic
    )
    (tmp_path / "telegraf.conf").write_text(text)
    start("telegraf", telegraf, "--quiet", "--config", str(tmp_path / "telegraf.conf"))

    def spread():
        seen = report(kafka.servers[0], topic)
        return seen if seen["topics"][0].get("series_on_several_partitions") else None

    notes = " ".join(wait_for("series on several partitions", spread)["notes"])

    assert 'Telegraf: routing_tag = "host" in [[outputs.kafka]]' in notes


def test_the_episode_of_a_load_on_telegraf_s_counters_ends_behind_the_load(kafka, start, tmp_path):
    telegraf = on_path("telegraf", "InfluxData")
    topic = kafka.topic("telegraf-load", 3)
    counters = Counters()
    now = int(time.time())
    history = [counters.line(second) for second in range(now - 200, now)]
    (tmp_path / "history.influx").write_text("".join(history))
    for name in ("history", "live"):
        text = COUNTERS.format(folder=tmp_path, name=name, server=kafka.servers[0], topic=topic)
        (tmp_path / f"{name}.conf").write_text(text)
    subprocess.run(
        [telegraf, "--quiet", "--once", "--config", str(tmp_path / "history.conf")], check=True, timeout=60
    )
    config, address = tmp_path / "mine.toml", f"127.0.0.1:{free_port()}"

    (watch,) = report(kafka.servers[0], topic, "-o", str(config))["suggested_watches"]

    written = tomllib.loads(config.read_text())["watch"][0]
    assert (watch["channels"], written["counters"], "ignore" in written) == (4, ["queue_done"], False)
    assert (
        "judged as rates a second: 2 known counters (net_bytes_sent, net_packets_sent)" in config.read_text()
    )
    over = threading.Event()

    def write_on():
        while not over.wait(0.5):
            replacement = tmp_path / "live.new"
            replacement.write_text(counters.line(time.time()))
            replacement.replace(tmp_path / "live.influx")

    (tmp_path / "live.influx").write_text(counters.line(time.time()))
    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        start("telegraf", telegraf, "--quiet", "--config", str(tmp_path / "live.conf"))
        place = {"BAROGRAPH_WEB__LISTEN": address, "BAROGRAPH_DATA_DIR": str(tmp_path / "data")}
        start("daemon", sys.executable, "-m", "monitor", "run", "--config", str(config), **place)
        entity = '{watch="host",entity="db1"}'
        wait_for("db1 to be judged", lambda: metric(exported(address), f"barograph_judged{entity}") == 1)
        assert metric(exported(address), f"barograph_anomaly{entity}") == 0

        counters.is_loaded = True
        wait_for("the episode", lambda: metric(exported(address), f"barograph_anomaly{entity}") == 1)
        counters.is_loaded = False
        recovered = 'barograph_episodes_resolved_total{reason="recovered",watch="host"}'
        # A window of 32 s is free of the load, and the score has been low for half a window.
        wait_for("its end", lambda: metric(exported(address), recovered) == 1, seconds=120)
        text = exported(address)
        assert metric(text, f"barograph_anomaly{entity}") == 0
        assert metric(text, 'barograph_episodes_opened_total{watch="host"}') == 1
    finally:
        over.set()
        writer.join()


COUNTERS = """
[agent]
  interval = "1s"
  flush_interval = "1s"
  omit_hostname = true
[[inputs.file]]
  files = ["{folder}/{name}.influx"]
  data_format = "influx"
[[outputs.kafka]]
  brokers = ["{server}"]
  topic = "{topic}"
  routing_tag = "host"
  data_format = "influx"
"""


class Counters:
    """What a host counts: jobs always, packets of an interface that is idle unless the host is loaded."""

    def __init__(self):
        self.is_loaded = False
        self._rng = np.random.default_rng(0)
        self._packets, self._jobs = 1000, 5000.0
        self._last = None

    def line(self, now):
        """Write what is counted by a time, in line protocol."""
        seconds = 0.0 if self._last is None else now - self._last
        self._last = now
        self._packets += round(500 * seconds) if self.is_loaded else 0
        self._jobs += float(self._rng.uniform(2.0, 4.0)) * seconds * (10 if self.is_loaded else 1)
        depth = float(self._rng.normal(20, 2))
        at = round(now * 1000) * 1_000_000
        packets = f"packets_sent={self._packets}i,bytes_sent={99 * self._packets}i"
        return (
            f"net,host=db1,interface=eth1 {packets} {at}\n"
            f"queue,host=db1 depth={depth:.2f},done={int(self._jobs)}i {at}\n"
        )


# The README


def test_the_readme_s_five_minutes_work_as_typed(kafka, start, tmp_path):
    topic = kafka.topic("telegraf", 3)
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.servers[0], "log_level": 0})
    over = threading.Event()
    rng = np.random.default_rng(0)

    def send(second):
        for host in ("web1", "web2"):
            used, depth = rng.normal([50, 5], 1).tolist()
            producer.produce(
                topic,
                f"queue,host={host} used={used},depth={depth} {second}000000000",
                host,
                timestamp=second * 1000,
            )

    def go_on(second):
        while not over.wait(max(0.0, second - time.time())):
            send(second)
            producer.poll(0)
            second += 1

    now = int(time.time())
    for second in range(now - 200, now):
        send(second)
    assert producer.flush(30) == 0
    live = threading.Thread(target=go_on, args=(now,))
    live.start()
    address = f"127.0.0.1:{free_port()}"
    environment = {"PYTHONPATH": str(ROOT), "BAROGRAPH_WEB__LISTEN": address}
    try:
        *checks, run = typed("From Kafka", kafka.servers[0])
        assert [command[3] for command in checks] == ["topics", "topics", "check-config"]
        for command in checks:
            printed(command, tmp_path, environment)
        daemon = start("daemon", *run, cwd=tmp_path, **environment)

        def both_judged():
            assert daemon.poll() is None, (tmp_path / "daemon.log").read_text()
            text = exported(address)
            return all(
                metric(text, f'barograph_judged{{watch="host",entity="{host}"}}') == 1
                for host in ("web1", "web2")
            )

        # At once, not after the 132 steps that a watch needs.
        wait_for("both hosts to be judged", both_judged)
        assert stop(daemon) == 0
    finally:
        over.set()
        live.join()


def test_the_readme_s_path_ends_an_episode_and_catches_the_next_fault(kafka, start, tmp_path):
    *checks, run = typed("From Kafka", kafka.servers[0])
    retrain = next(command for command in typed("Retraining", kafka.servers[0]) if command[3] == "retrain")
    address = f"127.0.0.1:{free_port()}"
    environment = {
        "PYTHONPATH": str(ROOT),
        "BAROGRAPH_WEB__LISTEN": address,
        "BAROGRAPH_HISTORY__SEGMENT_SECONDS": "60",
    }

    def shown(name):
        assert daemon.poll() is None, (tmp_path / "daemon.log").read_text()
        return metric(exported(address), name)

    def is_open():
        return shown('barograph_anomaly{watch="host",entity="web1"}') == 1

    def catch_and_close(n_closed):
        queues.is_hung = True
        wait_for("an episode", is_open, seconds=30)
        queues.is_hung = False
        n_recovered = 'barograph_episodes_resolved_total{reason="recovered",watch="host"}'
        wait_for("its end", lambda: shown(n_recovered) == n_closed, seconds=60)
        closed_until = 'barograph_watermark_timestamp_seconds{watch="host"}'
        rest_ends = shown(closed_until) + 32 / 2  # half a window of 32 steps
        wait_for("the end of the rest behind it", lambda: shown(closed_until) > rest_ends, seconds=60)

    with Queues(kafka.servers[0], kafka.topic("queues", 3)) as queues:
        for command in checks:
            printed([part.replace("telegraf", "queues") for part in command], tmp_path, environment)
        daemon = start("daemon", *run, cwd=tmp_path, **environment)
        wait_for("web1", lambda: shown('barograph_judged{watch="host",entity="web1"}') == 1)
        assert not is_open()

        catch_and_close(1)  # by the baselines
        trained = printed([*retrain, "--config", "mine.toml"], tmp_path, environment)
        (version,) = (path.name for path in (tmp_path / "data/bundles/host").iterdir() if path.is_dir())
        assert version in trained
        serves = f'barograph_model_info{{version="{version}",watch="host"}}'
        wait_for("the model to serve", lambda: shown(serves) == 1)
        catch_and_close(2)
        queues.is_hung = True
        wait_for("another episode", is_open, seconds=30)

        assert stop(daemon) == 0
    episodes = [sys.executable, "-m", "monitor", "episodes", "--config", "mine.toml", "--json"]
    listed = printed(episodes, tmp_path, environment)
    found = [json.loads(line) for line in listed.splitlines()]
    assert [(row["entity"], row["reason"]) for row in found] == [
        ("web1", "recovered"),
        ("web1", "recovered"),
        ("web1", None),
    ]


FIELDS = ("depth", "done", "used", "threads", "latency")
# How far each goes with two waves: what belongs together is what a network learns and the baselines do not.
SWINGS = np.array([[5.0, 2.0, 0.0, 3.0, 1.0], [0.0, 1.0, 4.0, -2.0, 3.0]])


class Queues:
    """Two hosts that report a service's load for each second of event time, until the block ends.

    Their time begins 55 minutes ago. 20 minutes are there at once, then ten seconds pass in each second.
    Where `is_hung` is set, the queue of web1 is longer.
    """

    def __init__(self, server, topic):
        self.is_hung = False
        self._topic = topic
        self._producer = confluent_kafka.Producer({"bootstrap.servers": server, "log_level": 0})
        self._rng = np.random.default_rng(0)
        self._over = threading.Event()
        self._second = int(time.time()) - 3300
        self._live = threading.Thread(target=self._go_on)

    def __enter__(self):
        for _ in range(1200):
            self._send()
        assert self._producer.flush(30) == 0
        self._live.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._live.join()

    def _go_on(self):
        while not self._over.wait(0.1):
            if self._second < time.time():
                self._send()
            self._producer.poll(0)

    def _send(self):
        swing = np.sin(self._second / np.array([4.0, 9.0]))
        for host in ("web1", "web2"):
            values = 20.0 + swing @ SWINGS + self._rng.normal(0, 0.3, 5)
            values[0] += 120 * (self.is_hung and host == "web1")
            fields = ",".join(f"{name}={value}" for name, value in zip(FIELDS, values.tolist(), strict=True))
            self._producer.produce(self._topic, f"queue,host={host} {fields} {self._second}000000000", host)
        self._second += 1


def typed(chapter, server):
    """Give the commands of a chapter of the README, for another broker and with this Python."""
    text = (ROOT / "README.md").read_text().partition(f"## {chapter}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("    .venv/bin/barograph ")]
    commands = [shlex.split(line.replace("127.0.0.1:9092", server), comments=True) for line in lines]
    return [[sys.executable, "-m", "monitor", *command[1:]] for command in commands]


# OpenTelemetry Collector

COLLECTOR = """
receivers:
  hostmetrics:
    collection_interval: 1s
    scrapers: {{memory: {{}}, load: {{}}}}
  otlp:
    protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}
processors:
  batch: {{timeout: 200ms}}
exporters:
  kafka:
    brokers: ["{server}"]
    metrics: {{topic: {topic}, encoding: otlp_proto}}
    partition_metrics_by_resource_attributes: true
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    metrics: {{receivers: [hostmetrics, otlp], processors: [batch], exporters: [kafka]}}
"""


def test_the_collector_to_a_running_daemon_by_what_topics_suggests(kafka, start, tmp_path):
    collector = on_path("otelcol", "the OpenTelemetry project")
    topic, port = kafka.topic("otlp", 3), free_port()
    (tmp_path / "collector.yaml").write_text(
        COLLECTOR.format(port=port, server=kafka.servers[0], topic=topic)
    )
    producer = start("collector", collector, "--config", str(tmp_path / "collector.yaml"))
    first_ms = round(time.time() * 1000) // 1000 * 1000 - 40_000
    sent = {}
    for step in range(40):  # an application's own metrics, of two hosts, a second apart
        points = {
            host: (first_ms + step * 1000, 100.0 * number + step)
            for number, host in enumerate(("web1", "web2"), start=1)
        }
        wait_for("the Collector to accept it", lambda points=points: is_taken(port, points))
        sent |= {(host, "queue.depth", time_ms): value for host, (time_ms, value) in points.items()}
    config = tmp_path / "mine.toml"

    def both():
        seen = report(kafka.servers[0], topic)
        watches = {json.dumps(watch["by"]): watch for watch in seen["suggested_watches"]}
        return seen if len(watches) == 2 and watches['["host.name"]']["series"] == 2 else None

    wait_for("both hosts and the Collector's own", both)
    seen = report(kafka.servers[0], topic, "-o", str(config))

    (topic_report,) = seen["topics"]
    assert (topic_report["format"], topic_report["rejected"]) == ("otlp_proto", {})
    watches = {watch["name"]: watch for watch in seen["suggested_watches"]}
    assert (watches["host_name"]["by"], sorted(watches["host_name"]["entities"])) == (
        ["host.name"],
        ["web1", "web2"],
    )
    assert watches["series"]["by"] == "series"
    assert any("resourcedetection" in note for note in seen["notes"])
    assert "good; source kafka" in barograph("check-config", "--config", str(config))
    assert stop(producer) == 0
    n_records = report(kafka.servers[0], topic)["topics"][0]["records"]

    judged_by_daemon(start, tmp_path, config, topic, n_records=n_records)

    found = kept(tmp_path, "host_name")
    assert len(found) > 60
    assert {key: value for key, value in found.items() if sent.get(key) != value} == {}
    load = [
        value for key, value in kept(tmp_path, "series").items() if "system.cpu.load_average.1m" in key[0]
    ]
    assert load
    assert min(load) >= 0


def is_taken(port, points):
    """Send a point of each host, as an application's SDK does; False if nothing listens yet."""
    resources = [
        {
            "resource": {"attributes": [{"key": "host.name", "value": {"stringValue": host}}]},
            "scopeMetrics": [
                {
                    "metrics": [
                        {
                            "name": "queue.depth",
                            "gauge": {
                                "dataPoints": [{"timeUnixNano": f"{time_ms}000000", "asDouble": value}]
                            },
                        }
                    ]
                }
            ],
        }
        for host, (time_ms, value) in points.items()
    ]
    try:
        return (
            httpx.post(f"http://127.0.0.1:{port}/v1/metrics", json={"resourceMetrics": resources}).status_code
            == 200
        )
    except httpx.TransportError:
        return False


# OAUTHBEARER


def token(*, seconds):
    """Write an unsecured token, which the broker accepts in tests: no signature, but an expiry."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": "barograph", "iat": now, "exp": now + seconds})
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        + "."
    )


def test_a_daemon_logs_in_again_with_the_token_that_has_been_put_into_its_file(cluster, start, tmp_path):
    kafka, places, _ = cluster
    topic = kafka.topic("by-token")
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.servers[0], "log_level": 0})
    file, address = tmp_path / "token", f"127.0.0.1:{free_port()}"
    # The client must log in again before that: the broker closes connections whose token has expired.
    expires = time.time() + 20
    file.write_text(token(seconds=20))
    config = tmp_path / "mine.toml"
    config.write_text(f"""
data_dir = "{tmp_path}/data"
[source]
kind = "kafka"
[source.kafka]
bootstrap_servers = ["{places["login"]}"]
topics = ["{topic}"]
start = "earliest"
security_protocol = "SASL_PLAINTEXT"
sasl_mechanism = "OAUTHBEARER"
sasl_token_file = "{file}"
[web]
listen = "{address}"
[[watch]]
name = "hosts"
""")

    def n_read():
        assert daemon.poll() is None, (tmp_path / "daemon.log").read_text()
        return metric(exported(address), f'barograph_kafka_records_total{{topic="{topic}"}}')

    def send():
        producer.produce(topic, b"load,host=web1 v=1 1700000000000000000")
        assert producer.flush(30) == 0

    send()
    daemon = start("daemon", sys.executable, "-m", "monitor", "run", "--config", str(config))
    wait_for("the first record", lambda: n_read() == 1)
    assert time.time() < expires, "too slow a machine: the first token expired before it was used"
    (tmp_path / "new").write_text(token(seconds=3600))
    (tmp_path / "new").replace(file)

    wait_for("the first token to expire", lambda: time.time() > expires + 2)
    send()
    wait_for("the second record", lambda: n_read() == 2)

    text = exported(address)
    assert metric(text, 'barograph_kafka_errors_total{reaction="retried"}') == 0
    assert metric(text, 'barograph_kafka_errors_total{reaction="rebuilt"}') == 0
    assert metric(text, "barograph_source_ready") == 1
    assert stop(daemon) == 0


# What a broker says to a client with the wrong settings


@pytest.mark.parametrize(
    ("place", "settings", "why"),
    [
        ("tls", {}, 'it speaks TLS, and security_protocol is "PLAINTEXT": set it to "SSL"'),
        ("tls", {"security_protocol": "SSL"}, "no TLS with it .CERTIFICATE_VERIFY_FAILED: .*set ssl_cafile"),
        ("clear", {"security_protocol": "SSL"}, "no TLS with it .*is this its port for TLS"),
        ("login", {}, 'it asks who you are, by .*PLAIN.*: set security_protocol = "SASL_PLAINTEXT"'),
        (
            "clear",
            {"mechanism": "PLAIN", "sasl_password": "pw"},
            'it asks for no login, and sasl_mechanism is "PLAIN"',
        ),
        (
            "login",
            {"mechanism": "PLAIN", "sasl_password": "wrong"},
            'it refused the user "bob" by PLAIN: check sasl_username',
        ),
        (
            "login",
            {"mechanism": "SCRAM-SHA-256", "sasl_password": "pw"},
            'it does not take sasl_mechanism = "SCRAM-SHA-256", but .*OAUTHBEARER',
        ),
    ],
)
def test_how_far_a_broker_lets_one_come_is_told(cluster, tmp_path, place, settings, why):
    settings = dict(settings)
    if mechanism := settings.pop("mechanism", None):
        settings |= {
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": mechanism,
            "sasl_username": "bob",
        }
    file = tmp_path / "mine.toml"
    file.write_text(
        "[source.kafka]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    )
    command = [
        sys.executable,
        "-m",
        "monitor",
        "topics",
        "--config",
        file,
        "--servers",
        cluster[1][place],
        "--timeout",
        "2",
    ]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (1, "", 1), ended.stderr
    assert re.search(f"^barograph: {cluster[1][place]}: {why}", ended.stderr)


@pytest.mark.parametrize("place", ["tls", "login"])
def test_with_the_right_settings_a_broker_shows_its_topics(cluster, place):
    kafka, places, authority = cluster
    topic = kafka.topic(f"seen-by-{place}")
    tls = {"security_protocol": "SSL", "ssl_cafile": str(authority)}
    login = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_username": "bob",
        "sasl_password": "pw",
    }
    config = KafkaConfig.model_validate(
        {"bootstrap_servers": [places[place]], **(tls if place == "tls" else login)}
    )

    reader = TopicReader(config, SystemClock(), timeout_seconds=20.0)
    try:
        assert reader.topics()[topic] == (0,)
        assert reader.committed({topic: (0,)}) == {}
    finally:
        reader.close()
