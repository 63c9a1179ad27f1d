"""One watch's stages, built from its settings and its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.bundle import Bundle
from models.limits import Budget
from monitor.alerting.episodes import EpisodeBook
from monitor.derive.derivation import Derivation
from monitor.detection.entities import EntityTable
from monitor.detection.grid import Grid
from monitor.detection.metric_rules import MetricRules
from monitor.detection.scorer import Scorer
from monitor.detection.settings import WatchSettings
from monitor.detection.watch import Watch
from monitor.errors import ConfigError

__all__ = ["build_entities", "build_grid", "build_scorer", "build_watch", "check_fits", "known_entities"]


def build_watch(
    settings: WatchSettings,
    champion: Bundle | None,
    *,
    entities: EntityTable | None = None,
    budget: Budget | None = None,
    live: bool = False,
    apart: bool = False,
) -> Watch:
    """Build all stages of a watch; without a champion its baselines judge alone.

    Parameters
    ----------
    entities : EntityTable, optional
        Entities and channels known from a checkpoint; the champion's when left out.
    budget : Budget, optional
        In place of the configured one.
    live : bool
        For a stream without end: `max_series` bounds the entities and channels, and entities that are gone
        are forgotten. A table that is given has its own bound.
    apart : bool
        Judge each entity by what it shows itself, whatever others are there.

    Raises
    ------
    ConfigError
        If the champion was trained with another step or window than is configured.
    """
    if budget is not None:
        settings = replace(settings, budget=budget)
    if champion is not None:
        check_fits(champion, settings)
    entities = entities or build_entities(settings, champion, live=live)
    if champion is not None:
        entities.retain(champion.entities)
    return Watch(
        settings.name,
        entities,
        build_grid(settings, entities),
        build_scorer(settings, champion, entities, apart=apart),
        EpisodeBook(settings.alert),
        MetricRules(settings.metric_rules, by_series=not settings.entity_labels),
        revision_steps=settings.revision_steps,
        live=live,
    )


def build_scorer(
    settings: WatchSettings, champion: Bundle | None, entities: EntityTable, *, apart: bool = False
) -> Scorer:
    """Build a watch's scorer for its champion, or for the baselines alone; `apart` as for `build_watch`."""
    return Scorer(entities, settings, champion.detector if champion else None, apart=apart)


def build_entities(
    settings: WatchSettings, champion: Bundle | None = None, *, live: bool = False
) -> EntityTable:
    """Build a watch's table of entities.

    A model's entities and channels come first, in its order, and stay fixed.
    """
    if champion is None:
        return known_entities(settings, (), (), fixed=False, live=live)
    return known_entities(settings, champion.entities, champion.channels, fixed=True, live=live)


def known_entities(
    settings: WatchSettings,
    entities: Sequence[str],
    channels: Sequence[str],
    *,
    fixed: bool,
    live: bool = False,
    inputs: Mapping[str, Any] | None = None,
) -> EntityTable:
    """Build a watch's table of entities where some are known already; `live` as for `build_watch`.

    `inputs` is what those of derived channels gave as their state, where there are such channels.

    Raises
    ------
    KeyError, TypeError, ValueError
        If that state does not fit.
    """
    table = EntityTable(
        metrics=settings.metrics,
        ignore=settings.ignore,
        match=settings.match,
        by=settings.entity_labels,
        entities=entities,
        channels=channels,
        fixed=fixed,
        max_series=settings.max_series if live else None,
    )
    table.set_kinds(settings.counters, settings.gauges)
    if settings.derive:
        table.derive(settings.derive)
    if table.inputs is not None and inputs is not None:
        table.inputs.load_state(inputs)
    return table


def build_grid(settings: WatchSettings, entities: EntityTable) -> Grid:
    """Build a watch's grid; it derives the channels that the table of entities knows."""
    derivation = None
    if entities.inputs is not None:
        derivation = Derivation(
            entities.inputs, step_ms=settings.step_ms, revision_steps=settings.revision_steps
        )
    return Grid(
        step_ms=settings.step_ms,
        lateness_ms=settings.lateness_ms,
        idle_ms=settings.idle_ms,
        gap_mode=settings.gap_mode,
        max_gap_steps=settings.max_gap_steps,
        empty_steps=settings.empty_steps,
        revision_steps=settings.revision_steps,
        derivation=derivation,
    )


def check_fits(champion: Bundle, settings: WatchSettings) -> None:
    """Refuse a model that was trained with another step or window than is configured.

    Raises
    ------
    ConfigError
        With the key that differs.
    """
    detector = champion.detector
    step_seconds = round(detector.step_seconds * 1000) / 1000  # as the grid rounds the configured step
    for key, of_model, configured in (
        ("step_seconds", step_seconds, settings.step_seconds),
        ("window_length", detector.settings.window_length, settings.window_length),
    ):
        if of_model != configured:
            raise ConfigError(
                f"watch.{settings.name}.{key} is {configured:g}, "
                f"but its model was trained with {of_model:g}. "
                f"Run `barograph train --watch {settings.name}`, or set {key} back."
            )
