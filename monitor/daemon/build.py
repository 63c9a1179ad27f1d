"""Builds the daemon from the configuration; nothing else of the daemon builds anything."""

from __future__ import annotations

import logging
import math
import random
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, disable_created_metrics

from models.bundle import Bundle
from models.errors import BundleError
from monitor.alerting.alert_age import AlertAgeFilter
from monitor.clock import Clock
from monitor.config.schema import Config
from monitor.config.watch import WatchConfig
from monitor.daemon.champion_watcher import ChampionWatcher
from monitor.daemon.checkpoints import (
    CheckpointKeeper,
    load_usable,
    position_of,
    resume_watch,
    undelivered_of,
)
from monitor.daemon.daemon import Daemon
from monitor.daemon.judging_log import JudgingLog
from monitor.daemon.limit_log import LimitLog
from monitor.daemon.loop import Loop
from monitor.daemon.notifier import Notifier
from monitor.daemon.operator_requests import OperatorRequests
from monitor.daemon.process import tune_process
from monitor.daemon.retraining import Retraining, report_training
from monitor.daemon.served_watch import ModelLoader, ServedWatch
from monitor.daemon.watch_log import WatchLog
from monitor.decode.topic_decoders import TopicDecoders
from monitor.detection.pipeline import Pipeline
from monitor.errors import ConfigError
from monitor.files.recorded import recorded_files
from monitor.kafka.dead_letter_producer import DeadLetterProducer
from monitor.kafka.libraries import library_of
from monitor.kafka.record_decoder import Decoding
from monitor.kafka.source import KafkaSource
from monitor.metrics.exposition import Exposition, enough_series
from monitor.metrics.instruments import Metrics
from monitor.outlets.outlet import Outlet
from monitor.prometheus.api import PrometheusApi
from monitor.prometheus.http import HttpClient, connection_of
from monitor.prometheus.polling import PollingSource, WatchQuery
from monitor.sample import SeriesTable
from monitor.sources.host import HostSource
from monitor.sources.position import Position
from monitor.sources.replay import ReplaySource
from monitor.sources.source import Source
from monitor.storage.alert_history import AlertHistory
from monitor.storage.checkpoint import Checkpoint, CheckpointError
from monitor.storage.data_dir import DataDir
from monitor.storage.lock import Lock, hold
from monitor.storage.request_folder import RequestFolder
from monitor.storage.step_history import HistoryWriter, Retention
from monitor.training.child import train_in_child
from monitor.training.gate import TrainingOutcome
from monitor.training.schedule import TrainingScheduler
from monitor.web.server import Health, WebServer

__all__ = ["build_daemon", "build_source", "training_command"]

log = logging.getLogger(__name__)


def build_daemon(
    config: Config,
    *,
    outlets: Sequence[Outlet],
    clock: Clock,
    keeps_state: bool = True,
    config_file: Path | None = None,
    on_stalled: Callable[[], None] | None = None,
) -> Daemon:
    """Build the whole service; its web server answers when this returns.

    Parameters
    ----------
    outlets : sequence of Outlet
        Where notifications go, beside the exported metrics.
    keeps_state : bool
        Resume from the checkpoint in the data directory, and keep checkpoints and histories there.
    config_file : Path, optional
        The file of the settings, for trainings: without it none is scheduled.
    on_stalled : callable, optional
        Called in a thread of its own when the loop hangs; without it no watchdog runs.

    Raises
    ------
    MonitorError
        If something configured cannot be used: a file, the address, the data directory, which another daemon
        may hold.
    """
    tune_process()
    # Else each counter has a second series, `..._created`.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    data_dir = DataDir(config.data_dir)
    data_dir.prepare()
    lock = hold(
        data_dir.lock_file,
        what=f"data_dir {config.data_dir}",
        way_out="Stop it, or set data_dir to another folder.",
        now=clock.now(),
    )
    try:
        metrics = Metrics(
            CollectorRegistry(), [watch.name for watch in config.watch], optional=_optional(config)
        )
        builder = _Builder(config, clock, data_dir, metrics)
        return builder.daemon(
            outlets, lock, keeps_state=keeps_state, config_file=config_file, on_stalled=on_stalled
        )
    except BaseException:
        lock.release()
        raise


