"""The product itself on arrays: the stages that `train`, `run` and `score` use, with their defaults."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.detector import Detector
from models.errors import TrainingError
from models.fit_detector import Fit
from models.raw_scores import raw_score_windows
from models.scaling import fit_scaling
from models.training import first_held_out
from monitor.alerting.alert import Alert
from monitor.config.watch import WatchConfig
from monitor.detection.build import build_watch, known_entities
from monitor.detection.entities import resolutions
from monitor.detection.report import WatchReport
from monitor.detection.scored_step import ScoredStep
from monitor.detection.settings import WatchSettings
from monitor.detection.view import WatchObserver
from monitor.storage.step_history import History
from monitor.training.train import aligned, fit_watch
from monitor.training.warm_up import blocks_of

from .measures import Episode
from .sets import Trial

__all__ = ["BUDGET", "PARTS", "Judged", "judge", "judge_product", "settings_of", "training_history"]

BUDGET = "1/week per entity"
PARTS = ("autoencoder", "rest")  # of the product, that can judge alone


@dataclass(frozen=True)
class Judged:
    """What a contender made of a trial.

    Attributes
    ----------
    episodes : list
        Of each entity, in the order in which they opened; rows are the trial's.
    scores : ndarray, shape (T, n)
        Surprise over limit by row of the trial; 0 where nothing was judged.
    fit_seconds, run_seconds : float
        What fitting took, and what judging took.
    note : str
        What a reader of the card must know, if anything.
    """

    episodes: list[list[Episode]]
    scores: NDArray[np.float64]
    fit_seconds: float
    run_seconds: float
    note: str = ""


def settings_of(step_seconds: float, *, seed: int = 0, budget: str = BUDGET) -> WatchSettings:
    """Give the settings that ship, for series of a step. No sample is late here: none is waited for."""
    watch = WatchConfig(
        name="judged",
        by=["entity"],
        step_seconds=step_seconds,
        lateness_seconds=0.0,
        revision_seconds=0.0,
        budget=budget,
        model={"seed": seed},
    )
    return watch.settings()


def training_history(trial: Trial) -> History:
    """Give the training rows of a trial as the trainer collects them."""
    values = np.where(trial.train[:, :, None], trial.values, np.nan)
    steps = np.flatnonzero(~np.isnan(values).all(axis=(1, 2)))
    first, end = int(steps[0]), int(steps[-1]) + 1
    step_ms = trial.step_seconds * 1000
    names, channels = trial.entities, trial.channels
    history = History(names, channels, values[first:end], first * step_ms, (end - 1) * step_ms)
    return aligned(history, step_ms)


def judge_product(trial: Trial, seed: int, *, parts: tuple[str, ...] = ()) -> dict[str, Judged]:
    """Train once, and judge by the whole product, and by parts of it: its network alone, the rest alone.

    Where the training rows are too few to train on, a fresh daemon judges: it has no network, and only the
    whole product is given. Scores of parts are those of the test rows, as for every other contender.
    """
    settings = settings_of(trial.step_seconds, seed=seed)
    history = training_history(trial)
    started = time.perf_counter()
    try:
        fit = fit_watch(settings, history)
    except TrainingError as error:
        return {"product": judge(trial, settings, None, note=f"not trained: {error}")}
    seconds = time.perf_counter() - started
    judged = {"product": replace(judge(trial, settings, fit.detector), fit_seconds=seconds)}
    for part in parts:
        detector = _part_of(fit, settings, history, network=part == "autoencoder")
        judged[part] = replace(judge(trial, settings, detector, with_scores=False), fit_seconds=seconds)
    return judged


def judge(
    trial: Trial,
    settings: WatchSettings,
    detector: Detector | None,
    *,
    with_scores: bool = True,
    note: str = "",
) -> Judged:
    """Judge a trial: the test rows for episodes, as `run` does, and all rows for scores, as `score` does.

    Scores cost as much again; without them those of the test rows are given.
    """
    started = time.perf_counter()
    test = np.where(trial.test[:, :, None], trial.values, np.nan)
    scores, alerts = _replay(trial, settings, detector, test)
    run_seconds = time.perf_counter() - started
    if with_scores:
        scores, _ = _replay(trial, settings, detector, trial.values, apart=True)
    return Judged(_episodes(trial, alerts), scores, 0.0, run_seconds, note)


def _replay(
    trial: Trial,
    settings: WatchSettings,
    detector: Detector | None,
    values: NDArray[np.float64],
    *,
    apart: bool = False,
) -> tuple[NDArray[np.float64], dict[str, Alert]]:
    """Judge rows (T, n, C) by a copy of the detector; give scores (T, n), and alerts as they ended.

    `apart` is as in `score`: no entity changes the limit of another.
    """
    bundle = None
    if detector is not None:
        copy = detector.take(np.arange(detector.n_rows))
        copy.weights = detector.weights  # those of a part, where it is one
        bundle = Bundle(copy, trial.channels, trial.entities, {})
    known = known_entities(settings, trial.entities, trial.channels, fixed=True)
    watch = build_watch(settings, bundle, entities=known, apart=apart)
    scores = np.zeros(values.shape[:2])

    def keep(step: ScoredStep) -> None:
        row = step.time_ms // settings.step_ms - 1  # a step is judged at its end
        if row < len(scores):
            scores[row] = np.where(step.judged, step.score, 0.0)

    watch.observe(WatchObserver(on_scored=keep))
    steps = np.flatnonzero(~np.isnan(values).all(axis=(1, 2)))
    first, end = int(steps[0]), int(steps[-1]) + 1
    alerts: dict[str, Alert] = {}
    report = WatchReport()
    for block in blocks_of(values[first:end], settings.step_ms, first_step=first):
        for alert in watch.judge(block, report):
            alerts[alert.identity] = alert
    return np.nan_to_num(scores), alerts


def _episodes(trial: Trial, alerts: dict[str, Alert]) -> list[list[Episode]]:
    """Give episodes by entity; one that was open at the end reaches to the end."""
    step_ms = trial.step_seconds * 1000
    found: list[list[Episode]] = [[] for _ in trial.entities]
    for alert in alerts.values():
        row = trial.entities.index(alert.entity)
        start = max(0, alert.opened_ms // step_ms - 1)
        end = alert.resolved_ms // step_ms - 1 if alert.resolved_ms else trial.test_span(row)[1]
        channel = alert.channels[0].channel if alert.channels else ""
        found[row].append(Episode(start, max(start + 1, end), channel))
    return [sorted(episodes, key=lambda episode: episode.start) for episodes in found]


def _part_of(fit: Fit, settings: WatchSettings, history: History, *, network: bool) -> Detector:
    """Give the trained detector with the network's raw scores alone, or without them; calibrated anew."""
    whole = fit.detector
    assert whole.trained is not None
    resolution = resolutions(history.channels, history.counters, history.values, settings.step_seconds)
    part = Detector(
        settings.model,
        n_rows=whole.n_rows,
        resolution=whole.resolution,
        step_seconds=settings.step_seconds,
        block_steps=settings.block_steps,
        trained=whole.trained,
    )
    empty = np.zeros((1, settings.window_length, len(history.channels)), np.float32)
    scored = raw_score_windows(whole.trained.network, empty, whole.trained.error_scale)
    is_network = np.arange(len(whole.weights)) < scored.raw_scores.shape[1]
    weights = np.where(is_network == network, whole.weights, 0.0)
    part.weights = weights / weights.sum()
    scaled = fit_scaling(history.values, resolution).apply(history.values)
    held_out_from = first_held_out(scaled, settings.model.validation_share)
    rows = np.arange(whole.n_rows)
    part.calibrate(rows, history.values, held_out_from=held_out_from, resolution=resolution)
    return part
