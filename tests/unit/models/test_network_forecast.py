"""The forecast head of the network; `test_network.py` has the rest."""

from __future__ import annotations

import pytest
import torch

from models.network import Autoencoder

torch.set_num_threads(1)  # threads of networks this small wait for each other longer than they work

W, HORIZON = 8, 3


def network_of(*, n_channels=2, forecast_shape=(W, HORIZON), cell="lstm"):
    torch.manual_seed(0)
    return Autoencoder(n_channels, hidden=8, latent=4, cell=cell, forecast_shape=forecast_shape)


def trained(network):
    """Give the head weights that are not zero, as a training would."""
    torch.manual_seed(1)
    torch.nn.init.normal_(network.forecast_head.weight, std=0.3)
    torch.nn.init.normal_(network.linear, std=0.1)
    return network


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_all_other_weights_are_the_same_with_a_forecast_head_and_without():
    with_head, without = network_of().state_dict(), network_of(forecast_shape=None).state_dict()

    assert set(with_head) - set(without) == {"forecast_head.weight", "forecast_head.bias", "linear"}
    for name, weight in without.items():
        torch.testing.assert_close(weight, with_head[name], rtol=0, atol=0)


def test_before_any_training_the_forecast_is_the_newest_step():
    windows = noise(5, W, 2)

    with torch.inference_mode():
        ahead = network_of().forecast(windows)

    torch.testing.assert_close(ahead, windows[:, -1:].expand(-1, HORIZON, -1))


def test_the_forecast_is_the_newest_step_a_linear_part_and_a_correction_from_the_encoders_state():
    network, windows = trained(network_of()), noise(5, W, 2)

    with torch.inference_mode():
        ahead = network.forecast(windows)
        _, (state, _) = network.encoder(windows)
        correction = (state[-1] @ network.forecast_head.weight.T).view(5, HORIZON, 2)

    for b in range(5):
        for channel in range(2):
            newest = windows[b, -1, channel]
            linear = (windows[b, :, channel] - newest) @ network.linear[channel]
            torch.testing.assert_close(ahead[b, :, channel], newest + linear + correction[b, :, channel])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("by_forecast_alone", [False, True])
def test_both_outputs_at_once_are_what_each_is_alone(cell, by_forecast_alone):
    network, windows = trained(network_of(cell=cell)), noise(5, W, 2)

    with torch.inference_mode():
        output, ahead = network.reconstruct_and_forecast(windows, by_forecast_alone=by_forecast_alone)

        torch.testing.assert_close(output, network(windows), rtol=0, atol=0)
        torch.testing.assert_close(ahead, network.forecast(windows), rtol=0, atol=0)


def gradients(*, by_forecast_alone, of):
    """Give the names of the weights that a gradient of one of the two outputs reaches."""
    network = trained(network_of())
    outputs = network.reconstruct_and_forecast(noise(5, W, 2), by_forecast_alone=by_forecast_alone)
    outputs[of].square().sum().backward()
    return {
        name.split(".")[0]
        for name, weight in network.named_parameters()
        if weight.grad is not None and (weight.grad != 0).any()
    }


def test_both_losses_reach_the_encoder_of_a_joint_network():
    assert "encoder" in gradients(by_forecast_alone=False, of=0)
    assert gradients(by_forecast_alone=False, of=1) == {"encoder", "forecast_head", "linear"}


def test_an_encoder_that_learns_by_the_forecast_alone_gets_no_gradient_of_the_reconstruction():
    assert gradients(by_forecast_alone=True, of=0) == {"to_latent", "to_state", "decoder", "output"}
    assert gradients(by_forecast_alone=True, of=1) == {"encoder", "forecast_head", "linear"}
