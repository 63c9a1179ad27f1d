import math

import numpy as np
import pytest
import torch

from models.dataset import windows_of
from models.forecast import (
    ForecastBand,
    find_crossing,
    first_beyond,
    fit_forecast_band,
    fit_linear_forecast,
    forecast_next,
    rolling_forecast,
)
from models.network import Autoencoder
from models.scaling import Scaling

torch.set_num_threads(1)  # threads of networks this small wait for each other longer than they work

W, HORIZON = 8, 3


def network_of(changes, *, n_channels=1):
    """A network that says: step k ahead differs from the newest one by `changes[k]`, whatever it sees."""
    network = Autoencoder(n_channels, hidden=4, latent=2, forecast_shape=(W, len(changes))).eval()
    with torch.no_grad():
        network.forecast_head.bias.copy_(torch.tensor(changes).repeat_interleave(n_channels))
    return network


def scaling_of(n, n_channels=1, *, centre=0.0, scale=1.0):
    return Scaling.of(centre=np.full((n, n_channels), centre), scale=np.full((n, n_channels), scale))


def band_of(low, high):
    return ForecastBand(np.array(low, float)[:, None], np.array(high, float)[:, None])


BAND = band_of([-1, -2, -3], [2, 3, 4])


def test_an_untrained_network_says_that_nothing_changes():
    windows = np.arange(W, dtype=float).reshape(1, W, 1)

    ahead = forecast_next(network_of([0.0] * 3), BAND, windows, scaling_of(1), 3)

    np.testing.assert_allclose(ahead.expected[0, :, 0], [7, 7, 7])


def test_predictions_and_band_are_in_the_channels_own_unit():
    windows = np.full((1, W, 1), 120.0)

    ahead = forecast_next(network_of([1.0, 2.0, 3.0]), BAND, windows, scaling_of(1, centre=100, scale=10), 3)

    np.testing.assert_allclose(ahead.expected[0, :, 0], [130, 140, 150], rtol=1e-6)
    np.testing.assert_allclose(ahead.low[0, :, 0], [120, 120, 120], rtol=1e-6)
    np.testing.assert_allclose(ahead.high[0, :, 0], [150, 170, 190], rtol=1e-6)


def test_longer_horizons_feed_predictions_back():
    windows = np.zeros((1, W, 1))

    ahead = forecast_next(network_of([1.0, 2.0, 3.0]), BAND, windows, scaling_of(1), 8)

    np.testing.assert_allclose(ahead.expected[0, :, 0], [1, 2, 3, 4, 5, 6, 7, 8], rtol=1e-6)


def test_fed_back_predictions_are_what_the_network_says_of_them():
    torch.manual_seed(3)
    network = Autoencoder(2, hidden=4, latent=2, forecast_shape=(W, HORIZON)).eval()
    torch.nn.init.normal_(network.forecast_head.weight)
    windows = np.random.default_rng(0).normal(size=(5, W, 2)).astype(np.float32).astype(float)
    band = ForecastBand(np.zeros((HORIZON, 2)), np.zeros((HORIZON, 2)))

    ahead = forecast_next(network, band, windows, scaling_of(5, 2), 2 * HORIZON).expected

    with torch.inference_mode():
        first = network.forecast(torch.from_numpy(windows).float())
        fed_back = torch.cat([torch.from_numpy(windows).float(), first], dim=1)[:, -W:].clamp(-10, 10)
        change = network.forecast(fed_back) - fed_back[:, -1:]
    np.testing.assert_allclose(ahead[:, :HORIZON], first.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ahead[:, HORIZON:], (first[:, -1:] + change).numpy(), rtol=1e-4, atol=1e-5)


def test_the_band_of_fed_back_steps_widens_as_independent_errors_add_up():
    below, above = BAND.at(7)

    np.testing.assert_allclose(
        -below[:, 0], [1, 2, 3, math.sqrt(9 + 1), math.sqrt(9 + 4), math.sqrt(18), math.sqrt(18 + 1)]
    )
    np.testing.assert_allclose(above[:3, 0], [2, 3, 4])
    assert above[6, 0] == pytest.approx(math.sqrt(2 * 16 + 4))


def test_a_channel_beyond_its_trained_range_is_predicted_from_where_it_is():
    windows = np.full((1, W, 1), 1000.0)  # a hundred scaled units; the network sees ten

    ahead = forecast_next(network_of([1.0, 2.0, 3.0]), BAND, windows, scaling_of(1, scale=10), 3)

    np.testing.assert_allclose(ahead.expected[0, :, 0], [1010, 1020, 1030], rtol=1e-6)


def test_of_a_channel_without_a_value_nothing_is_said():
    windows = np.zeros((1, W, 2))
    windows[:, :, 1] = np.nan
    band = ForecastBand(-np.ones((3, 2)), np.ones((3, 2)))

    ahead = forecast_next(network_of([0.0] * 3, n_channels=2), band, windows, scaling_of(1, 2), 3)

    for array in (ahead.expected, ahead.low, ahead.high):
        assert np.isnan(array[0, :, 1]).all()
        assert not np.isnan(array[0, :, 0]).any()


