"""Training: closed steps in, from metric files or from the daemon's history; a model for a watch out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.detector import calibration_episodes
from models.errors import TrainingError
from models.fit_detector import Fit, Fold, cross_validate, fit_detector
from models.limits import Limit, limit_for_budget
from models.registry import Registry
from models.training import Epoch, TrainingResult
from monitor.detection.build import build_entities, build_grid
from monitor.detection.entities import EntityTable, grid_shape, resolutions
from monitor.detection.settings import WatchSettings
from monitor.detection.steps import ClosedSteps, LocatedSamples
from monitor.sample import Columns, SeriesTable, in_range, is_stale
from monitor.storage.lock import Lock, hold
from monitor.storage.step_history import History
from monitor.training.plot import training_plot

__all__ = [
    "History",
    "TrainedWatch",
    "aligned",
    "collect_history",
    "fit_watch",
    "judge_folds",
    "metadata_of",
    "plot_of",
    "recorded_steps",
    "train_watch",
    "training_lock",
]


@dataclass(frozen=True, slots=True)
class TrainedWatch:
    """The result of one training: a version in the registry, and how it was made.

    `n_over_limit` and `n_allowed`: the episodes that the limit would have raised in the history that it was
    calibrated on, and those that the budget allows there.
    """

    watch: str
    version: str
    history: History
    fit: Fit
    limit: Limit
    n_over_limit: int
    n_allowed: float


def collect_history(settings: WatchSettings, columns: Columns, table: SeriesTable) -> History | None:
    """Put recorded samples on a watch's grid; None where no series belongs to the watch."""
    entities = build_entities(settings)
    located = _locate(entities, columns, table)
    if located is None:
        return None
    blocks = list(_close(settings, entities, located))
    values = np.concatenate([block.values for block in blocks])
    # A long silence is cut: the steps' numbers skip it.
    numbers = np.concatenate([block.first_step + np.arange(len(block.values)) for block in blocks])
    steps = np.broadcast_to(numbers[:, None], values.shape[:2])
    first_ms = int(located.time_ms.min())
    last_ms = int(located.time_ms.max())
    names, channels = tuple(entities.entities), tuple(entities.channels)
    history = History(names, channels, values, first_ms, last_ms, steps, frozenset(entities.counters))
    return aligned(history, settings.step_ms)


def recorded_steps(
    settings: WatchSettings, entities: EntityTable, columns: Columns, table: SeriesTable
) -> list[ClosedSteps]:
    """Close the steps of recorded samples, for the rows and channels of `entities`; empty without samples."""
    located = _locate(entities, columns, table)
    return [] if located is None else list(_close(settings, entities, located))


def _locate(entities: EntityTable, columns: Columns, table: SeriesTable) -> LocatedSamples | None:
    """Choose a watch's samples; None where not a single value is there."""
    entities.update(table)
    usable = in_range(columns.value)
    of_watch = entities.select(columns.series)
    chosen = np.flatnonzero(of_watch & (usable | is_stale(columns.value)))
    if not (of_watch & usable).any():
        return None
    series = columns.series[chosen]
    return LocatedSamples(
        entities.row_of[series],
        entities.column_of[series],
        columns.time_ms[chosen],
        columns.value[chosen],
        entities.kind[series],
    )


def _close(settings: WatchSettings, entities: EntityTable, located: LocatedSamples) -> Iterator[ClosedSteps]:
    grid = build_grid(settings, entities)
    grid.add(located)
    n_rows, n_columns = grid_shape(entities)
    return grid.close(int(located.time_ms.max()), finished=True, n_rows=n_rows, n_channels=n_columns)


