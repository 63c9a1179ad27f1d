"""Training on the history that the daemon keeps."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from models.bundle import Bundle
from models.errors import BundleError
from models.fit_detector import Fit
from models.registry import Registry
from models.training import Epoch
from monitor.clock import Clock
from monitor.detection.settings import WatchSettings
from monitor.errors import HistoryError
from monitor.storage.step_history import History, list_segments, read_spans
from monitor.storage.step_history_reader import ALL_STEPS, StepRange, StepsRead, read_steps
from monitor.training.challenge import retrain
from monitor.training.gate import TrainingOutcome, out_of_memory
from monitor.training.train import fit_watch

__all__ = ["history_since", "read_history", "retrain_from_history"]

log = logging.getLogger(__name__)


def read_history(
    folder: Path, settings: WatchSettings, *, channels: Sequence[str], wanted: StepRange = ALL_STEPS
) -> StepsRead:
    """Read the history of a watch as it is now, without the steps that must not be learned.

    Parameters
    ----------
    channels : sequence of str
        Come first, in this order.

    Raises
    ------
    HistoryError
        If it is not known what must not be learned.
    """
    segments = list_segments(folder)
    if wanted.from_ms is not None:
        segments = [segment for segment in segments if segment.last_ms >= wanted.from_ms]
    return read_steps(
        segments,
        read_spans(folder),
        shape=settings.history_shape,
        step_ms=settings.step_ms,
        window_length=settings.window_length,
        channels=channels,
        wanted=wanted,
    )


def history_since(folder: Path, settings: WatchSettings, bundle: Bundle, *, max_steps: int) -> History | None:
    """Give the steps that a model has not seen, the newest `max_steps` of them; None where there are none."""
    seen_until = bundle.metadata.get("to_ms")
    from_ms = int(seen_until) if isinstance(seen_until, int | float) else None
    wanted = StepRange(from_ms=from_ms, max_steps=max_steps)
    try:
        return read_history(folder, settings, channels=bundle.channels, wanted=wanted).history
    except HistoryError as error:
        log.error(
            "history unusable watch=%s error=%s; the model serves without having seen it",
            settings.name,
            error,
        )
        return None


def retrain_from_history(
    settings: WatchSettings,
    folder: Path,
    registry: Registry,
    *,
    clock: Clock,
    max_steps: int,
    promotes: bool,
    until_ms: int | None = None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> TrainingOutcome:
    """Train a watch on its history as it is now; whatever goes wrong is an outcome with a reason.

    Parameters
    ----------
    max_steps : int
        Learn only so many of the newest steps.
    until_ms : int, optional
        Learn nothing from this event time on.
    """
    wanted = StepRange(until_ms=until_ms, max_steps=max_steps)
    try:
        steps_read = read_history(folder, settings, channels=_known_channels(registry), wanted=wanted)
    except HistoryError as error:
        return TrainingOutcome(watch=settings.name, result="skipped", reason=str(error))
    except MemoryError as error:
        return out_of_memory(settings.name, error)

    def trainer(settings: WatchSettings, history: History) -> Fit:
        return fit_watch(settings, history, on_epoch=on_epoch)

    outcome = retrain(
        settings,
        clock=clock,
        trainer=trainer,
        registry=registry,
        history=steps_read.history,
        promotes=promotes,
    )
    return replace(outcome, segments_skipped=steps_read.skipped)


def _known_channels(registry: Registry) -> Sequence[str]:
    """Give the serving model's channels: they are read first, also those that the newest segment lacks."""
    for version in (registry.champion(), registry.previous()):
        if version is not None:
            # A damaged champion does not serve: the version before it does.
            with contextlib.suppress(BundleError, KeyError):
                return tuple(registry.about(version)["channels"])
    return ()
