"""The assembler: builds every object from the configuration, starts and stops them in order."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, disable_created_metrics

from models.bundle import Bundle
from models.errors import BundleError
from models.registry import Registry
from monitor.clock import Clock
from monitor.config import Config, WatchConfig
from monitor.errors import MonitorError
from monitor.files import recorded_files
from monitor.loop import run
from monitor.metrics import Exposition, Metrics
from monitor.outlets import Outlet
from monitor.pipeline import Pipeline
from monitor.runtime import tune_process
from monitor.sample import SeriesTable
from monitor.sources import Source
from monitor.sources.host import HostSource
from monitor.sources.replay import ReplaySource
from monitor.watch import build_watch
from monitor.web import Health, WebServer

__all__ = ["Daemon", "model_registry", "prepare_data_dir"]

log = logging.getLogger(__name__)


class Daemon:
    """The whole service.

    Parameters
    ----------
    outlets : sequence of Outlet
        Where alerts go, beside the exported metrics.

    Raises
    ------
    MonitorError
        If something configured cannot be had: a file, the address, the data directory.
    """

    def __init__(self, config: Config, *, outlets: Sequence[Outlet], clock: Clock) -> None:
        tune_process()
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody asks for
        self._config = config
        self._clock = clock
        self._outlets = outlets
        prepare_data_dir(config)
        table = SeriesTable()
        self._source = _build_source(config, table, clock)
        self.metrics = Metrics(CollectorRegistry(), [watch.name for watch in config.watch])
        self.metrics.built(version("barograph"))
        watches = [build_watch(watch, self._load_champion(watch)) for watch in config.watch]
        self.pipeline = Pipeline(watches, table, max_future_ms=round(config.source.max_future_seconds * 1000))
        self._exposition = Exposition(self.metrics, config.web.max_exported_series)
        self._exposition.render(watches)
        self._health = Health(ticked_at=clock.monotonic())
        self._web = WebServer(config.web.listen, exposition=lambda: self._exposition.text, health=self._health, monotonic=clock.monotonic)

    @property
    def address(self) -> str:
        """Where the web server listens, `host:port`."""
        return self._web.address

    def run(self, stop: threading.Event, *, exit_at_end: bool = False) -> None:
        """Work until `stop` is set, or until the source ends where that is asked for."""
        run(
            self._source,
            self.pipeline,
            self._outlets,
            metrics=self.metrics,
            exposition=self._exposition,
            health=self._health,
            clock=self._clock,
            stop=stop,
            exit_at_end=exit_at_end,
        )

    def close(self) -> None:
        """Stop what was started, last first."""
        self._web.close()
        self._source.close()

    def _load_champion(self, watch: WatchConfig) -> Bundle | None:
        registry = model_registry(self._config, watch)
        chosen = registry.champion()
        bundle = None
        if chosen is not None:
            try:
                bundle = registry.load(chosen)
            except BundleError as error:
                self.metrics.model_refused(watch.name)
                log.error("model refused watch=%s version=%s error=%s", watch.name, chosen, error)
        if bundle is None:
            log.warning("no model watch=%s: the companions judge alone until `barograph train` has made one", watch.name)
        else:
            log.info(
                "model loaded watch=%s version=%s entities=%d channels=%d", watch.name, chosen, len(bundle.entities), len(bundle.channels)
            )
        self.metrics.model_loaded(watch.name, chosen if bundle else None)
        return bundle


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


def _build_source(config: Config, table: SeriesTable, clock: Clock) -> Source:
    if config.source.kind == "host":
        host = config.source.host
        return HostSource(table, clock, interval_seconds=host.interval_seconds, host=host.host)
    speed = config.source.replay.speed
    times_real = math.inf if speed == "max" else float(speed)
    return ReplaySource(recorded_files(config, table), clock, speed=times_real)
