import numpy as np
import pytest

from models.forecast import Forecast
from models.forecast_baselines import (
    ar_forecast,
    compare,
    find_period,
    mase,
    naive_forecast,
    seasonal_forecast,
)

W, HORIZON = 4, 3


def column(*values):
    return np.array(values, float).reshape(-1, 1, 1)


def sine(n_steps, period, *, noise=0.0, seed=0):
    wave = np.sin(2 * np.pi * np.arange(n_steps) / period)
    return column(*(wave + np.random.default_rng(seed).normal(0, noise, n_steps) if noise else wave))


def test_the_naive_forecast_repeats_the_last_value_before_its_block():
    ahead = naive_forecast(column(*range(10)), window_length=W, horizon=HORIZON)

    assert np.isnan(ahead[:W]).all()
    assert ahead[W:, 0, 0].tolist() == [3, 3, 3, 6, 6, 6]


def test_the_naive_forecast_holds_the_last_value_over_a_gap():
    ahead = naive_forecast(column(1, 2, 5, np.nan, 7, 8), window_length=W, horizon=HORIZON)

    assert ahead[W:, 0, 0].tolist() == [5, 5]


def test_the_seasonal_forecast_repeats_what_was_one_period_earlier():
    ahead = seasonal_forecast(column(*range(10)), np.array([[4]]), window_length=W, horizon=HORIZON)

    assert ahead[W:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_block_longer_than_the_period_sees_nothing_of_itself():
    ahead = seasonal_forecast(column(*range(10)), np.array([[2]]), window_length=W, horizon=HORIZON)

    assert ahead[W:, 0, 0].tolist() == [2, 3, 2, 5, 6, 5]


def test_without_a_period_there_is_no_seasonal_forecast():
    ahead = seasonal_forecast(column(*range(10)), np.array([[0]]), window_length=W, horizon=HORIZON)

    assert np.isnan(ahead).all()


def test_the_linear_model_continues_a_sine():
    values = sine(200, 20)

    ahead = ar_forecast(values, window_length=8, horizon=5)

    assert np.isnan(ahead[:24]).all()  # three windows
    assert not np.isnan(ahead[32:]).any()
    assert np.abs(ahead - values)[100:].max() < 0.1


def test_the_linear_model_sees_nothing_of_its_block():
    values = sine(200, 20, noise=0.1)
    changed = values.copy()
    first = 8 + 5 * 30  # of a block
    changed[first:] += 100.0

    ahead, other = (ar_forecast(series, window_length=8, horizon=5) for series in (values, changed))

    np.testing.assert_array_equal(ahead[: first + 5], other[: first + 5])


@pytest.mark.parametrize("period", [7, 24, 48])
def test_a_period_is_found_under_noise_and_a_trend(period):
    values = sine(10 * period, period, noise=0.3) + 0.05 * np.arange(10 * period)[:, None, None]

    assert abs(int(find_period(values)[0, 0]) - period) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_noise_a_trend_and_a_constant_have_no_period(seed):
    noise = column(*np.random.default_rng(seed).normal(size=200))
    series = np.concatenate([noise, column(*range(200)), np.ones((200, 1, 1))], axis=2)

    assert find_period(series).tolist() == [[0, 0, 0]]


def test_gaps_do_not_hide_a_period():
    values = sine(240, 24)
    values[::5] = np.nan

    assert find_period(values)[0, 0] == 24


def test_mase_is_the_error_over_the_mean_change_of_a_step():
    actual = column(0, 2, 4, 6, 4)  # changes by 2 a step
    ahead = column(np.nan, np.nan, 5, 9, 4)

    error = mase(actual, ahead, ~np.isnan(ahead))

    assert error[0, 0] == pytest.approx((1 + 3 + 0) / 3 / 2)


def test_a_constant_series_has_no_scaled_error():
    assert np.isnan(mase(np.ones((5, 1, 1)), np.ones((5, 1, 1)), np.ones((5, 1, 1), bool)))[0, 0]


def test_all_rivals_are_measured_on_the_same_cells():
    values = sine(60, 10, noise=0.2)
    expected = np.where(np.arange(60)[:, None, None] < 50, values + 1.0, np.nan)
    ahead = Forecast(expected, expected - 0.5, expected + 0.5)

    found = compare(values, ahead, np.array([[10]]), window_length=W, horizon=HORIZON)

    counted = np.zeros((60, 1, 1), bool)
    counted[3 * W + 1 : 50] = True  # the linear model begins with the first block behind three windows
    naive = naive_forecast(values, window_length=W, horizon=HORIZON)
    assert found.n_counted[0, 0] == counted.sum()
    assert found.forecast[0, 0] == pytest.approx(1.0 / np.abs(np.diff(values, axis=0)).mean())
    assert found.naive[0, 0] == pytest.approx(mase(values, naive, counted)[0, 0])
    assert found.in_band[0, 0] == 0.0  # it begins half a unit above the values
    assert found.seasonal[0, 0] < found.naive[0, 0]


def test_a_series_without_a_season_is_measured_without_that_rival():
    values = column(*np.random.default_rng(0).normal(size=60))
    ahead = Forecast(values, values - 1.0, values + 1.0)

    found = compare(values, ahead, np.array([[0]]), window_length=W, horizon=HORIZON)

    assert np.isnan(found.seasonal[0, 0])
    assert (found.forecast[0, 0], found.in_band[0, 0]) == (0.0, 1.0)


def test_a_file_that_is_too_short_for_the_rivals_measures_nothing():
    values = column(*range(8))
    ahead = Forecast(values, values, values)

    found = compare(values, ahead, np.array([[0]]), window_length=W, horizon=HORIZON)

    assert found.n_counted[0, 0] == 0
    assert np.isnan([found.forecast[0, 0], found.in_band[0, 0]]).all()
