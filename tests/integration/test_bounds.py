"""Memory stays bounded whatever comes: a million new series, entities that come and go, days of it, payloads made to be large."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monitor.config import WatchConfig
from monitor.decode import Record
from monitor.decode.influx import decode_influx
from monitor.pipeline import Pipeline
from monitor.sample import SeriesTable
from monitor.watch import build_watch

MIB = 1 << 20


def resident_bytes():
    """Give the memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def make_watch(*, max_series=None, **settings):
    watch = WatchConfig.model_validate(
        {"name": "w", "step_seconds": 1.0, "window_length": 8, "lateness_seconds": 0.0, "budget": "1/day", **settings}
    )
    built = build_watch(watch, None)
    built.entities.max_series = max_series
    return built


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
        decision = self.pipeline.step(decoded.columns, self.second * 1000)
        self.rejected += decision.rejected["over_limit"]
        self.refused += decision.reports["w"].n_refused
        self.alerts += decision.alerts
        self.second += 1
        return decision


def test_new_series_without_end_are_refused_beyond_the_limits_and_the_old_ones_are_judged_on():
    n_new, n_per_step, max_series = 200_000, 5000, 20_000  # a fifth of the million, which takes 25 s
    flood = Flood(make_watch(max_series=1000), SeriesTable(max_series))
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
    assert len(flood.watch.entities.entities) == 1000
    assert flood.refused == max_series - 1000
    # Without limits they were 140 MB of labels and 1.8 GB of windows; what is full after a tenth grows no more.
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
    watch.forgets = True
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
        decision = pipeline.step(decode_influx([Record(b"\n".join(lines))], table).columns, 60_000 * minute)
        n_forgotten += decision.reports["w"].n_forgotten
        most_rows, most_series = max(most_rows, len(watch.entities.entities)), max(most_series, table.n_known)
        sizes.append(resident_bytes())

    # Alive 100, gone for a while 20 a minute for 12 minutes, and what is waited for: 256 or a quarter.
    assert most_rows <= 100 + 20 * 13 + 256 + 20
    assert n_forgotten > 4800 - most_rows - 20
    assert len(watch.entities.row_of) == len(table) <= 3 * 20 * (60 + 60 + 5) + 1  # two hours of new series
    assert most_series <= 3 * 20 * (60 + 60 + 5) + 1
    assert "old1" in watch.entities.entities
    assert sizes[-1] - sizes[160] < 4 * MIB
