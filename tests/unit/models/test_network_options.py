"""Layers, dropout and layer normalisation."""

from __future__ import annotations

import pytest
import torch

from models.network import Autoencoder


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_every_combination_rebuilds_a_window_and_trains_every_weight(cell, layers, layer_norm):
    torch.manual_seed(0)
    network = Autoencoder(3, hidden=8, latent=4, cell=cell, layers=layers, dropout=0.1, layer_norm=layer_norm)
    windows = torch.randn(5, 7, 3)

    output = network(windows)
    output.square().mean().backward()

    assert output.shape == windows.shape
    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters()
    )


def test_each_layer_s_first_state_comes_from_its_own_part_of_the_latent_s_image():
    torch.manual_seed(0)
    network = Autoencoder(1, hidden=4, latent=2, layers=2)
    hidden, cell = network._first_state(torch.randn(3, 2))

    assert hidden.shape == cell.shape == (2, 3, 4)
    assert not torch.equal(hidden[0], hidden[1])
    assert not torch.equal(hidden, cell)


def test_dropout_works_in_training_and_not_in_scoring():
    torch.manual_seed(0)
    network = Autoencoder(1, hidden=8, latent=8, dropout=0.5)
    windows = torch.randn(4, 6, 1)

    assert not torch.equal(network(windows), network(windows))
    network.eval()
    assert torch.equal(network(windows), network(windows))


def test_layer_normalisation_makes_the_code_blind_to_the_hidden_state_s_scale():
    torch.manual_seed(0)
    network = Autoencoder(1, hidden=8, latent=4, layer_norm=True).eval()
    last = torch.randn(2, 8)

    torch.testing.assert_close(
        network.encoder_norm(last), network.encoder_norm(5 * last), rtol=1e-3, atol=1e-3
    )
