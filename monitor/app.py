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
from monitor.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from monitor.clock import Clock
from monitor.config import Config, WatchConfig
from monitor.errors import MonitorError
from monitor.files import recorded_files
from monitor.loop import run
from monitor.metrics import Exposition, Metrics
from monitor.outlets import Outlet
from monitor.pipeline import Pipeline, WatchPipeline
from monitor.resume import capture, goes_on, resume_watch
from monitor.runtime import tune_process
from monitor.sample import SeriesTable
from monitor.sources import Source
from monitor.sources.host import HostSource
from monitor.sources.replay import ReplaySource
from monitor.web import Health, WebServer

__all__ = ["Daemon", "model_registry", "prepare_data_dir"]

log = logging.getLogger(__name__)


class Daemon:
    """The whole service.

    Parameters
    ----------
    outlets : sequence of Outlet
        Where alerts go, beside the exported metrics.
    keeps_state : bool
        Go on from the checkpoint in the data directory, and keep one there.

    Raises
    ------
    MonitorError
        If something configured cannot be had: a file, the address, the data directory.
    """

    def __init__(self, config: Config, *, outlets: Sequence[Outlet], clock: Clock, keeps_state: bool = True) -> None:
        tune_process()
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody asks for
        self._config = config
        self._clock = clock
        self._outlets = outlets
        prepare_data_dir(config)
        table = SeriesTable()
        self.metrics = Metrics(CollectorRegistry(), [watch.name for watch in config.watch])
        self._checkpoint_file = Path(config.data_dir) / "checkpoint" / "state" if keeps_state else None
        checkpoint = self._load_checkpoint()
        self._source = _build_source(config, table, clock, after_ms=checkpoint.about["position_ms"] if checkpoint else None)
        self._versions: dict[str, str | None] = {}
        watches = [self._build_watch(watch, checkpoint) for watch in config.watch]
        self.pipeline = Pipeline(watches, table, max_future_ms=round(config.source.max_future_seconds * 1000))
        self.metrics.started(version("barograph"), watches, clock.now())
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
            save=self._save_checkpoint,
            save_seconds=self._config.checkpoint_seconds,
        )

    def close(self) -> None:
        """Stop what was started, last first."""
        self._web.close()
        self._source.close()

    def _build_watch(self, watch: WatchConfig, checkpoint: Checkpoint | None) -> WatchPipeline:
        champion = self._load_champion(watch)
        try:
            built, what = resume_watch(watch, self._versions[watch.name], champion, checkpoint)
        except CheckpointError as error:
            self.metrics.checkpoint_failed()
            log.error("checkpoint refused watch=%s error=%s; it warms up again", watch.name, error)
            built, what = resume_watch(watch, self._versions[watch.name], self._load_champion(watch), None)
        log.info("state watch=%s: %s", watch.name, what)
        return built

    def _load_checkpoint(self) -> Checkpoint | None:
        if self._checkpoint_file is None:
            return None
        try:
            checkpoint = load_checkpoint(self._checkpoint_file)
            return checkpoint if checkpoint and goes_on(checkpoint, self._config.source) else None
        except CheckpointError as error:
            self.metrics.checkpoint_failed()
            log.error("checkpoint refused error=%s; every watch warms up again", error)
            return None

    def _save_checkpoint(self) -> None:
        if self._checkpoint_file is None:
            return
        watches = [
            (config, self._versions[config.name], watch) for config, watch in zip(self._config.watch, self.pipeline.watches, strict=True)
        ]
        try:
            save_checkpoint(capture(watches, source=self._config.source, position_ms=self._source.position_ms()), self._checkpoint_file)
        except CheckpointError as error:
            self.metrics.checkpoint_failed()
            log.error("checkpoint failed error=%s", error)
        else:
            self.metrics.checkpoint_saved(self._clock.now())

    def _load_champion(self, watch: WatchConfig) -> Bundle | None:
        def refused(version: str, error: BundleError) -> None:
            self.metrics.model_refused(watch.name)
            log.error("model refused watch=%s version=%s error=%s", watch.name, version, error)

        serving = model_registry(self._config, watch).serving(refused)
        if serving is None:
            log.warning("no model watch=%s: the companions judge alone until `barograph train` has made one", watch.name)
            self.metrics.model_loaded(watch.name, None)
            self._versions[watch.name] = None
            return None
        version, bundle = serving
        self._versions[watch.name] = version
        log.info(
            "model loaded watch=%s version=%s entities=%d channels=%d", watch.name, version, len(bundle.entities), len(bundle.channels)
        )
        self.metrics.model_loaded(watch.name, version)
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


def _build_source(config: Config, table: SeriesTable, clock: Clock, *, after_ms: int | None) -> Source:
    if config.source.kind == "host":
        host = config.source.host
        return HostSource(table, clock, interval_seconds=host.interval_seconds, host=host.host)
    speed = config.source.replay.speed
    times_real = math.inf if speed == "max" else float(speed)
    return ReplaySource(recorded_files(config, table), clock, speed=times_real, after_ms=after_ms)
