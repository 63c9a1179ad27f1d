"""Memory stays bounded: a million new series, entities that come and go for days, hostile payloads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hostile import FORMATS, MS
from protobuf_writer import snappy

from monitor.config.explain import parse_config
from monitor.config.watch import WatchConfig
from monitor.daemon.build import build_daemon
from monitor.decode.influx import decode_influx
from monitor.decode.record import Record
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.sample import SeriesTable
from monitor.sources.source import Batch
from monitor.testing import FakeClock

MIB = 1 << 20
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}


def resident_bytes():
    """Give the memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def make_watch(**settings):
    watch = WatchConfig.model_validate(
        {
            "name": "w",
            "step_seconds": 1.0,
            "window_length": 8,
            "lateness_seconds": 0.0,
            "budget": "1/day",
            **settings,
        }
    )
    return build_watch(watch.settings(), None, live=True)


def line(host, second, value, *, name="load"):
    return f"{name},host={host} value={value} {second}000000000".encode()


class Flood:
    """Influx lines through the decoder and one watch, a step a batch; two old hosts are in every one."""

    def __init__(self, watch, table):
        self.watch, self.table = watch, table
        self.pipeline = Pipeline([watch], table, max_future_ms=60_000)
        self.rng = np.random.default_rng(0)
        self.second = 0
        self.rejected, self.refused, self.alerts = 0, 0, []

    def step(self, lines=(), *, shift=0.0):
        old = [line(host, self.second, 100 + self.rng.normal() + shift) for host in ("old1", "old2")]
        decoded = decode_influx([Record(b"\n".join([*old, *lines]))], self.table)
        assert decoded.rejections == ()
        decision = self.pipeline.process(decoded.columns, self.second * 1000)
        self.rejected += decision.rejected["over_limit"]
        self.refused += decision.reports["w"].n_refused
        self.alerts += decision.alerts
        self.second += 1
        return decision


