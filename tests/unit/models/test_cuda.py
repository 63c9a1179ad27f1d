"""The CUDA path: the same training on a GPU, and a model that then serves on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.errors import TrainingError
from models.network import choose_device
from models.settings import ModelSettings
from models.training import train_autoencoder

SETTINGS = ModelSettings(window_length=16, hidden=16, latent=4, epochs=4)


def steps():
    time = np.arange(600)[:, None, None]
    rng = np.random.default_rng(0)
    return (np.sin(time / 7) + rng.normal(0, 0.1, (600, 2, 3))).astype(np.float32)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_training_on_a_gpu_learns_as_on_the_cpu_and_leaves_a_cpu_network():
    from dataclasses import replace

    on_gpu = train_autoencoder(steps(), replace(SETTINGS, device="cuda"))
    on_cpu = train_autoencoder(steps(), replace(SETTINGS, device="cpu"))

    assert {parameter.device.type for parameter in on_gpu.network.parameters()} == {"cpu"}
    assert on_gpu.validation_loss == pytest.approx(on_cpu.validation_loss, rel=0.05)


def test_auto_takes_what_there_is():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_that_is_not_there_is_refused_with_the_way_out():
    with pytest.raises(TrainingError, match=r'finds no usable GPU here. Use "auto" or "cpu"'):
        choose_device("cuda")
