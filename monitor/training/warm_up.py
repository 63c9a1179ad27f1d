"""A model lives through kept steps, so that what it knows of normal is current before it serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from monitor.config.watch import WatchConfig
from monitor.detection.build import build_watch, known_entities
from monitor.detection.report import WatchReport
from monitor.detection.steps import ClosedSteps
from monitor.detection.swap import align_rows
from monitor.detection.watch import Watch
from monitor.storage.step_history import History

__all__ = ["MAX_LIVED_STEPS", "aligned_pipeline", "blocks_of", "replay_steps", "settled", "warm_up"]

MAX_LIVED_STEPS = 4000  # the memory of a tail: what is older has little weight in it
_MAX_BLOCK_STEPS, _MAX_BLOCK_CELLS = 512, 1 << 18  # judged at once, as the grid gives them out


def warm_up(watch: WatchConfig, bundle: Bundle, history: History | None) -> Bundle:
    """Let a model live through steps that it has not seen, so that its tails are current before it serves.

    Weights and scaling stay. Of longer histories only the newest 4000 steps count.
    """
    if history is None or history.channels[: len(bundle.channels)] != bundle.channels:
        return bundle
    names = [*bundle.entities, *(name for name in history.entities if name not in set(bundle.entities))]
    newest = history.values[-MAX_LIVED_STEPS:]
    values = np.full((len(newest), len(names), len(bundle.channels)), np.nan)
    row_of = {name: row for row, name in enumerate(names)}
    values[:, [row_of[name] for name in history.entities]] = newest[:, :, : len(bundle.channels)]
    pipeline = aligned_pipeline(watch, bundle, names, bundle.channels)
    replay_steps(pipeline, values, watch.step_ms, first_step=history.first_ms // watch.step_ms)
    return settled(pipeline, bundle, names)


def aligned_pipeline(watch: WatchConfig, bundle: Bundle | None, entities: Sequence[str], channels: Sequence[str]) -> Watch:
    """Build a watch around a bundle, with rows for these entities."""
    places = known_entities(watch.settings(), entities, channels, fixed=True)
    return build_watch(watch.settings(), align_rows(bundle, entities) if bundle else None, entities=places)


def replay_steps(pipeline: Watch, values: NDArray[np.float64], step_ms: int, *, first_step: int) -> None:
    """Let a watch judge and learn steps, as it would live."""
    report = WatchReport()
    for block in blocks_of(values, step_ms, first_step=first_step):
        pipeline.judge(block, report)


def blocks_of(values: NDArray[np.float64], step_ms: int, *, first_step: int) -> list[ClosedSteps]:
    """Cut steps into blocks of bounded size."""
    n_steps = max(1, min(_MAX_BLOCK_STEPS, _MAX_BLOCK_CELLS // max(1, values[0].size))) if len(values) else 1
    return [ClosedSteps(first_step + start, step_ms, values[start : start + n_steps]) for start in range(0, len(values), n_steps)]


def settled(pipeline: Watch, bundle: Bundle, entities: Sequence[str]) -> Bundle:
    """Give a bundle with what its detector has learned meanwhile; an episode that is still open taught it nothing."""
    detector = pipeline.scorer.detector
    assert detector is not None
    for row in np.flatnonzero(detector.tails.frozen).tolist():
        detector.tails.thaw(row, keep=False)
    return replace(bundle, detector=detector, entities=tuple(entities))