def judge_folds(
    settings: WatchSettings,
    history: History,
    n_folds: int,
    *,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> list[Fold]:
    """Judge a watch's settings by forward-chaining folds of its history; nothing is saved.

    Raises
    ------
    TrainingError
        If a fold has too little data.
    """

    def in_all(fold: int, epoch: Epoch) -> None:
        on_epoch(replace(epoch, number=(fold - 1) * settings.model.epochs + epoch.number))

    try:
        return cross_validate(
            history.values,
            settings.model,
            resolution=_resolution(settings, history),
            n_folds=n_folds,
            on_epoch=in_all,
        )
    except TrainingError as error:
        raise TrainingError(f"watch {settings.name}: {error}") from error


def fit_watch(
    settings: WatchSettings,
    history: History,
    *,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    resume: bytes | None = None,
    on_state: Callable[[bytes], None] | None = None,
) -> Fit:
    """Train and calibrate one watch's detector; nothing is saved.

    Raises
    ------
    TrainingError
        If the history is too short, or training fails.
    """
    try:
        fit = fit_detector(
            history.values,
            settings.model,
            resolution=_resolution(settings, history),
            step_seconds=settings.step_seconds,
            block_steps=settings.block_steps,
            on_epoch=on_epoch,
            resume=resume,
            on_state=on_state,
        )
    except TrainingError as error:
        raise TrainingError(f"watch {settings.name}: {error}") from error
    everyone = np.arange(len(history.entities))
    scaled = fit.detector.scaling.apply(history.values)
    fit.detector.season.start(everyone, scaled, history.step_numbers(settings.step_ms))
    return fit


def train_watch(
    settings: WatchSettings,
    history: History,
    registry: Registry,
    *,
    now: float,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    resumes: bool = False,
) -> TrainedWatch:
    """Train one watch, save the bundle and promote it.

    Parameters
    ----------
    resumes : bool
        Continue an interrupted training after its last whole epoch.

    Raises
    ------
    TrainingError
        If the history is too short, or training fails; nothing is changed then.
    LockedError
        If another process trains this watch.
    """
    lock = training_lock(settings.name, registry, now)
    try:
        resume = registry.interrupted() if resumes else None
        fit = fit_watch(settings, history, on_epoch=on_epoch, resume=resume, on_state=registry.keep_training)
        limit = limit_for_budget(fit.detector.peaks, settings.budget, n_entities=len(history.entities))
        bundle = Bundle(fit.detector, history.channels, history.entities, metadata_of(history, fit, now))
        version = registry.save(bundle, now=now, attachments=plot_of(settings.name, fit.training))
        registry.promote(version)
        registry.training_done()
    finally:
        lock.release()
    n_over, n_allowed = calibration_episodes(fit.detector, settings.budget, limit.value)
    return TrainedWatch(settings.name, version, history, fit, limit, n_over, n_allowed)


def training_lock(watch: str, registry: Registry, now: float) -> Lock:
    """Lock the training of a watch: one process at a time trains it.

    Raises
    ------
    LockedError
        If another process trains it.
    """
    what = f"watch {watch} is being trained: {registry.folder}"
    way_out = "Wait until that training is over, or end it."
    return hold(registry.folder / ".training.lock", what=what, way_out=way_out, now=now)


def metadata_of(history: History, fit: Fit, now: float) -> dict[str, object]:
    """Say how a model was made, for people and for `history_since`."""
    training = fit.training
    return {
        "at": now,
        "from_ms": history.first_ms,
        "to_ms": history.last_ms,
        "n_steps": len(history.values),
        "n_windows": training.n_windows,
        "n_epochs": len(training.epochs),
        "best_epoch": training.best_epoch,
        "loss": training.epochs[training.best_epoch].loss,
        "validation_loss": training.validation_loss,
        "explained_ratio": fit.explained_ratio,
        "train_seconds": training.seconds,
    }


def plot_of(watch: str, training: TrainingResult) -> Mapping[str, bytes]:
    """Draw a training, as an attachment of its bundle."""
    return {"training.png": training_plot(watch, training)}


def _resolution(settings: WatchSettings, history: History) -> NDArray[np.float64]:
    # Where each series is its own entity, its name tells the unit.
    names = history.channels if settings.entity_labels else history.entities
    return resolutions(names, history.counters, history.values, settings.step_seconds)


def aligned(history: History, step_ms: int) -> History:
    """Shift each entity of a history so that its last sample lies at the last step.

    Entities of files from different years would otherwise share no step, and the newest part, which is held
    out, would hold only the latest file. `steps` still tells when each step was.
    """
    values, steps = history.values, history.step_numbers(step_ms)
    known = np.asarray(~np.isnan(values).all(axis=2))  # (T, n)
    first = np.argmax(known, axis=0)
    last = len(values) - np.argmax(known[::-1], axis=0)
    spans = last - first
    shifted = np.full((int(spans.max()), *values.shape[1:]), np.nan)
    place = last + np.arange(-len(shifted), 0)[:, None]  # (T, n): where each step was; < 0 before all
    numbers = np.take_along_axis(steps, np.maximum(place, 0), axis=0) + np.minimum(place, 0)
    for row, span in enumerate(spans.tolist()):
        shifted[len(shifted) - span :, row] = values[first[row] : last[row], row]
    return replace(history, values=shifted, steps=numbers)
