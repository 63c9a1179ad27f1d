"""From history to a calibrated detector: scale, train, measure the held-out error, calibrate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models.baselines import WindowPca
from models.dataset import gather_futures, gather_windows, index_windows
from models.detector import Detector
from models.errors import TrainingError
from models.forecast import fit_forecast_band
from models.raw_scores import error_windows, fit_error_scale
from models.scaling import fit_scaling
from models.settings import ModelSettings
from models.trained import Trained
from models.training import Epoch, TrainingResult, first_held_out, split_by_time, train_autoencoder

__all__ = ["Fit", "Fold", "cross_validate", "fit_detector"]

_MAX_PCA_WINDOWS = 4000  # more cost more and give the same directions


@dataclass(frozen=True, slots=True)
class Fit:
    """A calibrated detector, and how good it is on data that it was not trained on.

    `explained_ratio`: 1 - squared error / squared deviation from the median, on held-out
    windows; 1 is perfect, 0 is as good as always predicting the median.
    """

    detector: Detector
    training: TrainingResult
    explained_ratio: float


def fit_detector(
    history: NDArray[np.float64],
    settings: ModelSettings,
    *,
    resolution: NDArray[np.float64],
    step_seconds: float,
    block_steps: int,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    resume: bytes | None = None,
    on_state: Callable[[bytes], None] | None = None,
) -> Fit:
    """Train on a watch's history and calibrate every entity in it; row i of the detector is entity i.

    Parameters
    ----------
    history : ndarray, shape (T, n, C)
        Closed steps of n entities in the channels' own units, each entity's ending at the
        last step; NaN is a gap. Assumed free of incidents.
    resolution : ndarray, shape (C,) or (n, C)
        Smallest meaningful change of each channel in its own unit; (n, C) if entities differ.
    step_seconds, block_steps
        As in `Detector`.
    on_epoch, resume, on_state
        As in `train_autoencoder`.

    Raises
    ------
    TrainingError
        If the history is too short, or training fails.
    """
    n_needed = 2 * settings.window_length + 100
    if len(history) < n_needed:
        raise TrainingError(
            f"the history has {len(history)} steps of {step_seconds:g} s; it needs {n_needed}: two windows "
            f"of {settings.window_length} and 100. Give a longer history, a shorter step or a shorter window."
        )
    scaled = fit_scaling(history, resolution).apply(history)
    training = train_autoencoder(scaled, settings, on_epoch=on_epoch, resume=resume, on_state=on_state)
    held_out_from = first_held_out(scaled, settings.validation_share)
    older, newer = split_by_time(
        index_windows(scaled, settings.window_length), held_out_from, settings.window_length
    )
    held_out = gather_windows(scaled, newer, settings.window_length)
    errors, _ = error_windows(training.network, held_out)
    pca = None
    if history.shape[2] > 1:
        sample = older.take(
            np.linspace(0, len(older) - 1, min(len(older), _MAX_PCA_WINDOWS)).astype(np.int64)
        )
        pca = WindowPca.fit(gather_windows(scaled, sample, settings.window_length), held_out)
    band = None
    if training.network.horizon:
        everything = np.full(history.shape[1], len(history))
        futures = gather_futures(scaled, newer, training.network.horizon, everything)
        band = fit_forecast_band(training.network, held_out, futures)
    of_rows = np.broadcast_to(resolution, history.shape[1:])  # (n, C)
    detector = Detector(
        settings,
        n_rows=history.shape[1],
        resolution=of_rows.min(axis=0),
        step_seconds=step_seconds,
        block_steps=block_steps,
        trained=Trained(training.network, fit_error_scale(errors), pca, band),
    )
    detector.calibrate(np.arange(history.shape[1]), history, held_out_from=held_out_from, resolution=of_rows)
    deviation = np.nansum(held_out.astype(np.float64) ** 2)
    explained = 1 - float(np.nansum(errors.astype(np.float64) ** 2)) / max(float(deviation), 1e-12)
    return Fit(detector, training, explained)


@dataclass(frozen=True, slots=True)
class Fold:
    """How well a network trained on the oldest `n_steps` performs on the steps that follow."""

    n_steps: int
    validation_loss: float


def cross_validate(
    history: NDArray[np.float64],
    settings: ModelSettings,
    *,
    resolution: NDArray[np.float64],
    n_folds: int,
    on_epoch: Callable[[int, Epoch], None] = lambda fold, epoch: None,
) -> list[Fold]:
    """Train and validate on forward-chaining folds: each is validated on the part behind its training data.

    The history (T, n, C) is cut into `n_folds + 1` equal parts. Fold k trains on the first k
    parts and is validated on part k + 1, so no fold is trained on data later than its validation.

    Raises
    ------
    TrainingError
        If a fold has too little data.
    """
    part = len(history) // (n_folds + 1)
    folds = []
    for number in range(1, n_folds + 1):
        upto = history[: (number + 1) * part]
        scaled = fit_scaling(history[: number * part], resolution).apply(upto)
        of_fold = replace(settings, validation_share=part / len(upto))
        try:
            result = train_autoencoder(scaled, of_fold, on_epoch=partial(on_epoch, number))
        except TrainingError as error:
            raise TrainingError(f"fold {number} of {n_folds}: {error} Ask for fewer folds.") from error
        folds.append(Fold(number * part, result.validation_loss))
    return folds
