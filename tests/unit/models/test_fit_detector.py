import dataclasses

import numpy as np
import pytest
import torch

from models.dataset import windows_of
from models.errors import TrainingError
from models.fit_detector import fit_detector
from models.forecast import rolling_forecast
from models.raw_scores import error_windows
from models.settings import ModelSettings

torch.set_num_threads(1)  # threads of networks this small wait for each other longer than they work

W = 12
SETTINGS = ModelSettings(
    window_length=W,
    hidden=8,
    latent=4,
    epochs=5,
    windows_per_epoch=512,
    batch_size=32,
    learning_rate=2e-2,
    memory_windows=16,
    device="cpu",
    seed=1,
)
N_STEPS = 500


def metrics(n_steps, *, start=0, n=2, n_channels=3, seed=0):
    """Noisy waves of n entities, each channel on its own level and of its own size; shape (T, n, C)."""
    t = np.arange(start, start + n_steps)[:, None, None]
    phase = np.arange(n)[:, None] + 2.0 * np.arange(n_channels)[None, :]
    size = 10.0 ** np.arange(n_channels)
    noise = np.random.default_rng(seed).normal(0, 0.1, (n_steps, n, n_channels))
    return size * (5 + np.sin(2 * np.pi * t / 40 + phase) + noise)


def fit(history, **changes):
    return fit_detector(
        history,
        dataclasses.replace(SETTINGS, **changes),
        resolution=np.full(history.shape[2], 0.01),
        step_seconds=60.0,
        block_steps=20,
    )


def live(detector, values):
    """Judge and learn values (T, n, C) step by step, as serving does; surprise (T - W + 1, n)."""
    scaled = detector.scaling.apply(values)
    block, windows = detector.raw_score_block(scaled), windows_of(scaled, W)
    surprise = np.full(windows.shape[:2], np.nan)
    for t in range(len(windows)):
        here = np.flatnonzero(block.index.end == t + W - 1)
        rows = block.index.row[here]
        raw_scores = detector.complete_raw_scores(rows, block.raw_scores[here], windows[t, rows])
        surprise[t, rows] = detector.surprise(rows, raw_scores)
        detector.learn(rows, raw_scores, windows[t, rows], surprise[t, rows], np.ones(len(rows), bool))
    return surprise


@pytest.fixture(scope="module")
def fitted():
    return fit(metrics(N_STEPS))


def test_the_network_explains_part_of_what_it_has_not_seen(fitted):
    assert 0.2 < fitted.explained_ratio < 1
    assert len(fitted.training.epochs) <= SETTINGS.epochs


def test_every_entity_is_calibrated(fitted):
    detector = fitted.detector

    assert detector.calibrated.tolist() == [True, True]
    assert np.isfinite(detector.tails.threshold).all()
    # The newest quarter starts at 375; 114 windows lie wholly in it: five blocks of twenty, for two entities.
    assert detector.peaks.n_blocks == 10
    np.testing.assert_allclose(detector.scaling.centre, np.median(metrics(N_STEPS), axis=0))


def test_several_channels_have_a_pca_and_one_has_none(fitted):
    assert fitted.detector.trained.pca is not None

    assert fit(metrics(200, n_channels=1), epochs=1).detector.trained.pca is None


@pytest.mark.parametrize("n_channels", [1, 3])
def test_a_level_shift_is_far_more_surprising_than_any_normal_window(n_channels):
    size = 10.0 ** (n_channels - 1)
    detector = fit(metrics(N_STEPS, n_channels=n_channels)).detector
    later = metrics(W - 1 + 60, start=N_STEPS, n_channels=n_channels, seed=1)
    later[-10:, 0, -1] += 5 * size  # five times a wave's height, on one channel of the first entity

    surprise = live(detector, later)

    normal = np.concatenate([surprise[:50, 0], surprise[:, 1]])
    assert np.median(normal) < 1
    # From the fifth shifted step on: slower than a glance, faster than a window.
    assert surprise[55:, 0].min() > 2 * normal.max()
    assert surprise[55:, 0].min() > 5


