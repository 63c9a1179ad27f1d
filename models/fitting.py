"""From history to a detector that can serve: scale, train, measure the held-out error, calibrate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.companions import WindowPca
from models.dataset import gather_windows, index_windows
from models.detector import Detector, Trained
from models.errors import TrainingError
from models.reads import error_windows, fit_error_scale
from models.scaling import fit_scaling
from models.settings import ModelSettings
from models.training import Epoch, TrainingResult, first_held_out, split_by_time, train_autoencoder

__all__ = ["Fit", "fit_detector"]

_MAX_PCA_WINDOWS = 4000  # the decomposition's cost grows with their number, its directions do not change


@dataclass(frozen=True, slots=True)
class Fit:
    """A calibrated detector, and how good it is on data that it did not learn from.

    `explained_ratio`: 1 - squared error over squared deviation from the median, on held-out
    windows; 1 is perfect, 0 is what always answering with the median would give.
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
) -> Fit:
    """Train on a watch's history and calibrate every entity in it; row i of the detector is entity i.

    Parameters
    ----------
    history : ndarray, shape (T, n, C)
        Closed steps of n entities in the channels' own units, each entity's ending at the
        last step; NaN is a gap. Assumed free of incidents.
    resolution, step_seconds, block_steps
        As `Detector` takes them.

    Raises
    ------
    TrainingError
        If the history is too short, or training fails.
    """
    if len(history) < 2 * settings.window_length + 100:
        raise TrainingError(
            f"the history has {len(history)} steps of {step_seconds:g} s; it needs {2 * settings.window_length + 100}: "
            f"two windows of {settings.window_length} and 100. Give a longer history, a shorter step or a shorter window."
        )
    scaled = fit_scaling(history, resolution).apply(history)
    training = train_autoencoder(scaled, settings, on_epoch=on_epoch)
    held_out_from = first_held_out(scaled, settings.validation_share)
    older, newer = split_by_time(index_windows(scaled, settings.window_length), held_out_from, settings.window_length)
    held_out = gather_windows(scaled, newer, settings.window_length)
    errors, _ = error_windows(training.network, held_out)
    pca = None
    if history.shape[2] > 1:
        sample = older.take(np.linspace(0, len(older) - 1, min(len(older), _MAX_PCA_WINDOWS)).astype(np.int64))
        pca = WindowPca.fit(gather_windows(scaled, sample, settings.window_length), held_out)
    detector = Detector(
        settings,
        n_rows=history.shape[1],
        resolution=resolution,
        step_seconds=step_seconds,
        block_steps=block_steps,
        trained=Trained(training.network, fit_error_scale(errors), pca),
    )
    detector.calibrate(np.arange(history.shape[1]), history, held_out_from=held_out_from)
    deviation = np.nansum(held_out.astype(np.float64) ** 2)
    explained = 1 - float(np.nansum(errors.astype(np.float64) ** 2)) / max(float(deviation), 1e-12)
    return Fit(detector, training, explained)
