"""The small real workload of a recording: four roles, one process each, all on loopback.

    load --> service (4 workers, a queue) --> proxy --> dependency

The load opens requests at a rate that rises and falls (an open loop: it does not wait for
answers); the service needs one answer of its dependency for each; the proxy passes bytes on,
later when told so. The load records what a client and the service's own counters show.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import http.client
import json
import math
import os
import queue
import random
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from monitor.storage.recorder import Recorder

DEPENDENCY_PORT, PROXY_PORT, PROXY_CONTROL_PORT, SERVICE_PORT = 18701, 18702, 18703, 18704
SERVICE_LABELS = ("service",)

N_WORKERS = 4
QUEUE_LIMIT = 120
SERVICE_TIMEOUT_SECONDS = 3.0
CLIENT_TIMEOUT_SECONDS = 4.0
MEAN_RATE = 26.0  # requests per second
RATE_SWING = 0.55  # share of the mean that the rate rises and falls by
RATE_PERIOD_SECONDS = 600.0
MAX_OPEN_REQUESTS = 300
MAX_IDLE_CONNECTIONS = 12  # of the client; more are closed, as a real pool does


class _Handler(BaseHTTPRequestHandler):
    """Keep-alive HTTP with JSON bodies and no log of its own."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: the client counts what happens."""

    def answer(self, status: int, body: object) -> None:
        """Send one JSON answer in one write."""
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def body(self) -> dict[str, float]:
        """Read the request's JSON body."""
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))


def _serve(port: int, handler: type[_Handler]) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    server.serve_forever()


def dependency(scratch: Path) -> None:
    """Answer `/item` after a little work; every two minutes write a compacted cache to disk."""
    errors = {"share": 0.0}
    rng = random.Random(1)
    block = rng.randbytes(65536)

    class Dependency(_Handler):
        def do_GET(self) -> None:
            digest = hashlib.sha256(block * (1 + rng.randrange(4))).hexdigest()
            time.sleep(0.006 + rng.expovariate(1 / 0.008))  # waiting for a disk or another service
            if rng.random() < errors["share"]:
                self.answer(500, {"error": "backend failed"})
            else:
                self.answer(200, {"digest": digest})

        def do_POST(self) -> None:
            errors["share"] = self.body()["error_share"]
            self.answer(200, errors)

    def compact() -> None:
        while True:
            time.sleep(120)
            file = scratch / "cache"
            file.write_bytes(block * 64)
            os.sync()
            file.unlink()

    threading.Thread(target=compact, daemon=True).start()
    _serve(DEPENDENCY_PORT, Dependency)


