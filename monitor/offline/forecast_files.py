"""Offline forecasts: metric files to predictions of known steps, of the steps behind them, and answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.dataset import index_windows, windows_of
from models.detector import WARMING_STEPS, Detector
from models.forecast import Crossing, Forecast, find_crossing, forecast_next, rolling_forecast
from models.forecast_baselines import Accuracy, compare, find_period
from models.scaling import Scaling, fit_scaling
from monitor.alerting.text import time_text
from monitor.config.watch import WatchConfig
from monitor.detection.build import build_entities, check_fits
from monitor.errors import ConfigError, MonitorError
from monitor.sample import Columns, SeriesTable
from monitor.training.train import recorded_steps

__all__ = [
    "FileForecast",
    "Question",
    "answers",
    "check_forecasts",
    "forecast_files",
    "parse_question",
    "rows_of",
]


@dataclass(frozen=True, slots=True)
class Question:
    """The question when a channel will reach a value."""

    channel: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FileForecast:
    """What a file holds, and what the model says of it, for the n entities that have values in it.

    Attributes
    ----------
    values : ndarray, shape (T, n, C)
        Closed steps in the channels' own units; NaN is a gap.
    time_ms : ndarray, shape (T,)
        Start of each step.
    past : Forecast
        Arrays (T, n, C): each block of `horizon` steps from the window before it.
    future : Forecast
        Arrays (n, S, C): the steps behind the newest of each entity; NaN where its window has too many gaps.
    newest_ms : ndarray, shape (n,)
        Start of each entity's newest step.
    """

    entities: tuple[str, ...]
    channels: tuple[str, ...]
    values: NDArray[np.float64]
    time_ms: NDArray[np.int64]
    past: Forecast
    future: Forecast
    newest_ms: NDArray[np.int64]
    accuracy: Accuracy
    step_ms: int


def parse_question(text: str) -> Question:
    """Read CHANNEL=VALUE; a channel's labels may hold `=` too.

    Raises
    ------
    ConfigError
        If it has another form.
    """
    channel, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = np.nan
    if not channel or not np.isfinite(value):
        raise ConfigError(f"--until {text}: expected CHANNEL=VALUE, as in --until disk_used_percent=95")
    return Question(channel, value)


def check_forecasts(watch: WatchConfig, champion: Bundle | None) -> Bundle:
    """Give the model of a watch, if it can forecast.

    Raises
    ------
    MonitorError
        If there is no model, or it has no forecast head.
    ConfigError
        If it was trained with another step or window than is configured.
    """
    what_to_do = f'Set head = "joint" in its [watch.model], and run `barograph train --watch {watch.name}`.'
    if champion is None:
        raise MonitorError(f"watch {watch.name} has no model to forecast with. {what_to_do}")
    trained = champion.detector.trained
    if trained is None or trained.forecast_band is None:
        raise MonitorError(f"the model of watch {watch.name} has no forecast head. {what_to_do}")
    check_fits(champion, watch.settings())
    return champion


def forecast_files(
    watch: WatchConfig,
    champion: Bundle,
    columns: Columns,
    table: SeriesTable,
    *,
    n_steps: int,
    season_seconds: float = 0.0,
) -> FileForecast:
    """Forecast recorded samples by a model that `check_forecasts` has given.

    Parameters
    ----------
    n_steps : int
        Steps behind the end of the files.
    season_seconds : float
        Period of the seasonal rival; 0: found in the files, for each series.

    Raises
    ------
    MonitorError
        If no entity has a whole window.
    """
    settings = watch.settings()
    entities = build_entities(settings, champion)
    blocks = recorded_steps(settings, entities, columns, table)
    window_length = settings.window_length
    longest = sum(len(block.values) for block in blocks)
    if longest < window_length:
        raise MonitorError(
            f"the files have {longest} steps of {settings.step_seconds:g} s of watch {watch.name}: a "
            f"forecast needs a window of {window_length}. Give a longer file."
        )
    values = np.concatenate([block.values for block in blocks])
    steps = np.concatenate([block.first_step + np.arange(len(block.values)) for block in blocks])
    rows = np.flatnonzero(~np.isnan(values).all(axis=(0, 2)))
    values = values[:, rows]
    detector = champion.detector
    assert detector.trained is not None
    assert detector.trained.forecast_band is not None
    network, band = detector.trained.network, detector.trained.forecast_band
    scaling = _scaling_of(detector, rows, values)
    past = rolling_forecast(network, band, values, scaling, window_length=window_length)
    newest, windows = _newest_windows(values, scaling, window_length)
    if np.isnan(windows).all():
        raise MonitorError(
            f"no entity of watch {watch.name} ends with a window of {window_length} steps of which half are "
            "measured: a forecast needs that. Give a longer file, or one with fewer gaps."
        )
    season = round(season_seconds * 1000 / settings.step_ms)
    period = np.full(values.shape[1:], season) if season else find_period(values)
    return FileForecast(
        entities=tuple(entities.entities[row] for row in rows.tolist()),
        channels=tuple(entities.channels),
        values=values,
        time_ms=steps * settings.step_ms,
        past=past,
        future=forecast_next(network, band, windows, scaling, n_steps),
        newest_ms=steps[newest] * settings.step_ms,
        accuracy=compare(values, past, period, window_length=window_length, horizon=network.horizon),
        step_ms=settings.step_ms,
    )


def answers(forecast: FileForecast, questions: Sequence[Question]) -> Iterator[tuple[str, Question, str]]:
    """Say for each question and entity when the value is reached: (entity, question, answer).

    A channel is named as in the table; where each series is its own entity, by the series.

    Raises
    ------
    ConfigError
        If no channel has the name.
    """
    for question in questions:
        cells = [
            (row, column)
            for row, entity in enumerate(forecast.entities)
            for column, channel in enumerate(forecast.channels)
            if question.channel in (channel, entity)
        ]
        if not cells:
            by_series = forecast.channels == ("value",)
            known = ", ".join(forecast.entities if by_series else forecast.channels)
            raise ConfigError(f"--until {question.channel}: no channel has that name; there are {known}")
        for row, column in cells:
            yield forecast.entities[row], question, _answer(forecast, row, column, question.value)


def rows_of(forecast: FileForecast) -> dict[str, Any]:
    """Give the rows of a forecast as equally long columns.

    They are entity, time_ms (the start of the step), and for each channel its actual value, what was
    predicted, and the band around that. Behind an entity's newest step there is no actual value.
    """
    n_steps, n_rows, _ = forecast.values.shape
    n_ahead = forecast.future.expected.shape[1]
    entities = list(forecast.entities)
    behind_ms = forecast.newest_ms[:, None] + forecast.step_ms * np.arange(1, n_ahead + 1)  # (n, S)
    columns: dict[str, Any] = {
        "entity": entities * n_steps + [entity for entity in entities for _ in range(n_ahead)],
        "time_ms": np.concatenate([np.repeat(forecast.time_ms, n_rows), behind_ms.ravel()]),
    }
    past, future = forecast.past, forecast.future
    for number, channel in enumerate(forecast.channels):
        unknown = np.full(n_rows * n_ahead, np.nan)
        columns[f"{channel}.actual"] = np.concatenate([forecast.values[:, :, number].ravel(), unknown])
        for name, known, ahead in (
            ("forecast", past.expected, future.expected),
            ("low", past.low, future.low),
            ("high", past.high, future.high),
        ):
            columns[f"{channel}.{name}"] = np.concatenate(
                [known[:, :, number].ravel(), ahead[:, :, number].ravel()]
            )
    return columns


def _scaling_of(detector: Detector, rows: NDArray[np.int64], values: NDArray[np.float64]) -> Scaling:
    """Give the scaling of entities: the model's, and by their first steps for those that it does not know."""
    known = np.array([row < detector.n_rows and bool(detector.calibrated[row]) for row in rows.tolist()])
    scaling = detector.scaling.take(np.where(known, rows, -1))
    n_first = detector.settings.window_length + WARMING_STEPS
    for row in np.flatnonzero(~known).tolist():
        first = int(np.argmax(~np.isnan(values[:, row]).all(axis=1)))
        fitted = fit_scaling(values[first : first + n_first, [row]], detector.resolution)
        scaling.put(np.array([row]), fitted)
    return scaling


