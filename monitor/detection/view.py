"""What others see of a watch: a view of its state, made when asked for, and events as they happen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.limits import Limit
from monitor.alerting.alert import Alert, EpisodeProgress
from monitor.detection.coverage import CoverageView
from monitor.detection.scored_step import ScoredStep
from monitor.detection.steps import ClosedSteps

__all__ = ["WatchObserver", "WatchView"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchView:
    """A watch between two batches, for metrics, the scrape and the daemon.

    A view refers to the watch's own lists and arrays: read it before the watch processes another batch,
    and change nothing in it. n is the number of entities that a closed step has shown, which may be less
    than `len(entities)`: the newest ones wait for their first step.

    Attributes
    ----------
    name : str
        The watch's name in the configuration.
    entities, channels : sequence of str
        Names of all rows and columns.
    entities_version : int
        Changes when rows or channels are numbered anew; until then others are only added behind them.
    max_series : int or None
        Entities times channels that there is room for; None where that is not limited.
    n_ignored, n_refused : int
        Series left out because the model does not know their entity or channel; because there is no room.
    open_alerts : mapping
        Open episodes by row, each with its highest score so far.
    last_scored : ScoredStep or None
        The newest step; None before the first, also behind a restart.
    is_open, out_of_range : ndarray, shape (n,)
        True where an episode is open; where the newest step shows a value outside its valid range.
    limit : Limit or None
        The limit in force for entities without an open episode; None before anything is calibrated.
    limits : ndarray, shape (n,)
        Surprise at which each entity's budget is spent; frozen while its episode is pending or open.
    missing_steps : ndarray, shape (n,)
        Steps that each entity still needs before it can be judged.
    watermark_ms, closed_until_ms : int or None
        Event time up to which samples are complete; up to which steps are closed. None before the first
        sample.
    longest_delay_ms : int
        How far the newest closed step ends behind the newest sample at most, while samples come.
    hours_to_bound : ndarray, shape (n, C, 2)
        Hours until a channel is forecast to leave its valid range, downwards and upwards (`BoundForecast`);
        it may have fewer rows than there are entities.
    coverage : CoverageView
        Which entities should be judged, and which of them are not; it may have fewer rows too.
    """

    name: str
    entities: Sequence[str]
    channels: Sequence[str]
    entities_version: int
    max_series: int | None
    n_ignored: int
    n_refused: int
    open_alerts: Mapping[int, Alert]
    last_scored: ScoredStep | None
    is_open: NDArray[np.bool_]
    out_of_range: NDArray[np.bool_]
    limit: Limit | None
    limits: NDArray[np.float64]
    missing_steps: NDArray[np.int64]
    watermark_ms: int | None
    closed_until_ms: int | None
    longest_delay_ms: int
    hours_to_bound: NDArray[np.float64]
    coverage: CoverageView

    def progress(self) -> list[EpisodeProgress]:
        """Tell how far each open episode is; nothing before the first step, also behind a restart."""
        step = self.last_scored
        if step is None:
            return []
        column_of = {channel: column for column, channel in enumerate(self.channels)}
        return [
            EpisodeProgress(
                alert,
                time_ms=self.closed_until_ms or step.time_ms,
                score=float(step.score[row]) if step.judged[row] else math.nan,
                actual={
                    share.channel: float(step.actual[row, column_of[share.channel]])
                    for share in alert.channels
                    if share.channel in column_of
                },
            )
            for row, alert in self.open_alerts.items()
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchObserver:
    """Functions that a watch calls as things happen, in its own thread; those left out do nothing.

    Attributes
    ----------
    on_scored : callable
        Given each step once it is judged, but for those that an earlier run has reported.
    on_rescored : callable
        Given rows (m,), and a step of these m entities that late data had judged again.
    on_closed : callable
        Given each block of closed steps once all of it is judged.
    on_forgotten : callable
        Given the rows that stay when entities are forgotten: their numbers up to then, in their new order.
    on_rearranged : callable
        Given the channels (C,) once another model judges: their numbers up to then, in their new order; -1
        for one that is new.
    """

    on_scored: Callable[[ScoredStep], None] = lambda step: None
    on_rescored: Callable[[NDArray[np.int64], ScoredStep], None] = lambda rows, step: None
    on_closed: Callable[[ClosedSteps], None] = lambda closed: None
    on_forgotten: Callable[[NDArray[np.int64]], None] = lambda rows: None
    on_rearranged: Callable[[NDArray[np.int64]], None] = lambda order: None
