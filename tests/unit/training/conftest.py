"""A watch, its registry, and a champion that knows the waves."""

from __future__ import annotations

import pytest
from waves import history_of, waves

from models.registry import Registry
from monitor.training.train import train_watch


@pytest.fixture
def watch(quiet_watch):
    return quiet_watch(model={"hidden": 8, "latent": 3, "epochs": 6, "learning_rate": 0.02})


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "bundles" / "w")


@pytest.fixture
def champion(watch, registry):
    """Let a model serve that knows the same waves."""
    return train_watch(watch.settings(), history_of(waves(500)), registry, now=0.0).version