def _newest_windows(
    values: NDArray[np.float64], scaling: Scaling, window_length: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give each entity's newest step (n,), and the window that ends there (n, W, C).

    A window that cannot be judged is all gaps.
    """
    known = np.asarray(~np.isnan(values).all(axis=2))  # (T, n)
    newest = np.asarray(len(values) - 1 - np.argmax(known[::-1], axis=0))
    windows = np.full((values.shape[1], window_length, values.shape[2]), np.nan)
    index = index_windows(scaling.apply(values), window_length)
    index = index.take(index.end == newest[index.row])
    windows[index.row] = windows_of(values, window_length)[index.end - window_length + 1, index.row]
    return newest, windows


def _answer(forecast: FileForecast, row: int, column: int, value: float) -> str:
    """Say when a channel reaches a value, in words."""
    series = forecast.values[:, row, column]
    known = series[~np.isnan(series)]
    future = forecast.future
    if not len(known) or np.isnan(future.expected[row, 0, column]):
        return "unknown: its newest window has too many gaps"
    newest, usual = float(known[-1]), float(np.median(known))
    if newest == value or (newest > value) != (usual > value):
        return f"already, it is {newest:g}"
    crossing = find_crossing(
        newest,
        future.expected[row, :, column],
        future.low[row, :, column],
        future.high[row, :, column],
        value,
    )
    return _crossing_text(crossing, future.expected.shape[1], int(forecast.newest_ms[row]), forecast.step_ms)


def _crossing_text(crossing: Crossing, n_steps: int, newest_ms: int, step_ms: int) -> str:
    def at(steps: int | None) -> str:
        return "beyond that" if steps is None else time_text(newest_ms + steps * step_ms)

    if crossing.expected is None:
        text = f"not within {n_steps} steps ({_duration_text(n_steps * step_ms)})"
        return text if crossing.earliest is None else f"{text}; earliest {at(crossing.earliest)}"
    return (
        f"in {_duration_text(crossing.expected * step_ms)} (at {at(crossing.expected)}; "
        f"earliest {at(crossing.earliest)}, latest {at(crossing.latest)})"
    )


def _duration_text(duration_ms: int) -> str:
    """Write a duration by its two largest units."""
    parts = []
    rest = round(duration_ms / 1000)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or f"{duration_ms} ms"
