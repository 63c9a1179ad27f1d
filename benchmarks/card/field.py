"""All contenders by name, and how each judges a trial."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.scaling import fit_scaling
from monitor.detection.entities import resolutions

from . import contenders, forests, learned
from .contenders import Contender
from .measures import Episode
from .policy import judge_raw
from .product import Judged, judge_product, settings_of
from .sets import Trial

__all__ = ["FIELD", "Entrant", "judge_trial"]

HELD_OUT_SHARE = 0.25  # newest part of the training rows, as the product's: fitted contenders calibrate on it


@dataclass(frozen=True)
class Entrant:
    """A contender as the card lists it.

    Attributes
    ----------
    build : callable
        Given seed and step in seconds.
    is_fitted : bool
        Its errors on rows that it was fitted on are too small to calibrate by.
    is_random : bool
        It differs between seeds; others run once.
    is_fast : bool
        It also runs on the sets with millions of rows.
    """

    title: str
    build: Callable[[int, float], Contender]
    is_fitted: bool = False
    is_random: bool = False
    is_fast: bool = True


FIELD: dict[str, Entrant] = {
    "random": Entrant("random", lambda seed, step: contenders.RandomScore(seed), is_random=True),
    "ewma": Entrant("EWMA z-score", lambda seed, step: contenders.EwmaZScore()),
    "three_sigma": Entrant("three sigma", lambda seed, step: contenders.ThreeSigma()),
    "gaussian": Entrant("windowed Gaussian", lambda seed, step: contenders.WindowedGaussian()),
    "seasonal": Entrant("seasonal naive", lambda seed, step: contenders.SeasonalNaive(step)),
    "pca": Entrant("windowed PCA", lambda seed, step: contenders.PcaWindows(), is_fitted=True),
    "nearest": Entrant("nearest earlier window", lambda seed, step: contenders.NearestWindow()),
    "kmeans": Entrant(
        "k-means on windows",
        lambda seed, step: contenders.KMeansWindows(seed),
        is_fitted=True,
        is_random=True,
    ),
    "polynomial": Entrant("local polynomial", lambda seed, step: contenders.Polynomial()),
    "isolation": Entrant(
        "isolation forest",
        lambda seed, step: forests.IsolationForestScore(seed),
        is_fitted=True,
        is_random=True,
    ),
    "half_space": Entrant(
        "half-space trees",
        lambda seed, step: forests.HalfSpaceTreesScore(seed),
        is_random=True,
        is_fast=False,
    ),
    "cut_forest": Entrant(
        "random cut forest",
        lambda seed, step: forests.RandomCutForestScore(seed),
        is_random=True,
        is_fast=False,
    ),
    "forecast": Entrant(
        "forecasting LSTM",
        lambda seed, step: learned.ForecastingLstm(seed),
        is_fitted=True,
        is_random=True,
    ),
    "patches": Entrant(
        "patch memory", lambda seed, step: learned.PatchMemory(seed), is_fitted=True, is_random=True
    ),
}


def judge_trial(trial: Trial, name: str, seed: int, *, parts: tuple[str, ...] = ()) -> dict[str, Judged]:
    """Let a contender judge a trial; "product" also gives these parts of itself."""
    if name == "product":
        return judge_product(trial, seed, parts=parts)
    return {name: _judge_entrant(trial, FIELD[name], seed)}


def _judge_entrant(trial: Trial, entrant: Entrant, seed: int) -> Judged:
    stream, n_train = trial.stream()
    learned = stream[:n_train]
    scaled = fit_scaling(learned, resolutions(trial.channels, (), learned, trial.step_seconds)).apply(stream)
    known = ~np.isnan(scaled).all(axis=2)
    filled = _complete(scaled, n_train)
    n_fit = n_train - int(HELD_OUT_SHARE * n_train) if entrant.is_fitted else n_train
    contender = entrant.build(seed, trial.step_seconds)
    started = time.perf_counter()
    contender.fit(filled[:n_fit])
    fitted = time.perf_counter()
    raw = np.where(known, contender.score(filled), np.nan)
    if entrant.is_fitted:
        raw[:n_fit] = np.nan
    verdicts = judge_raw(raw, n_train, settings_of(trial.step_seconds), n_channels=len(trial.channels))
    judged = time.perf_counter()
    scores = np.zeros(trial.label.shape)
    episodes = []
    for row in range(len(trial.entities)):
        first, end = trial.test_span(row)
        scores[first:end, row] = verdicts.scores[n_train : n_train + end - first, row]
        shift = first - n_train
        episodes.append([Episode(e.start + shift, e.end + shift) for e in verdicts.episodes[row]])
    return Judged(episodes, scores, fitted - started, judged - fitted)


def _complete(scaled: NDArray[np.float32], n_train: int) -> NDArray[np.float32]:
    """Fill gaps of rows (T, n, C) with the last value before, else with 0, the median.

    Before an entity's first row stand copies of its own training rows: a short history counts as often as a
    long one, and is not mistaken for one that rests at 0.
    """
    measured = ~np.isnan(scaled).all(axis=2)
    filled = _held(scaled)
    for row, first in enumerate(np.argmax(measured, axis=0).tolist()):
        if 0 < first < n_train:
            filled[:first, row] = np.resize(filled[first:n_train, row][::-1], (first, scaled.shape[2]))[::-1]
    return filled


def _held(scaled: NDArray[np.float32]) -> NDArray[np.float32]:
    known = ~np.isnan(scaled)
    steps = np.arange(len(scaled))[:, None, None]
    source = np.maximum.accumulate(np.where(known, steps, -1), axis=0)
    held = np.take_along_axis(scaled, np.maximum(source, 0), axis=0)
    return np.where(source >= 0, held, np.float32(0))
