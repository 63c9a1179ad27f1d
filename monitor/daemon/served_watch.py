"""A watch as the daemon runs it, and the one way in which a model begins to judge it."""

from __future__ import annotations

import logging
from pathlib import Path

from models.bundle import Bundle
from models.registry import Registry
from monitor.config.watch import WatchConfig
from monitor.detection.settings import WatchSettings
from monitor.detection.swap import swap_champion
from monitor.detection.watch import Watch
from monitor.training.from_history import history_since
from monitor.training.warm_up import warm_up

__all__ = ["ModelLoader", "ServedWatch", "swap_and_log"]

log = logging.getLogger(__name__)


class ModelLoader:
    """Loads a watch's models so that they can judge its next step: whole, and warmed up.

    Used by a start, and after every promotion and rollback. Its methods may run in any thread.

    Parameters
    ----------
    history_folder : Path
        The watch's closed steps; a model warms up on those that it has not seen.
    max_steps : int
        The newest steps of the history that are read for that.
    """

    def __init__(
        self, settings: WatchSettings, registry: Registry, history_folder: Path, *, max_steps: int
    ) -> None:
        self.registry = registry
        self._settings = settings
        self._history_folder = history_folder
        self._max_steps = max_steps

    def load(self, version: str) -> Bundle:
        """Load a version, and warm it up.

        Raises
        ------
        BundleError
            If it is damaged.
        ConfigError
            If it was trained with another step or window than is configured.
        """
        return self.warm_up(self.registry.load(version))

    def warm_up(self, bundle: Bundle) -> Bundle:
        """Give a copy of a model that has judged and learned the steps that it had not seen."""
        history = history_since(self._history_folder, self._settings, bundle, max_steps=self._max_steps)
        return warm_up(self._settings, bundle, history)


class ServedWatch:
    """A watch as the daemon runs it: its settings, its stages, and the version of the model that judges it.

    Parameters
    ----------
    version : str, optional
        None where the baselines judge alone.
    """

    def __init__(self, config: WatchConfig, watch: Watch, version: str | None, loader: ModelLoader) -> None:
        self.config = config
        self.watch = watch
        self.version = version
        self.loader = loader

    @property
    def name(self) -> str:
        """The watch's name."""
        return self.config.name

    def swap(self, version: str, model: Bundle) -> None:
        """Let another version judge from the next step on.

        Raises
        ------
        ConfigError, SwapError
            If it does not fit; nothing is changed then.
        """
        swap_and_log(self.watch, self.config.settings(), version, model)
        self.version = version


def swap_and_log(watch: Watch, settings: WatchSettings, version: str | None, model: Bundle) -> None:
    """Let a model judge a watch from its next step on, and log by name which channels that changes.

    Raises
    ------
    ConfigError, SwapError
        If it does not fit; nothing is changed then.
    """
    change = swap_champion(watch, settings, model)
    if change.left_out:
        log.warning(
            "channels left out watch=%s version=%s channels=%s: the model does not know them, so they are "
            "neither judged nor kept; to get them back, train from files that hold them",
            watch.name,
            version,
            ",".join(change.left_out),
        )
    if change.awaited:
        log.info(
            "channels awaited watch=%s version=%s channels=%s: the model knows them, and they are gaps until "
            "their first sample",
            watch.name,
            version,
            ",".join(change.awaited),
        )
