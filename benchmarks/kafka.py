"""Records and values per CPU-second of both clients, from a topic to exported scores, and of a plain loop.

    python -m benchmarks.kafka
    python -m benchmarks.kafka --json figures.json --steps 300

The plain loop polls the same topic and parses its records, no more. The broker is librdkafka's mock cluster,
in its own process. Each figure is from its own process, so that none sees another's memory. CPU time is that
of the whole process, including joining the group and the client's own threads. No model: the baselines judge.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import confluent_kafka
import numpy as np
import orjson
from kafka import KafkaConsumer

from monitor.clock import SystemClock
from monitor.config.explain import parse_config
from monitor.daemon.build import build_daemon
from monitor.daemon.process import tune_process

MOCK = Path(__file__).parents[1] / "tests" / "kafka" / "mock_cluster.py"
N_PARTITIONS = 24  # the mock keeps 5 MiB of each
N_HOSTS = 100
START_MS = 1_700_000_000_000
STEP_MS = 10_000
FIELDS = {"single samples": 8, "40-field messages": 40}  # metrics of a host; a record each, or all in one


def payloads(kind, n_steps):
    """Give `(partition, payload)` in the order of event time."""
    rng = np.random.default_rng(0)
    names = [f"service_metric_{k}_seconds" for k in range(FIELDS[kind])]
    for step in range(n_steps):
        time_ms = START_MS + step * STEP_MS
        for host in range(N_HOSTS):
            labels = {"host": f"web-{host:04d}.example.org", "zone": "eu-1"}
            values = rng.normal(50, 5, len(names)).round(6).tolist()
            if kind == "single samples":
                for name, value in zip(names, values, strict=True):
                    yield (
                        host % N_PARTITIONS,
                        orjson.dumps(
                            {"name": name, "labels": labels, "time": time_ms / 1000, "value": value}
                        ),
                    )
            else:
                metrics = {name: [value] for name, value in zip(names, values, strict=True)}
                yield (
                    host % N_PARTITIONS,
                    orjson.dumps({"labels": labels, "time_ms": [time_ms], "metrics": metrics}),
                )


def plain(client, servers, topic, n_records):
    """Poll and parse until everything has been read; give CPU-seconds."""
    begun, n_read = time.process_time(), 0
    if client == "kafka-python":
        consumer = KafkaConsumer(
            topic,
            bootstrap_servers=servers,
            group_id=f"plain-{topic}",
            api_version=(2, 3),
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_poll_records=5000,
        )
        while n_read < n_records:
            for records in consumer.poll(timeout_ms=1000).values():
                for record in records:
                    orjson.loads(record.value)
                n_read += len(records)
    else:
        consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": f"plain-confluent-{topic}",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "check.crcs": True,
            }
        )
        consumer.subscribe([topic])
        while n_read < n_records:
            messages = consumer.consume(5000, 0.1)
            for message in messages:
                orjson.loads(message.value())
            n_read += len(messages)
    seconds = time.process_time() - begun
    consumer.close()
    return {"all": seconds}


def daemon(client, servers, topic, n_records, folder):
    """Run the daemon until everything has been read and judged; give CPU-seconds, in all and by parts."""
    kafka = {
        "client": client,
        "bootstrap_servers": servers,
        "topics": [topic],
        "group_id": f"daemon-{client}-{topic}",
        "api_version": "2.3",
        "start": "earliest",
    }
    document = {
        "data_dir": folder,
        "web": {"listen": "127.0.0.1:0"},
        "source": {"kind": "kafka", "kafka": kafka},
        "watch": [
            {
                "name": "w",
                "by": ["host"],
                "step_seconds": STEP_MS / 1000,
                "window_length": 32,
                "lateness_seconds": 10.0,
            }
        ],
    }
    running = build_daemon(
        parse_config(document, origin="benchmark"), outlets=[], clock=SystemClock(), keeps_state=False
    )
    stop, spent, n_read = threading.Event(), Counter(), 0

    def timed(what, call):
        """Count a call's time of the loop's thread; what the library's own threads do does not count."""

        def wrapped(*arguments, **options):
            started = time.thread_time()
            try:
                return call(*arguments, **options)
            finally:
                spent[what] += time.thread_time() - started

        return wrapped

    def open_client(config):
        opened = library.open_client(config)
        opened.poll = timed("client", opened.poll)
        return opened

    def poll(timeout_seconds):
        nonlocal n_read
        batch = polled(timeout_seconds)
        n_read += sum(batch.report.n_records.values())
        if n_read >= n_records:
            stop.set()
        return batch

    source, pipeline = running.loop.source, running.loop.pipeline
    library = source._library
    polled = timed("source", source.poll)
    source._library = SimpleNamespace(open_client=open_client)
    source.poll = poll
    pipeline.process = timed("pipeline", pipeline.process)
    begun, begun_in_loop = time.process_time(), time.thread_time()
    running.run(stop)
    spent["all"] = time.process_time() - begun
    spent["loop"] = time.thread_time() - begun_in_loop
    running.close()
    return spent


