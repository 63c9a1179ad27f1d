"""Quiet metrics of one host through one pipeline: steps of 1 s, windows of 8 steps, baselines alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from maturity import mature
from stage_settings import alert_policy

from monitor.alerting.episodes import EpisodeBook
from monitor.config.watch import WatchConfig
from monitor.detection.entities import EntityTable
from monitor.detection.grid import Grid
from monitor.detection.pipeline import Pipeline
from monitor.detection.scorer import Scorer
from monitor.detection.watch import Watch
from monitor.sample import Columns, SeriesTable, concatenate, labels_of, no_samples

POLICY = alert_policy(close_seconds=10, rest_seconds=10, accept_after_seconds=1e6)
NEEDED = 108  # steps before anything is judged
LEVELS = {"load": 50.0, "queue_depth": 200.0}


def watch(name="web", *, metrics=("*",), policy=POLICY, lateness_ms=0):
    entities = EntityTable(metrics=metrics, match={}, by=("host",))
    grid = Grid(
        step_ms=1000, lateness_ms=lateness_ms, idle_ms=5000, gap_mode="skip", max_gap_steps=0, empty_steps=20
    )
    config = WatchConfig(
        name=name,
        step_seconds=1.0,
        window_length=8,
        stale_seconds=30.0,
        lateness_seconds=0.0,
        budget="1/day",
        model={"memory_windows": 32},
    )
    settings = replace(config.settings(), alert=policy, block_steps=20, revision_steps=0)
    return Watch(name, entities, grid, Scorer(entities, settings), EpisodeBook(policy))


class Stream:
    """Quiet metrics of one host, one sample a second, through one pipeline."""

    def __init__(self, *watches, seed, host="web1", batch_steps=50):
        self.table = SeriesTable()
        self.pipeline = Pipeline(watches or [watch()], self.table, max_future_ms=60_000)
        self.rng = np.random.default_rng(seed)
        self.batch_steps = batch_steps
        self.host = host
        self.now = 0  # in steps
        self.alerts = []
        self.n_late = 0

    @property
    def watch(self):
        return self.pipeline.watches[0]

    def run(self, n_steps, **shifts):
        """Let some steps pass, the named metrics shifted by so many of their standard deviations."""
        values = {}
        for name, level in LEVELS.items():
            values[name] = self.rng.normal(level, level / 50, n_steps) + shifts.get(name, 0) * level / 50
        for start in range(0, n_steps, self.batch_steps):
            columns = concatenate(
                self.columns(name, self.now + start, value[start : start + self.batch_steps])
                for name, value in values.items()
            )
            self.take(columns, int(columns.time_ms.max()))
        self.now += n_steps
        return self

    def mature(self):
        """Let what was shown up to now count as a long history."""
        mature(self.watch.scorer.detector)
        return self

    def silence(self, n_steps):
        """Let some steps pass without a sample."""
        for _ in range(n_steps):
            self.now += 1
            self.take(no_samples(), self.now * 1000)
        return self

    def take(self, columns, now_ms, **options):
        decision = self.pipeline.process(columns, now_ms, **options)
        self.alerts += decision.alerts
        self.n_late += sum(report.n_late for report in decision.reports.values())
        return decision

    def columns(self, name, first_step, value):
        number = self.table.intern(name, labels_of({"host": self.host}))
        return Columns(
            np.full(len(value), number, np.int32), (first_step + np.arange(len(value))) * 1000, value
        )