def _optional(config: Config) -> set[str]:
    return {watch.name for watch in config.watch if watch.optional}


def training_command(config_file: Path, watch: str, result_file: Path) -> list[str]:
    """Give the command that trains a watch beside the daemon, at a low priority."""
    options = ["--candidate", "--background", "--result", str(result_file)]
    command = [sys.executable, "-m", "monitor", "retrain", "--config", str(config_file), "--watch", watch]
    return [*command, *options]


def build_source(config: Config, table: SeriesTable, clock: Clock, *, resumed: Position | None) -> Source:
    """Build the configured source; with a position it continues from there."""
    if config.source.kind == "host":
        host = config.source.host
        return HostSource(table, clock, interval_seconds=host.interval_seconds, host=host.host)
    if config.source.kind == "kafka":
        return _build_kafka_source(config, table, clock, resumed=resumed)
    if config.source.kind == "prometheus":
        return _build_prometheus_source(config, table, clock, resumed=resumed)
    speed = config.source.replay.speed
    return ReplaySource(
        recorded_files(config, table),
        clock,
        speed=math.inf if speed == "max" else float(speed),
        after_ms=resumed.time_ms if resumed else None,
    )


def _build_prometheus_source(
    config: Config, table: SeriesTable, clock: Clock, *, resumed: Position | None
) -> PollingSource:
    prometheus = config.source.prometheus
    if prometheus.mode != "query_range":
        raise ConfigError(
            f'source.prometheus.mode is "{prometheus.mode}", expected "query_range": nothing else is built in'
        )
    queries = [
        WatchQuery(watch.name, watch.query, watch.step_ms, watch.settings().rewind_ms)
        for watch in config.watch
        if watch.query
    ]
    return PollingSource(
        PrometheusApi(HttpClient(connection_of(prometheus), clock)),
        table,
        clock,
        queries,
        lag_ms=round(prometheus.lag_seconds * 1000),
        max_catch_up_ms=round(prometheus.max_catch_up_seconds * 1000),
        rng=random.Random(),  # noqa: S311 - of waits, no secret
        resumed=resumed,
    )


def _build_kafka_source(
    config: Config, table: SeriesTable, clock: Clock, *, resumed: Position | None
) -> KafkaSource:
    kafka = config.source.kafka
    decoders = TopicDecoders(config.decode.settings, config.decode.topics, config.decode.format)
    dead_letters = None
    if kafka.dead_letter_topic:
        dead_letters = DeadLetterProducer(kafka, library_of(kafka), clock, version=version("barograph"))
    return KafkaSource(
        kafka,
        Decoding(decoders.of, decoders.explain),
        table,
        clock,
        rewind_ms=max(watch.settings().rewind_ms for watch in config.watch),
        max_future_ms=round(config.source.max_future_seconds * 1000),
        resumed=resumed,
        dead_letters=dead_letters,
    )


