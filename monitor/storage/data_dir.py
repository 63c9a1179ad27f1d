"""Where everything lies in `data_dir`."""

from __future__ import annotations

import os
from pathlib import Path

from models.registry import Registry
from monitor.config.schema import Config
from monitor.config.watch import WatchConfig
from monitor.errors import MonitorError

__all__ = ["episodes_file", "history_folder", "model_registry", "prepare_data_dir"]


def history_folder(data_dir: Path, watch: WatchConfig) -> Path:
    """Give the place of a watch's history."""
    return data_dir / "history" / watch.name


def model_registry(config: Config, watch: WatchConfig) -> Registry:
    """Give the place of a watch's models."""
    return Registry(Path(config.data_dir) / "bundles" / watch.name)


def prepare_data_dir(config: Config) -> None:
    """Make the data directory and see that it can be written.

    Raises
    ------
    MonitorError
        If it cannot.
    """
    folder = Path(config.data_dir)
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise MonitorError(f"data_dir {folder} cannot be used: {error.strerror}. Set data_dir to a folder that can be written.") from error


def episodes_file(data_dir: str) -> Path:
    """Give the place of the alert history."""
    return Path(data_dir) / "episodes.sqlite"
