"""A training on what the daemon has kept."""

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
from monitor.config.watch import WatchConfig
from monitor.errors import HistoryError
from monitor.storage.data_dir import history_folder
from monitor.storage.step_history import History, list_segments, read_spans
from monitor.storage.step_history_reader import StepsRead, read_steps
from monitor.training.challenge import retrain
from monitor.training.gate import TrainingOutcome, out_of_memory
from monitor.training.train import fit_watch

__all__ = ["history_since", "read_history", "retrain_from_history"]

log = logging.getLogger(__name__)


def read_history(
    folder: Path,
    watch: WatchConfig,
    *,
    channels: Sequence[str],
    from_ms: int | None = None,
    until_ms: int | None = None,
    max_steps: int | None = None,
) -> StepsRead:
    """Read back what is there now of a watch's history, without what must not be learned.

    Raises
    ------
    HistoryError
        If it is not known what must not be learned.
    """
    segments = [segment for segment in list_segments(folder) if from_ms is None or segment.last_ms >= from_ms]
    return read_steps(
        segments,
        read_spans(folder),
        shape=watch.settings().history_shape,
        step_ms=watch.step_ms,
        window_length=watch.window_length,
        channels=channels,
        from_ms=from_ms,
        until_ms=until_ms,
        max_steps=max_steps,
    )


def history_since(data_dir: Path, watch: WatchConfig, bundle: Bundle) -> History | None:
    """Give the steps that a model has not seen; None where none are known."""
    seen_until = bundle.metadata.get("to_ms")
    try:
        steps_read = read_history(
            history_folder(data_dir, watch),
            watch,
            channels=bundle.channels,
            from_ms=int(seen_until) if isinstance(seen_until, int | float) else None,
            max_steps=watch.retrain.max_steps,
        )
    except HistoryError as error:
        log.error("history unusable watch=%s error=%s; the model serves with the tails that it has", watch.name, error)
        return None
    return steps_read.history


def retrain_from_history(
    watch: WatchConfig,
    folder: Path,
    registry: Registry,
    *,
    clock: Clock,
    promotes: bool,
    until_ms: int | None = None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> TrainingOutcome:
    """Train a watch on what is there now of its history; whatever goes wrong is an outcome, with its reason.

    Parameters
    ----------
    until_ms : int, optional
        Learn nothing from this event time on.
    """
    try:
        steps_read = read_history(folder, watch, channels=_known_channels(registry), until_ms=until_ms, max_steps=watch.retrain.max_steps)
    except HistoryError as error:
        return TrainingOutcome(watch=watch.name, result="skipped", reason=str(error))
    except MemoryError as error:
        return out_of_memory(watch, error)

    def trainer(watch: WatchConfig, history: History) -> Fit:
        return fit_watch(watch, history, on_epoch=on_epoch)

    outcome = retrain(watch, clock=clock, trainer=trainer, registry=registry, history=steps_read.history, promotes=promotes)
    return replace(outcome, segments_skipped=steps_read.skipped)


def _known_channels(registry: Registry) -> Sequence[str]:
    """Give the channels of the model that serves: those of the next one begin with them, so that it can take over."""
    for version in (registry.champion(), registry.previous()):
        if version is not None:
            with contextlib.suppress(BundleError, KeyError):  # a damaged champion does not serve: the version before it does
                return tuple(registry.about(version)["channels"])
    return ()
