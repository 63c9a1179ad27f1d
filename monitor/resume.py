"""From a running pipeline to a checkpoint, and back."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from monitor.checkpoint import Checkpoint, CheckpointError
from monitor.config import SourceConfig, WatchConfig
from monitor.errors import SwapError
from monitor.pipeline import Alert, ChannelShare, WatchPipeline
from monitor.watch import build_watch, known_map, swap_champion

__all__ = ["capture", "goes_on", "resume_watch"]

log = logging.getLogger(__name__)


def capture(
    watches: Iterable[tuple[WatchConfig, str | None, WatchPipeline]], *, source: SourceConfig, position_ms: int | None
) -> Checkpoint:
    """Put the state of all watches into one checkpoint.

    Parameters
    ----------
    watches : iterable
        Each watch's settings, the version of its model, and its stages.
    position_ms : int or None
        Event time up to which a replay has been taken in; None for a live source, and for a
        replay that has come to its end.
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
            "open_alerts": {str(row): asdict(alert) for row, alert in watch.open_alerts.items()},
        }
    return Checkpoint(arrays, {"watches": about, "source": source.model_dump_json(), "position_ms": position_ms})


def goes_on(checkpoint: Checkpoint, source: SourceConfig) -> bool:
    """Tell whether a source goes on where the checkpoint was: the same one, and no replay that had ended."""
    if checkpoint.about["source"] != source.model_dump_json():
        return False
    return source.kind != "replay" or checkpoint.about["position_ms"] is not None


def resume_watch(
    config: WatchConfig,
    version: str | None,
    champion: Bundle | None,
    checkpoint: Checkpoint | None,
    *,
    refresh: Callable[[Bundle], Bundle] = lambda champion: champion,
) -> tuple[WatchPipeline, str]:
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
        return build_watch(config, champion), "no state"
    if about["settings"] != _fingerprint(config):
        return build_watch(config, champion), "settings changed"
    same = about["version"] == version
    entities = known_map(config, about["entities"], about["channels"], fixed=about["fixed"])
    watch = build_watch(config, champion if same else None, entities=entities)
    prefix, of_model = f"{config.name}/", f"{config.name}/scorer/detector."
    arrays = {
        name.removeprefix(prefix): array
        for name, array in checkpoint.arrays.items()
        if name.startswith(prefix) and (same or not name.startswith(of_model))
    }
    try:
        watch.load_state(arrays, {int(row): _alert(fields) for row, fields in about["open_alerts"].items()})
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the state of watch {config.name} does not fit it: {error}") from error
    if same:
        return watch, "resumed"
    try:
        if champion is not None:
            swap_champion(watch, config, refresh(champion))
            return watch, "resumed with another model"
    except SwapError as error:
        log.warning("episodes and newest steps are lost watch=%s: %s", config.name, error)
    return build_watch(config, champion), "model changed"


def _fingerprint(config: WatchConfig) -> str:
    """Tell apart settings under which a state means something else; budget and training may change freely."""
    shape = config.model_dump_json(
        include={"name", "metrics", "ignore", "match", "by", "step_seconds", "window_length", "gap_mode", "max_gap_seconds"}
    )
    return hashlib.sha256(shape.encode()).hexdigest()


def _alert(fields: Mapping[str, Any]) -> Alert:
    return Alert(**{**fields, "channels": tuple(ChannelShare(**channel) for channel in fields["channels"])})
