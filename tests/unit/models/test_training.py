import dataclasses

import numpy as np
import pytest
import torch

from models import training
from models.dataset import WindowIndex, index_windows
from models.errors import TrainingError
from models.network import Autoencoder, masked_huber
from models.settings import ModelSettings
from models.training import first_held_out, split_by_time, train_autoencoder

torch.set_num_threads(1)  # threads of networks this small wait for each other longer than they work

W = 8
SETTINGS = ModelSettings(
    window_length=W,
    hidden=8,
    latent=4,
    epochs=3,
    windows_per_epoch=256,
    batch_size=32,
    learning_rate=1e-2,
    device="cpu",
    seed=3,
)


def settings(**changes):
    return dataclasses.replace(SETTINGS, **changes)


def waves(n_steps=200, n=2, n_channels=2, *, seed=0):
    """Noisy sine waves of n entities; shape (T, n, C)."""
    phase = np.arange(n)[:, None] + 2.0 * np.arange(n_channels)[None, :]
    noise = np.random.default_rng(seed).normal(0, 0.1, (n_steps, n, n_channels))
    return (np.sin(np.arange(n_steps)[:, None, None] * 0.5 + phase) + noise).astype(np.float32)


def weights_of(result):
    return {name: tensor.numpy() for name, tensor in result.network.state_dict().items()}


def same_weights(first, second):
    a, b = weights_of(first), weights_of(second)
    return all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("max_grad_norm", [0.01, 1.0])
def test_no_update_sees_a_gradient_longer_than_max_grad_norm(monkeypatch, max_grad_norm):
    seen = []
    plain_step = torch.optim.Adam.step

    def watched_step(self, *args, **kwargs):
        gradients = [weight.grad for group in self.param_groups for weight in group["params"]]
        seen.append(torch.stack([gradient.norm() for gradient in gradients]).norm().item())
        return plain_step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", watched_step)

    result = train_autoencoder(waves() * 5, settings(epochs=2, max_grad_norm=max_grad_norm))

    assert len(seen) == 2 * 8  # 256 windows in batches of 32
    assert max(seen) <= max_grad_norm * (1 + 1e-4)
    assert max(epoch.grad_norm for epoch in result.epochs) > 0.01  # as it was before clipping


def test_the_reported_gradient_norm_is_that_before_clipping():
    clipped = train_autoencoder(waves(), settings(epochs=1, batch_size=256, max_grad_norm=1e-3))
    free = train_autoencoder(waves(), settings(epochs=1, batch_size=256, max_grad_norm=1e6))

    assert clipped.epochs[0].grad_norm == free.epochs[0].grad_norm > 1e-3


def test_a_loss_that_is_not_finite_stops_the_training_and_names_the_setting_to_lower():
    with pytest.raises(TrainingError, match=r"Lower learning_rate \(1e\+38\)"):
        train_autoencoder(waves(), settings(learning_rate=1e38))


def test_a_network_that_its_last_update_broke_is_not_handed_over():
    # One batch in one epoch: no later loss shows that the weights are of no use any more.
    with pytest.raises(TrainingError, match="learning_rate"):
        train_autoencoder(waves(), settings(epochs=1, batch_size=256, learning_rate=1e42))


def test_the_same_seed_gives_the_same_weights_to_the_bit():
    torch.manual_seed(1)
    first = train_autoencoder(waves(), SETTINGS)
    torch.manual_seed(2)
    second = train_autoencoder(waves(), SETTINGS)

    assert same_weights(first, second)
    assert first.epochs == second.epochs


def test_another_seed_gives_other_weights():
    assert not same_weights(
        train_autoencoder(waves(), SETTINGS), train_autoencoder(waves(), settings(seed=4))
    )


def test_training_lowers_the_loss_on_both_parts():
    epochs = train_autoencoder(waves(400), settings(epochs=6)).epochs

    assert len(epochs) == 6
    assert epochs[-1].loss < 0.7 * epochs[0].loss
    assert epochs[-1].validation_loss < 0.7 * epochs[0].validation_loss


