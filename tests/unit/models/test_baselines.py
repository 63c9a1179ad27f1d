import math

import numpy as np
import pytest

from models.baselines import GaussianBaseline, NeighbourBaseline, WindowPca

ROW_0 = np.array([0])


def step(*values):
    """One step of one entity, NaN for a gap; shape (1, C)."""
    return np.array([values], np.float32)


def flat_window(value, *, length=4):
    """One window of one entity and channel that rests at a value; shape (1, W, 1)."""
    return np.full((1, length, 1), value, np.float32)


def offer(neighbour, values, *, length=4):
    for value in values:
        neighbour.learn(ROW_0, flat_window(value, length=length))


def kept_values(neighbour, row=0):
    return neighbour.kept[row, : neighbour.n_kept[row], 0].tolist()


# The windowed Gaussian.


def test_the_gaussians_mean_and_spread_are_numpys_with_one_unit_of_variance_to_start_from():
    values = np.random.default_rng(0).normal([5, -2], [3, 0.5], size=(40, 2)).astype(np.float32)
    gaussian = GaussianBaseline(1, channels=2)

    for n, value in enumerate(values, start=1):
        gaussian.learn(ROW_0, value[None])
        seen = values[:n].astype(np.float64)
        np.testing.assert_allclose(gaussian.mean[0], seen.mean(axis=0), atol=1e-6)
        # A variance of 1, the scaled unit, stands with the weight of one step beside what was seen.
        np.testing.assert_allclose(gaussian.variance[0], seen.var(axis=0) + 1 / n, atol=1e-5)


def test_a_gap_leaves_the_gaussian_of_its_channel_as_it_was():
    with_gap, without = GaussianBaseline(1, channels=2), GaussianBaseline(1, channels=2)
    for values in ([1, 10], [2, 20], [4, 40]):
        with_gap.learn(ROW_0, step(*values))
        without.learn(ROW_0, step(*values))

    with_gap.learn(ROW_0, step(np.nan, 80))

    for name in ("mean", "variance", "n_seen"):
        assert getattr(with_gap, name)[0, 0] == getattr(without, name)[0, 0], name
    assert with_gap.mean[0, 1] == pytest.approx((10 + 20 + 40 + 80) / 4)


def test_a_full_memory_follows_a_new_level_slowly():
    gaussian = GaussianBaseline(1, channels=1)
    gaussian.n_seen[:] = 1e6

    gaussian.learn(ROW_0, step(6400))

    assert gaussian.mean[0, 0] == pytest.approx(1.0)  # one step of 6400


def test_the_gaussians_raw_score_is_the_smoothed_deviation_over_the_channels():
    gaussian = GaussianBaseline(1, channels=2)  # mean 0, deviation 1

    first, second = gaussian.raw_score(ROW_0, step(3, -4)), gaussian.raw_score(ROW_0, step(3, -4))

    assert first.item() == pytest.approx(math.sqrt((0.6**2 + 0.8**2) / 2))  # a fifth of 3 and of 4
    assert second.item() == pytest.approx(
        math.sqrt((1.08**2 + 1.44**2) / 2)
    )  # 0.8 of that, and a fifth again


def test_a_wild_step_is_capped_in_the_gaussians_raw_score():
    assert GaussianBaseline(1, channels=1).raw_score(ROW_0, step(1e9)).item() == pytest.approx(0.2 * 20)


def test_a_channel_at_rest_does_not_make_its_first_move_infinite():
    gaussian = GaussianBaseline(1, channels=1)
    gaussian.variance[:] = 0.0

    assert gaussian.raw_score(ROW_0, step(0.5)).item() == pytest.approx(0.2 * 0.5 / 0.1)


def test_channels_that_were_not_measured_do_not_count_in_the_gaussians_raw_score():
    assert GaussianBaseline(1, channels=2).raw_score(ROW_0, step(3, np.nan)).item() == pytest.approx(0.6)
    assert np.isnan(GaussianBaseline(1, channels=2).raw_score(ROW_0, step(np.nan, np.nan)).item())


def test_reading_does_not_teach_the_gaussian_and_rows_do_not_mix():
    gaussian = GaussianBaseline(3, channels=1)

    gaussian.raw_score(np.array([2, 0]), np.array([[5], [7]], np.float32))
    assert gaussian.mean.ravel().tolist() == [0, 0, 0]
    assert gaussian.deviation.ravel().tolist() == pytest.approx([1.4, 0, 1.0])

    gaussian.learn(np.array([2, 0]), np.array([[5], [7]], np.float32))
    assert gaussian.mean.ravel().tolist() == [7, 0, 5]


# The nearest neighbour.


def test_a_memory_with_nothing_in_it_gives_no_distance():
    assert np.isnan(NeighbourBaseline(1, 4, 4, 1).raw_score(ROW_0, flat_window(1)).item())


