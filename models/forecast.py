"""Forecasts in the channels' own units: the next steps, a band around them, and when a value is reached.

Horizons beyond the network's are reached by feeding predictions back as if they had been measured.

Shapes: n entities, W window length, C channels, F the network's horizon, S steps ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.dataset import fill_gaps, index_windows, padded, windows_of
from models.network import Autoencoder
from models.scaling import CLIP, Scaling

__all__ = [
    "Crossing",
    "Forecast",
    "ForecastBand",
    "find_crossing",
    "first_beyond",
    "fit_forecast_band",
    "fit_linear_forecast",
    "forecast_next",
    "rolling_forecast",
]

BAND = (0.05, 0.95)  # quantiles of the held-out errors: nine of ten values are expected in the band
_RIDGE = 1e-4  # of the inputs' mean square
_BLOCK = 512  # windows computed at once: their working set stays in the cache


@dataclass(frozen=True, slots=True)
class ForecastBand:
    """Quantiles (F, C) of held-out forecast errors, actual minus predicted, scaled; `low` <= 0 <= `high`."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def at(self, n_steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the band (S, C) below and above a prediction `n_steps` ahead.

        Steps beyond the horizon are predicted from predictions: the errors of the blocks that were
        fed back are taken as independent, so that their squares add up, as those of a random walk do.
        """
        horizon = len(self.low)
        ahead = np.arange(n_steps)
        n_fed_back = (ahead // horizon)[:, None]
        low, high = (
            np.sqrt(n_fed_back * edge[-1] ** 2 + edge[ahead % horizon] ** 2) for edge in (self.low, self.high)
        )
        return -low, high


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected, and the band that nine of ten values should lie in; in the channels' own units.

    The arrays have equal shapes, and NaN where nothing can be said.
    """

    expected: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Crossing:
    """How many steps ahead a channel reaches a value; None where that is beyond the forecast.

    `earliest` and `latest` are those of the band's edges.
    """

    expected: int | None
    earliest: int | None
    latest: int | None


