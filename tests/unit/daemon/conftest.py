"""A watch with its registry, its history and a fake clock, as the daemon puts them together."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from models.bundle import Bundle
from models.registry import Registry
from monitor.daemon.champion_watcher import ChampionWatcher
from monitor.daemon.retraining import Retraining
from monitor.daemon.served_watch import ModelLoader, ServedWatch
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Decision
from monitor.detection.report import WatchReport
from monitor.detection.steps import ClosedSteps
from monitor.metrics.instruments import Metrics
from monitor.storage.step_history import History, HistoryWriter, Retention
from monitor.testing import FakeClock
from monitor.training.train import fit_watch

FIRST_STEP = 400


class House:
    """Models are prepared at once, unless `start` collects the work."""

    def __init__(self, config, folder):
        self.config = config
        self.clock = FakeClock(0.0)
        self.registry = Registry(folder / "bundles" / "w")
        self.folder = folder / "history" / "w"
        self.metrics = Metrics(CollectorRegistry(), ["w"])
        self.step = FIRST_STEP

    def bundle(self, *, seed=0, channels=("a", "b")):
        """Train a small model on quiet noise."""
        values = self.quiet(FIRST_STEP, seed=seed, n_channels=len(channels))
        history = History(("web1",), channels, values, 0, 1000 * FIRST_STEP)
        fit = fit_watch(self.config.settings(), history)
        return Bundle(fit.detector, channels, ("web1",), {"to_ms": 1000 * FIRST_STEP})

    def promote(self, seed, **options):
        """Let another model be the champion."""
        version = self.registry.save(self.bundle(seed=seed, **options), now=float(seed))
        self.registry.promote(version)
        return version

    def begin(self, *, start=lambda work: work()):
        """Start with the champion, as a daemon does."""
        version = self.registry.champion()
        champion = self.registry.load(version) if version else None
        settings = self.config.settings()
        self.watch = build_watch(settings, champion)
        loader = ModelLoader(settings, self.registry, self.folder, max_steps=50_000)
        self.served = ServedWatch(self.config, self.watch, version, loader)
        self.writer = HistoryWriter(
            self.folder,
            Retention(segment_seconds=5.0, max_age_seconds=1e9, max_bytes=1 << 30),
            shape=settings.history_shape,
            step_ms=1000,
            window_length=8,
        )
        self.champion_watcher = ChampionWatcher([self.served], start=start)
        self.retraining = Retraining(
            [self.served],
            writers={"w": self.writer},
            champion_watcher=self.champion_watcher,
            scheduler=None,
            metrics=self.metrics,
            clock=self.clock,
        )
        return self

    def live(self, values):
        """Judge steps one after the other, each a second; tell of each whether another model took over."""
        swapped = []
        for step in range(len(values)):
            closed = ClosedSteps(self.step, 1000, values[step : step + 1])
            alerts = self.watch.judge(closed, WatchReport())
            self.step += 1
            self.clock.advance(1.0)
            rejected = {"gap": 0, "not_finite": 0, "future": 0}
            swapped.append(self.retraining.after_step(Decision(tuple(alerts), {}, rejected)))
        return swapped

    @staticmethod
    def quiet(n_steps, *, seed=0, n_channels=2):
        return 100.0 + np.random.default_rng(seed).normal(0, 1, (n_steps, 1, n_channels))

    def count(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, {"watch": "w", **labels})


@pytest.fixture
def house(quiet_watch, tmp_path):
    return House(quiet_watch(model={"hidden": 4, "latent": 2, "epochs": 2}), tmp_path)
