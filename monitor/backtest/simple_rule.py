"""The simple rule that a detector must beat: three standard deviations from the mean. Pure."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from monitor.alerting.episodes import AlertPolicy, EpisodeBook
from monitor.backtest.evaluate import Page
from monitor.detection.scored_step import ScoredStep
from monitor.detection.watch import Watch
from monitor.storage.step_history import History

__all__ = ["PageBook", "ThreeSigmaProbe", "three_sigma_scores"]

_SIGMAS = 3.0


def three_sigma_scores(
    values: NDArray[np.float64], mean: NDArray[np.float64], deviation: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give scores (..., n): the largest distance of a channel from its mean over three standard deviations.

    Parameters
    ----------
    values : ndarray, shape (..., n, C)
        In the channels' own units; NaN is a gap.
    mean, deviation : ndarray, shape (n, C)
        Of each channel. A channel that was constant is left out.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = np.abs(values - mean) / deviation
    distance[np.isinf(distance)] = np.nan
    return np.asarray(np.nanmax(distance, axis=-1, initial=0.0) / _SIGMAS)


class PageBook:
    """Scores to pages, by the policy of the watch.

    Parameters
    ----------
    watch : str
        The watch's name, for the pages.
    """

    def __init__(self, watch: str, policy: AlertPolicy) -> None:
        self.book = EpisodeBook(policy)
        self._watch = watch
        self._ended: list[tuple[int, Page]] = []  # with its row

    def update(
        self, time_ms: int, score: NDArray[np.float64], vetoed: NDArray[np.bool_] | None = None
    ) -> None:
        """Take the scores (n,) of a step; NaN where nothing was judged."""
        changes = self.book.update(time_ms, score, vetoed=vetoed)
        for row in np.concatenate([changes.recovered, changes.accepted]).tolist():
            self._ended.append((row, Page(self._watch, "", int(self.book.opened_ms[row]), time_ms)))

    def pages(self) -> list[tuple[int, Page]]:
        """Give each page with its row, those that are still open last; pages have no entity yet."""
        still_open = np.flatnonzero(self.book.is_open).tolist()
        return self._ended + [
            (row, Page(self._watch, "", int(self.book.opened_ms[row]), None)) for row in still_open
        ]


class ThreeSigmaProbe:
    """Judges the steps of a replay by the simple rule, with the watch's own policy.

    Parameters
    ----------
    history : History
        What the watch was trained on: means and standard deviations are from it.
    """

    def __init__(self, watch: str, policy: AlertPolicy, history: History) -> None:
        self._pages = PageBook(watch, policy)
        self._history = history
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a channel without a value is left out
            self._mean = np.nanmean(history.values, axis=0)
            self._deviation = np.nanstd(history.values, axis=0)
        self._places: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    def observe(self, scored: ScoredStep, watch: Watch) -> None:
        """Take a step that was judged."""
        rows, channels = self._found(watch, *scored.actual.shape)
        shape = np.ix_(rows, channels)
        mean = np.where((rows < 0)[:, None] | (channels < 0), np.nan, self._mean[shape])
        score = three_sigma_scores(scored.actual, mean, self._deviation[shape])
        self._pages.update(scored.time_ms, score)

    def pages(self, watch: Watch) -> tuple[Page, ...]:
        """Give the pages of the rule."""
        names = watch.entities.entities
        return tuple(
            Page(page.watch, names[row], page.opened_ms, page.resolved_ms)
            for row, page in self._pages.pages()
        )

    def _found(
        self, watch: Watch, n_rows: int, n_channels: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give where the history has each row and channel of the watch; -1 where it has not."""
        if self._places is None or (len(self._places[0]), len(self._places[1])) != (n_rows, n_channels):
            self._places = (
                _places(watch.entities.entities[:n_rows], self._history.entities),
                _places(watch.entities.channels[:n_channels], self._history.channels),
            )
        return self._places


def _places(names: list[str], known: tuple[str, ...]) -> NDArray[np.int64]:
    place_of = {name: place for place, name in enumerate(known)}
    return np.array([place_of.get(name, -1) for name in names], np.int64)
