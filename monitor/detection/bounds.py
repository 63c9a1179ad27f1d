"""How long until a channel leaves its valid range, by the model's forecast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.dataset import index_windows
from models.detector import Detector
from models.forecast import first_beyond, forecast_next
from models.row_arrays import rearranged
from monitor.detection.metric_rules import MetricRules
from monitor.detection.recent_steps import RecentSteps

__all__ = ["BoundForecast"]

_N_HORIZONS = 20  # of the model: further ahead a forecast made of forecasts says little, and costs as much
_INTERVAL_MS = 60_000
_NOTHING: NDArray[np.float64] = np.empty((0, 0, 2))


class BoundForecast:
    """The hours left of all entities of a watch, computed from their newest windows once a minute at most.

    Attributes
    ----------
    hours : ndarray, shape (n, C, 2)
        Hours until each channel falls below `valid_min` and rises above `valid_max`: 0 where it is beyond,
        infinite where that is further away than 20 horizons of the model. NaN where no bound is set, and
        where the newest window cannot be judged. Empty without a bound, or without a forecast head.
    """

    def __init__(self, rules: MetricRules) -> None:
        self.hours = _NOTHING
        self._rules = rules
        self._computed_ms: int | None = None

    def update(
        self,
        detector: Detector | None,
        recent: RecentSteps,
        entities: Sequence[str],
        channels: Sequence[str],
        now_ms: int,
    ) -> None:
        """Compute the hours left anew, where a minute of event time has passed.

        Parameters
        ----------
        detector : Detector, optional
            With a row for each entity that `recent` has.
        now_ms : int
            Event time up to which steps are closed. If it goes back, the hours are computed at once.
        """
        if self._computed_ms is not None and 0 <= now_ms - self._computed_ms < _INTERVAL_MS:
            return
        trained = None if detector is None else detector.trained
        if detector is None or trained is None or trained.forecast_band is None:
            self.hours = _NOTHING
            return
        n_rows, n_channels = recent.values.shape[1:]
        names = self._rules.names_of(entities, channels)
        low, high = (
            np.broadcast_to(side[:n_rows, :n_channels], (n_rows, n_channels))
            for side in self._rules.valid_range(names)
        )
        has_bound = np.isfinite(np.stack([low, high], axis=2))  # (n, C, 2)
        window_length = detector.settings.window_length
        if not has_bound.any() or len(recent.values) < window_length:
            self.hours = _NOTHING
            return
        self._computed_ms = now_ms
        newest = recent.values[-window_length:]  # (W, n, C)
        index = index_windows(np.asarray(newest, np.float32), window_length)
        rows = index.row[detector.calibrated[index.row]]
        windows = newest[:, rows].transpose(1, 0, 2)
        n_steps = _N_HORIZONS * trained.network.horizon
        ahead = forecast_next(
            trained.network, trained.forecast_band, windows, detector.scaling.take(rows), n_steps
        ).expected
        with_newest = np.concatenate([windows[:, -1:], ahead], axis=1)  # (n, 1 + S, C)
        with np.errstate(invalid="ignore"):
            beyond = (with_newest < low[rows, None], with_newest > high[rows, None])
        steps = np.stack([first_beyond(side) - 1.0 for side in beyond], axis=2)  # (n, C, 2)
        steps[np.isnan(ahead[:, 0])] = np.nan
        self.hours = np.full((n_rows, n_channels, 2), np.nan)
        self.hours[rows] = np.where(has_bound[rows], steps * detector.step_seconds / 3600, np.nan)

    def begin_anew(self, order: NDArray[np.int64]) -> None:
        """Compute the hours at the next occasion: another model judges, its channels (C,) in this order."""
        self._computed_ms = None
        self.hours = rearranged(self.hours, order, axis=1, fill=np.nan)

    def keep_rows(self, rows: NDArray[np.int64]) -> None:
        """Drop all but these entities, which are numbered anew, in this order."""
        self.hours = self.hours[rows[rows < len(self.hours)]]
