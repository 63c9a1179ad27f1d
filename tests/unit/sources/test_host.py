"""This machine's metrics: real readings, and made-up ones where the machine must not matter."""

import math
import re
from types import SimpleNamespace

import psutil
import pytest

from monitor.sample import Kind, SeriesTable, kind_of
from monitor.sources import host
from monitor.sources.host import HOST_LABELS, HostSource, read_host
from monitor.testing import FakeClock

COUNTERS = {
    "host_cpu_seconds_total",
    "host_context_switches_total",
    "host_interrupts_total",
    "host_forks_total",
    "host_swap_in_bytes_total",
    "host_swap_out_bytes_total",
    "host_disk_read_bytes_total",
    "host_disk_written_bytes_total",
    "host_disk_reads_total",
    "host_disk_writes_total",
    "host_disk_busy_seconds_total",
    "host_network_receive_bytes_total",
    "host_network_transmit_bytes_total",
    "host_network_receive_packets_total",
    "host_network_transmit_packets_total",
    "host_network_errors_total",
    "host_network_drops_total",
}
GAUGES = {
    "host_load1",
    "host_load5",
    "host_load15",
    "host_memory_available_bytes",
    "host_memory_used_bytes",
    "host_memory_cached_bytes",
    "host_memory_buffers_bytes",
    "host_swap_used_bytes",
    "host_filesystem_used_bytes",
    "host_processes",
    "host_processes_running",
    "host_processes_blocked",
    "host_file_descriptors_allocated",
    "host_tcp_sockets_in_use",
    "host_tcp_sockets_time_wait",
}


def values_of(readings, name):
    """Give the values of a metric by its labels, without `host`."""
    return {
        tuple(pair for pair in labels if pair[0] != "host"): value
        for metric, labels, value in readings
        if metric == name
    }


def names_in(readings):
    return {name for name, _, _ in readings}


# The real machine


def test_every_reading_is_a_known_metric_of_this_host():
    readings = read_host("demo")

    assert names_in(readings) <= COUNTERS | GAUGES
    assert all(dict(labels)["host"] == "demo" for _, labels, _ in readings)
    assert {label for _, labels, _ in readings for label, _ in labels} <= set(HOST_LABELS)
    assert all(isinstance(value, float) and math.isfinite(value) for _, _, value in readings)
    assert all(labels == tuple(sorted(labels)) for _, labels, _ in readings)


def test_no_series_is_read_twice():
    series = [(name, labels) for name, labels, _ in read_host("demo")]

    assert len(series) == len(set(series))


def test_the_names_tell_counters_from_gauges():
    assert {kind_of(name) for name in COUNTERS} == {Kind.COUNTER}
    assert {kind_of(name) for name in GAUGES} == {Kind.GAUGE}


def test_every_machine_shows_its_processor_and_memory():
    names = names_in(read_host("demo"))

    assert {"host_cpu_seconds_total", "host_load1", "host_memory_available_bytes", "host_processes"} <= names


def test_without_a_name_the_machines_own_is_the_host(monkeypatch):
    monkeypatch.setattr(host.socket, "gethostname", lambda: "box7")

    assert {dict(labels)["host"] for _, labels, _ in read_host()} == {"box7"}


# Parts that are hidden or made up


def fake_proc(folder, **changed):
    """Make a procfs with the tables that are read from it."""
    files = {
        "stat": "cpu  1 2 3 4\nctxt 99\nbtime 5\nprocesses 4321\nprocs_running 3\nprocs_blocked 1\n",
        "sys/fs/file-nr": "1536\t0\t9223372036854775807\n",
        "net/sockstat": "sockets: used 120\nTCP: inuse 12 orphan 0 tw 7 alloc 20 mem 3\nUDP: inuse 2 mem 1\n",
        **changed,
    }
    for name, text in files.items():
        if text is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    return folder


def test_the_kernels_tables_are_read(tmp_path):
    readings = read_host("demo", proc=fake_proc(tmp_path))

    assert values_of(readings, "host_forks_total") == {(): 4321.0}
    assert values_of(readings, "host_processes_running") == {(): 3.0}
    assert values_of(readings, "host_processes_blocked") == {(): 1.0}
    assert values_of(readings, "host_file_descriptors_allocated") == {(): 1536.0}
    assert values_of(readings, "host_tcp_sockets_in_use") == {(): 12.0}
    assert values_of(readings, "host_tcp_sockets_time_wait") == {(): 7.0}


def test_a_hidden_proc_leaves_out_what_is_read_from_it_and_nothing_else(tmp_path):
    readings = names_in(read_host("demo", proc=tmp_path))

    assert "host_forks_total" not in readings
    assert "host_tcp_sockets_in_use" not in readings
    assert {"host_load1", "host_memory_available_bytes", "host_processes"} <= readings


@pytest.mark.parametrize("text", ["", "cpu  1 2 3 4\nctxt 99\n", "processes many\n"])
def test_a_proc_that_tells_less_leaves_that_out(tmp_path, text):
    readings = names_in(read_host("demo", proc=fake_proc(tmp_path, stat=text)))

    assert "host_forks_total" not in readings
    assert {"host_load1", "host_memory_available_bytes"} <= readings


def test_a_part_that_the_kernel_refuses_leaves_the_others(monkeypatch):
    def refuse(**_options):
        raise psutil.AccessDenied

    monkeypatch.setattr(host.psutil, "net_io_counters", refuse)
    monkeypatch.setattr(host.psutil, "cpu_times", refuse)

    names = names_in(read_host("demo"))

    assert not {name for name in names if name.startswith(("host_network", "host_cpu"))}
    assert "host_memory_available_bytes" in names