def test_training_stops_early_and_gives_the_best_epochs_weights(monkeypatch):
    scripted = [5.0, 4.0, 3.0, 3.5, 3.1, 3.0, 1.0, 0.0]  # no better one within three epochs of the third
    seen = []

    def scripted_loss(network, *rest):
        seen.append({name: tensor.numpy().copy() for name, tensor in network.state_dict().items()})
        return scripted[len(seen) - 1]

    monkeypatch.setattr(training, "_loss_on", scripted_loss)

    result = train_autoencoder(waves(), settings(epochs=8, patience=3))

    assert [epoch.validation_loss for epoch in result.epochs] == [5.0, 4.0, 3.0, 3.5, 3.1, 3.0]
    assert (result.best_epoch, result.validation_loss) == (2, 3.0)
    given = weights_of(result)
    assert all(np.array_equal(given[name], seen[2][name]) for name in given)
    assert not all(np.array_equal(given[name], seen[5][name]) for name in given)


def test_without_a_reason_to_stop_it_trains_all_epochs(monkeypatch):
    losses = iter([5.0, 4.0, 4.5, 4.4, 3.0])  # two worse ones in a row, patience three
    monkeypatch.setattr(training, "_loss_on", lambda *args: next(losses))

    result = train_autoencoder(waves(), settings(epochs=5, patience=3))

    assert (len(result.epochs), result.best_epoch) == (5, 4)


def test_the_validation_loss_is_the_mean_loss_of_the_given_network_on_the_newest_windows():
    steps = waves()
    result = train_autoencoder(steps, SETTINGS)

    # the newest quarter of 200 steps starts at 150, its first whole window ends at 157
    windows = torch.from_numpy(
        np.stack([steps[end - 7 : end + 1, row] for end in range(157, 200) for row in (0, 1)])
    )
    with torch.inference_mode():
        loss = masked_huber(result.network(windows), windows, torch.ones_like(windows)).item()
    assert result.validation_loss == pytest.approx(loss, rel=1e-4)


def test_on_epoch_is_called_with_each_epoch_when_it_ends():
    epochs = []

    result = train_autoencoder(waves(), SETTINGS, on_epoch=epochs.append)

    assert epochs == result.epochs
    assert [epoch.number for epoch in epochs] == [0, 1, 2]


def test_gaps_do_not_spoil_the_loss():
    steps = waves()
    steps[np.random.default_rng(5).random(steps.shape) < 0.2] = np.nan

    result = train_autoencoder(steps, SETTINGS)

    assert np.isfinite([(epoch.loss, epoch.validation_loss) for epoch in result.epochs]).all()
    assert result.epochs[-1].loss < result.epochs[0].loss


def test_what_fills_a_gap_is_not_learned():
    steps = waves()
    steps[:, :, 1] = np.nan  # filled with zeros, which a loss without a mask would pull the output to

    bias = train_autoencoder(steps, SETTINGS).network.output.bias

    assert bias[1] == 0
    assert bias[0] != 0


def test_truncation_reaches_the_training_and_one_as_long_as_the_window_is_none():
    whole = train_autoencoder(waves(), settings(epochs=1))

    assert not same_weights(whole, train_autoencoder(waves(), settings(epochs=1, tbptt_steps=3)))
    assert same_weights(whole, train_autoencoder(waves(), settings(epochs=1, tbptt_steps=W)))
    assert same_weights(whole, train_autoencoder(waves(), settings(epochs=1, tbptt_steps=100)))


def test_the_network_is_handed_over_ready_to_score():
    result = train_autoencoder(waves(), settings(epochs=1))

    assert not result.network.training
    assert {weight.device.type for weight in result.network.parameters()} == {"cpu"}
    assert result.n_windows == 2 * (150 - 7)  # of two entities, those that end before step 150


@pytest.mark.parametrize("seed", range(5))
def test_no_step_of_an_entity_is_in_both_training_and_validation(seed):
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(120, 4, 2)).astype(np.float32)
    steps[rng.random((120, 4)) < 0.1] = np.nan
    steps[:50, 3] = np.nan
    held_out_from = rng.integers(40, 110, 4)

    older, newer = split_by_time(index_windows(steps, W), held_out_from, W)

    assert len(older) > 0
    assert len(newer) > 0
    for row in range(4):
        trained = {step for end in older.end[older.row == row] for step in range(end - W + 1, end + 1)}
        validated = {step for end in newer.end[newer.row == row] for step in range(end - W + 1, end + 1)}
        assert max(trained, default=-1) < held_out_from[row] <= min(validated, default=10**9)


def test_no_window_is_lost_but_those_across_the_border():
    index = WindowIndex(np.arange(9, 100), np.zeros(91, np.int64))  # 100 steps, windows of ten

    older, newer = split_by_time(index, np.array([75]), 10)

    assert (older.end.min(), older.end.max(), len(older)) == (9, 74, 66)
    assert (newer.end.min(), newer.end.max(), len(newer)) == (84, 99, 16)


