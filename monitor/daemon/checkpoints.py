"""Checkpoints of the running daemon: when one is saved, what is in it, and how a watch resumes from it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from monitor.alerting.alert import Alert, alert_of
from monitor.alerting.alert_age import AlertAgeFilter
from monitor.clock import Clock
from monitor.config.schema import SourceConfig
from monitor.config.watch import WatchConfig
from monitor.daemon.served_watch import ServedWatch, swap_and_log
from monitor.detection.build import build_watch, known_entities
from monitor.detection.watch import Watch
from monitor.errors import SwapError
from monitor.metrics.instruments import Metrics
from monitor.sources.position import PartitionPosition, Position
from monitor.storage.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint

__all__ = [
    "CheckpointKeeper",
    "capture",
    "continues",
    "load_usable",
    "position_of",
    "resume_watch",
    "undelivered_of",
]

log = logging.getLogger(__name__)

# Of due checkpoints: a series takes 10 to 16 kB, so 50,000 of them every 10 s were 52 MB/s.
_MOST_BYTES_PER_SECOND = 5e6
# Settings of a source that its positions do not depend on; those of Prometheus may hold secrets.
_NOT_IDENTITY = {"kafka", "max_series", "prometheus"}
_NEW_IN_REPLAY = {"format", "time_zone", "delimiter", "decimal", "thousands"}  # left out where not set
_STATE_KEYS = frozenset(
    {
        "name",
        "metrics",
        "ignore",
        "match",
        "by",
        "step_seconds",
        "window_length",
        "gap_mode",
        "max_gap_seconds",
    }
)  # settings under which a watch's state has its meaning


class CheckpointKeeper:
    """Saves the state of the daemon; belongs to the loop's thread.

    Parameters
    ----------
    file : Path, optional
        None where no state is kept: `save` then does nothing.
    every_seconds : float
        Real time after which another checkpoint is due; a checkpoint too large for that is due more rarely.
    on_stored : callable, optional
        Given the source's position of each checkpoint once that is on disk, or where no state is kept. A
        commit does not tell: it follows a checkpoint that could not be saved too.
    """

    def __init__(
        self,
        file: Path | None,
        watches: Sequence[ServedWatch],
        age_filter: AlertAgeFilter,
        *,
        source: SourceConfig,
        metrics: Metrics,
        clock: Clock,
        every_seconds: float,
        on_stored: Callable[[Position], None] | None = None,
    ) -> None:
        self._file = file
        self._watches = watches
        self._age_filter = age_filter
        self._source = source
        self._metrics = metrics
        self._clock = clock
        self._every_seconds = every_seconds
        self._saved_at = clock.monotonic()
        self._n_bytes = 0  # of the last checkpoint
        self._on_stored = on_stored

    def is_due(self) -> bool:
        """Return whether the last checkpoint is old enough for another one.

        What is saved because it is due adds at most 5 MB/s of writing. A rarer checkpoint of Kafka
        topics costs reading more again after a crash, and no record: offsets are committed behind it only.
        """
        every_seconds = max(self._every_seconds, self._n_bytes / _MOST_BYTES_PER_SECOND)
        return self._clock.monotonic() - self._saved_at >= every_seconds

    def save(self, position: Position, undelivered: Sequence[Alert] = ()) -> None:
        """Save all state with the source's position, and the alerts that outlets were not given yet.

        A failure is counted and logged: the previous checkpoint stays, and the daemon goes on.
        """
        self._saved_at = self._clock.monotonic()
        if self._file is None:
            self._report_stored(position)
            return
        watches = [(served.config, served.version, served.watch) for served in self._watches]
        try:
            checkpoint = capture(
                watches,
                source=self._source,
                position=position,
                undelivered=undelivered,
                age_filter=self._age_filter.state(),
            )
            self._n_bytes = save_checkpoint(checkpoint, self._file)
        except CheckpointError as error:
            self._metrics.storage.checkpoint_failed()
            log.error("checkpoint failed error=%s", error)
        else:
            self._metrics.storage.checkpoint_saved(self._clock.now())
            self._report_stored(position)

    def _report_stored(self, position: Position) -> None:
        if self._on_stored is not None:
            self._on_stored(position)


def load_usable(file: Path, source: SourceConfig, metrics: Metrics) -> Checkpoint | None:
    """Load the checkpoint that a source continues from; None where there is none, or it cannot be read."""
    try:
        checkpoint = load_checkpoint(file)
    except CheckpointError as error:
        metrics.storage.checkpoint_failed()
        log.error("checkpoint refused error=%s; every watch warms up again", error)
        return None
    return checkpoint if checkpoint is not None and continues(checkpoint, source) else None


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
        How far the source has been read; empty for a live one, and for a replay that has ended.
    undelivered : sequence of Alert
        The alerts that outlets are still to be given.
    age_filter : mapping, optional
        State of the alert age filter: the withheld episodes.
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
            "inputs": None if watch.entities.inputs is None else watch.entities.inputs.state(),
            "moments": watch.snapshots.about(),
            "open_alerts": {str(row): asdict(alert) for row, alert in watch.open_alerts.items()},
        }
    partitions = {name: asdict(partition) for name, partition in position.partitions.items()}
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
    """Give the alerts that outlets had not been given yet when a checkpoint was made."""
    return [alert_of(fields) for fields in checkpoint.about.get("undelivered", [])]


def position_of(checkpoint: Checkpoint) -> Position:
    """Give how far the source had been read when a checkpoint was made."""
    saved = checkpoint.about.get("partitions", {})
    partitions = {name: PartitionPosition(**partition) for name, partition in saved.items()}
    return Position(checkpoint.about["position_ms"], partitions)


def continues(checkpoint: Checkpoint, source: SourceConfig) -> bool:
    """Return whether a source continues from a checkpoint: the same one, and no replay that had ended."""
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
    """Build a watch that resumes from a checkpoint; its channels are matched with the champion's by name.

    The second value is `resumed`, `resumed with another model`, or why the watch starts anew: `no state`,
    `settings changed`, `model changed`.

    Parameters
    ----------
    refresh : callable
        Warms a model up before it takes over from another version.

    Raises
    ------
    CheckpointError
        If the state does not fit the watch. The champion must not be used again then.
    """
    settings = config.settings()
    about = checkpoint.about["watches"].get(config.name) if checkpoint else None
    if checkpoint is None or about is None:
        return build_watch(settings, champion, live=True), "no state"
    if about["settings"] != _fingerprint(config):
        return build_watch(settings, champion, live=True), "settings changed"
    # The model's part of a state is in the order of the model's channels.
    same = about["version"] == version and (champion is None or tuple(about["channels"]) == champion.channels)
    arrays = _arrays_of(config.name, checkpoint, with_model=same)
    try:
        entities = known_entities(
            settings,
            about["entities"],
            about["channels"],
            fixed=about["fixed"],
            live=True,
            inputs=about.get("inputs"),
        )
        watch = build_watch(settings, champion if same else None, entities=entities, live=True)
        open_alerts = {int(row): alert_of(fields) for row, fields in about["open_alerts"].items()}
        watch.load_state(arrays, open_alerts, about.get("moments"))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the state of watch {config.name} does not fit it: {error}") from error
    if same:
        return watch, "resumed"
    try:
        if champion is not None:
            swap_and_log(watch, settings, version, refresh(champion))
            return watch, "resumed with another model"
    except SwapError as error:
        log.warning("episodes and newest steps are lost watch=%s: %s", config.name, error)
    return build_watch(settings, champion, live=True), "model changed"


def _arrays_of(watch: str, checkpoint: Checkpoint, *, with_model: bool) -> dict[str, NDArray[np.generic]]:
    """Give a watch's arrays by their own names; without those of its model where another one takes over."""
    prefix = f"{watch}/"
    model_prefix = f"{prefix}scorer/detector."
    return {
        name.removeprefix(prefix): array
        for name, array in checkpoint.arrays.items()
        if name.startswith(prefix) and (with_model or not name.startswith(model_prefix))
    }


