import math

import numpy as np
import pytest
import torch

from models.errors import TrainingError
from models.network import Autoencoder, choose_device, masked_huber

torch.set_num_threads(1)  # threads of networks this small wait for each other longer than they work

CELLS = ("lstm", "gru", "rnn")
N_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def network_of(cell="lstm", *, n_channels=3, hidden=8, latent=4, seed=0):
    torch.manual_seed(seed)
    return Autoencoder(n_channels, hidden=hidden, latent=latent, cell=cell)


def noise(n_windows, window_length, n_channels, *, seed=1):
    return torch.randn(n_windows, window_length, n_channels, generator=torch.Generator().manual_seed(seed))


def waves(n_windows, window_length, n_channels):
    """Sine waves that differ in phase from window to window and from channel to channel."""
    phase = torch.arange(n_windows)[:, None, None] * 0.8 + torch.arange(n_channels)[None, None, :]
    return torch.sin(torch.arange(window_length)[None, :, None] * 0.6 + phase)


# A straightforward second implementation, in float64, from the cells' equations.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step_by_hand(cell, weights, part, x, state):
    """One step of one cell; `state` is (h, c), c unused but in an LSTM."""
    h, c = state
    from_input = x @ weights[f"{part}.weight_ih_l0"].T + weights[f"{part}.bias_ih_l0"]
    from_state = h @ weights[f"{part}.weight_hh_l0"].T + weights[f"{part}.bias_hh_l0"]
    if cell == "rnn":
        return np.tanh(from_input + from_state), c
    if cell == "gru":
        (r_x, z_x, n_x), (r_h, z_h, n_h) = np.split(from_input, 3, axis=-1), np.split(from_state, 3, axis=-1)
        update = sigmoid(z_x + z_h)
        return (1 - update) * np.tanh(n_x + sigmoid(r_x + r_h) * n_h) + update * h, c
    write, keep, candidate, show = np.split(from_input + from_state, 4, axis=-1)
    c = sigmoid(keep) * c + sigmoid(write) * np.tanh(candidate)
    return sigmoid(show) * np.tanh(c), c


def reconstruct_by_hand(network, windows):
    weights = {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}
    cell, x = network.cell, windows.double().numpy()
    blank = np.zeros((len(x), weights["to_latent.weight"].shape[1]))
    state = (blank, blank)
    for t in range(x.shape[1]):
        state = step_by_hand(cell, weights, "encoder", x[:, t], state)
    latent = np.tanh(state[0] @ weights["to_latent.weight"].T + weights["to_latent.bias"])
    first = np.tanh(latent @ weights["to_state.weight"].T + weights["to_state.bias"])
    state = tuple(np.split(first, 2, axis=-1)) if cell == "lstm" else (first, blank)
    newest_first = []
    for _ in range(x.shape[1]):
        state = step_by_hand(cell, weights, "decoder", latent, state)
        newest_first.append(state[0] @ weights["output.weight"].T + weights["output.bias"])
    return np.stack(newest_first[::-1], axis=1)


@pytest.mark.parametrize("cell", CELLS)
def test_the_network_computes_what_the_equations_of_its_cell_say(cell):
    network = network_of(cell)
    torch.manual_seed(5)
    for weight in network.parameters():  # as first made, most biases are zero and would hide a mistake
        torch.nn.init.normal_(weight, std=0.4)
    windows = noise(6, 9, 3)

    with torch.inference_mode():
        output = network(windows).numpy()

    np.testing.assert_allclose(output, reconstruct_by_hand(network, windows), atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("n_windows", "window_length", "n_channels"), [(1, 1, 1), (5, 12, 3), (2, 33, 1)])
def test_the_output_has_the_shape_of_the_windows_and_the_latent_its_own(
    cell, n_windows, window_length, n_channels
):
    network = network_of(cell, n_channels=n_channels, latent=4)
    windows = noise(n_windows, window_length, n_channels)

    assert network(windows).shape == (n_windows, window_length, n_channels)
    assert network.encode(windows).shape == (n_windows, 4)


@pytest.mark.parametrize("cell", CELLS)
def test_the_decoder_emits_the_newest_step_first(cell):
    network = network_of(cell)
    latent = noise(5, 1, 4)[:, 0]

    with torch.inference_mode():
        long, short = network.decode(latent, 9), network.decode(latent, 3)

    torch.testing.assert_close(long[:, -3:], short)  # decoding fewer steps leaves out the oldest ones
    assert not torch.allclose(long[:, :3], short, atol=1e-3)


@pytest.mark.parametrize("cell", CELLS)
def test_one_batch_can_be_learned_by_heart(cell):
    network = network_of(cell, n_channels=2, hidden=16, latent=8)
    windows = waves(8, 8, 2)
    known = torch.ones_like(windows)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)
    first = masked_huber(network(windows), windows, known).item()

    for _ in range(100):
        loss = masked_huber(network(windows), windows, known)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert loss.item() < 0.01 * first


