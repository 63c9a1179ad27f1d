import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.network import Autoencoder
from models.raw_scores import ErrorScale, RowErrorScales, fit_error_scale, raw_score_windows

torch.set_num_threads(1)  # threads of networks this small wait for each other longer than they work

W = 8


class Says(torch.nn.Module):
    """Answers every window with the same reconstruction; 0 makes the error the window itself."""

    def __init__(self, *values):
        super().__init__()
        self.values = torch.tensor(values)

    def forward(self, windows):
        return self.values.expand_as(windows).clone()


def window(*channels):
    """One window of shape (1, W, C), a text for each channel, `_` for a gap."""
    columns = [[np.nan if word == "_" else float(word) for word in text.split()] for text in channels]
    return np.array(columns, np.float32).T[None]


def scale_of(*channels, mean=(), precision=()):
    unit = np.array(channels, float)
    size = len(mean)
    return ErrorScale(unit, unit, np.array(mean, float), np.array(precision, float).reshape(size, size))


def constant_errors(per_window):
    """Error windows (B, W, C) whose every cell is the given error of that window and channel."""
    return np.repeat(np.asarray(per_window, np.float32)[:, None, :], W, axis=1)


def test_an_entitys_own_scale_counts_where_it_is_known():
    scales = RowErrorScales(2, channels=2)
    scales.window[1], scales.tail[1], scales.pca[1] = [2.0, 4.0], [3.0, np.nan], [5.0, 6.0]

    seen = scales.network(np.array([1, 0, 1]), scale_of(10, 20))

    assert seen.window.tolist() == [[2, 4], [10, 20], [2, 4]]
    assert seen.tail.tolist() == [[3, 20], [10, 20], [3, 20]]
    assert scales.pca_scale(np.array([0, 1]), np.array([10.0, 20.0])).tolist() == [[10, 20], [5, 6]]


def test_windows_are_measured_by_scales_of_their_own():
    windows = np.concatenate([window("3 " * W), window("3 " * W)])
    scale = scale_of(1)
    own = replace(scale, window=np.array([[1.0], [6.0]]), tail=np.array([[3.0], [1.5]]))

    seen = raw_score_windows(Says(0.0), windows, own)

    assert seen.raw_scores.tolist() == [[3, 1], [0.5, 2]]


def test_the_raw_score_of_the_window_is_the_root_mean_square_over_channels_of_each_channels_own():
    windows = window("3 3 3 3 3 3 3 3", "4 -4 4 -4 4 -4 4 -4")

    seen = raw_score_windows(Says(0.0), windows, scale_of(1, 1))

    assert seen.channel_error[0].tolist() == pytest.approx([3, 4])
    assert seen.raw_scores[0].tolist() == pytest.approx([math.sqrt((9 + 16) / 2)] * 2)


def test_the_raw_score_of_the_tail_sees_the_newest_four_steps_only():
    windows = window("9 9 9 9 1 1 1 1")

    seen = raw_score_windows(Says(0.0), windows, scale_of(1, mean=np.zeros(W), precision=np.eye(W)))

    assert seen.raw_scores[0, 0] == pytest.approx(math.sqrt((4 * 81 + 4 * 1) / 8))
    assert seen.raw_scores[0, 1] == pytest.approx(1.0)


def test_an_error_is_measured_against_its_channels_own_scale():
    seen = raw_score_windows(Says(0.0), window("2 " * W, "2 " * W), scale_of(1, 4))

    assert seen.channel_error[0].tolist() == pytest.approx([2, 0.5])


def test_the_error_is_the_distance_from_the_reconstruction_and_its_newest_step_is_what_was_expected():
    seen = raw_score_windows(Says(1.0, -1.0), window("3 " * W, "3 " * W), scale_of(1, 1))

    assert seen.channel_error[0].tolist() == pytest.approx([2, 4])
    assert seen.expected[0].tolist() == [1, -1]