def linear_network(series):
    """A network that forecasts by the linear part alone, fitted on all windows of a series (T,)."""
    windows = windows_of(series.astype(np.float32)[:, None, None], W + HORIZON)[:, 0]  # (B, W + F, 1)
    network = Autoencoder(1, hidden=4, latent=2, forecast_shape=(W, HORIZON)).eval()
    network.linear.data.copy_(torch.from_numpy(fit_linear_forecast(windows[:, :W], windows[:, W:])))
    return network


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_the_linear_part_continues_a_ramp_and_a_wave_wherever_they_are(shift):
    steps = np.arange(200)
    for series in (0.02 * steps, np.sin(2 * np.pi * steps / 25)):
        network = linear_network(series)
        windows = (series[-W - HORIZON : -HORIZON] + shift).reshape(1, W, 1)

        ahead = forecast_next(network, BAND, windows, scaling_of(1), HORIZON).expected[0, :, 0]

        np.testing.assert_allclose(ahead, series[-HORIZON:] + shift, atol=0.02)


def test_a_constant_channel_and_one_without_a_whole_future_have_no_linear_part():
    windows = np.random.default_rng(0).normal(size=(50, W, 2)).astype(np.float32)
    windows[:, :, 0] = 1.0
    futures = np.ones((50, HORIZON, 2), np.float32)
    futures[:, 0, 1] = np.nan

    assert not fit_linear_forecast(windows, futures).any()


def test_the_band_is_made_of_the_errors_quantiles_and_holds_zero():
    errors = np.arange(101.0)  # 0 to 100: the 5 % quantile is 5, the 95 % quantile 95
    windows = np.zeros((101, W, 1), np.float32)
    futures = np.stack([errors, -errors, np.full(101, np.nan)], axis=1)[:, :, None].astype(np.float32)

    band = fit_forecast_band(network_of([0.0] * 3), windows, futures)

    np.testing.assert_allclose(band.low[:, 0], [0, -95, -10])  # never measured: all there is
    np.testing.assert_allclose(band.high[:, 0], [95, 0, 10])


def test_rolling_predictions_come_every_horizon_and_from_earlier_steps_alone():
    values = np.arange(20.0).reshape(20, 1, 1)
    network = network_of([0.0] * 3)

    ahead = rolling_forecast(network, BAND, values, scaling_of(1, scale=10), window_length=W).expected

    assert np.isnan(ahead[:W]).all()
    np.testing.assert_allclose(ahead[W:, 0, 0], [7, 7, 7, 10, 10, 10, 13, 13, 13, 16, 16, 16], rtol=1e-6)


def test_a_rolling_forecast_is_that_of_each_window_by_itself():
    torch.manual_seed(1)
    network = Autoencoder(2, hidden=4, latent=2, forecast_shape=(W, HORIZON)).eval()
    torch.nn.init.normal_(network.forecast_head.weight)
    values = np.random.default_rng(0).normal(size=(30, 3, 2))
    scaling, band = scaling_of(3, 2), ForecastBand(-np.ones((HORIZON, 2)), np.ones((HORIZON, 2)))

    ahead = rolling_forecast(network, band, values, scaling, window_length=W)

    alone = forecast_next(network, band, windows_of(values, W)[3], scaling, HORIZON)
    np.testing.assert_allclose(ahead.expected[W + 3 : W + 6], alone.expected.swapaxes(0, 1), rtol=1e-5)
    np.testing.assert_allclose(ahead.high[W + 3 : W + 6], alone.high.swapaxes(0, 1), rtol=1e-5)


def test_behind_a_window_that_cannot_be_judged_nothing_is_predicted():
    values = np.zeros((W + 6, 1, 1))
    values[4 : W + 3] = np.nan  # the window behind the first block of predictions

    ahead = rolling_forecast(network_of([0.0] * 3), BAND, values, scaling_of(1), window_length=W).expected

    assert np.isnan(ahead).all()


def crossing(newest, value, *, width=0.5):
    expected = np.array([1.0, 2.0, 3.0, 4.0])
    return find_crossing(newest, expected, expected - width, expected + width, value)


def test_a_rising_channel_reaches_a_value_from_below_and_its_upper_edge_does_so_first():
    found = crossing(0.0, 2.5)

    assert (found.expected, found.earliest, found.latest) == (3, 2, 3)


def test_a_value_on_the_other_side_is_reached_by_falling():
    found = find_crossing(9.0, np.array([8.0, 6.0, 4.0]), np.array([7.0, 4.0, 1.0]), np.full(3, 9.0), 5.0)

    assert (found.expected, found.earliest, found.latest) == (3, 2, None)


def test_a_value_beyond_the_forecast_is_not_reached():
    found = crossing(0.0, 4.3)

    assert (found.expected, found.earliest, found.latest) == (None, 4, None)


def test_steps_to_a_bound_count_from_one_and_never_is_infinite():
    beyond = np.zeros((1, 4, 2), bool)
    beyond[0, 2:, 0] = True

    np.testing.assert_array_equal(first_beyond(beyond), [[3.0, np.inf]])
