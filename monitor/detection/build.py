"""One watch's stages, built from its settings and its model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from models.bundle import Bundle
from models.limits import Budget
from monitor.alerting.episodes import EpisodeBook
from monitor.config.watch import WatchConfig
from monitor.detection.entities import EntityTable
from monitor.detection.grid import Grid
from monitor.detection.metric_rules import MetricRules
from monitor.detection.scorer import Scorer
from monitor.detection.watch import Watch
from monitor.errors import ConfigError

__all__ = ["build_entities", "build_grid", "build_scorer", "build_watch", "check_fits", "history_shape", "known_entities", "rewind_ms"]


def build_watch(watch: WatchConfig, champion: Bundle | None, *, entities: EntityTable | None = None, budget: Budget | None = None) -> Watch:
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
        check_fits(champion, watch)
    entities = entities or build_entities(watch, champion)
    if champion is not None:
        entities.retain(champion.entities)
    scorer = build_scorer(watch, champion, entities, budget or Budget.parse(watch.budget))
    return Watch(
        watch.name,
        entities,
        build_grid(watch),
        scorer,
        EpisodeBook(watch.alert_policy),
        MetricRules(watch.metric_rules),
        revision_steps=watch.revision_steps,
    )


def history_shape(watch: WatchConfig) -> str:
    """Tell apart settings under which the kept steps of a watch mean something else."""
    keys = {"metrics", "ignore", "match", "by", "step_seconds", "gap_mode", "max_gap_seconds"}
    return hashlib.sha256(watch.model_dump_json(include=keys).encode()).hexdigest()


def build_scorer(watch: WatchConfig, champion: Bundle | None, entities: EntityTable, budget: Budget) -> Scorer:
    """Build a watch's scorer for its champion, or for the baselines alone."""
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


def build_entities(watch: WatchConfig, champion: Bundle | None = None) -> EntityTable:
    """Build a watch's places for series; a model's entities and channels come first, in its order, and stay fixed."""
    if champion is None:
        return known_entities(watch, (), (), fixed=False)
    return known_entities(watch, champion.entities, champion.channels, fixed=True)


def known_entities(watch: WatchConfig, entities: Sequence[str], channels: Sequence[str], *, fixed: bool) -> EntityTable:
    """Build a watch's places for series where some are known already."""
    places = EntityTable(
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


def check_fits(champion: Bundle, watch: WatchConfig) -> None:
    """Refuse a model that was trained with another step or window than is configured."""
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
