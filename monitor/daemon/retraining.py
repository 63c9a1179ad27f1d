"""What the daemon does so that it can learn: keeps its history, counts trainings, lets the promoted model take over."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from models.errors import BundleError
from models.registry import Registry
from monitor.alerting.alert import Alert
from monitor.clock import Clock
from monitor.config.watch import WatchConfig
from monitor.daemon.champion_watcher import ChampionWatcher, PreparedModel
from monitor.detection.pipeline import Decision
from monitor.detection.swap import swap_champion
from monitor.detection.view import WatchObserver
from monitor.detection.watch import Watch
from monitor.errors import ConfigError, HistoryError, SwapError
from monitor.metrics.instruments import Metrics
from monitor.storage.step_history import HistoryWriter
from monitor.training.gate import TrainingOutcome
from monitor.training.schedule import TrainingScheduler

__all__ = ["Retraining", "report_training"]

log = logging.getLogger(__name__)

_CHECK_SECONDS = 10.0  # real time between two looks at whether the clock was put back


def report_training(outcome: TrainingOutcome, registry: Registry, watch: WatchConfig, metrics: Metrics, now: float) -> None:
    """Show what came of a training in log and metrics, and delete versions that nobody needs any more."""
    level = logging.INFO if outcome.result in ("promoted", "refused") else logging.WARNING
    log.log(
        level,
        "training %s watch=%s version=%s seconds=%.1f reason=%s",
        outcome.result.replace("_", " "),
        outcome.watch,
        outcome.version,
        outcome.seconds,
        outcome.reason,
    )
    metrics.training_done(watch.name, outcome.result, duration_seconds=outcome.seconds, now=now)
    metrics.history_skipped(watch.name, outcome.segments_skipped)
    gate = outcome.gate
    if gate is not None:
        metrics.gate_decided(
            watch.name,
            error={"challenger": gate.error, "opponent": gate.opponent_error},
            over_limit={"challenger": gate.over_limit, "opponent": gate.opponent_over_limit, "allowed": gate.allowed_over_limit},
            caught={"challenger": gate.caught, "opponent": gate.opponent_caught},
        )
    try:
        for version in registry.prune(watch.retrain.keep_versions):
            log.info("model deleted watch=%s version=%s", watch.name, version)
    except BundleError as error:
        log.error("model not deleted watch=%s error=%s", watch.name, error)


class Retraining:
    """The loop's side of it; everything here but the scheduler's own work runs in the loop's thread.

    Parameters
    ----------
    watches : sequence
        Settings and stages of each watch.
    versions : dict
        The version that judges each watch; changed here when another takes over.
    writers : mapping
        Each watch's history; empty where none is kept.
    """

    def __init__(
        self,
        watches: Sequence[tuple[WatchConfig, Watch]],
        versions: dict[str, str | None],
        *,
        writers: Mapping[str, HistoryWriter],
        champion_watcher: ChampionWatcher,
        scheduler: TrainingScheduler | None,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._watches = {config.name: pipeline for config, pipeline in watches}
        self._versions = versions
        self._writers = writers
        self._champion_watcher = champion_watcher
        self._scheduler = scheduler
        self._metrics = metrics
        self._clock = clock
        self._broken: set[str] = set()  # watches whose history could not be written the last time
        self._checked_at = clock.monotonic()
        for name, writer in writers.items():
            self._watches[name].observe(WatchObserver(on_closed=writer.add, on_forgotten=writer.keep_rows))

    def start(self) -> None:
        """Begin to train at the set times."""
        if self._scheduler is not None:
            self._scheduler.start()

    def after_step(self, decision: Decision) -> bool:
        """Do between two steps what is due; tell whether another model has taken over."""
        self._keep(decision.alerts)
        now = self._clock.monotonic()
        if self._scheduler is not None and now - self._checked_at >= _CHECK_SECONDS:
            self._checked_at = now
            self._scheduler.check()
        self._champion_watcher.poll(now)
        swapped = [self._swap(prepared) for prepared in self._champion_watcher.pop_ready()]
        return any(swapped)

    def finish(self) -> None:
        """Write down what is collected of the history: the loop has ended."""
        self._keep((), all_of_it=True)

    def close(self) -> None:
        """End the training that runs."""
        if self._scheduler is not None:
            self._scheduler.close()

    def _keep(self, alerts: Sequence[Alert], *, all_of_it: bool = False) -> None:
        for name, writer in self._writers.items():
            watch = self._watches[name]
            mine = [alert for alert in alerts if alert.watch == name]
            try:
                if mine:
                    writer.note(mine, watch.open_alerts.values())
                if writer.is_due or all_of_it:
                    writer.write(watch.entities.entities, watch.entities.channels, watch.open_alerts.values())
                    self._metrics.history_kept(name, writer.n_bytes())
                    if name in self._broken:
                        self._broken.remove(name)
                        log.info("history kept again watch=%s", name)
            except HistoryError as error:
                self._metrics.history_failed(name)
                if name not in self._broken:  # once an outage; the metric counts on
                    self._broken.add(name)
                    log.error("history not kept watch=%s error=%s; scoring goes on", name, error)

    def _swap(self, prepared: PreparedModel) -> bool:
        name, version = prepared.watch.name, prepared.version
        try:
            if prepared.bundle is None:
                raise SwapError(prepared.reason)
            swap_champion(self._watches[name], prepared.watch.settings(), prepared.bundle)
        except (SwapError, ConfigError) as error:
            self._metrics.model_refused(name)
            log.error("model refused watch=%s version=%s error=%s; %s serves on", name, version, error, self._versions[name] or "no model")
            return False
        old, self._versions[name] = self._versions[name], version
        self._metrics.model_swapped(name, old, version)
        log.info("model swapped watch=%s version=%s before=%s", name, version, old or "companions")
        return True
