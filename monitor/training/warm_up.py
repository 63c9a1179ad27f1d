"""Warming up: a model judges and learns the newest steps of the history, so that its tails are current."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from monitor.detection.build import build_watch, known_entities
from monitor.detection.report import WatchReport
from monitor.detection.settings import WatchSettings
from monitor.detection.steps import ClosedSteps
from monitor.detection.swap import align_rows
from monitor.detection.watch import Watch
from monitor.storage.step_history import History

__all__ = ["MAX_WARM_UP_STEPS", "aligned_watch", "blocks_of", "learned_bundle", "replay_steps", "warm_up"]

MAX_WARM_UP_STEPS = 4000  # the memory of a tail: older steps have little weight in it
_MAX_BLOCK_STEPS = 512  # judged at once, as in the grid's blocks
_MAX_BLOCK_CELLS = 1 << 18


def warm_up(settings: WatchSettings, bundle: Bundle, history: History | None) -> Bundle:
    """Give a copy of a model that has judged and learned steps it had not seen: its tails are current then.

    Weights and scaling stay. Of longer histories only the newest 4000 steps count. Without a history, or with
    one of other channels, the model itself is returned.
    """
    if history is None or history.channels[: len(bundle.channels)] != bundle.channels:
        return bundle
    names = [*bundle.entities, *(name for name in history.entities if name not in set(bundle.entities))]
    newest = history.values[-MAX_WARM_UP_STEPS:]
    values = np.full((len(newest), len(names), len(bundle.channels)), np.nan)
    row_of = {name: row for row, name in enumerate(names)}
    values[:, [row_of[name] for name in history.entities]] = newest[:, :, : len(bundle.channels)]
    watch = aligned_watch(settings, bundle, names, bundle.channels)
    replay_steps(watch, values, settings.step_ms, first_step=history.first_ms // settings.step_ms)
    return learned_bundle(watch, bundle, names)


def aligned_watch(
    settings: WatchSettings, bundle: Bundle | None, entities: Sequence[str], channels: Sequence[str]
) -> Watch:
    """Build a watch around a bundle, or without one, with rows for these entities."""
    table = known_entities(settings, entities, channels, fixed=True)
    return build_watch(settings, align_rows(bundle, entities) if bundle else None, entities=table)


def replay_steps(watch: Watch, values: NDArray[np.float64], step_ms: int, *, first_step: int) -> None:
    """Let a watch judge and learn the steps (T, n, C), as it does in the daemon."""
    report = WatchReport()
    for block in blocks_of(values, step_ms, first_step=first_step):
        watch.judge(block, report)


def blocks_of(values: NDArray[np.float64], step_ms: int, *, first_step: int) -> list[ClosedSteps]:
    """Cut steps (T, n, C) into blocks of bounded size."""
    if not len(values):
        return []
    n_steps = max(1, min(_MAX_BLOCK_STEPS, _MAX_BLOCK_CELLS // max(1, values[0].size)))
    starts = range(0, len(values), n_steps)
    return [ClosedSteps(first_step + start, step_ms, values[start : start + n_steps]) for start in starts]


def learned_bundle(watch: Watch, bundle: Bundle, entities: Sequence[str]) -> Bundle:
    """Give the bundle with the detector as the watch left it; steps of an open episode are not learned."""
    detector = watch.scorer.detector
    assert detector is not None
    for row in np.flatnonzero(detector.tails.frozen).tolist():
        detector.tails.thaw(row, keep=False)
    return replace(bundle, detector=detector, entities=tuple(entities))
