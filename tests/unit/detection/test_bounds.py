from __future__ import annotations

import numpy as np
import pytest
from forecasters import HORIZON, W, forecaster

from monitor.detection.bounds import BoundForecast
from monitor.detection.metric_rules import MetricRule, MetricRules
from monitor.detection.recent_steps import RecentSteps

HOUR = 3600.0
MINUTE_MS = 60_000


def recent_of(*series):
    """Newest steps of entities that each show a series (T,)."""
    recent = RecentSteps(50)
    recent.make_room(len(series), 1, 0)
    recent.append(np.array(series, float).T[:, :, None])
    return recent


def bounds(**valid):
    return BoundForecast(MetricRules([MetricRule(name="load", **valid)]))


def hours_of(forecast, detector, recent, now_ms=0):
    entities = [f"web{row}" for row in range(recent.values.shape[1])]
    forecast.update(detector, recent, entities, ["load"], now_ms)
    return forecast.hours


def steady(value=100.0):
    return [value] * W


def test_a_rising_channel_has_the_steps_left_until_it_is_above_its_bound():
    hours = hours_of(bounds(valid_max=105.5), forecaster(1.0).detector, recent_of(steady()))

    assert hours[0, 0, 1] == pytest.approx(6 / HOUR)  # 106 is the first beyond
    assert np.isnan(hours[0, 0, 0])  # it has no lower bound


def test_a_falling_channel_has_the_steps_left_until_it_is_below_its_bound():
    hours = hours_of(bounds(valid_min=90.5, valid_max=200.0), forecaster(-2.0).detector, recent_of(steady()))

    assert hours[0, 0, 0] == pytest.approx(5 / HOUR)
    assert hours[0, 0, 1] == np.inf


def test_twenty_horizons_are_the_furthest():
    furthest = 20 * HORIZON

    hours = [
        hours_of(bounds(valid_max=100.5 + n), forecaster(1.0).detector, recent_of(steady()))[0, 0, 1]
        for n in (furthest - 1, furthest)
    ]

    assert hours == [pytest.approx(furthest / HOUR), np.inf]


def test_a_channel_beyond_its_bound_has_no_time_left():
    hours = hours_of(bounds(valid_max=99.0), forecaster(1.0).detector, recent_of(steady()))

    assert hours[0, 0, 1] == 0.0


def test_of_an_entity_whose_newest_step_is_missing_or_that_is_not_calibrated_nothing_is_said():
    detector = forecaster(1.0, entities=("web1", "web2", "web3")).detector
    detector.calibrated[2] = False
    recent = recent_of(steady(), [*steady()[1:], np.nan], steady())

    hours = hours_of(bounds(valid_max=105.5), detector, recent)

    assert hours[0, 0, 1] == pytest.approx(6 / HOUR)
    assert np.isnan(hours[1:]).all()


def test_within_a_minute_nothing_is_computed_again():
    forecast, detector = bounds(valid_max=105.5), forecaster(1.0).detector
    hours_of(forecast, detector, recent_of(steady()), now_ms=MINUTE_MS)

    still = hours_of(forecast, detector, recent_of(steady(104.0)), now_ms=2 * MINUTE_MS - 1)[0, 0, 1]
    then = hours_of(forecast, detector, recent_of(steady(104.0)), now_ms=2 * MINUTE_MS)[0, 0, 1]

    assert (still, then) == (pytest.approx(6 / HOUR), pytest.approx(2 / HOUR))


@pytest.mark.parametrize("now_ms", [0, 2 * MINUTE_MS - 1])
def test_a_clock_that_was_set_back_and_another_model_begin_anew(now_ms):
    forecast = bounds(valid_max=105.5)
    hours_of(forecast, forecaster(1.0).detector, recent_of(steady()), now_ms=MINUTE_MS)
    if now_ms:
        forecast.begin_anew(np.array([0]))

    hours = hours_of(forecast, forecaster(3.0).detector, recent_of(steady()), now_ms=now_ms)

    assert hours[0, 0, 1] == pytest.approx(2 / HOUR)


def test_without_a_bound_a_model_a_forecast_or_a_window_there_are_no_hours():
    detector = forecaster(1.0).detector
    without_head = forecaster(1.0).detector
    without_head.trained = None

    for forecast, of, recent in (
        (bounds(), detector, recent_of(steady())),
        (bounds(valid_max=1.0), None, recent_of(steady())),
        (bounds(valid_max=1.0), without_head, recent_of(steady())),
        (bounds(valid_max=1.0), detector, recent_of(steady()[1:])),
    ):
        assert hours_of(forecast, of, recent).size == 0


def test_entities_that_are_renumbered_keep_their_hours():
    forecast = bounds(valid_max=105.5)
    detector = forecaster(1.0, entities=("web1", "web2", "web3")).detector
    before = hours_of(forecast, detector, recent_of(steady(), steady(101.0), steady(102.0)))

    forecast.keep_rows(np.array([2, 0, 3]))  # the last is newer than the hours

    np.testing.assert_array_equal(forecast.hours, before[[2, 0]])


def test_another_models_channels_have_their_hours_where_they_are_now():
    forecast = bounds(valid_max=105.5)
    hours_of(forecast, forecaster(1.0).detector, recent_of(steady()), now_ms=MINUTE_MS)

    forecast.begin_anew(np.array([-1, 0]))

    assert forecast.hours.shape == (1, 2, 2)
    assert np.isnan(forecast.hours[0, 0]).all()
    assert forecast.hours[0, 1, 1] == pytest.approx(6 / HOUR)


def test_where_each_series_is_an_entity_each_has_its_own_bound():
    rules = MetricRules([MetricRule(name="load", valid_max=105.5)], by_series=True)
    forecast = BoundForecast(rules)
    detector = forecaster(1.0, entities=("a", "b")).detector

    forecast.update(
        detector, recent_of(steady(), steady()), ['used{host="a"}', 'load{host="a"}'], ["value"], 0
    )

    assert np.isnan(forecast.hours[0]).all()
    assert forecast.hours[1, 0, 1] == pytest.approx(6 / HOUR)
