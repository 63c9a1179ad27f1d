from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from models.forecast import Forecast
from models.forecast_baselines import compare
from monitor.offline.forecast_files import FileForecast, Question
from monitor.offline.forecast_plot import N_PANELS, forecast_plot


def forecast_of(n_rows, n_channels=1):
    values = np.tile(np.arange(30.0)[:, None, None], (1, n_rows, n_channels))
    past = Forecast(values, values - 1, values + 1)
    ahead = np.full((n_rows, 5, n_channels), 30.0)
    return FileForecast(
        entities=tuple(f"web{row}" for row in range(n_rows)),
        channels=tuple(f"load{number}" for number in range(n_channels)),
        values=values,
        time_ms=1_700_000_000_000 + 1000 * np.arange(30),
        past=past,
        future=Forecast(ahead, ahead - 2, ahead + 2),
        newest_ms=np.full(n_rows, 1_700_000_029_000),
        accuracy=compare(values, past, np.zeros((n_rows, n_channels), int), window_length=4, horizon=3),
        step_ms=1000,
    )


def height_of(picture):
    return Image.open(io.BytesIO(picture)).size[1]


@pytest.mark.parametrize(("n_rows", "n_panels"), [(1, 1), (3, 3), (N_PANELS + 4, N_PANELS)])
def test_each_series_has_a_panel_up_to_a_page(n_rows, n_panels):
    assert height_of(forecast_plot("w", forecast_of(n_rows), [])) == n_panels * 280


def test_a_series_that_is_asked_for_is_drawn_first_and_with_its_value():
    forecast = forecast_of(N_PANELS + 1, n_channels=1)
    picture = forecast_plot("w", forecast, [])

    asked = forecast_plot("w", forecast, [Question(f"web{N_PANELS}", 20.0)])

    assert asked != picture  # that of the last entity, which is drawn on no page otherwise


def test_a_series_without_a_value_is_not_drawn():
    forecast = forecast_of(2)
    forecast.values[:, 1] = np.nan

    assert height_of(forecast_plot("w", forecast, [])) == 280
