"""Records and values per CPU-second, from a topic to exported scores, beside a plain loop that only polls and parses the same topic.

    python -m benchmarks.kafka
    python -m benchmarks.kafka --json figures.json --steps 300

The broker is librdkafka's mock cluster in a process of its own. Each figure is from a process of its own, so that neither
sees the other's memory. CPU time is that of the whole process, the Kafka client's own thread among it. No model: the companions judge.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import confluent_kafka
import numpy as np
import orjson
from kafka import KafkaConsumer

from monitor.app import Daemon
from monitor.clock import SystemClock
from monitor.config import parse_config
from monitor.runtime import tune_process

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
                    yield host % N_PARTITIONS, orjson.dumps({"name": name, "labels": labels, "time": time_ms / 1000, "value": value})
            else:
                metrics = {name: [value] for name, value in zip(names, values, strict=True)}
                yield host % N_PARTITIONS, orjson.dumps({"labels": labels, "time_ms": [time_ms], "metrics": metrics})


def plain(servers, topic, n_records):
    """Poll and parse until everything has been read; give CPU-seconds."""
    consumer = KafkaConsumer(
        topic, bootstrap_servers=servers, group_id=f"plain-{topic}", api_version=(2, 3), auto_offset_reset="earliest",
        enable_auto_commit=False, max_poll_records=5000,
    )  # fmt: skip
    begun, n_read = None, 0
    while n_read < n_records:
        fetched = consumer.poll(timeout_ms=1000)
        begun = time.process_time() if begun is None else begun  # joining the group is not what is measured
        for records in fetched.values():
            for record in records:
                orjson.loads(record.value)
            n_read += len(records)
    seconds = time.process_time() - begun
    consumer.close()
    return {"all": seconds}


def daemon(servers, topic, n_records, folder):
    """Run the daemon until everything has been read and judged; give CPU-seconds, whole and by stage."""
    kafka = {"bootstrap_servers": servers, "topics": [topic], "group_id": f"daemon-{topic}", "api_version": "2.3", "start": "earliest"}
    document = {
        "data_dir": folder,
        "web": {"listen": "127.0.0.1:0"},
        "source": {"kind": "kafka", "kafka": kafka},
        "watch": [{"name": "w", "by": ["host"], "step_seconds": STEP_MS / 1000, "window_length": 32, "lateness_seconds": 10.0}],
    }
    one = Daemon(parse_config(document, place="benchmark"), outlets=[], clock=SystemClock(), keeps_state=False)
    stop, spent, n_read, begun = threading.Event(), {"source": 0.0, "pipeline": 0.0}, 0, None
    poll, step = one._source.poll, one.pipeline.step

    def timed_poll(timeout_seconds):
        nonlocal n_read, begun
        started = time.process_time()
        batch = poll(timeout_seconds)
        begun = started if begun is None and len(batch.columns) else begun
        spent["source"] += time.process_time() - started if begun is not None else 0.0
        n_read += sum(batch.report.n_records.values())
        if n_read >= n_records:
            stop.set()
        return batch

    def timed_step(*arguments, **options):
        started = time.process_time()
        decision = step(*arguments, **options)
        spent["pipeline"] += time.process_time() - started
        return decision

    one._source.poll, one.pipeline.step = timed_poll, timed_step
    one.run(stop)
    spent["all"] = time.process_time() - begun
    one.close()
    return spent


def measure(kind, n_steps, folder):
    """Produce one kind of messages, and let each reader read them in a process of its own."""
    mock = subprocess.Popen([sys.executable, MOCK, "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    servers, topic = mock.stdout.readline().strip(), "metrics"
    mock.stdin.write(f"topic {topic} {N_PARTITIONS}\n")
    mock.stdin.flush()
    assert mock.stdout.readline() == "ok\n"
    producer = confluent_kafka.Producer({"bootstrap.servers": servers, "queue.buffering.max.messages": 2_000_000, "log_level": 0})
    n_records = 0
    for partition, payload in payloads(kind, n_steps):
        producer.produce(topic, payload, partition=partition)
        n_records += 1
        producer.poll(0)
    producer.flush()
    spent = {}
    for reader in ("plain", "daemon"):
        command = [sys.executable, "-m", "benchmarks.kafka", "--reader", reader, servers, topic, str(n_records), str(folder)]
        spent[reader] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    mock.stdin.close()
    mock.wait()
    n_values = N_HOSTS * FIELDS[kind] * n_steps
    return n_records, n_values, spent


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--folder", default="data/benchmark")
    parser.add_argument("--reader", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.reader:
        reader, servers, topic, n_records, folder = options.reader
        tune_process()
        read = plain(servers, topic, int(n_records)) if reader == "plain" else daemon([servers], topic, int(n_records), folder)
        print(json.dumps(read))
        return
    figures = {}
    for kind in FIELDS:
        n_records, n_values, spent = measure(kind, options.steps, options.folder)
        print(f"{kind}: {n_records:,} records, {n_values:,} values; CPU time, one process each")
        for name, seconds in (("plain loop", spent["plain"]["all"]), ("daemon", spent["daemon"]["all"])):
            print(f"  {name:10} {n_records / seconds:12,.0f} records/s {n_values / seconds:14,.0f} values/s")
            figures |= {f"{kind}.{name}.records_per_cpu_second": n_records / seconds}
            figures |= {f"{kind}.{name}.values_per_cpu_second": n_values / seconds}
        whole = spent["daemon"]["all"]
        source, pipeline = spent["daemon"]["source"] / whole, spent["daemon"]["pipeline"] / whole
        print(f"  of the daemon's: poll and decode {source:.0%}, grid to alerts {pipeline:.0%}, the rest {1 - source - pipeline:.0%}")
        figures |= {f"{kind}.daemon.source_ratio": source, f"{kind}.daemon.pipeline_ratio": pipeline}
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
