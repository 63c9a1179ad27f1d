import numpy as np
import pytest
import torch

from models.baselines import WindowPca
from models.network import Autoencoder
from models.raw_scores import RowErrorScales, error_windows, fit_error_scale
from models.trained import Trained, fit_row_error_scales, min_thresholds, raw_score_weights

torch.set_num_threads(1)  # threads of networks this small wait for each other longer than they work

W = 12


def trained(n_channels):
    torch.manual_seed(0)
    network = Autoencoder(n_channels, hidden=8, latent=4).eval()
    windows = np.random.default_rng(0).normal(size=(300, W, n_channels)).astype(np.float32)
    errors, _ = error_windows(network, windows)
    return Trained(
        network, fit_error_scale(errors), WindowPca.fit(windows, windows) if n_channels > 1 else None
    )


def steps(n_steps):
    """Scaled steps (T, 1, 2) of one entity."""
    return np.random.default_rng(1).normal(size=(n_steps, 1, 2)).astype(np.float32)


@pytest.mark.parametrize(("n_steps", "is_known"), [(W + 98, False), (W + 99, True)])
def test_a_hundred_windows_are_enough_for_a_scale_of_ones_own(n_steps, is_known):
    scales = RowErrorScales(3, channels=2)

    fit_row_error_scales(scales, 1, steps(n_steps), trained(2), W)

    for scale in (scales.window, scales.tail, scales.pca):
        assert np.isfinite(scale[1]).tolist() == [is_known, is_known]
        assert np.isnan(scale[[0, 2]]).all()


def test_twice_the_errors_are_twice_the_scale():
    both, model = RowErrorScales(2, channels=2), trained(2)
    model.pca.mean[:] = 0.0  # then the distance of twice a window is twice its distance

    fit_row_error_scales(both, 0, steps(300), model, W)
    fit_row_error_scales(both, 1, 2 * steps(300), model, W)

    assert both.pca[1] == pytest.approx(2 * both.pca[0], rel=1e-6)


@pytest.mark.parametrize("of", [None, trained(1), trained(2)])
def test_each_raw_score_has_a_weight_and_a_least_threshold(of):
    weights = raw_score_weights(of)

    assert weights.sum() == pytest.approx(1)
    assert (weights > 0).all()
    assert min_thresholds(of).shape == weights.shape