@dataclass(frozen=True, slots=True)
class _Builder:
    """Builds the parts of one daemon, which share these."""

    config: Config
    clock: Clock
    data_dir: DataDir
    metrics: Metrics

    def daemon(
        self,
        outlets: Sequence[Outlet],
        lock: Lock,
        *,
        keeps_state: bool,
        config_file: Path | None,
        on_stalled: Callable[[], None] | None,
    ) -> Daemon:
        config = self.config
        clock = self.clock
        metrics = self.metrics
        table = SeriesTable(config.source.max_series)
        checkpoint_file = self.data_dir.checkpoint_file if keeps_state else None
        checkpoint = load_usable(checkpoint_file, config.source, metrics) if checkpoint_file else None
        resumed = position_of(checkpoint) if checkpoint else None
        source = build_source(config, table, clock, resumed=resumed)
        served = [self.watch(watch, checkpoint) for watch in config.watch]
        pipeline = self.pipeline(served, table)
        alert_history = self.alert_history() if keeps_state else None
        age_filter = self.age_filter(pipeline, alert_history, checkpoint)
        checkpoints = CheckpointKeeper(
            checkpoint_file,
            served,
            age_filter,
            source=config.source,
            metrics=metrics,
            clock=clock,
            every_seconds=config.checkpoint_seconds,
        )
        notifier = Notifier(
            outlets,
            checkpoints,
            age_filter,
            alert_history=alert_history,
            undelivered=undelivered_of(checkpoint) if checkpoint else (),
        )
        operator_requests = None
        if alert_history is not None:
            folder = RequestFolder(self.data_dir.requests_folder)
            folder.prepare()
            operator_requests = OperatorRequests(folder, pipeline.watches, alert_history, clock)
            notifier.mute(operator_requests.muted(), pipeline.watches)
        views = [watch.view() for watch in pipeline.watches]
        metrics.started(version("barograph"), views, now=clock.now(), withheld=notifier.withheld)
        by_name = {served_watch.name: served_watch for served_watch in served}
        loop = Loop(
            source=source,
            pipeline=pipeline,
            notifier=notifier,
            checkpoints=checkpoints,
            retraining=self.retraining(served, config_file) if keeps_state else None,
            metrics=metrics,
            exposition=self.exposition(),
            health=Health(ticked_at=clock.monotonic()),
            limit_log=LimitLog(clock),
            watch_log=WatchLog(clock, optional=_optional(config)),
            judging_log=JudgingLog(lambda name: by_name[name].version),
            clock=clock,
            operator_requests=operator_requests,
        )
        loop.exposition.render(views, notifier.withheld)
        return Daemon(
            loop,
            self.web(loop.exposition, loop.health),
            lock,
            alert_history=alert_history,
            on_stalled=on_stalled,
            stalled_after_seconds=config.stalled_after_seconds,
        )

    def exposition(self) -> Exposition:
        web = self.config.web
        cap = web.max_exported_series
        if cap == "auto":
            cap = enough_series(watch.max_series for watch in self.config.watch)
        return Exposition(self.metrics, cap, all_channels=web.export_all_channels)

    def web(self, exposition: Exposition, health: Health) -> WebServer:
        return WebServer(
            self.config.web.listen,
            exposition=lambda: exposition.text,
            health=health,
            monotonic=self.clock.monotonic,
            stalled_after_seconds=self.config.stalled_after_seconds,
        )

    def pipeline(self, served: Sequence[ServedWatch], table: SeriesTable) -> Pipeline:
        return Pipeline(
            [served_watch.watch for served_watch in served],
            table,
            max_future_ms=round(self.config.source.max_future_seconds * 1000),
            # A replay keeps the numbers of all series that it will bring.
            forgets_series=self.config.source.kind != "replay",
        )

    def watch(self, config: WatchConfig, checkpoint: Checkpoint | None) -> ServedWatch:
        """Build a watch with the model that serves, resumed from the checkpoint where that fits."""
        settings = config.settings()
        loader = ModelLoader(
            settings,
            self.data_dir.registry(config.name),
            self.data_dir.history_folder(config.name),
            max_steps=config.retrain.max_steps,
        )
        serving, champion = self.champion(config.name, loader)
        try:
            watch, outcome = resume_watch(config, serving, champion, checkpoint, refresh=loader.warm_up)
        except CheckpointError as error:
            self.metrics.storage.checkpoint_failed()
            log.error("checkpoint refused watch=%s error=%s; it warms up again", config.name, error)
            serving, champion = self.champion(config.name, loader)
            watch, outcome = resume_watch(config, serving, champion, None)
        log.info("state watch=%s: %s", config.name, outcome)
        return ServedWatch(config, watch, serving, loader)

    def champion(self, watch: str, loader: ModelLoader) -> tuple[str | None, Bundle | None]:
        """Load the version that serves; nothing where the baselines judge alone."""

        def on_refused(version: str, error: BundleError) -> None:
            self.metrics.models.refused(watch)
            log.error("model refused watch=%s version=%s error=%s", watch, version, error)

        serving, champion = loader.registry.serving(on_refused) or (None, None)
        self.metrics.models.loaded(watch, serving)
        if champion is None:
            log.warning(
                "no model watch=%s: the baselines judge alone until `barograph train` has made one", watch
            )
        else:
            log.info(
                "model loaded watch=%s version=%s entities=%d channels=%d",
                watch,
                serving,
                len(champion.entities),
                len(champion.channels),
            )
        return serving, champion

    def alert_history(self) -> AlertHistory:
        alerts = self.config.alerts
        return AlertHistory(
            self.data_dir.episodes_file,
            keep_seconds=alerts.keep_seconds,
            max_episodes=alerts.keep_episodes,
            clock=self.clock,
            on_failure=self.metrics.storage.alert_history_failed,
        )

    def age_filter(
        self, pipeline: Pipeline, alert_history: AlertHistory | None, checkpoint: Checkpoint | None
    ) -> AlertAgeFilter:
        """Build the alert age filter, with the withheld episodes of an earlier run."""
        max_age_ms = round(self.config.alerts.max_alert_age_seconds * 1000)
        # A replay's own time is the end of its batch, however long that is: its alerts have no age.
        filters = max_age_ms > 0 and self.config.source.kind != "replay"
        limits = {watch.name: max_age_ms + watch.grid.longest_delay_ms for watch in pipeline.watches}
        still_open = {alert.identity for watch in pipeline.watches for alert in watch.open_alerts.values()}
        notified = alert_history.open_and_notified() if alert_history is not None else []
        age_filter = AlertAgeFilter(limits if filters else {}, notified=notified)
        state = checkpoint.about.get("quiet") if checkpoint else None
        if state is not None:
            age_filter.load_state(state, still_open)
        if alert_history is not None:
            alert_history.mark_lost(still_open)
        return age_filter

    def retraining(self, served: Sequence[ServedWatch], config_file: Path | None) -> Retraining:
        return Retraining(
            served,
            writers={watch.name: self.history_writer(watch) for watch in self.config.watch},
            champion_watcher=ChampionWatcher(served),
            scheduler=None if config_file is None else self.scheduler(config_file),
            metrics=self.metrics,
            clock=self.clock,
        )

    def history_writer(self, watch: WatchConfig) -> HistoryWriter:
        settings = watch.settings()
        return HistoryWriter(
            self.data_dir.history_folder(watch.name),
            Retention(**self.config.history.model_dump()),
            shape=settings.history_shape,
            step_ms=settings.step_ms,
            window_length=settings.window_length,
        )

    def scheduler(self, config_file: Path) -> TrainingScheduler | None:
        """Build the scheduler of trainings; None where no watch has a schedule."""
        schedules = {watch.name: watch.retrain for watch in self.config.watch if watch.retrain.is_scheduled}
        if not schedules:
            return None
        last_made = {watch: self.data_dir.registry(watch).made_at() for watch in schedules}
        for watch, made_at in last_made.items():
            if made_at is not None:
                self.metrics.models.training_known(watch, made_at)

        def train(watch: str, stop: threading.Event) -> TrainingOutcome:
            registry = self.data_dir.registry(watch)
            result_file = self.data_dir.result_file(watch)
            outcome = train_in_child(
                watch,
                training_command(config_file, watch, result_file),
                result_file,
                registry,
                timeout_seconds=schedules[watch].timeout_seconds,
                stop=stop,
            )
            report_training(
                outcome,
                registry,
                self.metrics,
                keep_versions=schedules[watch].keep_versions,
                now=self.clock.now(),
            )
            return outcome

        return TrainingScheduler(
            schedules,
            train,
            last_made=last_made,
            clock=self.clock,
            on_skipped=self.metrics.models.training_skipped,
        )
