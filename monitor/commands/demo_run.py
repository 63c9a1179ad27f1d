"""The demo: learn the fault-free part of a labelled recording, replay the rest, report what was caught."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import Summary
from monitor.alerting.episodes import EpisodeBook
from monitor.alerting.text import time_text
from monitor.backtest.simple_rule import three_sigma_scores
from monitor.clock import Clock
from monitor.commands.demo_recording import DemoOutcome, Episode, Recording, judge_episodes
from monitor.config.load import load_config
from monitor.config.schema import Config
from monitor.config.watch import WatchConfig
from monitor.daemon.build import build_daemon
from monitor.daemon.daemon import Daemon
from monitor.daemon.process import tune_process
from monitor.errors import MonitorError
from monitor.files.recorded import recorded_files
from monitor.sample import SeriesTable
from monitor.storage.data_dir import DataDir
from monitor.training.train import TrainedWatch, collect_history, train_watch

__all__ = ["Demo", "three_sigma"]

_LEAD_IN_WINDOWS = 2  # fault-free windows replayed before the faults: a window must be full to be judged


def three_sigma(watch: WatchConfig, recording: Recording, config: Config) -> list[Episode]:
    """Raise episodes by the simple rule: a metric is more than three standard deviations from its mean.

    Mean and deviation come from the fault-free part; the policy that opens and closes
    episodes is the watch's own.
    """
    table = SeriesTable()
    history = collect_history(watch.settings(), recorded_files(config, table).columns, table)
    if history is None:
        return []
    values = history.values
    first_step = history.last_ms // watch.step_ms - len(values) + 2
    times_ms = (first_step + np.arange(len(values))) * watch.step_ms  # ends of steps
    learned = values[times_ms <= recording.fault_free_until_ms]
    scores = three_sigma_scores(values, np.nanmean(learned, axis=0), np.nanstd(learned, axis=0))
    book = EpisodeBook(watch.settings().alert)
    episodes = []
    for time_ms, score in zip(times_ms.tolist(), scores, strict=True):
        if time_ms <= recording.fault_free_until_ms:
            continue
        changes = book.update(time_ms, score)
        ended = np.concatenate([changes.recovered, changes.accepted]).tolist()
        episodes += [Episode(history.entities[row], int(book.opened_ms[row]), time_ms) for row in ended]
    still_open = np.flatnonzero(book.is_open).tolist()
    return episodes + [Episode(history.entities[row], int(book.opened_ms[row]), None) for row in still_open]


class _Collector:
    """An outlet that shows alerts as they come, and stores them."""

    def __init__(self, show: Callable[[Alert], None]) -> None:
        self._show = show
        self.alerts: dict[str, Alert] = {}

    def deliver(self, alerts: Sequence[Alert]) -> None:
        """Show alerts, and store the newest state of each episode."""
        for alert in alerts:
            self.alerts[alert.identity] = alert
            self._show(alert)

    def send_summary(self, summary: Summary) -> None:
        """Ignore it: in a replay no notification is withheld."""


class Demo:
    """One run over a recording, through the same daemon as in production.

    Parameters
    ----------
    config_file : Path
        The configuration; only source, paths and data directory are overridden.
    environ : mapping, optional
        The environment, for `load_config`.
    """

    def __init__(
        self,
        recording: Recording,
        config_file: Path,
        data_dir: str,
        *,
        clock: Clock,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._recording = recording
        self._clock = clock
        files = [str(file) for file in recording.files]
        source = {"kind": "replay", "replay": {"paths": files, "time_unit": "ms", "speed": "max"}}
        self.config = load_config(config_file, {"data_dir": data_dir, "source": source}, environ=environ)
        self.train_seconds = 0.0
        self.replay_seconds = 0.0
        self._alerts: dict[str, Alert] = {}

    def train(self, watch: WatchConfig, on_epoch: Callable[[Any], None]) -> TrainedWatch:
        """Train one watch on the fault-free part."""
        tune_process()
        started = time.perf_counter()
        data_dir = DataDir(self.config.data_dir)
        data_dir.prepare()
        table = SeriesTable()
        fault_free = self._with_replay(end=str(self._recording.fault_free_until_ms))
        history = collect_history(watch.settings(), recorded_files(fault_free, table).columns, table)
        if history is None:
            raise MonitorError(f"the recording has no series for watch {watch.name}")
        registry = data_dir.registry(watch.name)
        now = self._clock.now()
        trained = train_watch(watch.settings(), history, registry, now=now, on_epoch=on_epoch)
        self.train_seconds += time.perf_counter() - started
        return trained

    def start_daemon(self, show: Callable[[Alert], None]) -> tuple[Daemon, _Collector]:
        """Build the daemon over the rest of the recording, with enough before it to fill the windows."""
        longest = max(watch.window_length * watch.step_ms for watch in self.config.watch)
        start_ms = self._recording.fault_free_until_ms - _LEAD_IN_WINDOWS * longest
        collector = _Collector(show)
        config = self._with_replay(start=str(start_ms))
        daemon = build_daemon(config, outlets=[collector], clock=self._clock, keeps_state=False)
        return daemon, collector

    def replay(self, daemon: Daemon, collector: _Collector, stop: threading.Event) -> None:
        """Replay to the end, or until `stop` is set."""
        started = time.perf_counter()
        daemon.run(stop, exit_at_end=True)
        self.replay_seconds = time.perf_counter() - started
        self._alerts = collector.alerts

    def _with_replay(self, **changes: str) -> Config:
        replay = self.config.source.replay.model_copy(update=changes)
        source = self.config.source.model_copy(update={"replay": replay})
        return self.config.model_copy(update={"source": source})

    def outcome(self) -> DemoOutcome:
        """Compare the episodes of the run with the labels."""
        alerts = self._alerts.values()
        episodes = [Episode(alert.entity, alert.opened_ms, alert.resolved_ms) for alert in alerts]
        return judge_episodes(self._recording.faults, episodes)

    def three_sigma(self) -> DemoOutcome:
        """Compare the three-sigma rule, over all watches together, with the same labels."""
        episodes: list[Episode] = []
        for watch in self.config.watch:
            episodes += three_sigma(watch, self._recording, self.config)
        return judge_episodes(self._recording.faults, episodes)

    def summary(self, outcome: DemoOutcome) -> Mapping[str, object]:
        """Give the figures of the run, ready for JSON."""
        delays = outcome.delays_seconds
        return {
            "faults": len(outcome.faults),
            "caught": len(delays),
            "caught_while_active": outcome.n_caught_while_active,
            "median_delay_seconds": statistics.median(delays) if delays else None,
            "false_episodes": len(outcome.false_episodes),
            "train_seconds": round(self.train_seconds, 3),
            "replay_seconds": round(self.replay_seconds, 3),
            "episodes": [_episode_fields(alert) for alert in self._alerts.values()],
        }


def _episode_fields(alert: Alert) -> dict[str, object]:
    return {
        "watch": alert.watch,
        "entity": alert.entity,
        "opened": time_text(alert.opened_ms),
        "resolved": None if alert.resolved_ms is None else time_text(alert.resolved_ms),
        "score": round(alert.score, 3),
        "channels": [
            {
                "channel": channel.channel,
                "share": round(channel.share, 4),
                "actual": None if math.isnan(channel.actual) else channel.actual,
                "expected": None if math.isnan(channel.expected) else channel.expected,
                "since": time_text(channel.since_ms) if channel.since_ms else None,
            }
            for channel in alert.channels
        ],
    }
