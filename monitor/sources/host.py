"""This machine's own metrics, read with psutil and from /proc, for recording as for live scoring."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

from monitor.clock import Clock
from monitor.sample import Columns, HostReading, SeriesTable, labels_of, no_samples
from monitor.sources.position import Position
from monitor.sources.source import Batch

__all__ = ["HOST_LABELS", "HostSource", "read_host"]

HOST_LABELS = ("host", "device", "interface", "mode", "mountpoint")

# Devices that carry no traffic of their own: loop and ram disks, compressed swap, redirection interfaces.
_IGNORED_DEVICE = re.compile(r"(loop|ram|zram|ifb)\d+")


def read_host(host: str | None = None, *, proc: Path = Path("/proc")) -> list[HostReading]:
    """Read every host metric once.

    Counters end in `_total` and grow from boot; all others are gauges in base units. Parts that this kernel
    or container hides are omitted, so that their series show a gap.

    Parameters
    ----------
    host : str, optional
        Value of the label `host`; the machine's own name when left out.
    proc : Path
        Where procfs is mounted.
    """
    name = host or socket.gethostname()
    readings: list[HostReading] = []
    for part in (_cpu, _memory, _disks, _filesystems, _network):
        readings.extend(_read_part(part, name))
    readings.extend(_read_part(lambda: _kernel_tables(proc), name))
    return readings


def _read_part(
    part: Callable[[], Iterator[tuple[str, dict[str, str], float]]], host: str
) -> Iterator[HostReading]:
    try:
        for name, labels, value in part():
            yield name, labels_of({"host": host, **labels}), float(value)
    except (OSError, NotImplementedError, KeyError, ValueError, psutil.Error):
        return  # hidden by this kernel or container: the series shows a gap


def _cpu() -> Iterator[tuple[str, dict[str, str], float]]:
    times = psutil.cpu_times()
    for mode in ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"):
        if hasattr(times, mode):
            yield "host_cpu_seconds_total", {"mode": mode}, getattr(times, mode)
    stats = psutil.cpu_stats()
    yield "host_context_switches_total", {}, stats.ctx_switches
    yield "host_interrupts_total", {}, stats.interrupts
    for minutes, load in zip((1, 5, 15), psutil.getloadavg(), strict=True):
        yield f"host_load{minutes}", {}, load


def _memory() -> Iterator[tuple[str, dict[str, str], float]]:
    memory = psutil.virtual_memory()
    yield "host_memory_available_bytes", {}, memory.available
    yield "host_memory_used_bytes", {}, memory.used
    if hasattr(memory, "cached"):
        yield "host_memory_cached_bytes", {}, memory.cached
        yield "host_memory_buffers_bytes", {}, memory.buffers
    swap = psutil.swap_memory()
    yield "host_swap_used_bytes", {}, swap.used
    yield "host_swap_in_bytes_total", {}, swap.sin
    yield "host_swap_out_bytes_total", {}, swap.sout


def _disks() -> Iterator[tuple[str, dict[str, str], float]]:
    whole = {entry.name for entry in Path("/sys/block").iterdir()} if Path("/sys/block").is_dir() else None
    for device, io in (psutil.disk_io_counters(perdisk=True) or {}).items():
        if _IGNORED_DEVICE.fullmatch(device) or (whole is not None and device not in whole):
            continue  # a partition's traffic is counted with its disk
        labels = {"device": device}
        yield "host_disk_read_bytes_total", labels, io.read_bytes
        yield "host_disk_written_bytes_total", labels, io.write_bytes
        yield "host_disk_reads_total", labels, io.read_count
        yield "host_disk_writes_total", labels, io.write_count
        if hasattr(io, "busy_time"):
            yield "host_disk_busy_seconds_total", labels, io.busy_time / 1000


def _filesystems() -> Iterator[tuple[str, dict[str, str], float]]:
    seen = set()
    for partition in psutil.disk_partitions(all=False):
        device = partition.device.rsplit("/", 1)[-1]
        if device in seen or _IGNORED_DEVICE.fullmatch(device):
            continue  # bind mounts show one file system many times
        seen.add(device)
        yield (
            "host_filesystem_used_bytes",
            {"mountpoint": partition.mountpoint},
            psutil.disk_usage(partition.mountpoint).used,
        )


def _network() -> Iterator[tuple[str, dict[str, str], float]]:
    for interface, io in psutil.net_io_counters(pernic=True).items():
        if _IGNORED_DEVICE.fullmatch(interface):
            continue
        labels = {"interface": interface}
        yield "host_network_receive_bytes_total", labels, io.bytes_recv
        yield "host_network_transmit_bytes_total", labels, io.bytes_sent
        yield "host_network_receive_packets_total", labels, io.packets_recv
        yield "host_network_transmit_packets_total", labels, io.packets_sent
        yield "host_network_errors_total", labels, io.errin + io.errout
        yield "host_network_drops_total", labels, io.dropin + io.dropout


def _kernel_tables(proc: Path) -> Iterator[tuple[str, dict[str, str], float]]:
    yield "host_processes", {}, len(psutil.pids())
    lines = (proc / "stat").read_text(encoding="utf-8").splitlines()
    stat = dict(line.split(maxsplit=1) for line in lines if " " in line)
    yield "host_forks_total", {}, int(stat["processes"])
    yield "host_processes_running", {}, int(stat["procs_running"])
    yield "host_processes_blocked", {}, int(stat["procs_blocked"])
    descriptors = (proc / "sys/fs/file-nr").read_text(encoding="utf-8")
    yield "host_file_descriptors_allocated", {}, int(descriptors.split()[0])
    for line in (proc / "net/sockstat").read_text(encoding="utf-8").splitlines():
        if line.startswith("TCP:"):
            fields = line.split()
            counts = dict(zip(fields[1::2], fields[2::2], strict=True))
            yield "host_tcp_sockets_in_use", {}, int(counts["inuse"])
            yield "host_tcp_sockets_time_wait", {}, int(counts["tw"])


class HostSource:
    """This machine's metrics, one batch each `interval_seconds` of real time."""

    def __init__(self, table: SeriesTable, clock: Clock, *, interval_seconds: float, host: str = "") -> None:
        self._table = table
        self._clock = clock
        self._interval = interval_seconds
        self._host = host or None
        self._due = self._next_multiple(clock.now())
        self._never = threading.Event()

    def poll(self, timeout_seconds: float) -> Batch:
        """Wait for the next reading, at most `timeout_seconds`; a reading that is due is taken now."""
        now = self._clock.now()
        if self._due - now > self._interval:  # the clock was set back
            self._due = self._next_multiple(now)
        wait = self._due - now
        if wait > timeout_seconds:
            self._clock.wait(self._never, timeout_seconds)
            return Batch(no_samples(), round(self._clock.now() * 1000))
        self._clock.wait(self._never, wait)
        now = self._clock.now()
        self._due = self._next_multiple(now)  # after a suspension: continue from now, do not catch up
        readings = read_host(self._host)
        number = np.array([self._table.intern(name, labels) for name, labels, _ in readings], np.int32)
        value = np.array([value for _, _, value in readings], np.float64)
        now_ms = round(now * 1000)
        return Batch(Columns(number, np.full(len(number), now_ms, np.int64), value), now_ms)

    def position(self) -> Position:
        """Readings cannot be repeated: the position is empty."""
        return Position()

    def commit(self, position: Position) -> None:
        """Nothing to acknowledge."""

    def close(self) -> None:
        """Nothing to close."""

    def _next_multiple(self, now: float) -> float:
        """Give the next whole multiple of the interval, so that readings keep their phase within a step."""
        return (now // self._interval + 1) * self._interval
