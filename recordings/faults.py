"""The faults of a recording: a schedule drawn from a seed, and one injector a kind.

    python recordings/faults.py schedule --seed 7 --minutes 85 --quiet-minutes 40 --episodes 12
    python recordings/faults.py inject memory_leak --seconds 45 --strength 0.5 --scratch FOLDER

Each injector is bounded in memory, disk, descriptors and processes, ends by itself, and undoes
what it did, also when it is told to end early (SIGTERM).
"""

from __future__ import annotations

import argparse
import http.client
import json
import mmap
import multiprocessing
import os
import random
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import workload

MIN_SECONDS, MAX_SECONDS = 30, 90  # of one episode
MIN_GAP_SECONDS = 150  # from one episode's end to the next one's start


@dataclass(frozen=True)
class Episode:
    """One planned fault: seconds from the recording's start, and how hard it hits (0 to 1)."""

    kind: str
    start: int
    seconds: int
    strength: float


def draw_schedule(seed: int, *, minutes: float, fault_free_minutes: float, n_episodes: int) -> list[Episode]:
    """Draw kinds (each once before any twice), lengths, gaps and strengths from one seed."""
    rng = random.Random(seed)
    kinds: list[str] = []
    while len(kinds) < n_episodes:
        kinds += rng.sample(sorted(INJECTORS), len(INJECTORS))
    kinds = kinds[:n_episodes]
    # One gap before or behind each.
    available = (minutes - fault_free_minutes) * 60 - n_episodes * MIN_GAP_SECONDS
    lengths = [MAX_SECONDS] * n_episodes
    while sum(lengths) > 0.95 * available:
        lengths = [rng.randint(MIN_SECONDS, MAX_SECONDS) for _ in kinds]
    spare = available - sum(lengths)
    shares = [rng.random() for _ in range(n_episodes + 1)]
    episodes, now = [], fault_free_minutes * 60
    for number, (kind, seconds) in enumerate(zip(kinds, lengths, strict=True)):
        now += spare * shares[number] / sum(shares)
        episodes.append(Episode(kind, round(now), seconds, round(rng.random(), 3)))
        now = round(now) + seconds + MIN_GAP_SECONDS
    return episodes


def _cpu_hog(seconds: float, strength: float, scratch: Path) -> None:
    """Spin in one process, or two when strong."""
    spinners = [
        multiprocessing.Process(target=_spin, args=(seconds,)) for _ in range(1 if strength < 0.5 else 2)
    ]
    for spinner in spinners:
        spinner.start()
    for spinner in spinners:
        spinner.join()


def _spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def _memory_leak(seconds: float, strength: float, scratch: Path) -> None:
    """Touch 10 to 40 MB more each second, 2 GB at most."""
    chunk, limit, kept = int((10 + 30 * strength) * 1e6), int(2e9), []
    for _ in _ticks(seconds, 1.0):
        if len(kept) * chunk < limit:
            block = mmap.mmap(-1, chunk)
            for page in range(0, chunk, mmap.PAGESIZE):
                block[page] = 1
            kept.append(block)


def _disk_writer(seconds: float, strength: float, scratch: Path) -> None:
    """Write 8 to 30 MB each second, synced, over and over into one file of 256 MB at most."""
    block = os.urandom(1 << 20)
    file = scratch / f"disk-writer-{os.getpid()}"
    try:
        with file.open("wb", buffering=0) as out:
            for _ in _ticks(seconds, 0.25):
                for _ in range(round(2 + 5.5 * strength)):
                    out.write(block)
                os.fsync(out.fileno())
                if out.tell() > 256 << 20:
                    out.seek(0)
    finally:
        file.unlink(missing_ok=True)