def test_new_rows_begin_with_an_empty_memory_and_the_first_stride():
    neighbour = NeighbourBaseline(1, 2, 8, 1)  # a quarter of the window: every second step is kept at first
    offer(neighbour, range(6), length=8)

    neighbour.grow(2)
    taken = neighbour.take(np.array([1, 0, -1]))

    assert neighbour.stride.tolist() == [4, 2]
    assert neighbour.n_kept.tolist() == [2, 0]
    assert taken.stride.tolist() == [2, 4, 2]
    assert taken.n_kept.tolist() == [0, 2, 0]
    assert np.isnan(neighbour.raw_score(np.array([1]), flat_window(0, length=8))).all()


def test_a_restored_memory_knows_only_what_was_kept_at_the_snapshot():
    neighbour = NeighbourBaseline(1, 4, 4, 1)
    snapshots = []
    for value in range(6):
        snapshots.append(neighbour.snapshot())
        offer(neighbour, [value])
    assert kept_values(neighbour) == [0, 2, 4]

    restored = []
    for snapshot in snapshots:
        neighbour.restore(snapshot)
        restored.append(kept_values(neighbour))

    # 1 and 3 were dropped when the memory was full: they stay away.
    assert restored == [[], [0], [0], [0, 2], [0, 2], [0, 2, 4]]


def test_a_repeat_of_a_kept_window_has_no_distance():
    rng = np.random.default_rng(0)
    neighbour = NeighbourBaseline(1, 8, 4, 3)
    windows = rng.normal(size=(8, 1, 4, 3)).astype(np.float32)
    for window in windows:
        neighbour.learn(ROW_0, window)

    for window in windows:
        assert neighbour.raw_score(ROW_0, window).item() == pytest.approx(0, abs=1e-6)


def test_the_distance_is_the_root_mean_square_to_the_nearest_kept_window():
    neighbour = NeighbourBaseline(1, 4, 4, 1)
    offer(neighbour, [0, 10])
    window = np.array([1, -1, 1, 3], np.float32).reshape(1, 4, 1)

    assert neighbour.raw_score(ROW_0, window).item() == pytest.approx(math.sqrt((1 + 1 + 1 + 9) / 4))


def test_the_memory_thins_itself_out_when_full_and_the_stride_doubles():
    neighbour = NeighbourBaseline(1, 4, 4, 1)  # a quarter of the window: every step is kept at first

    offer(neighbour, range(4))
    assert (kept_values(neighbour), neighbour.stride[0]) == ([0, 1, 2, 3], 1)

    offer(neighbour, range(4, 8))
    assert (kept_values(neighbour), neighbour.stride[0]) == ([0, 2, 4, 6], 2)

    offer(neighbour, range(8, 16))
    assert (kept_values(neighbour), neighbour.stride[0]) == ([0, 4, 8, 12], 4)


def test_windows_are_kept_a_quarter_of_their_length_apart():
    neighbour = NeighbourBaseline(1, 4, 8, 1)

    offer(neighbour, range(7), length=8)

    assert kept_values(neighbour) == [0, 2, 4, 6]


def test_what_was_let_go_is_forgotten():
    neighbour = NeighbourBaseline(1, 4, 4, 1)
    offer(neighbour, [0, 100, 200, 300, 400])  # the fifth thins out: 100 and 300 go

    assert neighbour.raw_score(ROW_0, flat_window(100)).item() == pytest.approx(100)
    assert neighbour.raw_score(ROW_0, flat_window(400)).item() == 0


@pytest.mark.parametrize("capacity", [4, 7])
def test_the_memory_is_bounded_and_spread_over_the_whole_past(capacity):
    neighbour = NeighbourBaseline(1, capacity, 4, 1)
    n_bytes = neighbour.kept.nbytes

    offer(neighbour, range(1000))

    assert neighbour.kept.nbytes == n_bytes
    kept = kept_values(neighbour)
    assert capacity / 2 <= len(kept) <= capacity
    assert kept[0] == 0
    assert kept[-1] >= 500
    assert max(np.diff(kept)) <= 2 * neighbour.stride[0]


def test_each_entity_has_its_own_memory_however_many_are_scored_together():
    n_rows = 150  # more than are compared at once
    neighbour = NeighbourBaseline(n_rows, 4, 4, 1)
    rows = np.arange(n_rows)
    own = np.repeat(rows[:, None, None], 4, axis=1).astype(np.float32)

    neighbour.learn(rows[1:], own[1:])

    assert neighbour.raw_score(rows, own)[1:].tolist() == [0] * (n_rows - 1)
    assert np.isnan(neighbour.raw_score(rows, own)[0])
    assert neighbour.raw_score(rows, own + 0.25)[1:].tolist() == [0.25] * (n_rows - 1)
    assert neighbour.raw_score(rows[::-1], own)[:3].tolist() == [
        149,
        147,
        145,
    ]  # row 149 is shown row 0's window


def test_no_entities_give_no_distances():
    assert NeighbourBaseline(2, 4, 4, 1).raw_score(
        np.empty(0, np.int64), np.empty((0, 4, 1), np.float32)
    ).shape == (0,)


# The windowed PCA: a window of 10 steps and 2 channels is a point in 20 dimensions.


