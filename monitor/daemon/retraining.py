"""What the daemon does for its models between two steps: keep histories, train at set times, swap models."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from models.errors import BundleError
from models.registry import Registry
from monitor.alerting.alert import Alert
from monitor.clock import Clock
from monitor.daemon.champion_watcher import ChampionWatcher, PreparedModel
from monitor.daemon.served_watch import ServedWatch
from monitor.detection.pipeline import Decision
from monitor.detection.view import WatchObserver
from monitor.errors import ConfigError, HistoryError, SwapError
from monitor.metrics.instruments import Metrics
from monitor.storage.step_history import HistoryWriter
from monitor.training.gate import TrainingOutcome
from monitor.training.schedule import TrainingScheduler

__all__ = ["Retraining", "report_training"]

log = logging.getLogger(__name__)

_CHECK_SECONDS = 10.0  # real time between two checks whether the clock was set back


def report_training(
    outcome: TrainingOutcome, registry: Registry, metrics: Metrics, *, keep_versions: int, now: float
) -> None:
    """Show a training's outcome in log and metrics, and delete versions beyond those to keep."""
    watch = outcome.watch
    gate = outcome.gate
    leaves_it_over_budget = outcome.result == "refused" and gate is not None and gate.opponent_is_over_budget
    is_usual = outcome.result in ("promoted", "refused") and not leaves_it_over_budget
    log.log(
        logging.INFO if is_usual else logging.WARNING,
        "training %s watch=%s version=%s seconds=%.1f reason=%s",
        outcome.result.replace("_", " "),
        watch,
        outcome.version,
        outcome.seconds,
        outcome.reason,
    )
    metrics.models.training_done(watch, outcome.result, duration_seconds=outcome.seconds, now=now)
    metrics.storage.history_skipped(watch, outcome.segments_skipped)
    if gate is not None:
        metrics.models.gate_decided(
            watch,
            error={"challenger": gate.error, "opponent": gate.opponent_error},
            over_limit={
                "challenger": gate.over_limit,
                "opponent": gate.opponent_over_limit,
                "allowed": gate.allowed_over_limit,
            },
            caught={"challenger": gate.caught, "opponent": gate.opponent_caught},
        )
    try:
        for version in registry.prune(keep_versions):
            log.info("model deleted watch=%s version=%s", watch, version)
    except BundleError as error:
        log.error("model not deleted watch=%s error=%s", watch, error)


class Retraining:
    """The loop's side of retraining; everything but the scheduler's own work runs in the loop's thread.

    Parameters
    ----------
    watches : sequence of ServedWatch
        Swapped here when another version is to judge.
    writers : mapping
        Each watch's history; empty where none is kept.
    """

    def __init__(
        self,
        watches: Sequence[ServedWatch],
        *,
        writers: Mapping[str, HistoryWriter],
        champion_watcher: ChampionWatcher,
        scheduler: TrainingScheduler | None,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._watches = {served.name: served for served in watches}
        self._writers = writers
        self._champion_watcher = champion_watcher
        self._scheduler = scheduler
        self._metrics = metrics
        self._clock = clock
        self._failing: set[str] = set()  # watches whose history could not be written the last time
        self._checked_at = clock.monotonic()
        for name, writer in writers.items():
            observer = WatchObserver(
                on_closed=writer.add,
                on_forgotten=writer.keep_rows,
                on_rearranged=writer.rearrange_channels,
            )
            self._watches[name].watch.observe(observer)

    def start(self) -> None:
        """Begin to train at the set times."""
        if self._scheduler is not None:
            self._scheduler.start()

    def after_step(self, decision: Decision) -> bool:
        """Do what is due between two steps; return whether another version judges a watch from now on."""
        self._write_histories(decision.alerts)
        now = self._clock.monotonic()
        if self._scheduler is not None and now - self._checked_at >= _CHECK_SECONDS:
            self._checked_at = now
            self._scheduler.check()
        self._champion_watcher.poll(now)
        swapped = [self._swap(prepared) for prepared in self._champion_watcher.pop_ready()]
        return any(swapped)

    def finish(self) -> None:
        """Write the steps that are collected for the history: the loop has ended."""
        self._write_histories((), all_steps=True)

    def close(self) -> None:
        """End the training that runs."""
        if self._scheduler is not None:
            self._scheduler.close()

    def _write_histories(self, alerts: Sequence[Alert], *, all_steps: bool = False) -> None:
        for name, writer in self._writers.items():
            of_watch = [alert for alert in alerts if alert.watch == name]
            try:
                self._write_history(name, writer, of_watch, all_steps=all_steps)
            except HistoryError as error:
                self._metrics.storage.history_failed(name)
                if name not in self._failing:  # an outage is logged once; the metric counts each failure
                    self._failing.add(name)
                    log.error("history not kept watch=%s error=%s; scoring goes on", name, error)

    def _write_history(
        self, name: str, writer: HistoryWriter, alerts: Sequence[Alert], *, all_steps: bool
    ) -> None:
        watch = self._watches[name].watch
        if alerts:
            writer.mask(alerts, watch.open_alerts.values())
        if not writer.is_due and not all_steps:
            return
        table, open_alerts = watch.entities, watch.open_alerts.values()
        writer.write(table.entities, table.channels, open_alerts, table.counters)
        self._metrics.storage.history_written(name, writer.n_bytes())
        if name in self._failing:
            self._failing.remove(name)
            log.info("history kept again watch=%s", name)

    def _swap(self, prepared: PreparedModel) -> bool:
        served = self._watches[prepared.watch]
        before = served.version
        try:
            if prepared.bundle is None:
                raise SwapError(prepared.reason)
            served.swap(prepared.version, prepared.bundle)
        except (SwapError, ConfigError) as error:
            self._metrics.models.refused(served.name)
            log.error(
                "model refused watch=%s version=%s error=%s; %s serves on",
                served.name,
                prepared.version,
                error,
                before or "no model",
            )
            return False
        self._metrics.models.swapped(served.name, before, prepared.version)
        log.info(
            "model swapped watch=%s version=%s before=%s",
            served.name,
            prepared.version,
            before or "baselines",
        )
        return True
