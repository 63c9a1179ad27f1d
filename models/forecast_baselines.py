"""Simple forecasts beside the network, and the measure: naive, seasonal naive, linear AR, MASE.

All arrays of values are (T, n, C) in the channels' own units, NaN a gap. A forecast is rolling: blocks of
`horizon` steps, each from what lies before it alone; NaN where nothing is predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from models.forecast import Forecast

__all__ = [
    "Accuracy",
    "ar_forecast",
    "compare",
    "find_period",
    "mase",
    "naive_forecast",
    "seasonal_forecast",
]

_MIN_CORRELATION = 0.3  # of a series with itself one period earlier; noise and trends stay below
_LONGEST_SHARE = 3  # a period is seen three times at least
_AR_STEPS = 2000  # newest steps that the linear model is fitted on
_AR_FITS = 20  # how often it is fitted again within a file, at most
_AR_RIDGE = 1e-3  # of the number of fitted steps, in squared standard deviations


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How good a rolling forecast is beside its rivals, for each series (n, C).

    `forecast`, `naive`, `seasonal` and `linear` are mean absolute scaled errors (`mase`), all over the same
    cells, of which there are `n_counted`. `in_band` is the share of them within the forecast's band.
    NaN where there is nothing to measure; `period` is 0, and `seasonal` NaN, where there is no season.
    """

    forecast: NDArray[np.float64]
    naive: NDArray[np.float64]
    seasonal: NDArray[np.float64]
    linear: NDArray[np.float64]
    in_band: NDArray[np.float64]
    n_counted: NDArray[np.int64]
    period: NDArray[np.int64]


def compare(
    values: NDArray[np.float64],
    ahead: Forecast,
    period: NDArray[np.int64],
    *,
    window_length: int,
    horizon: int,
) -> Accuracy:
    """Measure a rolling forecast of values (T, n, C), and its rivals on the cells that all of them predict.

    Parameters
    ----------
    period : ndarray, shape (n, C)
        Of each series, in steps; 0 where there is none. If it was found in these same values, the
        seasonal rival knows more than it could have known.
    """
    naive = naive_forecast(values, window_length=window_length, horizon=horizon)
    seasonal = seasonal_forecast(values, period, window_length=window_length, horizon=horizon)
    linear = ar_forecast(values, window_length=window_length, horizon=horizon)
    counted = ~np.isnan(values + ahead.expected + naive + linear)
    counted &= ~np.isnan(seasonal) | (period == 0)
    n_counted = counted.sum(axis=0)
    with np.errstate(invalid="ignore"):
        inside = counted & (values >= ahead.low) & (values <= ahead.high)
        in_band = inside.sum(axis=0) / np.where(n_counted, n_counted, np.nan)
    return Accuracy(
        mase(values, ahead.expected, counted),
        mase(values, naive, counted),
        np.where(period > 0, mase(values, seasonal, counted), np.nan),
        mase(values, linear, counted),
        in_band,
        n_counted,
        period,
    )


def naive_forecast(values: NDArray[np.float64], *, window_length: int, horizon: int) -> NDArray[np.float64]:
    """Predict that nothing changes: the last value before each block, from the first window on."""
    ahead = np.full(values.shape, np.nan)
    filled = _held(values)
    for start in range(window_length, len(values), horizon):
        ahead[start : start + horizon] = filled[start - 1]
    return ahead


