"""What a checkpoint of an earlier version promises: another model goes on from it, and no episode is lost.

With the model that wrote it, it goes on to the same scores: `tests/integration/test_artefacts.py`.
"""

from __future__ import annotations

import artefacts
import numpy as np
import pytest

from models.bundle import Bundle
from monitor.config.explain import parse_config
from monitor.daemon.checkpoints import resume_watch
from monitor.storage.checkpoint import load_checkpoint
from monitor.storage.data_dir import DataDir
from monitor.training.from_history import read_history
from monitor.training.train import fit_watch

DATA_DIR = artefacts.ARTEFACTS / "data_dir"
CONFIG = parse_config(artefacts.settings(DATA_DIR), origin="artefacts")


def model_of(config, channels):
    """Train a model on the kept history, with these channels in this order."""
    folder = DataDir(DATA_DIR).history_folder(config.name)
    history = read_history(folder, config.settings(), channels=channels).history
    assert history.channels == tuple(channels)
    fit = fit_watch(config.settings(), history)
    return Bundle(fit.detector, history.channels, history.entities, {"to_ms": history.last_ms})


@pytest.mark.parametrize("name", ["hosts", "fresh"])  # judged by a network, and by the baselines
def test_a_model_with_the_channels_in_another_order_goes_on_with_every_open_episode(name):
    checkpoint = load_checkpoint(DataDir(DATA_DIR).checkpoint_file)
    (config,) = [watch for watch in CONFIG.watch if watch.name == name]
    about = checkpoint.about["watches"][name]
    backwards = about["channels"][::-1]

    watch, what = resume_watch(config, "another", model_of(config, backwards), checkpoint)

    assert what == "resumed with another model"
    assert (watch.entities.entities, watch.entities.channels) == (about["entities"], backwards)
    opened = {int(row): (alert["entity"], alert["opened_ms"]) for row, alert in about["open_alerts"].items()}
    assert opened
    assert {row: (alert.entity, alert.opened_ms) for row, alert in watch.open_alerts.items()} == opened
    assert watch.book.is_open[list(opened)].all()
    np.testing.assert_array_equal(
        watch.scorer.recent.values, checkpoint.arrays[f"{name}/scorer/recent"][:, :, ::-1]
    )
    assert watch.scorer.detector.trained is not None
    assert watch.scorer.detector.tails.frozen[list(opened)].all()