def measure(kind, n_steps, folder):
    """Produce one kind of messages, and let each reader read them in a process of its own."""
    mock = subprocess.Popen(
        [sys.executable, MOCK, "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    servers, topic = mock.stdout.readline().strip(), "metrics"
    mock.stdin.write(f"topic {topic} {N_PARTITIONS}\n")
    mock.stdin.flush()
    assert mock.stdout.readline() == "ok\n"
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": servers, "queue.buffering.max.messages": 2_000_000, "log_level": 0}
    )
    n_records = 0
    for partition, payload in payloads(kind, n_steps):
        producer.produce(topic, payload, partition=partition)
        n_records += 1
        producer.poll(0)
    producer.flush()
    spent = {}
    for reader in itertools.product(("plain loop", "daemon"), ("kafka-python", "confluent")):
        command = [
            sys.executable,
            "-m",
            "benchmarks.kafka",
            "--reader",
            *reader,
            servers,
            topic,
            str(n_records),
            str(folder),
        ]
        spent[reader] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    mock.stdin.close()
    mock.wait()
    n_values = N_HOSTS * FIELDS[kind] * n_steps
    return n_records, n_values, spent


def main(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--folder", default="data/benchmark")
    parser.add_argument("--reader", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.reader:
        reader, client, servers, topic, n_records, folder = options.reader
        tune_process()
        is_plain = reader == "plain loop"
        read = (
            plain(client, servers, topic, int(n_records))
            if is_plain
            else daemon(client, [servers], topic, int(n_records), folder)
        )
        print(json.dumps(read))
        return
    figures = {}
    for kind in FIELDS:
        n_records, n_values, spent = measure(kind, options.steps, options.folder)
        print(f"{kind}: {n_records:,} records, {n_values:,} values; CPU time, one process each")
        for (reader, client), seconds in spent.items():
            name, whole = f"{reader}, {client}", seconds["all"]
            print(f"  {name:24} {n_records / whole:12,.0f} records/s {n_values / whole:14,.0f} values/s")
            figures |= {f"{kind}.{name}.records_per_cpu_second": n_records / whole}
            figures |= {f"{kind}.{name}.values_per_cpu_second": n_values / whole}
            if reader == "daemon":
                parts = {
                    "the library's threads": whole - seconds["loop"],
                    "its polls": seconds["client"],
                    "decoding": seconds["source"] - seconds["client"],
                    "grid to alerts": seconds["pipeline"],
                    "the rest": seconds["loop"] - seconds["source"] - seconds["pipeline"],
                }
                print(
                    "    " + ", ".join(f"{part} {spent_on / whole:.0%}" for part, spent_on in parts.items())
                )
                figures |= {
                    f"{kind}.{name}.{part}.ratio": spent_on / whole for part, spent_on in parts.items()
                }
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
