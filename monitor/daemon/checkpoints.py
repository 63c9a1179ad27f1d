"""From a running pipeline to a checkpoint, and back."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from monitor.alerting.alert import Alert, alert_of
from monitor.config.schema import SourceConfig
from monitor.config.watch import WatchConfig
from monitor.detection.build import build_watch, known_entities
from monitor.detection.swap import swap_champion
from monitor.detection.watch import Watch
from monitor.errors import SwapError
from monitor.sources.position import PartitionPosition, Position
from monitor.storage.checkpoint import Checkpoint, CheckpointError

__all__ = ["capture", "goes_on", "position_of", "resume_watch", "undelivered_of"]

log = logging.getLogger(__name__)


def capture(
    watches: Iterable[tuple[WatchConfig, str | None, Watch]],
    *,
    source: SourceConfig,
    position: Position,
    undelivered: Sequence[Alert] = (),
    age_filter: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Put the state of all watches into one checkpoint.

    Parameters
    ----------
    watches : iterable
        Each watch's settings, the version of its model, and its stages.
    position : Position
        How far the source has been taken in; empty for a live one, and for a replay that has
        come to its end.
    undelivered : sequence of Alert
        What the outlets are still to be given.
    quiet : mapping, optional
        State of what was held back as too old to be told.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    about: dict[str, Any] = {}
    for config, version, watch in watches:
        arrays |= {f"{config.name}/{name}": array for name, array in watch.state().items()}
        about[config.name] = {
            "settings": _fingerprint(config),
            "version": version,
            "entities": watch.entities.entities,
            "channels": watch.entities.channels,
            "fixed": watch.entities.fixed,
            "moments": watch.snapshots.about(),
            "open_alerts": {str(row): asdict(alert) for row, alert in watch.open_alerts.items()},
        }
    partitions = {name: asdict(place) for name, place in position.partitions.items()}
    whole = {
        "watches": about,
        "source": _identity(source),
        "position_ms": position.time_ms,
        "partitions": partitions,
        "undelivered": [asdict(alert) for alert in undelivered],
        "quiet": age_filter,
    }
    return Checkpoint(arrays, whole)


def undelivered_of(checkpoint: Checkpoint) -> list[Alert]:
    """Give the alerts that the outlets had not been given yet when a checkpoint was made."""
    return [alert_of(fields) for fields in checkpoint.about.get("undelivered", [])]


def position_of(checkpoint: Checkpoint) -> Position:
    """Give how far the source had been taken in when a checkpoint was made."""
    partitions = {name: PartitionPosition(**place) for name, place in checkpoint.about.get("partitions", {}).items()}
    return Position(checkpoint.about["position_ms"], partitions)


def goes_on(checkpoint: Checkpoint, source: SourceConfig) -> bool:
    """Tell whether a source goes on where the checkpoint was: the same one, and no replay that had ended."""
    if checkpoint.about["source"] != _identity(source):
        return False
    return source.kind != "replay" or checkpoint.about["position_ms"] is not None


def resume_watch(
    config: WatchConfig,
    version: str | None,
    champion: Bundle | None,
    checkpoint: Checkpoint | None,
    *,
    refresh: Callable[[Bundle], Bundle] = lambda champion: champion,
) -> tuple[Watch, str]:
    """Build a watch and let it go on where the checkpoint was; say in a word what became of that.

    The second value is `resumed`, `resumed with another model`, or why the watch starts anew:
    `no state`, `settings changed`, `model changed`.

    Parameters
    ----------
    refresh : callable
        Brings a model's tails up to date, before it takes over from another one.

    Raises
    ------
    CheckpointError
        If the state is none of this watch, whatever it says of itself. The champion may not be used again then.
    """
    about = checkpoint.about["watches"].get(config.name) if checkpoint else None
    if checkpoint is None or about is None:
        return build_watch(config.settings(), champion, live=True), "no state"
    if about["settings"] != _fingerprint(config):
        return build_watch(config.settings(), champion, live=True), "settings changed"
    same = about["version"] == version
    entities = known_entities(config.settings(), about["entities"], about["channels"], fixed=about["fixed"], live=True)
    watch = build_watch(config.settings(), champion if same else None, entities=entities, live=True)
    prefix, of_model = f"{config.name}/", f"{config.name}/scorer/detector."
    arrays = {
        name.removeprefix(prefix): array
        for name, array in checkpoint.arrays.items()
        if name.startswith(prefix) and (same or not name.startswith(of_model))
    }
    try:
        open_alerts = {int(row): alert_of(fields) for row, fields in about["open_alerts"].items()}
        watch.load_state(arrays, open_alerts, about.get("moments"))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the state of watch {config.name} does not fit it: {error}") from error
    if same:
        return watch, "resumed"
    try:
        if champion is not None:
            swap_champion(watch, config.settings(), refresh(champion))
            return watch, "resumed with another model"
    except SwapError as error:
        log.warning("episodes and newest steps are lost watch=%s: %s", config.name, error)
    return build_watch(config.settings(), champion, live=True), "model changed"


def _identity(source: SourceConfig) -> str:
    """Tell sources apart whose positions mean different things; secrets stay out of the checkpoint."""
    if source.kind == "kafka":
        return json.dumps({"kind": "kafka", "servers": sorted(source.kafka.bootstrap_servers), "group_id": source.kafka.group_id})
    return source.model_dump_json(exclude={"kafka", "max_series"})


def _fingerprint(config: WatchConfig) -> str:
    """Tell apart settings under which a state means something else; budget and training may change freely."""
    shape = config.model_dump_json(
        include={"name", "metrics", "ignore", "match", "by", "step_seconds", "window_length", "gap_mode", "max_gap_seconds"}
    )
    return hashlib.sha256(shape.encode()).hexdigest()