def test_each_entity_keeps_the_newest_share_of_its_own_span():
    steps = np.zeros((100, 3, 2), np.float32)
    steps[:60, 1] = np.nan  # began at step 60: a quarter of 40 steps is 10
    steps[:99, 2] = np.nan

    assert first_held_out(steps, 0.25).tolist() == [75, 90, 99]


def test_too_little_data_says_what_there_is_and_what_is_needed():
    # 40 steps: training windows end at steps 7 to 29, validation ones at 37 to 39
    message = r"on 23 windows and validate on 3: it needs 64 and 1\. Give a longer history \(40 steps here\)"
    with pytest.raises(TrainingError, match=message):
        train_autoencoder(waves(40, n=1), SETTINGS)


def test_a_history_without_a_whole_validation_window_is_refused():
    with pytest.raises(TrainingError, match="validate on 0"):
        train_autoencoder(waves(100), settings(validation_share=0.05))


def test_cuda_that_is_not_there_stops_the_training_before_it_starts(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(TrainingError, match="no usable GPU"):
        train_autoencoder(waves(), settings(device="cuda"))


def test_the_updates_of_an_epoch_are_no_more_than_its_windows_fill(monkeypatch):
    updates = []
    plain_step = torch.optim.Adam.step

    def counted_step(self, *args, **kwargs):
        updates.append(1)
        return plain_step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", counted_step)

    train_autoencoder(waves(), settings(epochs=1, windows_per_epoch=100, batch_size=64))
    assert len(updates) == 2
    train_autoencoder(waves(), settings(epochs=1, windows_per_epoch=10_000, batch_size=64))
    assert len(updates) == 2 + 5  # all 286 windows


FORECAST = {"head": "joint", "horizon": 4}


def forecast_loss(network, steps, ends, until):
    """The summed Huber loss of forecasts of 4 steps before `until`, behind windows that end at `ends`."""
    total = 0.0
    for end in ends:
        windows = torch.from_numpy(np.ascontiguousarray(steps[end - 7 : end + 1].swapaxes(0, 1)))
        with torch.inference_mode():
            ahead = network.forecast(windows).numpy()
        n_ahead = min(4, until - end - 1)
        error = np.abs(steps[end + 1 : end + 1 + n_ahead].swapaxes(0, 1) - ahead[:, :n_ahead])
        total += np.where(error < 1, error**2 / 2, error - 0.5).sum()
    return total


def test_the_validation_loss_of_a_joint_training_is_the_sum_of_both_losses():
    steps = waves()
    result = train_autoencoder(steps, settings(**FORECAST))

    windows = torch.from_numpy(
        np.stack([steps[end - 7 : end + 1, row] for end in range(157, 200) for row in (0, 1)])
    )
    with torch.inference_mode():
        loss = masked_huber(result.network(windows), windows, torch.ones_like(windows)).item()
    n_cells = sum(4 * min(4, 199 - end) for end in range(157, 200))  # two entities of two channels
    ahead = forecast_loss(result.network, steps, range(157, 200), 200) / n_cells
    assert result.validation_loss == pytest.approx(loss + ahead, rel=1e-4)


def test_no_training_sees_a_held_out_step_as_the_future_of_its_windows():
    steps = waves()
    other = steps.copy()
    other[150:] += 5.0  # the newest quarter

    first, second = (
        train_autoencoder(values, settings(**FORECAST, epochs=1, patience=1)) for values in (steps, other)
    )

    assert same_weights(first, second)


@pytest.mark.parametrize("head", ["forecast", "joint"])
def test_a_forecast_head_learns_to_predict_better_than_that_nothing_changes(head):
    steps = waves(400)
    result = train_autoencoder(steps, settings(head=head, horizon=4))
    untrained = Autoencoder(2, **settings(head=head, horizon=4).network_options()).eval()

    ends = range(320, 390)
    assert forecast_loss(result.network, steps, ends, 400) < 0.2 * forecast_loss(untrained, steps, ends, 400)


def test_a_training_without_a_forecast_head_is_the_same_whatever_the_horizon():
    first, second = (train_autoencoder(waves(), settings(horizon=horizon)) for horizon in (4, 12))

    assert same_weights(first, second)
    assert not first.network.horizon
