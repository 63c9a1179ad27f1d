"""Make one recording: start the workload and both recorders, inject the scheduled faults, write the labels.

    python recordings/make.py recordings/first --seed 20261123 --minutes 85 --quiet-minutes 40 --episodes 12

Writes `schedule.json` before anything starts, then `recording.json` (when it began, how long it
is free of faults), `host.parquet`, `service.parquet` and `labels.csv` (kind, strength, exact
start and end of each fault, ms since the epoch).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import faults
import workload

HERE = Path(__file__).parent
HOST_NAME = "demo"  # the label `host`: the machine's real name is nobody's business


def main(argv: list[str]) -> int:
    """Record, inject, label; every process that was started is ended again, whatever happens."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--minutes", type=float, default=85)
    parser.add_argument("--quiet-minutes", dest="fault_free_minutes", type=float, default=40)
    parser.add_argument("--episodes", type=int, default=12)
    options = parser.parse_args(argv)
    schedule = faults.draw_schedule(
        options.seed,
        minutes=options.minutes,
        fault_free_minutes=options.fault_free_minutes,
        n_episodes=options.episodes,
    )
    options.folder.mkdir(parents=True)
    (options.folder / "schedule.json").write_text(
        json.dumps([asdict(episode) for episode in schedule], indent=1) + "\n"
    )

    started: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:

        def start(*command: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen([sys.executable, *command], start_new_session=True)
            started.append(process)
            return process

        role = str(HERE / "workload.py")
        try:
            start(role, "dependency", "--scratch", scratch)
            start(role, "proxy")
            _wait_for_ports(workload.DEPENDENCY_PORT, workload.PROXY_PORT)
            start(role, "service", "--scratch", scratch)
            _wait_for_ports(workload.SERVICE_PORT)
            load = start(
                role,
                "load",
                "--recording",
                str(options.folder / "service.parquet"),
                "--seed",
                str(options.seed),
            )
            host = start("-m", "monitor", "record", str(options.folder / "host.parquet"), "--host", HOST_NAME)
            _inject(schedule, options, scratch, start)
            for process in (load, host):
                process.send_signal(signal.SIGTERM)
                process.wait(60)
        finally:
            for process in started:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGTERM)
                    process.wait(10)
    return 0


def _inject(
    schedule: list[faults.Episode],
    options: argparse.Namespace,
    scratch: str,
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    began = time.time()
    about = {
        "files": ["host.parquet", "service.parquet"],
        "started_ms": round(began * 1000),
        "fault_free_seconds": options.fault_free_minutes * 60,
        "seed": options.seed,
    }
    (options.folder / "recording.json").write_text(json.dumps(about, indent=1) + "\n")
    with (options.folder / "labels.csv").open("w", newline="") as file:
        labels = csv.writer(file, lineterminator="\n")
        labels.writerow(["kind", "strength", "start_ms", "end_ms"])
        for episode in schedule:
            _sleep_until(began + episode.start)
            start_ms = round(time.time() * 1000)
            fault = start(
                str(HERE / "faults.py"), "inject", episode.kind,
                "--seconds", str(episode.seconds), "--strength", str(episode.strength), "--scratch", scratch,
            )  # fmt: skip
            if fault.wait(episode.seconds + 30) != 0:
                print(f"{episode.kind} failed with exit code {fault.returncode}", file=sys.stderr)
            labels.writerow([episode.kind, episode.strength, start_ms, round(time.time() * 1000)])
            file.flush()
            print(f"{time.time() - began:6.0f} s: {episode.kind} ended", file=sys.stderr, flush=True)
        _sleep_until(began + options.minutes * 60)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))


def _wait_for_ports(*ports: int, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