def fit_linear_forecast(windows: NDArray[np.float32], futures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fit each channel's next steps as a linear function of its own window, by ridge least squares.

    Inputs and outputs are differences to the newest step, without an offset: the forecast of a shifted
    window is shifted as much.

    Parameters
    ----------
    windows, futures : ndarray, shapes (B, W, C) and (B, F, C)
        Scaled. The windows have no gaps; of futures with gaps (NaN), that channel is left out.

    Returns
    -------
    ndarray, shape (C, W, F)
        0 for a channel that is constant, or has no whole future.

    References
    ----------
    Zeng et al. (2023), "Are Transformers Effective for Time Series Forecasting?", AAAI (NLinear); Lai et
    al. (2018), "Modeling Long- and Short-Term Temporal Patterns with Deep Neural Networks", SIGIR, for a
    linear part beside a recurrent network.
    """
    window_length, n_channels = windows.shape[1:]
    weights = np.zeros((n_channels, window_length, futures.shape[1]), np.float32)
    for channel in range(n_channels):
        whole = ~np.isnan(futures[:, :, channel]).any(axis=1)
        newest = windows[whole, -1:, channel].astype(np.float64)
        inputs, outputs = windows[whole, :, channel] - newest, futures[whole, :, channel] - newest
        gram = inputs.T @ inputs
        ridge = _RIDGE * np.trace(gram) / window_length
        if ridge > 0:
            weights[channel] = np.linalg.solve(gram + ridge * np.eye(window_length), inputs.T @ outputs)
    return weights


def fit_forecast_band(
    network: Autoencoder, windows: NDArray[np.float32], futures: NDArray[np.float32]
) -> ForecastBand:
    """Measure the errors of forecasts on windows that the network was not trained on.

    Parameters
    ----------
    windows, futures : ndarray, shapes (B, W, C) and (B, F, C)
        Scaled; NaN is a gap. A step ahead of a channel without any value gets the widest band there is,
        the range of scaled values.
    """
    errors = futures.astype(np.float64) - _network_forecast(network, windows)
    never = np.isnan(errors).all(axis=0)  # (F, C)
    low, high = np.nanquantile(np.where(never, 0.0, errors), BAND, axis=0)
    return ForecastBand(
        np.where(never, -CLIP, np.minimum(low, 0.0)), np.where(never, CLIP, np.maximum(high, 0.0))
    )


def forecast_next(
    network: Autoencoder,
    band: ForecastBand,
    windows: NDArray[np.float64],
    scaling: Scaling,
    n_steps: int,
) -> Forecast:
    """Predict the steps that follow each entity's window.

    The network sees scaled values, which are clipped, and says how far the next steps are from
    the newest one. That change is added to the newest value as it was measured: a channel that has
    left the range it was trained in is predicted from where it is.

    Parameters
    ----------
    windows : ndarray, shape (n, W, C)
        The newest steps in the channels' own units; NaN is a gap.
    scaling : Scaling
        Of these n entities.
    n_steps : int
        Steps ahead, S.

    Returns
    -------
    Forecast
        Arrays (n, S, C); NaN for a channel without a value in its window.
    """
    window_length = windows.shape[1]
    unknown = np.asarray(np.isnan(windows).all(axis=1))  # (n, C)
    centre, scale = scaling.centre[:, None], scaling.scale[:, None]  # (n, 1, C)
    steps = fill_gaps((windows - centre) / scale)
    for _ in range(-(-n_steps // network.horizon)):
        newest = np.clip(steps[:, -window_length:], -CLIP, CLIP).astype(np.float32)
        change = _network_forecast(network, newest) - newest[:, -1:]
        steps = np.concatenate([steps, steps[:, -1:] + change], axis=1)
    ahead = steps[:, window_length : window_length + n_steps]
    ahead[np.broadcast_to(unknown[:, None], ahead.shape)] = np.nan
    below, above = band.at(n_steps)
    return Forecast(
        ahead * scale + centre, (ahead + below) * scale + centre, (ahead + above) * scale + centre
    )


def rolling_forecast(
    network: Autoencoder,
    band: ForecastBand,
    values: NDArray[np.float64],
    scaling: Scaling,
    *,
    window_length: int,
) -> Forecast:
    """Predict steps that are known: every F steps the next F, from the window before them alone.

    Parameters
    ----------
    values : ndarray, shape (T, n, C)
        In the channels' own units; NaN is a gap.

    Returns
    -------
    Forecast
        Arrays (T, n, C); NaN in the first window, and behind windows that `index_windows` leaves out.
    """
    arrays = [np.full(values.shape, np.nan) for _ in range(3)]
    index = index_windows(scaling.apply(values), window_length)
    index = index.take((index.end - (window_length - 1)) % network.horizon == 0)
    windows = windows_of(values, window_length)
    for start in range(0, len(index), _BLOCK):
        block = index.take(np.arange(start, min(start + _BLOCK, len(index))))
        ahead = forecast_next(
            network,
            band,
            windows[block.end - window_length + 1, block.row],
            scaling.take(block.row),
            network.horizon,
        )
        at = block.end[:, None] + 1 + np.arange(network.horizon)  # (B, F)
        inside = at < len(values)
        rows = np.broadcast_to(block.row[:, None], at.shape)[inside]
        for array, part in zip(arrays, (ahead.expected, ahead.low, ahead.high), strict=True):
            array[at[inside], rows] = part[inside]
    return Forecast(*arrays)


def find_crossing(
    newest: float,
    expected: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    value: float,
) -> Crossing:
    """Find when a channel that is not at `value` yet reaches it: by its forecast, and by the band's edges.

    Parameters
    ----------
    newest : float
        The newest value that was measured: it says from which side the value is reached.
    expected, low, high : ndarray, shape (S,)
        One entity's and channel's forecast, in its own unit.
    """
    rises = newest < value
    near, far = (high, low) if rises else (low, high)
    return Crossing(*(_first_reached(series, value, rises=rises) for series in (expected, near, far)))


def first_beyond(beyond: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Count the steps until (n, S, C) is first True: (n, C), from 1 on, infinite where it never is."""
    return np.where(beyond.any(axis=1), beyond.argmax(axis=1) + 1.0, np.inf)


def _first_reached(series: NDArray[np.float64], value: float, *, rises: bool) -> int | None:
    reached = np.asarray(series >= value if rises else series <= value)
    return int(np.argmax(reached)) + 1 if reached.any() else None


def _network_forecast(network: Autoencoder, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the network's prediction (B, F, C) behind scaled windows (B, W, C)."""
    forecast = np.empty((len(windows), network.horizon, windows.shape[2]), np.float32)
    with torch.inference_mode():
        for start in range(0, len(windows), _BLOCK):
            block = np.ascontiguousarray(windows[start : start + _BLOCK])
            output = network.forecast(torch.from_numpy(padded(fill_gaps(block)))).numpy()
            forecast[start : start + _BLOCK] = output[: len(block)]
    return forecast
