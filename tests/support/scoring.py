"""Scorers of quiet metrics, with the baselines alone: no network is trained here.

Windows have 8 steps, so that an entity is judged from its 109th step on (number 108).
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from monitor.config.watch import WatchConfig
from monitor.detection.entities import EntityTable
from monitor.detection.scored_step import ScoredStep
from monitor.detection.scorer import Scorer
from monitor.detection.steps import ClosedSteps

STEP_MS = 1000
WINDOW = 8
NEEDED = WINDOW + 100


def settings(**changes):
    config = {
        "name": "w",
        "step_seconds": 1.0,
        "window_length": WINDOW,
        "stale_seconds": 5.0,
        "lateness_seconds": 0.0,
    }
    watch = WatchConfig.model_validate({**config, "budget": "1/day", "model": {"memory_windows": 32}})
    return replace(watch.settings(), **{"block_steps": 20, "revision_steps": 0, **changes})


def scorer(n_entities=1, channels=("load", "queue_depth"), **changes):
    names = [f"web{row}" for row in range(n_entities)]
    entities = EntityTable(metrics=["*"], match={}, by=("host",), entities=names, channels=channels)
    return Scorer(entities, settings(**changes))


def noise(n_steps, n_entities=1, *, seed, n_channels=2):
    """Make quiet metrics: level 50, spread 1, one step independent of the next."""
    return np.random.default_rng(seed).normal(50.0, 1.0, (n_steps, n_entities, n_channels))


def run(judge, values, *, first_step=0, block_lengths=None, frozen=()):
    """Score steps (T, n, C) cut into blocks, learning behind each step; give the scored steps."""
    scored = []
    lengths = block_lengths or [len(values)]
    start = 0
    may_not_learn = np.isin(np.arange(values.shape[1]), frozen)
    while start < len(values):
        length = lengths.pop(0) if len(lengths) > 1 else lengths[0]
        block = ClosedSteps(first_step + start, STEP_MS, values[start : start + length])
        for step in judge.score(block):
            judge.learn(step, may_not_learn)
            scored.append(step)
        start += length
    return scored


def assert_bit_equal(scored, expected):
    assert len(scored) == len(expected)
    names = [
        field.name for field in fields(ScoredStep) if field.name not in ("learnable", "past", "snapshot")
    ]
    for left, right in zip(scored, expected, strict=True):
        for name in names:
            place = f"{name} of the step at {left.time_ms} ms"
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=place)