def _identity(source: SourceConfig) -> str:
    """Identify a source, as far as its positions depend on it; secrets stay out of the checkpoint."""
    if source.kind == "kafka":
        servers = sorted(source.kafka.bootstrap_servers)
        return json.dumps({"kind": "kafka", "servers": servers, "group_id": source.kafka.group_id})
    if source.kind == "prometheus":
        # A position is an event time, or a place in the daemon's own log: the same for every server.
        return json.dumps({"kind": "prometheus", "mode": source.prometheus.mode})
    replay = source.replay
    # Written as versions before `auto` had these defaults, and without what they did not have, so that a
    # state of theirs is resumed: what they could read is read the same.
    earlier = {
        "time_column": "timestamp" if replay.time_column == "auto" else replay.time_column,
        "time_unit": "ms" if replay.time_unit == "auto" else replay.time_unit,
    }
    same = source.model_copy(update={"replay": replay.model_copy(update=earlier)})
    fields = source.model_dump(include={"replay": _NEW_IN_REPLAY})["replay"]
    changed = {name for name, value in fields.items() if value != type(replay).model_fields[name].default}
    whole = same.model_dump(mode="json", exclude=_NOT_IDENTITY)
    for name in _NEW_IN_REPLAY - changed:
        whole["replay"].pop(name)
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False)


def _fingerprint(config: WatchConfig) -> str:
    """Identify the settings under which a state has its meaning; budget and training may change freely."""
    return config.hash_of(_STATE_KEYS)