def network(n):
    return SimpleNamespace(
        bytes_recv=n,
        bytes_sent=n + 1,
        packets_recv=n + 2,
        packets_sent=n + 3,
        errin=n + 4,
        errout=n + 5,
        dropin=n + 6,
        dropout=n + 7,
    )


def test_an_interface_shows_its_traffic_errors_and_drops(monkeypatch):
    monkeypatch.setattr(host.psutil, "net_io_counters", lambda pernic: {"eth0": network(100)})

    readings = read_host("demo")

    interface = (("interface", "eth0"),)
    shown = {
        name: values_of(readings, name) for name in names_in(readings) if name.startswith("host_network")
    }
    assert shown == {
        "host_network_receive_bytes_total": {interface: 100.0},
        "host_network_transmit_bytes_total": {interface: 101.0},
        "host_network_receive_packets_total": {interface: 102.0},
        "host_network_transmit_packets_total": {interface: 103.0},
        "host_network_errors_total": {interface: 209.0},  # 104 in, 105 out
        "host_network_drops_total": {interface: 213.0},  # 106 in, 107 out
    }


def test_redirection_interfaces_are_left_out_and_others_with_such_a_beginning_are_not(monkeypatch):
    interfaces = {name: network(1) for name in ("lo", "eth0", "ifb0", "ifb12", "rampart0", "loopback-net")}
    monkeypatch.setattr(host.psutil, "net_io_counters", lambda pernic: interfaces)

    shown = values_of(read_host("demo"), "host_network_receive_bytes_total")

    assert sorted(value for ((_, value),) in shown) == ["eth0", "lo", "loopback-net", "rampart0"]


def test_disks_are_read_whole_without_loop_ram_and_swap_devices(monkeypatch, tmp_path):
    def disk(n):
        return SimpleNamespace(read_bytes=n, write_bytes=n, read_count=n, write_count=n, busy_time=1500)

    for name in ("sda", "loop0", "ram0", "zram0"):
        (tmp_path / "sys/block" / name).mkdir(parents=True)
    monkeypatch.setattr(host, "Path", lambda text: tmp_path / text.lstrip("/"))
    monkeypatch.setattr(
        host.psutil,
        "disk_io_counters",
        lambda perdisk: {name: disk(7) for name in ("sda", "sda1", "loop0", "ram0", "zram0")},
    )

    readings = read_host("demo")

    assert values_of(readings, "host_disk_reads_total") == {(("device", "sda"),): 7.0}
    assert values_of(readings, "host_disk_busy_seconds_total") == {(("device", "sda"),): 1.5}


def test_a_file_system_that_is_mounted_twice_is_read_once(monkeypatch):
    mounts = [
        SimpleNamespace(device=device, mountpoint=place)
        for device, place in (
            ("/dev/sda1", "/"),
            ("/dev/sda1", "/bound"),
            ("/dev/loop3", "/snap"),
            ("/dev/sdb1", "/data"),
        )
    ]
    used = {"/": 100, "/bound": 100, "/snap": 5, "/data": 300}
    monkeypatch.setattr(host.psutil, "disk_partitions", lambda all: mounts)  # noqa: A006
    monkeypatch.setattr(host.psutil, "disk_usage", lambda place: SimpleNamespace(used=used[place]))

    assert values_of(read_host("demo"), "host_filesystem_used_bytes") == {
        (("mountpoint", "/"),): 100.0,
        (("mountpoint", "/data"),): 300.0,
    }


# The source


def source(clock, interval_seconds=2.0):
    table = SeriesTable()
    return HostSource(table, clock, interval_seconds=interval_seconds, host="demo"), table


def test_readings_come_at_whole_multiples_of_the_interval():
    machine, _ = source(FakeClock(1001.5))

    batches = [machine.poll(5.0) for _ in range(3)]

    assert [batch.now_ms for batch in batches] == [1_002_000, 1_004_000, 1_006_000]
    assert all(
        len(batch.columns) and set(batch.columns.time_ms.tolist()) == {batch.now_ms} for batch in batches
    )


def test_a_poll_that_may_not_wait_for_the_next_reading_comes_back_empty():
    clock = FakeClock(1001.5)
    machine, _ = source(clock)

    batch = machine.poll(0.25)

    assert (len(batch.columns), batch.now_ms, batch.finished) == (0, 1_001_750, False)
    assert machine.poll(0.25).now_ms == 1_002_000


def test_series_keep_their_numbers_from_reading_to_reading():
    machine, table = source(FakeClock(1000.0))

    first = machine.poll(5.0).columns.series.tolist()
    n_series = len(table)

    assert machine.poll(5.0).columns.series.tolist() == first
    assert len(table) == n_series
    assert all(
        re.fullmatch(r'host_[a-z0-9_]+\{.*host="demo".*\}', str(table[number])) for number in range(n_series)
    )


def test_after_a_suspension_it_goes_on_and_does_not_catch_up():
    clock = FakeClock(1000.0)
    machine, _ = source(clock)
    machine.poll(5.0)
    clock.advance(3600.5)

    batches = [machine.poll(5.0) for _ in range(3)]

    assert [batch.now_ms for batch in batches] == [4_602_500, 4_604_000, 4_606_000]


def test_a_clock_that_is_set_back_does_not_silence_it():
    clock = FakeClock(5000.0)
    machine, _ = source(clock)
    machine.poll(5.0)
    clock.jump(-3600.0)

    polls = [machine.poll(1.0) for _ in range(4)]

    assert sum(len(batch.columns) > 0 for batch in polls) >= 1
