from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.errors import TrainingError
from models.settings import ModelSettings
from models.training import train_autoencoder

SETTINGS = ModelSettings(window_length=8, hidden=6, latent=3, epochs=5, dropout=0.2, device="cpu")


class InterruptedTrainingError(Exception):
    pass


def steps(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (300, 1, 2)).astype(np.float32)


def interrupted_behind(epoch):
    kept = []

    def on_state(state):
        kept.append(state)
        if len(kept) == epoch:
            raise InterruptedTrainingError

    with pytest.raises(InterruptedTrainingError):
        train_autoencoder(steps(), SETTINGS, on_state=on_state)
    return kept[-1]


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_resumed_training_ends_bit_equal_to_an_undisturbed_one(epoch):
    whole = train_autoencoder(steps(), SETTINGS)

    resumed = train_autoencoder(steps(), SETTINGS, resume=interrupted_behind(epoch))

    assert resumed.epochs == whole.epochs
    assert resumed.best_epoch == whole.best_epoch
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name])


def test_another_training_s_state_is_refused():
    state = interrupted_behind(1)

    for other, settings in ((steps(seed=1), SETTINGS), (steps(), replace(SETTINGS, hidden=7))):
        with pytest.raises(TrainingError, match="other data or other settings: train without --resume"):
            train_autoencoder(other, settings, resume=state)


@pytest.mark.parametrize("length", [0, 20, 500])
def test_a_damaged_state_is_refused(length):
    with pytest.raises(TrainingError, match="Train without --resume"):
        train_autoencoder(steps(), SETTINGS, resume=interrupted_behind(1)[:length])