def axes(seed=0):
    """Twenty orthonormal directions."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(20, 20)))[0].T


def in_directions(directions, sizes, *, n=300, seed=1):
    """Windows (n, 10, 2) that vary in some directions by the given standard deviations, around 0.5."""
    points = np.random.default_rng(seed).normal(size=(n, len(sizes))) * sizes @ directions[: len(sizes)] + 0.5
    return points.reshape(n, 10, 2).astype(np.float32)


def plain(mean, components):
    return WindowPca(mean, components, np.ones(2))


def test_a_window_in_the_plane_of_normal_variation_has_no_error_and_one_outside_has_its_distance():
    directions = axes()
    windows = in_directions(directions, [2.0, 1.5])
    pca = WindowPca.fit(windows, windows)
    pca.error_scale = np.ones(2)

    inside = in_directions(directions, [2.0, 1.5], seed=2)
    outside = inside + 3 * directions[7].reshape(10, 2).astype(np.float32)

    assert pca.raw_score(inside).max() < 1e-5
    # mean over 2 channels of the mean over 10 steps: the squared distance over 20
    np.testing.assert_allclose(pca.raw_score(outside), 3 / math.sqrt(20), rtol=1e-4)


def test_errors_are_measured_against_those_of_held_out_windows_and_capped():
    directions = axes()
    rng = np.random.default_rng(3)

    def windows_like(seed):
        plane = in_directions(directions, [2.0, 1.5], seed=seed)
        return plane + rng.normal(0, 0.05, plane.shape).astype(np.float32)

    held_out = windows_like(2)
    pca = WindowPca.fit(windows_like(1), held_out)

    assert 0.5 < np.median(pca.raw_score(windows_like(3))) < 1  # below the 99 % quantile, of its order
    assert (pca.raw_score(held_out) > 1).mean() < 0.02
    assert pca.raw_score(
        held_out + 100 * directions[9].reshape(10, 2).astype(np.float32)
    ).max() == pytest.approx(20)


@pytest.mark.parametrize(
    ("variances", "n_kept"),
    [([95, 5], 1), ([60, 35, 5], 2), ([50, 30, 15, 5], 3)],  # as many as it takes to reach 90 of 100
)
def test_directions_are_kept_until_nine_tenths_of_the_variance_are_explained(variances, n_kept):
    directions = axes()
    # exactly these variances: for each direction one point on either side of the mean
    points = np.concatenate(
        [[side * math.sqrt(v) * d for side in (-1, 1)] for v, d in zip(variances, directions, strict=False)]
    )
    windows = points.reshape(-1, 10, 2).astype(np.float32)

    components = WindowPca.fit(windows, windows).components

    assert len(components) == n_kept
    np.testing.assert_allclose(np.abs(components @ directions[:n_kept].T), np.eye(n_kept), atol=1e-4)


def test_only_the_newest_ten_steps_count():
    directions = axes()
    windows = in_directions(directions, [2.0, 1.5])
    pca = WindowPca.fit(windows, windows)
    longer = np.concatenate([np.full((300, 6, 2), 9, np.float32), windows], axis=1)

    np.testing.assert_array_equal(pca.raw_score(longer), pca.raw_score(windows))


@pytest.mark.parametrize("n_windows", [1, 2, 5])
def test_the_pca_scores_a_window_the_same_to_the_bit_whatever_else_it_scores(n_windows):
    windows = np.random.default_rng(5).normal(size=(300, 10, 20)).astype(np.float32)
    pca = WindowPca.fit(windows, windows)
    together = pca.raw_score(windows)

    for start in range(0, 20, n_windows):
        part = slice(start, start + n_windows)
        np.testing.assert_array_equal(pca.raw_score(windows[part]), together[part])


def test_a_channel_that_was_not_measured_does_not_count_in_the_pcas_raw_score():
    first_step_of_channel_0 = np.eye(20)[:1]
    pca = plain(np.zeros(20), first_step_of_channel_0)
    window = np.full((1, 10, 2), 2, np.float32)  # nine of channel 0's ten steps lie outside
    window[:, :, 1] = np.nan

    assert pca.raw_score(window).item() == pytest.approx(math.sqrt(9 * 2**2 / 10))


def test_a_channel_without_error_in_the_held_out_windows_is_floored():
    windows = np.zeros((400, 10, 2), np.float32)
    windows[:, :, 0] = np.random.default_rng(4).normal(size=(400, 10))
    pca = WindowPca.fit(windows[:200], windows[200:])

    high = pca.error_scale[0]
    assert high > 0.1
    assert pca.error_scale[1] == pytest.approx(0.5 * (high + 0) / 2)  # half of the median over channels


def test_a_history_that_never_moved_can_be_fitted():
    still = np.full((100, 10, 2), 0.5, np.float32)

    pca = WindowPca.fit(still, still)

    assert pca.raw_score(still).tolist() == [0] * 100
    assert pca.raw_score(still + 2)[0] == pytest.approx(20)  # far outside: capped
    assert 0.5 < pca.raw_score(still + np.float32(0.05))[0] <= 1  # a small change is no more than an error


def test_no_windows_give_no_raw_scores_of_the_pca():
    directions = axes()
    windows = in_directions(directions, [2.0, 1.5])

    assert WindowPca.fit(windows, windows).raw_score(np.empty((0, 10, 2), np.float32)).shape == (0,)
