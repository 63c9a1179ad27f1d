import numpy as np
import pytest

from models.scaling import fit_scaling, smallest_departures


def channel(text):
    """History of one entity with one channel, `_` for a gap; shape (T, 1, 1)."""
    return np.array([np.nan if word == "_" else float(word) for word in text.split()]).reshape(-1, 1, 1)


def fit(text, *, resolution=0.5):
    scaling = fit_scaling(channel(text), np.array([resolution]))
    return scaling.centre.item(), scaling.scale.item()


def test_the_centre_is_the_median_and_the_scale_comes_from_the_quartiles():
    centre, scale = fit("1 2 3 4 5")

    assert centre == 3
    assert scale == pytest.approx(
        2 / 1.349
    )  # quartiles 2 and 4; 1.349 is a normal distribution's between them


def test_a_channel_that_rests_most_of_the_time_is_scaled_by_its_deviation():
    centre, scale = fit("0 0 0 0 10 0 0 0 0 0")

    assert centre == 0  # the quartiles are both 0; mean 1, mean square 10: the variance is 9
    assert scale == pytest.approx(0.2 * 3)


def test_gaps_do_not_count():
    assert fit("1 _ 2 3 _ _ 4 5") == fit("1 2 3 4 5")


@pytest.mark.parametrize(
    ("text", "resolution", "expected"),
    [
        ("0 0 0 0", 0.5, 0.5),
        ("20 20 20 20", 0.5, 0.5),  # a hundredth of its value, 0.2, is below the resolution
        ("200 200 200", 0.5, 2.0),  # a hundredth of its value is above it
        ("-200 -200 _", 0.5, 2.0),
        ("_ _ _", 0.5, 0.5),  # never measured: as if it had rested at 0
    ],
)
def test_a_constant_channel_is_scaled_by_the_smallest_change_that_counts(text, resolution, expected):
    assert fit(text, resolution=resolution)[1] == pytest.approx(expected)


def test_rounding_noise_on_a_constant_channel_is_not_taken_for_its_spread():
    values = channel("1000 1000 1000 1000")
    values[1::2] += 1e-10

    assert fit_scaling(values, np.array([1.0])).scale.item() == pytest.approx(10.0)


def test_every_entity_and_channel_is_scaled_by_itself():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 3, 2)) * [[1, 10], [2, 20], [3, 30]] + [[0, 100], [5, 50], [-7, 1]]
    resolution = np.array([0.5, 0.5])

    together = fit_scaling(values, resolution)

    assert together.centre.shape == together.scale.shape == (3, 2)
    for row in range(3):
        for c in range(2):
            alone = fit_scaling(values[:, row : row + 1, c : c + 1], resolution[c : c + 1])
            assert together.centre[row, c] == alone.centre.item()
            assert together.scale[row, c] == alone.scale.item()


def test_scaled_normal_noise_has_about_unit_spread():
    values = np.random.default_rng(1).normal(250, 40, size=(5000, 1, 1))

    scaled = fit_scaling(values, np.array([1.0])).apply(values)

    assert scaled.std() == pytest.approx(1, abs=0.05)
    assert np.median(scaled) == pytest.approx(0, abs=1e-6)
    assert scaled.dtype == np.float32


def test_scaled_values_are_clipped_at_ten():
    scaling = fit_scaling(channel("0 0 0"), np.array([1.0]))

    assert scaling.apply(channel("9 11 1000000 -11 -9")).ravel().tolist() == [9, 10, 10, -10, -9]


def test_a_gap_stays_a_gap_in_both_directions():
    scaling = fit_scaling(channel("1 2 3 4 5"), np.array([1.0]))

    assert np.isnan(scaling.apply(channel("1 _ 3"))).ravel().tolist() == [False, True, False]
    assert np.isnan(scaling.invert(channel("1 _ 3").astype(np.float32))).ravel().tolist() == [
        False,
        True,
        False,
    ]


def test_inverting_brings_back_what_was_scaled():
    rng = np.random.default_rng(2)
    values = rng.uniform(-3, 3, size=(50, 4, 3)) * [1e-3, 1.0, 1e9] + [0.5, -20.0, 4e9]
    scaling = fit_scaling(values, np.array([1e-6, 0.1, 1.0]))

    back = scaling.invert(scaling.apply(values))

    np.testing.assert_allclose(
        (back - values) / scaling.scale, 0, atol=1e-5
    )  # float32 between, of up to 10 units


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3 5 3 4 3 3 7 3 5 3", 1.0),  # eight changes; 4 is nearest to the median, 3
        ("3 5 3 4 3 3 7 3 3 3", np.nan),  # six
        ("3 5 _ 3 4 3 _ 3 7 3 5 3", np.nan),  # seven: a gap is no change
        ("3 5 _ 3 4 3 _ 3 7 3 5 3 5", 1.0),
        ("3 3 3 3 3 3 3 3 9 9 9", np.nan),  # one incident says nothing of a channel's steps
        ("0 1e-12 0 1e-12 0 1e-12 0 1e-12 0", np.nan),  # rounding noise
        ("_ _ _", np.nan),
    ],
)
def test_the_smallest_departure_is_the_nearest_to_the_median_of_a_channel_that_moves(text, expected):
    np.testing.assert_equal(smallest_departures(channel(text)), [[expected]])