def test_the_explained_ratio_compares_errors_and_deviations_of_the_same_cells():
    history = metrics(300)
    history[np.random.default_rng(2).random(history.shape) < 0.3] = np.nan

    fitted = fit(history, epochs=3)

    # A second way: window by window, over the cells that were measured. The newest quarter starts at 225.
    scaled = fitted.detector.scaling.apply(history)
    errors = deviations = 0.0
    for end in range(225 + W - 1, 300):
        for row in (0, 1):
            window = scaled[end - W + 1 : end + 1, row]
            if np.isnan(window[-1]).all() or np.isnan(window).mean() > 0.5:
                continue
            error, _ = error_windows(fitted.training.network, window[None])
            errors += np.nansum(error.astype(np.float64) ** 2)
            deviations += np.nansum(window.astype(np.float64) ** 2)
    assert fitted.explained_ratio == pytest.approx(1 - errors / deviations, abs=1e-3)


def test_the_same_history_and_seed_give_the_same_detector_to_the_bit():
    first, second = fit(metrics(200), epochs=1), fit(metrics(200), epochs=1)

    assert first.explained_ratio == second.explained_ratio
    for name, array in first.detector.state().items():
        np.testing.assert_array_equal(array, second.detector.state()[name], err_msg=name)


def test_on_epoch_is_called_with_each_epoch():
    epochs = []

    fitted = fit_detector(
        metrics(200),
        SETTINGS,
        resolution=np.full(3, 0.01),
        step_seconds=60.0,
        block_steps=20,
        on_epoch=epochs.append,
    )

    assert epochs == fitted.training.epochs


def test_an_entity_that_came_late_is_calibrated_from_its_own_span():
    history = metrics(N_STEPS)
    history[:300, 1] = np.nan

    detector = fit(history, epochs=1).detector

    assert detector.calibrated.tolist() == [True, True]
    assert np.isfinite(detector.tails.threshold).all()


def test_an_entity_of_which_nothing_was_seen_is_not_called_calibrated():
    history = metrics(200, n=3)
    history[:, 2] = np.nan

    assert fit(history, epochs=1).detector.calibrated.tolist() == [True, True, False]


def test_an_entity_that_was_seen_for_less_than_a_window_and_100_steps_is_not_called_calibrated():
    # Of 60 steps 15 are held out: four windows, which say nothing of a tail.
    history = metrics(200, n=3)
    history[:140, 2] = np.nan

    assert fit(history, epochs=1).detector.calibrated.tolist() == [True, True, False]


def test_a_history_that_is_too_short_says_how_much_it_needs():
    # two windows of twelve, and 100
    with pytest.raises(TrainingError, match="has 123 steps of 60 s; it needs 124"):
        fit(metrics(123))


def test_a_history_that_is_just_long_enough_is_fitted():
    assert fit(metrics(124), epochs=1).detector.calibrated.all()


def test_a_channels_error_is_one_where_held_out_windows_of_its_entity_have_their_highest(fitted):
    held_out = fitted.detector.scaling.apply(metrics(N_STEPS)[375:])  # the newest quarter

    block = fitted.detector.raw_score_block(held_out)

    for row in range(held_out.shape[1]):
        of_row = block.channel_error[block.index.row == row]
        assert np.quantile(of_row, 0.99, axis=0).tolist() == pytest.approx([1, 1, 1], rel=1e-3)


def test_a_forecast_head_gets_a_band_that_holds_nine_of_ten_later_values():
    values = metrics(2 * N_STEPS)
    made = fit(values[:N_STEPS], head="joint", horizon=5)
    detector = made.detector

    ahead = rolling_forecast(
        detector.trained.network,
        detector.trained.forecast_band,
        values[N_STEPS:],
        detector.scaling,
        window_length=W,
    )

    predicted = ~np.isnan(ahead.expected)
    inside = (values[N_STEPS:] >= ahead.low) & (values[N_STEPS:] <= ahead.high)
    assert detector.trained.forecast_band.low.shape == (5, 3)
    assert 0.8 < inside[predicted].mean() < 0.97


def test_without_a_forecast_head_there_is_no_band():
    assert fit(metrics(N_STEPS)).detector.trained.forecast_band is None
