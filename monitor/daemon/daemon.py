"""The assembler: builds every object from the configuration, starts and stops them in order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, disable_created_metrics

from models.bundle import Bundle
from models.errors import BundleError
from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import AlertAgeFilter
from monitor.clock import Clock
from monitor.config.schema import Config
from monitor.config.watch import WatchConfig
from monitor.daemon.build import build_source, training_command
from monitor.daemon.champion_watcher import ChampionWatcher
from monitor.daemon.checkpoints import capture, goes_on, position_of, resume_watch, undelivered_of
from monitor.daemon.loop import run
from monitor.daemon.process import tune_process
from monitor.daemon.retraining import Retraining, report_training
from monitor.daemon.watchdog import Watchdog
from monitor.detection.pipeline import Decision, Pipeline
from monitor.detection.watch import Watch
from monitor.metrics.exposition import Exposition
from monitor.metrics.instruments import Metrics
from monitor.outlets.outlet import Outlet
from monitor.sample import SeriesTable
from monitor.sources.position import Position
from monitor.storage.alert_history import AlertHistory
from monitor.storage.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from monitor.storage.data_dir import episodes_file, history_folder, model_registry, prepare_data_dir
from monitor.storage.lock import hold
from monitor.storage.step_history import HistoryWriter, Retention
from monitor.training.child import train_in_child
from monitor.training.from_history import history_since
from monitor.training.gate import TrainingOutcome
from monitor.training.schedule import TrainingScheduler
from monitor.training.warm_up import warm_up
from monitor.web.server import Health, WebServer

__all__ = ["Daemon"]

log = logging.getLogger(__name__)


class Daemon:
    """The whole service.

    Parameters
    ----------
    outlets : sequence of Outlet
        Where alerts go, beside the exported metrics.
    keeps_state : bool
        Go on from the checkpoint in the data directory, and keep one there, and a history to learn from.
    config_file : Path, optional
        Where the settings are from, for trainings: without it none is scheduled.
    on_stalled : callable, optional
        Called in a thread of its own when the loop no longer turns; without it nobody watches over it.

    Raises
    ------
    MonitorError
        If something configured cannot be had: a file, the address, the data directory, which another daemon may hold.
    """

    def __init__(
        self,
        config: Config,
        *,
        outlets: Sequence[Outlet],
        clock: Clock,
        keeps_state: bool = True,
        config_file: Path | None = None,
        on_stalled: Callable[[], None] | None = None,
    ) -> None:
        tune_process()
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody asks for
        self._config = config
        self._clock = clock
        self._outlets = outlets
        self._on_stalled = on_stalled
        self._watchdog: Watchdog | None = None
        prepare_data_dir(config)
        way_out = "Stop it, or set data_dir to another folder."
        self._lock = hold(Path(config.data_dir) / "lock", what=f"data_dir {config.data_dir}", way_out=way_out, now=clock.now())
        try:
            self._build(keeps_state=keeps_state, config_file=config_file)
        except BaseException:
            self._lock.release()
            raise

    def _build(self, *, keeps_state: bool, config_file: Path | None) -> None:
        config, clock = self._config, self._clock
        table = SeriesTable(config.source.max_series)
        self.metrics = Metrics(CollectorRegistry(), [watch.name for watch in config.watch])
        self._checkpoint_file = Path(config.data_dir) / "checkpoint" / "state" if keeps_state else None
        checkpoint = self._load_checkpoint()
        self._undelivered = undelivered_of(checkpoint) if checkpoint else []
        self._source = build_source(config, table, clock, resumed=position_of(checkpoint) if checkpoint else None)
        self._versions: dict[str, str | None] = {}
        watches = [self._build_watch(watch, checkpoint) for watch in config.watch]
        self.pipeline = Pipeline(
            watches,
            table,
            max_future_ms=round(config.source.max_future_seconds * 1000),
            forgets_series=config.source.kind != "replay",  # it keeps the numbers of all that it will bring
        )
        self._alert_history = self._build_alert_history() if keeps_state else None
        self._age_filter = self._build_age_filter(watches, checkpoint)
        self.metrics.withheld = self._age_filter.withheld
        self.metrics.started(version("barograph"), watches, clock.now())
        self._retraining = self._build_retraining(config_file) if keeps_state else None
        self._exposition = Exposition(self.metrics, config.web.max_exported_series)
        self._exposition.render(watches)
        self._health = Health(ticked_at=clock.monotonic())
        self._web = WebServer(
            config.web.listen,
            exposition=lambda: self._exposition.text,
            health=self._health,
            monotonic=clock.monotonic,
            stalled_after_seconds=config.stalled_after_seconds,
        )

    @property
    def address(self) -> str:
        """Where the web server listens, `host:port`."""
        return self._web.address

    def run(self, stop: threading.Event, *, exit_at_end: bool = False) -> None:
        """Work until `stop` is set, or until the source ends where that is asked for."""
        if self._retraining is not None:
            self._retraining.start()
        if self._on_stalled is not None:
            self._watchdog = Watchdog(
                lambda: self._health.ticked_at,
                self._clock,
                stalled_after_seconds=self._config.stalled_after_seconds,
                on_stalled=self._on_stalled,
            )
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
            after_step=self._after_step,
            undelivered=self._undelivered,
            record=self._record,
            age_filter=self._age_filter,
        )
        if self._retraining is not None:
            self._retraining.finish()

    def _record(self, alerts: Sequence[Alert], notified: bool) -> None:
        if self._alert_history is not None:
            self._alert_history.record(alerts, notified)

    def _after_step(self, decision: Decision) -> None:
        if self._alert_history is not None:
            self._alert_history.catch_up()
        if self._retraining is not None and self._retraining.after_step(decision):
            self._save_checkpoint(self._source.position(), ())  # it names the model that judges: a restart goes on with that

    def close(self) -> None:
        """Stop what was started, last first."""
        if self._retraining is not None:
            self._retraining.close()
        self._web.close()
        self._source.close()
        if self._alert_history is not None:
            self._alert_history.close()
        self._lock.release()
        if self._watchdog is not None:
            self._watchdog.close()  # last: an end that hangs is ended too

    def _build_watch(self, watch: WatchConfig, checkpoint: Checkpoint | None) -> Watch:
        champion = self._load_champion(watch)
        data_dir = Path(self._config.data_dir)

        def refresh(bundle: Bundle) -> Bundle:
            return warm_up(watch, bundle, history_since(data_dir, watch, bundle))

        try:
            built, what = resume_watch(watch, self._versions[watch.name], champion, checkpoint, refresh=refresh)
        except CheckpointError as error:
            self.metrics.checkpoint_failed()
            log.error("checkpoint refused watch=%s error=%s; it warms up again", watch.name, error)
            built, what = resume_watch(watch, self._versions[watch.name], self._load_champion(watch), None, refresh=refresh)
        log.info("state watch=%s: %s", watch.name, what)
        return built

    def _build_retraining(self, config_file: Path | None) -> Retraining:
        config, data_dir = self._config, Path(self._config.data_dir)
        retention = Retention(**config.history.model_dump())
        writers = {
            watch.name: HistoryWriter(
                history_folder(data_dir, watch),
                retention,
                shape=watch.settings().history_shape,
                step_ms=watch.step_ms,
                window_length=watch.window_length,
            )
            for watch in config.watch
        }
        champion_watcher = ChampionWatcher(
            config.watch,
            registry=lambda watch: model_registry(config, watch),
            history_since=lambda watch, bundle: history_since(data_dir, watch, bundle),
            serving=self._versions,
        )
        return Retraining(
            list(zip(config.watch, self.pipeline.watches, strict=True)),
            self._versions,
            writers=writers,
            champion_watcher=champion_watcher,
            scheduler=None if config_file is None else self._build_scheduler(config_file),
            metrics=self.metrics,
            clock=self._clock,
        )

    def _build_alert_history(self) -> AlertHistory:
        alerts = self._config.alerts
        return AlertHistory(
            episodes_file(self._config.data_dir),
            keep_seconds=alerts.keep_seconds,
            max_episodes=alerts.keep_episodes,
            clock=self._clock,
            on_failure=self.metrics.alert_history_failed,
        )

    def _build_age_filter(self, watches: Sequence[Watch], checkpoint: Checkpoint | None) -> AlertAgeFilter:
        max_age_ms = round(self._config.alerts.max_alert_age_seconds * 1000)
        # A replay's own time lies at the end of a batch, however long that is.
        is_live = max_age_ms > 0 and self._config.source.kind != "replay"
        history, still_open = self._alert_history, {alert.identity for watch in watches for alert in watch.open_alerts.values()}
        notified = history.open_and_notified() if history is not None else []
        age_filter = AlertAgeFilter(
            {watch.name: max_age_ms + watch.grid.longest_delay_ms for watch in watches} if is_live else {}, notified=notified
        )
        state = checkpoint.about.get("quiet") if checkpoint else None
        if state is not None:
            age_filter.load_state(state, still_open)
        if history is not None:
            history.settle(still_open)
        return age_filter

    def _build_scheduler(self, config_file: Path) -> TrainingScheduler | None:
        scheduled = [watch for watch in self._config.watch if watch.retrain.is_scheduled]
        if not scheduled:
            return None
        made = {watch.name: model_registry(self._config, watch).made_at() for watch in scheduled}
        for name, made_at in made.items():
            if made_at is not None:
                self.metrics.training_known(name, made_at)

        def train(watch: WatchConfig, stop: threading.Event) -> TrainingOutcome:
            registry = model_registry(self._config, watch)
            result_file = Path(self._config.data_dir) / "training" / f"{watch.name}.json"
            outcome = train_in_child(watch, training_command(config_file, watch, result_file), result_file, registry, stop)
            report_training(outcome, registry, watch, self.metrics, self._clock.now())
            return outcome

        return TrainingScheduler(scheduled, train, last_made=made, clock=self._clock, on_left_out=self.metrics.training_left_out)

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

    def _save_checkpoint(self, position: Position, undelivered: Sequence[Alert]) -> None:
        if self._checkpoint_file is None:
            return
        watches = [
            (config, self._versions[config.name], watch) for config, watch in zip(self._config.watch, self.pipeline.watches, strict=True)
        ]
        try:
            whole = capture(
                watches, source=self._config.source, position=position, undelivered=undelivered, age_filter=self._age_filter.state()
            )
            save_checkpoint(whole, self._checkpoint_file)
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