@pytest.mark.parametrize("cell", CELLS)
def test_the_gradient_reaches_every_weight_and_the_oldest_step(cell):
    network = network_of(cell)
    windows = noise(16, 8, 3).requires_grad_()

    masked_huber(network(windows), noise(16, 8, 3, seed=2), torch.ones(16, 8, 3)).backward()

    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert (weight.grad != 0).all(), name
    assert (windows.grad[:, 0] != 0).all()


def test_a_new_lstm_starts_with_the_forget_bias_at_one_and_every_other_bias_at_zero():
    network = network_of("lstm", hidden=8)

    for part in (network.encoder, network.decoder):
        write, keep, candidate, show = (
            (part.bias_ih_l0 + part.bias_hh_l0).detach().chunk(4)
        )  # they act as a sum
        assert (keep == 1).all()
        assert (write == 0).all()
        assert (candidate == 0).all()
        assert (show == 0).all()
    for linear in (network.to_latent, network.to_state, network.output):
        assert (linear.bias == 0).all()


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_a_new_cell_without_a_forget_gate_starts_with_every_bias_at_zero(cell):
    network = network_of(cell)

    biases = {name: weight for name, weight in network.named_parameters() if "bias" in name}
    assert len(biases) == 7
    assert all((bias == 0).all() for bias in biases.values())


@pytest.mark.parametrize("cell", CELLS)
def test_each_gates_recurrent_weights_start_orthogonal(cell):
    network = network_of(cell, hidden=8)

    for part in (network.encoder, network.decoder):
        gates = part.weight_hh_l0.detach().chunk(N_GATES[cell])
        for gate in gates:
            torch.testing.assert_close(gate @ gate.T, torch.eye(8), atol=1e-5, rtol=0)
        assert len({gate.numpy().tobytes() for gate in gates}) == len(gates)  # each drawn on its own


@pytest.mark.parametrize("cell", CELLS)
def test_each_gates_input_weights_start_as_glorot_and_bengio_say(cell):
    network = network_of(cell, n_channels=16, hidden=64, latent=16)
    bound = math.sqrt(6 / (16 + 64))  # of a uniform distribution: sqrt(6 / (inputs + outputs)), for each gate

    for part in (network.encoder, network.decoder):
        for gate in part.weight_ih_l0.detach().chunk(N_GATES[cell]):
            assert gate.abs().max() <= bound
            assert gate.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("tbptt_steps", [1, 4, 10])
def test_truncation_changes_nothing_in_the_output(cell, tbptt_steps):
    network, windows = network_of(cell), noise(5, 10, 3)

    with torch.inference_mode():
        torch.testing.assert_close(
            network(windows, tbptt_steps=tbptt_steps), network(windows), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("cell", CELLS)
def test_no_gradient_flows_back_to_steps_before_the_encoders_last_cut(cell):
    network, windows = network_of(cell), noise(5, 10, 3).requires_grad_()

    network.encode(windows, tbptt_steps=4).sum().backward()  # steps 0-1 | 2-5 | 6-9, cut at the bars

    assert (windows.grad[:, :6] == 0).all()
    assert (windows.grad[:, 6:] != 0).all()


@pytest.mark.parametrize("cell", CELLS)
def test_no_gradient_flows_from_steps_behind_the_decoders_first_cut_to_its_initial_state(cell):
    network, latent = network_of(cell), noise(5, 1, 4)[:, 0]

    network.decode(latent, 10, tbptt_steps=4)[:, :6].sum().backward()  # emitted after the newest four
    assert network.to_state.weight.grad is None or (network.to_state.weight.grad == 0).all()
    assert (network.decoder.weight_hh_l0.grad != 0).any()  # the steps themselves still teach the cell

    network.decode(latent, 10, tbptt_steps=4)[:, 6:].sum().backward()
    assert (network.to_state.weight.grad != 0).any()


def test_the_loss_is_quadratic_up_to_one_unit_linear_beyond_and_blind_to_gaps():
    target = torch.zeros(1, 3, 1)
    output = torch.tensor([0.5, 3.0, 100.0]).reshape(1, 3, 1)
    known = torch.tensor([1.0, 1.0, 0.0]).reshape(1, 3, 1)

    # 0.5^2 / 2 = 0.125; 3 - 1/2 = 2.5; the third was not measured
    assert masked_huber(output, target, known).item() == pytest.approx((0.125 + 2.5) / 2)


def test_the_loss_of_nothing_measured_is_zero_rather_than_undefined():
    assert masked_huber(torch.ones(2, 3, 1), torch.zeros(2, 3, 1), torch.zeros(2, 3, 1)).item() == 0.0


def test_cuda_that_is_not_there_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(TrainingError, match='Use "auto" or "cpu"'):
        choose_device("cuda")
    assert choose_device("auto") == torch.device("cpu")


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cpu") == torch.device("cpu")
