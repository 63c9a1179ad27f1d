"""One watch's stages, built from its settings and its model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.bundle import Bundle
from models.limits import Budget
from monitor.alert import EpisodeBook
from monitor.config import WatchConfig
from monitor.entities import EntityMap
from monitor.errors import ConfigError, SwapError
from monitor.grid import Grid
from monitor.pipeline import WatchPipeline
from monitor.policy import ChannelPolicy
from monitor.score import Scorer

__all__ = ["build_grid", "build_map", "build_watch", "history_shape", "known_map", "rewind_ms", "seat", "swap_champion"]


def build_watch(
    watch: WatchConfig, champion: Bundle | None, *, entities: EntityMap | None = None, budget: Budget | None = None
) -> WatchPipeline:
    """Build all stages of a watch; without a champion its companions judge alone.

    Parameters
    ----------
    entities : EntityMap, optional
        Places known from a checkpoint; from the champion when left out.
    budget : Budget, optional
        In place of the configured one.

    Raises
    ------
    ConfigError
        If the champion was trained with another step or window than is configured.
    """
    if champion is not None:
        _check_fits(champion, watch)
    entities = entities or build_map(watch, champion)
    if champion is not None:
        entities.retain(champion.entities)
    scorer = _build_scorer(watch, champion, entities, budget or Budget.parse(watch.budget))
    return WatchPipeline(
        watch.name,
        entities,
        build_grid(watch),
        scorer,
        EpisodeBook(watch.alert_policy),
        ChannelPolicy(watch.metric_rules),
        revision_steps=watch.revision_steps,
    )


def swap_champion(pipeline: WatchPipeline, watch: WatchConfig, challenger: Bundle) -> None:
    """Let another model judge a running watch from its next step on: weights, scaling, calibration and tails as one unit.

    Rows and channels keep their numbers, so that the grid goes on undisturbed; entities and
    channels that only the model knows come behind.

    Raises
    ------
    ConfigError
        If the model was trained with another step or window than is configured.
    SwapError
        If its channels are not those of the running watch, in their order; nothing is changed then.
    """
    _check_fits(challenger, watch)
    live = pipeline.entities
    if tuple(live.channels) != challenger.channels[: len(live.channels)]:
        unlike = [name for at, name in enumerate(live.channels) if challenger.channels[at : at + 1] != (name,)]
        raise SwapError(
            f"watch {watch.name}: the model does not take the running channels in their order (the first that differs is {unlike[0]}). "
            "Restart the daemon to let it serve, or train with `barograph train --history`."
        )
    live.adopt(challenger.entities, challenger.channels)
    pipeline.swap(_build_scorer(watch, seat(challenger, live.entities), live, Budget.parse(watch.budget)))


def seat(bundle: Bundle, entities: Sequence[str]) -> Bundle:
    """Give a copy of a bundle with a row for each of these entities, in their order; those it does not know are uncalibrated."""
    row_of = {name: row for row, name in enumerate(bundle.entities)}
    rows = np.array([row_of.get(name, -1) for name in entities], np.int64)
    return replace(bundle, detector=bundle.detector.taken(rows), entities=tuple(entities))


def history_shape(watch: WatchConfig) -> str:
    """Tell apart settings under which the kept steps of a watch mean something else."""
    keys = {"metrics", "ignore", "match", "by", "step_seconds", "gap_mode", "max_gap_seconds"}
    return hashlib.sha256(watch.model_dump_json(include=keys).encode()).hexdigest()


def _build_scorer(watch: WatchConfig, champion: Bundle | None, entities: EntityMap, budget: Budget) -> Scorer:
    return Scorer(
        entities,
        champion.detector.settings if champion else watch.model_settings,
        budget,
        step_ms=watch.step_ms,
        stale_ms=round(watch.stale_seconds * 1000),
        block_steps=watch.block_steps,
        champion=champion,
        gone_ms=round(watch.alert.accept_after_seconds * 1000),
    )


def build_map(watch: WatchConfig, champion: Bundle | None = None) -> EntityMap:
    """Build a watch's places for series; a model's entities and channels come first, in its order, and stay fixed."""
    if champion is None:
        return known_map(watch, (), (), fixed=False)
    return known_map(watch, champion.entities, champion.channels, fixed=True)


def known_map(watch: WatchConfig, entities: Sequence[str], channels: Sequence[str], *, fixed: bool) -> EntityMap:
    """Build a watch's places for series where some are known already."""
    places = EntityMap(
        metrics=watch.metrics, ignore=watch.ignore, match=watch.match, by=watch.entity_labels, entities=entities, channels=channels
    )
    places.fixed = fixed
    return places


def build_grid(watch: WatchConfig) -> Grid:
    """Build a watch's grid."""
    return Grid(
        step_ms=watch.step_ms,
        lateness_ms=round(watch.lateness_seconds * 1000),
        idle_ms=round(watch.idle_seconds * 1000),
        gap_mode=watch.gap_mode,
        max_gap_steps=int(watch.max_gap_seconds / watch.step_seconds),
        # Enough empty steps for every window to run empty and every series to go stale.
        empty_steps=watch.window_length + math.ceil(watch.stale_seconds / watch.step_seconds) + 1,
        revision_steps=watch.revision_steps,
    )


def rewind_ms(watch: WatchConfig) -> int:
    """Give the event time behind the newest that a watch's windows are made of: what is read again where state was lost.

    One window, the gap that may lie before it and is filled, and the samples that wait for their
    step to close. Counters need the step before.
    """
    n_steps = watch.window_length + 2 * math.ceil(watch.max_gap_seconds / watch.step_seconds) + 2
    return n_steps * watch.step_ms + 2 * round(watch.lateness_seconds * 1000)


def _check_fits(champion: Bundle, watch: WatchConfig) -> None:
    detector = champion.detector
    for key, of_model, configured in (
        ("step_seconds", detector.step_seconds, watch.step_seconds),
        ("window_length", detector.settings.window_length, watch.window_length),
    ):
        if of_model != configured:
            raise ConfigError(
                f"watch.{watch.name}.{key} is {configured:g}, but its model was trained with {of_model:g}. "
                f"Run `barograph train --watch {watch.name}`, or set {key} back."
            )
