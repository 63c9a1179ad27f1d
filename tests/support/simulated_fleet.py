"""Some days of a small simulated fleet, with the node exporter's names, as OpenMetrics; and two faults."""

from __future__ import annotations

import numpy as np

STEP_SECONDS = 60
HOSTS = ("web1:9100", "web2:9100", "db1:9100")
DAY = 86_400
BUSY_CPU = ("web2:9100", 0.70, 5400)  # host, where in the time it begins (a share), how many seconds it lasts
FULL_DISK_QUEUE = ("db1:9100", 0.85, 3600)


class Fleet:
    """Writes the samples.

    Parameters
    ----------
    start, days
        Seconds since the epoch, and how many days of samples there are.
    ahead : int
        Seconds of samples that lie behind these days: a server gives them once their time has come.
    """

    def __init__(self, start, days, *, ahead=0, hosts=HOSTS, seed=0):
        self.start = start // STEP_SECONDS * STEP_SECONDS
        self.seconds = round(days * DAY)
        self.times = np.arange(self.start, self.start + self.seconds + ahead, STEP_SECONDS)
        self._hosts = hosts
        self._rng = np.random.default_rng(seed)
        self._families = {}

    def interval_of(self, fault):
        """Give the begin and end of a fault, in seconds since the epoch."""
        begin = self.start + int(fault[1] * self.seconds)
        return begin, begin + fault[2]

    def write(self, file):
        """Write all families to a file."""
        for number, host in enumerate(self._hosts):
            self._add_host(host, number)
        with file.open("w") as out:
            for (family, kind), series in self._families.items():
                out.write(f"# TYPE {family} {kind}\n")
                suffix = "_total" if kind == "counter" else ""
                for labels, values in series:
                    head = f"{family}{suffix}{{{labels}}}"
                    lines = zip(values.tolist(), self.times.tolist(), strict=True)
                    out.writelines(f"{head} {value:.6g} {time}\n" for value, time in lines)
            out.write("# EOF\n")

    def _in(self, fault, host):
        begin, end = self.interval_of(fault)
        return (self.times >= begin) & (self.times < end) & (fault[0] == host)

    def _noise(self, scale):
        return self._rng.normal(0, scale, len(self.times))

    def _gauge(self, name, host, values, **labels):
        self._add(name, "gauge", host, values, labels)

    def _counter(self, name, host, rate, **labels):
        self._add(name, "counter", host, np.cumsum(np.maximum(rate, 0) * STEP_SECONDS), labels)

    def _add(self, name, kind, host, values, labels):
        pairs = {"job": "node", "instance": host, **labels}
        text = ",".join(f'{label}="{value}"' for label, value in pairs.items())
        self._families.setdefault((name, kind), []).append((text, values))

    def _add_host(self, host, number):
        rhythm = np.sin(2 * np.pi * (self.times % DAY) / DAY - 1 + 0.2 * number)
        load = np.clip(0.35 + 0.15 * rhythm + self._noise(0.02), 0.02, 0.95)
        load = np.where(self._in(BUSY_CPU, host), 0.97, load)
        wait = np.where(self._in(FULL_DISK_QUEUE, host), 0.45, 0.01) + np.abs(self._noise(0.003))
        for cpu in range(2):
            for mode, share in (("user", 0.7 * load), ("system", 0.3 * load), ("iowait", wait)):
                self._counter("node_cpu_seconds", host, share, cpu=cpu, mode=mode)
            self._counter("node_cpu_seconds", host, np.maximum(1 - load - wait, 0), cpu=cpu, mode="idle")
        total = 8 * 2.0**30
        self._gauge("node_memory_MemTotal_bytes", host, np.full(len(self.times), total))
        self._gauge("node_memory_MemAvailable_bytes", host, total * (0.7 - 0.3 * load) + self._noise(2e7))
        self._gauge("node_load1", host, 2 * load + 4 * wait + np.abs(self._noise(0.05)))
        self._gauge("node_boot_time_seconds", host, np.full(len(self.times), 1.7e9))
        self._gauge("node_uname_info", host, np.ones(len(self.times)), release="6.1")
        self._counter("node_context_switches", host, 4000 * load + np.abs(self._noise(50)))
        self._counter("node_network_receive_bytes", host, 3e6 * load + self._noise(3e4), device="eth0")
        self._counter("node_network_transmit_bytes", host, 2e6 * load + self._noise(2e4), device="eth0")
        reads = np.where(self._in(FULL_DISK_QUEUE, host), 9e7, 2e6 * load)
        self._counter("node_disk_read_bytes", host, reads + self._noise(2e4), device="sda")
        self._counter("node_disk_io_time_seconds", host, np.minimum(0.05 + 2 * wait, 1), device="sda")
        free = 4e10 - np.cumsum(50 * load) + self._noise(1e4)
        self._gauge("node_filesystem_avail_bytes", host, free, mountpoint="/", fstype="ext4")
        self._gauge("go_goroutines", host, np.round(8 + self._noise(0.5)))