def _descriptor_leak(seconds: float, strength: float, scratch: Path) -> None:
    """Open 20 to 100 more descriptors each second, 6000 at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = min(hard, 6100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
    kept: list[int] = []
    for _ in _ticks(seconds, 1.0):
        for _ in range(round(20 + 80 * strength)):
            if len(kept) < limit - 100:
                kept.append(os.open(os.devnull, os.O_RDONLY))


def _fork_burst(seconds: float, strength: float, scratch: Path) -> None:
    """Start 60 to 200 short-lived processes each second, ten at a time."""
    for _ in _ticks(seconds, 10 / (60 + 140 * strength)):
        children = []
        for _ in range(10):
            child = os.fork()
            if child == 0:
                os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)


def _dependency_latency(seconds: float, strength: float, scratch: Path) -> None:
    """Let the proxy hold each answer of the dependency for 50 to 200 ms."""
    with _undone(lambda: _set_proxy_delay(0.05 + 0.15 * strength), lambda: _set_proxy_delay(0.0)):
        _wait(seconds)


def _dependency_errors(seconds: float, strength: float, scratch: Path) -> None:
    """Let 15 to 80 % of the dependency's answers be errors."""
    port = workload.DEPENDENCY_PORT
    with _undone(
        lambda: _post(port, error_share=0.15 + 0.65 * strength), lambda: _post(port, error_share=0.0)
    ):
        _wait(seconds)


def _worker_hang(seconds: float, strength: float, scratch: Path) -> None:
    """Let all but one of the service's workers hang, or all when strong."""
    n_hung = workload.N_WORKERS - (1 if strength < 0.7 else 0)
    port = workload.SERVICE_PORT
    with _undone(lambda: _post(port, hung_workers=n_hung), lambda: _post(port, hung_workers=0)):
        _wait(seconds)


INJECTORS: dict[str, Callable[[float, float, Path], None]] = {
    "cpu_hog": _cpu_hog,
    "memory_leak": _memory_leak,
    "disk_writer": _disk_writer,
    "descriptor_leak": _descriptor_leak,
    "fork_burst": _fork_burst,
    "dependency_latency": _dependency_latency,
    "dependency_errors": _dependency_errors,
    "worker_hang": _worker_hang,
}


def _ticks(seconds: float, every: float) -> Iterator[None]:
    start = time.monotonic()
    number = 0
    while (due := number * every) < seconds:
        time.sleep(max(0.0, start + due - time.monotonic()))
        if time.monotonic() - start >= seconds:
            return
        yield
        number += 1


def _wait(seconds: float) -> None:
    time.sleep(seconds)


@contextmanager
def _undone(do: Callable[[], None], undo: Callable[[], None]) -> Iterator[None]:
    do()
    try:
        yield
    finally:
        undo()


def _set_proxy_delay(seconds: float) -> None:
    with socket.create_connection(("127.0.0.1", workload.PROXY_CONTROL_PORT), timeout=5) as control:
        control.sendall(f"{seconds}\n".encode())
        control.recv(16)


def _post(port: int, **body: float) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("POST", "/fault", json.dumps(body))
    connection.getresponse().read()
    connection.close()


def main(argv: list[str]) -> None:
    """Print a schedule, or inject one fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    schedule = commands.add_parser("schedule")
    schedule.add_argument("--seed", type=int, required=True)
    schedule.add_argument("--minutes", type=float, required=True)
    schedule.add_argument("--quiet-minutes", dest="fault_free_minutes", type=float, required=True)
    schedule.add_argument("--episodes", type=int, required=True)
    inject = commands.add_parser("inject")
    inject.add_argument("kind", choices=sorted(INJECTORS))
    inject.add_argument("--seconds", type=float, required=True)
    inject.add_argument("--strength", type=float, default=0.5)
    inject.add_argument("--scratch", type=Path, required=True)
    options = parser.parse_args(argv)
    if options.command == "schedule":
        episodes = draw_schedule(
            options.seed,
            minutes=options.minutes,
            fault_free_minutes=options.fault_free_minutes,
            n_episodes=options.episodes,
        )
        print(json.dumps([asdict(episode) for episode in episodes], indent=1))
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # raises, so that `finally` undoes
        INJECTORS[options.kind](options.seconds, options.strength, options.scratch)


if __name__ == "__main__":
    main(sys.argv[1:])