def seasonal_forecast(
    values: NDArray[np.float64], period: NDArray[np.int64], *, window_length: int, horizon: int
) -> NDArray[np.float64]:
    """Predict what was measured one period earlier; `period` (n, C) in steps, 0 where there is none.

    A block longer than the period repeats the last whole period before it.
    """
    ahead = np.full(values.shape, np.nan)
    filled = _held(values)
    for row, channel in np.argwhere(period > 0).tolist():
        length = int(period[row, channel])
        at = np.arange(max(window_length, length), len(values))
        start = window_length + (at - window_length) // horizon * horizon  # of each step's block
        n_back = -(-(at - start + 1) // length) * length
        source = at - n_back
        ahead[at[source >= 0], row, channel] = filled[source[source >= 0], row, channel]
    return ahead


def ar_forecast(values: NDArray[np.float64], *, window_length: int, horizon: int) -> NDArray[np.float64]:
    """Predict each channel from its own last W steps by a linear model, step by step.

    The model is fitted by ridge least squares on at most 2000 steps before the block, and again up to 20
    times on the way. Before three windows were seen nothing is predicted.
    """
    ahead = np.full(values.shape, np.nan)
    starts = np.arange(3 * window_length, len(values))
    starts = starts[(starts - window_length) % horizon == 0]
    filled = _held(values)
    parts = np.array_split(starts, min(_AR_FITS, len(starts))) if len(starts) else []
    for row, channel in np.argwhere(~np.isnan(values).all(axis=0)).tolist():
        first = int(np.argmax(~np.isnan(filled[:, row, channel])))
        series = filled[:, row, channel]
        for part in parts:
            begin = max(first, int(part[0]) - _AR_STEPS)
            fitted = series[begin : part[0]]
            if len(fitted) < 3 * window_length:
                continue
            blocks = _ar_blocks(fitted, series, part, window_length, horizon)  # (n_starts, horizon)
            at = part[:, None] + np.arange(horizon)
            inside = at < len(values)
            ahead[at[inside], row, channel] = blocks[inside]
    return ahead


def find_period(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Find the period of each series (n, C) by its autocorrelation, in steps; 0 where there is none.

    The trend is removed. The period is the lag of the highest autocorrelation behind its first zero, if that
    is 0.3 at least; it is seen three times at least. The estimate is the biased one, which
    prefers a period to its multiples.
    """
    n_steps = len(values)
    period = np.zeros(values.shape[1:], np.int64)
    steps = np.arange(n_steps)
    for row, channel in np.ndindex(*period.shape):
        series = values[:, row, channel]
        known = ~np.isnan(series)
        if known.sum() < 8 * _LONGEST_SHARE:
            continue
        filled = np.interp(steps, steps[known], series[known])
        slope, offset = np.polyfit(steps, filled, 1)
        rest = filled - slope * steps - offset
        spectrum = np.fft.rfft(rest, 2 * n_steps)
        correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: n_steps // _LONGEST_SHARE + 1]
        if correlation[0] <= 1e-12 * max(1.0, float(np.abs(filled).max()) ** 2) * n_steps:
            continue
        correlation = correlation / correlation[0]
        below = np.flatnonzero(correlation < 0)
        if not len(below):
            continue
        lag = int(below[0]) + int(np.argmax(correlation[below[0] :]))
        if correlation[lag] >= _MIN_CORRELATION and lag < len(correlation) - 1:
            period[row, channel] = lag
    return period


def mase(
    actual: NDArray[np.float64], ahead: NDArray[np.float64], counted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Give the mean absolute scaled error of each series (n, C).

    The mean absolute error over the `counted` cells (T, n, C), divided by the mean absolute change from
    one step to the next in the whole series. NaN for a constant series, and where nothing was counted.

    References
    ----------
    Hyndman & Koehler (2006), "Another look at measures of forecast accuracy", International
    Journal of Forecasting 22. There the divisor is that of the training series; here it is that of
    the file that is forecast: it is the same for all rivals.
    """
    change = np.abs(np.diff(actual, axis=0))
    error = np.where(counted, np.abs(actual - ahead), 0.0)
    n_changes = (~np.isnan(change)).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.nansum(change, axis=0) / n_changes
        of_series = error.sum(axis=0) / counted.sum(axis=0) / scale
    return np.where(np.isfinite(of_series), of_series, np.nan)


def _held(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fill gaps with the last value before them; NaN before the first."""
    steps = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, steps), axis=0)
    return np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=0), np.nan)


def _ar_blocks(
    fitted: NDArray[np.float64],
    series: NDArray[np.float64],
    starts: NDArray[np.int64],
    order: int,
    horizon: int,
) -> NDArray[np.float64]:
    """Fit a linear model on `fitted`, and predict the blocks of `series` that begin at `starts`."""
    centre, scale = fitted.mean(), max(float(fitted.std()), 1e-9)
    standard = (fitted - centre) / scale
    inputs = sliding_window_view(standard, order)[:-1]  # (N, order)
    inputs = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    ridge = _AR_RIDGE * len(inputs) * np.eye(order + 1)
    ridge[-1, -1] = 1e-9 * len(inputs)
    weights = np.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ standard[order:])
    steps = (sliding_window_view(series, order)[starts - order] - centre) / scale
    for _ in range(horizon):
        following = steps[:, -order:] @ weights[:-1] + weights[-1]
        steps = np.concatenate([steps, following[:, None]], axis=1)
    return np.asarray(steps[:, order:] * scale + centre)
