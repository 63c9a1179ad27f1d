"""Histories of entities whose channels swing together, so that a small network learns them in seconds."""

from __future__ import annotations

import numpy as np

from monitor.storage.step_history import History


def waves(n_steps, *, n=1, seed=0, start=0):
    """Make n entities of three noisy channels, two of which swing together."""
    t = np.arange(start, start + n_steps)[:, None]
    phase = np.arange(n)[None, :]
    rng = np.random.default_rng([seed, start])
    swing = np.stack([np.sin(t / 4 + phase), np.sin(t / 4 + phase), np.cos(t / 7 + phase)], axis=2)
    return np.array([10.0, 500.0, 3.0]) * (5 + swing + rng.normal(0, 0.1, (n_steps, n, 3)))


def history_of(values):
    """Make a history of steps of a second, from time 0 on."""
    entities = tuple(f"web{row}" for row in range(values.shape[1]))
    return History(entities, ("a", "b", "c"), values, 0, 1000 * len(values))