def test_what_was_expected_is_the_newest_step_of_the_reconstruction():
    torch.manual_seed(0)
    network = Autoencoder(2, hidden=8, latent=4).eval()
    windows = np.random.default_rng(0).normal(size=(5, W, 2)).astype(np.float32)

    seen = raw_score_windows(network, windows, scale_of(1, 1))

    with torch.inference_mode():
        reconstruction = network(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(seen.expected, reconstruction[:, W - 1], atol=1e-6)


def test_cells_that_were_not_measured_have_no_error():
    seen = raw_score_windows(Says(0.0), window("3 _ 3 _ 3 3 _ 3", "4 4 _ 4 4 4 4 _"), scale_of(1, 1))

    assert seen.channel_error[0].tolist() == pytest.approx([3, 4])
    assert seen.raw_scores[0, 0] == pytest.approx(math.sqrt((9 + 16) / 2))


def test_a_channel_that_was_not_measured_at_all_does_not_dilute_the_others():
    seen = raw_score_windows(Says(0.0), window("3 " * W, "_ " * W), scale_of(1, 1))

    assert seen.channel_error[0].tolist() == pytest.approx([3, 0])
    assert seen.raw_scores[0].tolist() == pytest.approx([3, 3])


def test_one_broken_channel_is_capped_at_twenty_of_its_scale():
    seen = raw_score_windows(Says(0.0), window("1000000 " * W, "0 " * W), scale_of(1, 1))

    assert seen.channel_error[0].tolist() == [20, 0]
    assert seen.raw_scores[0].tolist() == pytest.approx([20 / math.sqrt(2)] * 2)


def test_the_error_scale_is_the_high_error_of_normal_windows():
    scale = fit_error_scale(constant_errors([[k, 2 * k] for k in range(101)]))  # 99 % of 0..100 is 99

    assert scale.window.tolist() == pytest.approx([99, 198])
    assert scale.tail.tolist() == pytest.approx([99, 198])


def test_the_tail_is_scaled_by_the_error_of_its_own_steps():
    errors = constant_errors([[1.0, 1.0]] * 10)
    errors[:, -4:] = 3.0

    scale = fit_error_scale(errors)

    assert scale.tail.tolist() == pytest.approx([3, 3])
    assert scale.window.tolist() == pytest.approx([math.sqrt((1 + 9) / 2)] * 2)


def test_a_channel_that_was_silent_in_training_does_not_dominate():
    scale = fit_error_scale(constant_errors([[8.0, 8.0, 0.0]] * 50))

    assert scale.window.tolist() == pytest.approx([8, 8, 4])  # half the median channel's instead of nothing
    seen = raw_score_windows(Says(0.0), window("8 " * W, "8 " * W, "0.4 " * W), scale)
    assert seen.channel_error[0].tolist() == pytest.approx([1, 1, 0.1])


def test_a_channel_that_was_never_measured_gets_the_floor_of_the_others():
    scale = fit_error_scale(constant_errors([[6.0, np.nan, 8.0]] * 50))

    assert scale.window.tolist() == pytest.approx([6, 3.5, 8])  # half of the median of 6 and 8


def test_a_perfect_reconstruction_leaves_a_scale_that_can_be_divided_by():
    scale = fit_error_scale(constant_errors([[0.0, 0.0]] * 10))

    assert (scale.window > 0).all()
    assert (scale.tail > 0).all()


def test_one_channel_has_a_third_raw_score_and_several_have_two():
    univariate = fit_error_scale(np.random.default_rng(0).normal(size=(50, W, 1)).astype(np.float32))
    two = fit_error_scale(np.random.default_rng(0).normal(size=(50, W, 2)).astype(np.float32))

    assert raw_score_windows(Says(0.0), window("0 " * W), univariate).raw_scores.shape == (1, 3)
    assert raw_score_windows(Says(0.0), window("0 " * W, "0 " * W), two).raw_scores.shape == (1, 2)


def test_the_third_raw_score_weighs_an_error_by_how_the_errors_of_normal_windows_vary():
    # Windows of two steps with errors (+-3, 0) and (0, +-1): covariance diag(18/3, 2/3), and a
    # tenth of its mean variance, 1/3, added: diag(19/3, 1).
    scale = fit_error_scale(np.array([[3, 0], [-3, 0], [0, 1], [0, -1]], np.float32)[:, :, None])

    usual, unusual = (
        raw_score_windows(Says(0.0), np.array([error], np.float32)[:, :, None], scale).raw_scores[0, 2]
        for error in ([1, 0], [0, 1])
    )

    assert usual == pytest.approx(math.sqrt((3 / 19) / 2))
    assert unusual == pytest.approx(math.sqrt(1 / 2))


def test_a_gap_adds_nothing_to_the_third_raw_score():
    scale = scale_of(1, mean=[0.5] * W, precision=np.eye(W))

    seen = raw_score_windows(Says(0.0), window("_ _ _ _ 2.5 2.5 2.5 2.5"), scale)

    assert seen.raw_scores[0, 2] == pytest.approx(math.sqrt(4 * 2.0**2 / W))


def test_windows_scored_together_score_as_each_does_alone():
    torch.manual_seed(0)
    network = Autoencoder(2, hidden=8, latent=4).eval()
    windows = np.random.default_rng(1).normal(size=(600, W, 2)).astype(np.float32)  # more than one block
    windows[::7, 2:4, 1] = np.nan
    scale = scale_of(0.5, 2.0)

    together = raw_score_windows(network, windows, scale)

    for index in (0, 7, 511, 512, 599):
        alone = raw_score_windows(network, windows[index : index + 1], scale)
        np.testing.assert_allclose(together.raw_scores[index], alone.raw_scores[0], atol=1e-5)
        np.testing.assert_allclose(together.channel_error[index], alone.channel_error[0], atol=1e-5)
        np.testing.assert_allclose(together.expected[index], alone.expected[0], atol=1e-5)


@pytest.mark.parametrize("n_windows", [1, 2, 3, 5, 64])
def test_a_window_scores_the_same_to_the_bit_whatever_it_is_scored_with(n_windows):
    # An alert is replayed from its window alone, or with other entities than were there.
    torch.manual_seed(0)
    network = Autoencoder(2, hidden=32, latent=8).eval()
    windows = np.random.default_rng(3).normal(size=(200, W, 2)).astype(np.float32)
    scale = scale_of(0.5, 2.0)
    together = raw_score_windows(network, windows, scale)

    for start in range(0, 128, n_windows):
        part = slice(start, start + n_windows)
        np.testing.assert_array_equal(
            raw_score_windows(network, windows[part], scale).raw_scores, together.raw_scores[part]
        )


def test_no_windows_give_no_raw_scores():
    seen = raw_score_windows(Says(0.0), np.empty((0, W, 2), np.float32), scale_of(1, 1))

    assert seen.raw_scores.shape == (0, 2)
    assert seen.channel_error.shape == seen.expected.shape == (0, 2)
