"""A small backtest: two entities with a fault each, one of which has a hostile name; trained in a second."""

from __future__ import annotations

import functools
import itertools
from contextlib import contextmanager

import numpy as np

from monitor.backtest.evaluate import Incident
from monitor.backtest.outcome import Backtest, Side
from monitor.backtest.runs import Plan, Progress, run_watches
from monitor.config.explain import parse_config
from monitor.sample import Columns, SeriesTable, labels_of

HOSTILE = "<script>alert(1)</script>"
START_MS = 1_700_000_000_000
STEP_MS = 10_000
N_STEPS = 500
FAULT = slice(400, 430)  # of both entities; the second half is judged
FAULT_INCIDENT = Incident(
    START_MS + FAULT.start * STEP_MS, START_MS + FAULT.stop * STEP_MS, kind="<b>step</b>"
)
WATCH = {
    "name": "web",
    "by": ["host"],
    "step_seconds": 10.0,
    "window_length": 8,
    "lateness_seconds": 0.0,
    "budget": "1/day",
    "model": {"hidden": 8, "latent": 4, "epochs": 3, "windows_per_epoch": 256},
}


@contextmanager
def _no_bar(*about):
    yield lambda advance: None


NO_BARS = Progress(_no_bar, _no_bar)


def config_of(**changes):
    """Give the watch's configuration, with other settings."""
    source = {"kind": "replay", "replay": {"paths": ["nowhere"]}}
    return parse_config({"source": source, "watch": [{**WATCH, **changes}]}, origin="test")


def samples():
    """Give samples of two hosts with two metrics each, ordered by time, and their table."""
    rng = np.random.default_rng(7)
    table, parts = SeriesTable(), []
    times = START_MS + np.arange(N_STEPS) * STEP_MS
    for host in ("web1", HOSTILE):
        wave = np.sin(np.arange(N_STEPS) / 9)
        for number, name in enumerate(("requests", "latency_seconds")):
            values = 20 + 3 * wave + rng.normal(0, 0.5, N_STEPS) + number
            values[FAULT] += 15
            series = table.intern(name, labels_of({"host": host}))
            parts.append((np.full(N_STEPS, series, np.int32), times, values))
    joined = Columns(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    order = np.argsort(joined.time_ms, kind="stable")
    return Columns(joined.series[order], joined.time_ms[order], joined.value[order]), table


def runs_of(plan, **changes):
    """Run the watch over the samples; give the results and why others have none."""
    columns, table = samples()
    return run_watches(
        config_of(**changes).watch,
        columns,
        table,
        plan,
        cpu_clock=itertools.count(step=0.001).__next__,
        now=0.0,
        progress=NO_BARS,
    )


@functools.cache
def trained_side():
    """Give the result with a model that was trained on the first half."""
    runs, skipped = runs_of(Plan())
    return Side("mine.toml", tuple(runs), tuple(skipped))


def labelled_backtest(**more):
    """Give a backtest in which both faults are one labelled incident."""
    given = {"side": trained_side(), "files": ("a.csv",), "incidents": (FAULT_INCIDENT,), **more}
    return Backtest(**given)