def test_new_series_without_end_are_refused_beyond_the_limits_and_the_old_ones_are_judged_on():
    n_new, n_per_step, max_series = 200_000, 5000, 20_000  # a fifth of the million, which takes 25 s
    flood = Flood(make_watch(max_series=500), SeriesTable(max_series))
    for _ in range(120):
        flood.step()
    sizes = []
    for first in range(0, n_new, n_per_step):
        flood.step([line(f"new{number}", flood.second, 1) for number in range(first, first + n_per_step)])
        sizes.append(resident_bytes())
    for _ in range(8):
        decision = flood.step(shift=50.0)

    assert len(flood.table) == max_series
    assert flood.rejected == n_new - (max_series - 2)
    assert len(flood.watch.entities.entities) == 500
    assert flood.refused == max_series - 500
    # Without limits they were 140 MB of labels and 1.8 GB of windows; what is full after a tenth grows no
    # more.
    assert sizes[-1] - sizes[len(sizes) // 5] < 32 * MIB
    assert decision.reports["w"].n_scored == 2
    assert [(alert.entity, alert.reason) for alert in flood.alerts] == [("old1", None), ("old2", None)]


def test_new_labels_within_one_entity_are_refused_as_well():
    flood = Flood(make_watch(max_series=100), SeriesTable())
    for _ in range(3):
        flood.step([line("old1", flood.second, 1, name=f"m{number}") for number in range(500)])

    assert (len(flood.watch.entities.entities), len(flood.watch.entities.channels)) == (2, 50)  # 100 places
    assert flood.watch.entities.n_refused == 500 - 49
    assert flood.refused == 3 * (500 - 49)


def test_pods_that_come_and_go_without_end_leave_memory_flat():
    """4800 pods of three metrics, 20 new ones a minute, each for five; gone after a quarter of an hour."""
    watch = make_watch(step_seconds=60.0, stale_seconds=120.0, alert={"accept_after_seconds": 600.0})
    table = SeriesTable()
    pipeline = Pipeline([watch], table, max_future_ms=60_000, forgets_series=True)
    sizes, most_rows, most_series, n_forgotten = [], 0, 0, 0
    for minute in range(240):
        first = 20 * minute
        lines = [line("old1", 60 * minute, 100 + minute % 7)]
        lines += [
            line(f"pod{number}", 60 * minute, number, name=name)
            for number in range(max(0, first - 80), first + 20)
            for name in ("load", "memory", "requests")
        ]
        decision = pipeline.process(
            decode_influx([Record(b"\n".join(lines))], table).columns, 60_000 * minute
        )
        n_forgotten += decision.reports["w"].n_forgotten
        most_rows, most_series = max(most_rows, len(watch.entities.entities)), max(most_series, table.n_known)
        sizes.append(resident_bytes())

    # Alive 100, gone for a while 20 a minute for 12 minutes, and what is waited for: 256 or a quarter.
    assert most_rows <= 100 + 20 * 13 + 256 + 20
    assert n_forgotten > 4800 - most_rows - 20
    assert len(watch.entities.row_of) == len(table) <= 3 * 20 * (60 + 60 + 5) + 1  # two hours of new series
    assert most_series <= 3 * 20 * (60 + 60 + 5) + 1
    assert "old1" in watch.entities.entities
    assert sizes[-1] - sizes[160] < 20 * MIB  # kept for ever, the 1600 pods since were 50 MB


# Payloads. Each format's own limits: tests/fuzz, which also holds memory against the size of what is wrong on
# purpose.


@pytest.mark.parametrize("name", FORMATS)
def test_a_record_of_20_megabytes_is_refused_before_anything_is_made_of_it(name):
    form = FORMATS[name]
    payload = (
        snappy(bytes(20 * MIB))
        if form.is_compressed
        else (form.seeds[0] + b"\n") * (20 * MIB // len(form.seeds[0]))
    )
    good = Record(form.seeds[0], MS, form.headers)
    tracemalloc.start()
    decoded = form.decode([good, Record(payload, MS, form.headers), good], SeriesTable())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [(rejection.index, rejection.reason) for rejection in decoded.rejections] == [(1, "too_large")]
    assert len(decoded.columns) > 0
    assert peak < MIB


@pytest.mark.parametrize(
    ("what", "decoder", "write"),
    [
        ("a million values", "native.decode_native_columns",
         """b'{"time_ms":[' + b",".join([b"1700000000000"] * n)"""
         """ + b'],"metrics":{"a":[' + b",".join([b"1"] * n) + b"]}}" """),
        ("empty objects", "native.decode_native_columns",
         """b'{"time_ms":[1],"metrics":{"a":[' + b",".join([b'{"":1}'] * (2 * n)) + b"]}}" """),
        ("a million lines", "influx.decode_influx", """b"load v=1 1700000000000000000\\n" * (n // 2)"""),
        ("depth", "native.decode_native_columns", """b"[" * (16 * n)"""),
    ],
)  # fmt: skip
def test_the_largest_record_that_is_read_costs_bounded_memory(what, decoder, write):
    """In its own process, so that nothing freed before hides it, with an address space of 2 GiB."""
    module, function = decoder.split(".")
    program = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from monitor.decode.record import Record
from monitor.decode.{module} import {function}
from monitor.sample import SeriesTable
from monitor.sources.source import Batch
from monitor.testing import FakeClock
def resident(key):
    return next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith(key))
n = 1_000_000
payload = {write.strip()}
assert len(payload) <= 16 << 20, len(payload)
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = resident("VmRSS")
decoded = {function}([Record(payload, 0)], SeriesTable())
print(resident("VmHWM") - before, len(decoded.columns) + len(decoded.rejections))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    grown_mib, n_found = map(int, ran.stdout.split())
    assert n_found > 0
    assert grown_mib < 512, what  # 32 times the record


# Days of it


def test_a_day_and_a_half_of_entities_that_come_and_go_leave_memory_files_and_threads_as_they_were(tmp_path):
    """36 hours of a whole daemon in some 20 s, by a fake clock; every five minutes a new pod, for an hour."""
    clock = FakeClock(1_700_000_000.0)
    config = parse_config(
        {
            "data_dir": str(tmp_path),
            "checkpoint_seconds": 1800.0,
            "web": {"listen": "127.0.0.1:0"},
            "history": {"segment_seconds": 3600.0, "max_bytes": 1 << 20},
            "watch": [
                {
                    "name": "w",
                    "step_seconds": 60.0,
                    "window_length": 8,
                    "lateness_seconds": 0.0,
                    "stale_seconds": 300.0,
                    "alert": {"accept_after_seconds": 3600.0},
                }
            ],
        },
        origin="test",
    )  # fmt: skip
    daemon = build_daemon(config, outlets=[], clock=clock)
    rng, stop, seen = np.random.default_rng(0), threading.Event(), []
    n_minutes = 36 * 60

    def poll(timeout_seconds):
        clock.advance(60.0)
        minute = round(clock.now() - 1_700_000_000.0) // 60
        second = round(clock.now())
        pods = range(max(0, minute // 5 - 12), minute // 5)
        lines = [
            line(host, second, 100 + rng.normal())
            for host in ("old1", "old2", *(f"pod{number}" for number in pods))
        ]
        if minute % 60 == 0:
            seen.append((resident_bytes(), len(os.listdir("/proc/self/fd")), threading.active_count()))
        if minute >= n_minutes:
            stop.set()
        return Batch(
            decode_influx([Record(b"\n".join(lines))], daemon.loop.pipeline.table).columns, second * 1000
        )

    daemon.loop.source.poll = poll
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monitor.detection.watch._FORGET_AT_LEAST", 8)
        daemon.run(stop)
    watch = daemon.loop.pipeline.watches[0]
    daemon.close()

    hours, (memory, files, threads) = np.arange(len(seen)), np.array(seen).T
    settled = (
        hours >= 14
    )  # what is kept is full: history, windows, and the entities that wait to be forgotten
    assert len(seen) == 36
    assert (
        np.polyfit(hours[settled], memory[settled], 1)[0] < 100_000
    )  # bytes an hour; measured 8 kB. Pods kept for ever were 170 kB
    assert (files[settled].max(), threads[settled].max()) == (files[settled].min(), threads[settled].min())
    assert len(watch.entities.entities) < 2 + 12 + 13 + 16
    assert watch.scorer.detector is not None
