"""The worst episodes' curves, caught while steps go by: memory grows with the entities, not with time."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.detection.scored_step import ScoredStep
from monitor.detection.watch import Watch

__all__ = ["Picture", "PictureProbe"]

_MOST_POINTS = 1200  # of a curve: more than a screen has; a longer one loses every second
_LEAD_WINDOWS = 3  # shown before an episode, and as many after it


@dataclass(frozen=True, slots=True)
class Picture:
    """One episode's curves: T steps from before it opened to after it ended, C channels.

    `actual` and `expected` (T, C) are in the channels' own units, NaN where there is no value; `score` (T,)
    is NaN where nothing was judged, and 1 is the limit.
    """

    entity: str
    opened_ms: int
    channels: tuple[str, ...]
    time_ms: NDArray[np.int64]
    score: NDArray[np.float32]
    actual: NDArray[np.float32]
    expected: NDArray[np.float32]

    @property
    def peak(self) -> float:
        """The highest score of the curve from the opening on."""
        later = self.score[self.time_ms >= self.opened_ms]
        return float(np.nanmax(later)) if np.isfinite(later).any() else 0.0


@dataclass(frozen=True, slots=True)
class _Row:
    """One entity at one step."""

    time_ms: int
    score: float
    actual: NDArray[np.float32]  # (C,)
    expected: NDArray[np.float32]


class _Trace:
    """The curve of an episode that is open, or that has just ended."""

    def __init__(self, opened_ms: int, before: list[_Row]) -> None:
        self.opened_ms = opened_ms
        self.rows = before
        self.peak = 0.0
        self.n_after = 0  # steps since it ended
        self._n_steps = 0
        self._stride = 1

    def add(self, row: _Row, *, is_open: bool) -> None:
        """Append a step; of a long episode only every second, fourth, ... and each new peak."""
        self.n_after = 0 if is_open else self.n_after + 1
        is_peak = is_open and row.score > self.peak
        self._n_steps += 1
        if is_peak or self._n_steps % self._stride == 0:
            self.rows.append(row)
        if is_peak:
            self.peak = row.score
        if len(self.rows) > _MOST_POINTS:
            worst = max(self.rows, key=_score_of)
            self.rows = [row for place, row in enumerate(self.rows) if place % 2 == 0 or row is worst]
            self._stride *= 2


class PictureProbe:
    """Watches the steps of a replay, and holds the curves of its worst episodes.

    Parameters
    ----------
    n_worst : int
        Episodes whose curves are held: those of the highest scores.
    window_length : int
        Steps in a window, which says how much is shown before and after an episode.
    """

    def __init__(self, n_worst: int, window_length: int) -> None:
        self._n_worst = n_worst
        self._n_around = _LEAD_WINDOWS * window_length
        self._recent: deque[ScoredStep] = deque(maxlen=self._n_around)
        self._live: dict[tuple[int, int], _Trace] = {}  # by row and opening
        self._worst: list[tuple[int, _Trace]] = []  # with its row

    def observe(self, scored: ScoredStep, watch: Watch) -> None:
        """Take a step that was judged."""
        book = watch.book
        n_rows = len(scored.score)
        open_rows = np.flatnonzero(book.is_open[:n_rows]).tolist()
        is_open = {(row, int(book.opened_ms[row])) for row in open_rows}
        for row, opened_ms in is_open - self._live.keys():
            before = [_row_of(step, row) for step in self._recent if row < len(step.score)]
            self._live[row, opened_ms] = _Trace(opened_ms, before)
        for key, trace in list(self._live.items()):
            trace.add(_row_of(scored, key[0]), is_open=key in is_open)
            if trace.n_after >= self._n_around:
                del self._live[key]
                self._keep(key[0], trace)
        self._recent.append(scored)

    def finish(self, watch: Watch) -> tuple[Picture, ...]:
        """Give the curves of the worst episodes, the worst first."""
        for (row, _), trace in self._live.items():
            self._keep(row, trace)
        self._live.clear()
        names, channels = watch.entities.entities, tuple(watch.entities.channels)
        return tuple(_picture(names[row], channels, trace) for row, trace in self._worst)

    def _keep(self, row: int, trace: _Trace) -> None:
        self._worst.append((row, trace))
        self._worst.sort(key=lambda kept: -kept[1].peak)
        del self._worst[self._n_worst :]


def _score_of(row: _Row) -> float:
    return -math.inf if math.isnan(row.score) else row.score


def _row_of(step: ScoredStep, row: int) -> _Row:
    score = float(step.score[row])
    return _Row(
        step.time_ms, score, step.actual[row].astype(np.float32), step.expected[row].astype(np.float32)
    )


def _picture(entity: str, channels: tuple[str, ...], trace: _Trace) -> Picture:
    n_channels = len(channels)
    return Picture(
        entity=entity,
        opened_ms=trace.opened_ms,
        channels=channels,
        time_ms=np.array([row.time_ms for row in trace.rows], np.int64),
        score=np.array([row.score for row in trace.rows], np.float32),
        actual=np.array([_widened(row.actual, n_channels) for row in trace.rows]),
        expected=np.array([_widened(row.expected, n_channels) for row in trace.rows]),
    )


def _widened(values: NDArray[np.float32], n_channels: int) -> NDArray[np.float32]:
    """Give the values of as many channels as are known in the end."""
    return np.pad(values, (0, n_channels - len(values)), constant_values=np.nan)
