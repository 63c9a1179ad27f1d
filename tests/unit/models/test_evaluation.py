"""What two models are compared by; a made-up network gives errors that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.detector import Detector
from models.evaluation import FAULT_KINDS, blocks_over_limit, calibrated_error, inject_faults, poisson_bound
from models.network import Autoencoder
from models.raw_scores import ErrorScale
from models.settings import ModelSettings
from models.trained import Trained

torch.set_num_threads(1)

W = 4
NAN = np.nan


class Saying(Autoencoder):
    """Rebuilds every window as the same number."""

    def __init__(self, n_channels, number):
        super().__init__(n_channels, hidden=2, latent=2)
        self.number = number

    def forward(self, windows, *, tbptt_steps=0):
        return torch.full_like(windows, self.number)


def detector(*, n_channels=1, n_rows=1, says=0.0, centre=0.0, scale=1.0):
    error_scale = ErrorScale(np.ones(n_channels), np.ones(n_channels), np.empty(0), np.empty((0, 0)))
    first = Detector(
        ModelSettings(window_length=W, hidden=2, latent=2, memory_windows=2, device="cpu"),
        n_rows=n_rows,
        resolution=np.ones(n_channels),
        step_seconds=1.0,
        block_steps=5,
        trained=Trained(Saying(n_channels, says).eval(), error_scale, None),
    )
    first.scaling.centre[:], first.scaling.scale[:] = centre, scale
    return first


def series(*values, n_channels=1):
    return np.array(values, float).reshape(-1, 1, n_channels)


ROW = np.array([0])
ONES = np.ones((1, 1))


# Calibrated error


def test_an_error_is_in_the_channels_own_unit_over_the_divisor():
    # The network says 0, which means the centre, 10: each step is off by 6. Over a divisor of 3 that is 2.
    error = calibrated_error(detector(centre=10.0, scale=4.0), series(*[16.0] * 9), ROW, 3 * ONES)

    assert error == pytest.approx(2.0, rel=1e-6)


def test_a_longer_scale_of_its_own_makes_no_model_look_better():
    values = series(*[16.0] * 9)

    errors = [
        calibrated_error(detector(centre=10.0, scale=scale), values, ROW, ONES) for scale in (1.0, 4.0, 100.0)
    ]

    assert errors == pytest.approx([6.0] * 3, rel=1e-5)


def test_a_cell_that_scaling_clips_counts_with_its_whole_distance():
    # Scaled by 1 it is clipped at 10; its distance from what the network says is 15 all the same.
    assert calibrated_error(detector(), series(*[15.0] * 9), ROW, ONES) == pytest.approx(15.0, rel=1e-6)


def test_an_error_is_capped_as_in_raw_scores():
    assert calibrated_error(detector(), series(*[1e6] * 9), ROW, ONES) == 20.0


def test_gaps_count_nothing():
    whole = calibrated_error(detector(), series(*[3.0] * 12), ROW, ONES)

    assert calibrated_error(
        detector(), series(3, 3, NAN, 3, 3, 3, NAN, 3, 3, 3, 3, 3), ROW, ONES
    ) == pytest.approx(whole)
    assert math.isnan(calibrated_error(detector(), series(*[NAN] * 9), ROW, ONES))


def test_channels_without_a_divisor_are_left_out():
    values = np.tile([9.0, 1.0], (9, 1)).reshape(9, 1, 2)
    divisor = np.array([[NAN, 1.0]])

    assert calibrated_error(detector(n_channels=2), values, ROW, divisor) == pytest.approx(1.0, rel=1e-6)


def test_only_the_compared_rows_count():
    values = np.tile([1.0, 9.0], (9, 1)).reshape(9, 2, 1)

    assert calibrated_error(detector(n_rows=2), values, np.array([1]), np.ones((2, 1))) == pytest.approx(
        9.0, rel=1e-6
    )


def test_a_network_that_gives_no_numbers_has_an_infinite_error():
    assert calibrated_error(detector(says=math.nan), series(*[1.0] * 9), ROW, ONES) == math.inf


# Blocks over the limit


def test_a_block_counts_once_however_many_of_its_steps_are_over():
    score = np.array([[0.1, 2.0, 3.0, 0.1, 0.1, 0.1, 1.0, 0.9, 0.9]]).T

    assert blocks_over_limit(score, 3) == (2, 3)


def test_blocks_end_at_the_last_step_and_belong_to_one_entity():
    score = np.array(
        [[5.0, 0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1, 1.5]]
    ).T  # the first step is in no whole block

    assert blocks_over_limit(score, 2) == (1, 4)


def test_blocks_that_were_not_judged_do_not_count():
    assert blocks_over_limit(np.array([[NAN, NAN, NAN, 2.0]]).T, 2) == (1, 1)
    assert blocks_over_limit(np.full((1, 1), 2.0), 2) == (0, 0)


# What chance allows


@pytest.mark.parametrize(
    ("expected", "bound"),
    # From tables of the Poisson distribution: the smallest k with P(X <= k) >= 0.999.
    [(0.0, 0), (0.0009, 0), (0.01, 1), (0.1, 2), (1.0, 5), (5.0, 13), (10.0, 21)],
)
def test_the_bound_is_what_a_poisson_count_stays_at_in_999_of_1000_cases(expected, bound):
    assert poisson_bound(expected) == bound


def test_the_bound_of_many_is_that_of_a_normal_distribution():
    assert poisson_bound(10_000.0) == 10_309
    assert abs(poisson_bound(500.0) - poisson_bound(500.001)) <= 2


# Faults


def injected(values, *, n_each=30, fault_steps=6, rows=None, seed=0):
    rows = np.arange(values.shape[1]) if rows is None else rows
    scale = np.full(values.shape[1:], 2.0)
    return inject_faults(
        values, rows, scale, window_length=W, fault_steps=fault_steps, n_each=n_each, seed=seed
    )


def noise(n_steps=200, n=1, n_channels=8, *, seed=1):
    return np.random.default_rng(seed).normal(size=(n_steps, n, n_channels))


def changes(faults, values, kind):
    """Give what each fault of a kind adds, (steps, K, C), to the stretch that it was laid over."""
    out = []
    for number in np.flatnonzero(faults.kind == FAULT_KINDS.index(kind)):
        before = faults.values[W : 2 * W, number]
        starts = [
            start
            for start in range(len(values) - W)
            if np.array_equal(values[start : start + W, faults.row[number]], before)
        ]
        assert len(starts) == 1
        original = values[starts[0] : starts[0] + len(faults.values) - W, faults.row[number]]
        out.append(faults.values[W:, number] - original)
    return np.array(out)


def test_a_stretch_begins_with_a_window_of_nothing_and_one_as_it_was():
    values = noise()

    faults = injected(values)

    assert faults.values.shape == (W + W + 6, 150, 8)
    assert faults.first == 2 * W
    assert np.isnan(faults.values[:W]).all()
    assert (changes(faults, values, "level")[:, :W] == 0).all()


@pytest.mark.parametrize("kind", ["spike", "level", "drift"])
def test_faults_move_a_quarter_of_the_channels_by_3_6_or_12_deviations(kind):
    values = noise()

    moved = changes(injected(values), values, kind)

    peaks = np.abs(moved).max(axis=1)  # (K, C)
    assert ((peaks > 1e-9).sum(axis=1) == 2).all()
    assert sorted(set(np.round(peaks[peaks > 1e-9] / 2.0, 6))) == [3, 6, 12]
    assert {-1.0, 1.0} == set(np.sign(moved[np.abs(moved) > 1e-9]))


def test_a_spike_is_over_after_two_steps_a_level_stays_and_a_drift_grows():
    values = noise()
    faults = injected(values)

    spike, level, drift = (
        np.abs(changes(faults, values, kind)).max(axis=2)[:, W:] for kind in ("spike", "level", "drift")
    )

    assert (spike[:, 2:] == 0).all()
    np.testing.assert_allclose(level, level[:, :1].repeat(6, axis=1))
    np.testing.assert_allclose(
        drift / drift[:, -1:], np.tile(np.linspace(0, 1, 6), (len(drift), 1)), atol=1e-9
    )


def test_a_flat_line_holds_the_last_value():
    values = noise()
    faults = injected(values)

    of_kind = faults.values[:, faults.kind == FAULT_KINDS.index("flat")]

    held = (of_kind[2 * W :] == of_kind[2 * W - 1]).all(axis=0)
    assert (held.sum(axis=1) == 2).all()


def test_lost_correlation_shows_each_channel_values_of_its_own():
    values = noise()
    faults = injected(values)

    for number in np.flatnonzero(faults.kind == FAULT_KINDS.index("uncorrelated")):
        for channel in range(8):
            assert np.isin(faults.values[2 * W :, number, channel], values[:, 0, channel]).all()


def test_one_channel_loses_its_order_in_time():
    values = noise(n_channels=1)
    faults = injected(values)

    moved = changes(faults, values, "uncorrelated")[:, W:, 0]

    assert (np.abs(moved) > 0).any()
    np.testing.assert_allclose(moved.sum(axis=1), 0, atol=1e-9)  # the same values in another order


def test_places_and_sizes_follow_from_the_seed():
    first, same, other = (injected(noise(), seed=seed) for seed in (0, 0, 1))

    np.testing.assert_array_equal(first.values, same.values)
    assert not np.array_equal(np.nan_to_num(first.values), np.nan_to_num(other.values))


def test_faults_are_laid_where_steps_are_shown_and_over_the_given_rows_only():
    values = noise(n=3)
    values[:100, 1] = NAN

    faults = injected(values, rows=np.array([1, 2]))

    assert set(faults.row.tolist()) == {1, 2}
    assert (~np.isnan(faults.values[W:]).all(axis=2)).mean(axis=0).min() >= 0.9


def test_there_are_no_faults_where_nothing_is_whole():
    assert len(injected(np.full((200, 1, 8), NAN))) == 0
    assert len(injected(noise(5))) == 0
