from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from monitor.config.watch import WatchConfig
from monitor.sample import Columns, SeriesTable, concatenate, labels_of

STEP_MS = 1000


@pytest.fixture
def table():
    return SeriesTable()


@pytest.fixture
def quiet_watch():
    """Make a watch of 1 s steps and windows of 8, without a model: its baselines judge."""

    def make(**settings):
        defaults = {
            "name": "w",
            "step_seconds": STEP_MS / 1000,
            "window_length": 8,
            "lateness_seconds": 0.0,
            "budget": "1/day",
            "alert": {"close_seconds": 5.0, "rest_seconds": 5.0},
        }
        return WatchConfig.model_validate({**defaults, **settings})

    return make


@pytest.fixture
def noise(table):
    """Make two noisy metrics of one host; `shift` (standard deviations) is added to the first."""

    def make(n_steps, *, host="web1", seed=0, start_step=0, shift=0.0):
        rng = np.random.default_rng(seed)
        times = (start_step + np.arange(n_steps, dtype=np.int64)) * STEP_MS
        parts = []
        for name, more in (("a", shift), ("b", 0.0)):
            number = table.intern(name, labels_of({"host": host}))
            parts.append(
                Columns(np.full(n_steps, number, np.int32), times, 100.0 + more + rng.normal(0, 1, n_steps))
            )
        return concatenate(parts)

    return make


@pytest.fixture
def source_path():
    """Give an environment in which a child process runs this very source tree, wherever it is started."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