async def proxy() -> None:
    """Pass bytes between the service and its dependency, answers later by the delay last set."""
    delay = {"seconds": 0.0}

    async def pump(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait: Callable[[], float]
    ) -> None:
        try:
            while data := await reader.read(65536):
                if wait():
                    await asyncio.sleep(wait() * random.uniform(0.7, 1.3))
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # one side hung up; the other is closed below
        finally:
            writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", DEPENDENCY_PORT)
        await asyncio.gather(
            pump(reader, up_writer, lambda: 0.0), pump(up_reader, writer, lambda: delay["seconds"])
        )

    async def control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        delay["seconds"] = float(await reader.readline())
        writer.write(b"ok\n")
        await writer.drain()
        writer.close()

    servers = [
        await asyncio.start_server(connect, "127.0.0.1", PROXY_PORT),
        await asyncio.start_server(control, "127.0.0.1", PROXY_CONTROL_PORT),
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def service(scratch: Path) -> None:
    """Answer `/` with what the dependency says, through a bounded queue and a few workers."""
    jobs: queue.Queue[tuple[threading.Event, list[int]]] = queue.Queue(QUEUE_LIMIT)
    hang = threading.Semaphore(0)  # each permit takes one worker out of service
    released = threading.Event()
    busy = [0] * N_WORKERS
    access_log = (scratch / "access.log").open("a", buffering=1 << 14)

    def work(number: int) -> None:
        upstream: http.client.HTTPConnection | None = None
        while True:
            done, status = jobs.get()
            busy[number] = 1
            if hang.acquire(blocking=False):
                released.wait()
            try:
                if upstream is None:
                    upstream = http.client.HTTPConnection("127.0.0.1", PROXY_PORT, timeout=2)
                upstream.request("GET", "/item")
                answer = upstream.getresponse()
                answer.read()
                status[0] = 200 if answer.status == 200 else 502
            except OSError:
                status[0] = 504
                upstream = None
            access_log.write(f"{time.time():.3f} {status[0]} /\n" * 4)
            busy[number] = 0
            done.set()

    class Service(_Handler):
        def do_GET(self) -> None:
            if self.path == "/stats":
                self.answer(200, {"queue": jobs.qsize(), "busy": sum(busy)})
                return
            done, status = threading.Event(), [503]
            try:
                jobs.put_nowait((done, status))
            except queue.Full:
                self.answer(503, {"error": "queue full"})
                return
            done.wait(SERVICE_TIMEOUT_SECONDS)
            self.answer(status[0], {})

        def do_POST(self) -> None:
            n_hung = int(self.body()["hung_workers"])
            if n_hung:
                released.clear()
                for _ in range(n_hung):
                    hang.release()
            else:
                while hang.acquire(blocking=False):
                    pass  # a permit that no worker took must not hang one later
                released.set()
            self.answer(200, {"hung_workers": n_hung})

    for number in range(N_WORKERS):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    _serve(SERVICE_PORT, Service)


class _Client:
    """An open loop of requests over kept-alive connections, and what a second of it looked like."""

    def __init__(self) -> None:
        self.idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()
        self.latencies: list[float] = []
        self.n_requests = self.n_errors = self.n_open = 0

    async def get(self, path: str) -> tuple[int, bytes]:
        """Make one request; a broken connection is thrown away."""
        reader, writer = (
            self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", SERVICE_PORT)
        )
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: service\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                int(line.split(":")[1])
                for line in head.split("\r\n")
                if line.lower().startswith("content-length")
            )
            body = await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        if len(self.idle) < MAX_IDLE_CONNECTIONS:
            self.idle.append((reader, writer))
        else:
            writer.close()
        return int(head.split()[1]), body

    async def request(self) -> None:
        """Make one counted request, timed from its planned moment to its answer or time-out."""
        start = time.perf_counter()
        self.n_open += 1
        try:
            status, _ = await asyncio.wait_for(self.get("/"), CLIENT_TIMEOUT_SECONDS)
            failed = status != 200
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            failed = True
        finally:
            self.n_open -= 1
        self.n_requests += 1
        self.n_errors += failed
        self.latencies.append(time.perf_counter() - start)

    async def readings(self) -> list[tuple[str, tuple[tuple[str, str], ...], float]]:
        """Give the counters and last second's latency; no latency where nothing ended."""
        labels = (("service", "shop"),)
        try:
            stats = json.loads((await asyncio.wait_for(self.get("/stats"), 0.5))[1])
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            stats = {}
        latencies, self.latencies = sorted(self.latencies), []
        values = {
            "service_requests_total": self.n_requests,
            "service_errors_total": self.n_errors,
            "service_open_requests": self.n_open,
        }
        if "queue" in stats:
            values |= {"service_queue_length": stats["queue"], "service_busy_workers": stats["busy"]}
        if latencies:
            for percent in (50, 90, 99):
                values[f"service_latency_p{percent}_seconds"] = latencies[
                    min(len(latencies) - 1, len(latencies) * percent // 100)
                ]
        return [(name, labels, float(value)) for name, value in values.items()]


async def load(recording: Path, seed: int) -> None:
    """Send requests at a rate that rises and falls, and record each second of it until SIGTERM."""
    rng = random.Random(seed)
    client, recorder, stop = _Client(), Recorder(recording, SERVICE_LABELS), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tasks: set[asyncio.Task[None]] = set()

    async def send() -> None:
        start, drift = time.time(), 0.0
        while True:
            drift = 0.995 * drift + 0.012 * rng.gauss(0, 1)
            swing = RATE_SWING * math.sin(2 * math.pi * (time.time() - start) / RATE_PERIOD_SECONDS)
            rate = MEAN_RATE * max(0.1, 1 + swing + drift)
            await asyncio.sleep(rng.expovariate(rate))
            if client.n_open < MAX_OPEN_REQUESTS:
                task = asyncio.create_task(client.request())
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    sender = asyncio.create_task(send())
    while not stop.is_set():
        due = math.floor(time.time()) + 1
        try:
            await asyncio.wait_for(stop.wait(), due - time.time())
        except TimeoutError:
            recorder.append(due * 1000, await client.readings())
    sender.cancel()
    recorder.close()


def main(argv: list[str]) -> None:
    """Run one role."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("role", choices=["dependency", "proxy", "service", "load"])
    parser.add_argument("--scratch", type=Path, help="folder for the log and cache that the workload writes")
    parser.add_argument("--recording", type=Path, help="file that the load records to")
    parser.add_argument("--seed", type=int, default=0, help="seed of the request times")
    options = parser.parse_args(argv)
    if options.role == "dependency":
        dependency(options.scratch)
    elif options.role == "service":
        service(options.scratch)
    elif options.role == "proxy":
        asyncio.run(proxy())
    else:
        asyncio.run(load(options.recording, options.seed))


if __name__ == "__main__":
    main(sys.argv[1:])
