from __future__ import annotations

import numpy as np
import pytest
import torch

from models.network import Autoencoder, gradient_norms_per_step

N_STEPS = 100


def windows(seed=0):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(0, 0.3, (16, N_STEPS, 1)), axis=1).astype(np.float32)


def network(cell, scale=1.0):
    torch.manual_seed(0)
    made = Autoencoder(1, hidden=16, latent=4, cell=cell)
    with torch.no_grad():
        made.encoder.weight_hh_l0 *= scale
    return made


def test_the_report_equals_finite_differences():
    few = windows()[:2, :5]
    made = network("lstm").double()
    norms = gradient_norms_per_step(made.float(), few)

    shift, per_step = 1e-2, np.zeros((2, 5))
    with torch.no_grad():
        for step in range(5):
            for row in range(2):
                losses = []
                for sign in (1, -1):
                    moved = torch.from_numpy(few).clone()
                    moved[row, step, 0] += sign * shift
                    losses.append(torch.nn.functional.huber_loss(made(moved), torch.from_numpy(few)).item())
                per_step[row, step] = (losses[0] - losses[1]) / (2 * shift)

    np.testing.assert_allclose(norms, np.sqrt((per_step**2).mean(axis=0)), rtol=0.05, atol=1e-6)


def test_gradients_of_a_plain_cell_vanish_orders_of_magnitude_faster_than_an_lstm_s():
    fall = {}
    for cell in ("lstm", "rnn"):
        norms = gradient_norms_per_step(network(cell), windows())
        fall[cell] = norms[-1] / norms[0]

    assert fall["rnn"] > 1e2 * fall["lstm"]  # both as they are initialised: 4900 against 31


def test_no_gradient_reaches_back_behind_the_truncation():
    norms = gradient_norms_per_step(network("lstm"), windows(), tbptt_steps=20)

    assert (norms[:-20] == 0).all()
    assert (norms[-20:] > 0).all()


def test_clipping_holds_a_gradient_that_explodes():
    exploding = network("rnn", scale=3.0)
    data = torch.from_numpy(windows() * 0.01)

    loss = torch.nn.functional.huber_loss(exploding(data), torch.ones_like(data) * 1e4, delta=1e9)
    loss.backward()
    before = torch.nn.utils.clip_grad_norm_(exploding.parameters(), 1.0)
    after = torch.sqrt(sum(parameter.grad.square().sum() for parameter in exploding.parameters()))

    assert before > 1e3
    assert after == pytest.approx(1.0, rel=1e-3)
