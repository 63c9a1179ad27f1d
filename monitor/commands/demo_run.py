"""The demo: learn the fault-free part of a labelled recording, replay the rest, and say what was caught."""

from __future__ import annotations

import csv
import json
import math
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import Summary
from monitor.alerting.episodes import EpisodeBook
from monitor.alerting.text import time_text
from monitor.clock import Clock
from monitor.config.load import load_config
from monitor.config.schema import Config
from monitor.config.watch import WatchConfig
from monitor.daemon.build import build_daemon
from monitor.daemon.daemon import Daemon
from monitor.daemon.process import tune_process
from monitor.errors import MonitorError
from monitor.sample import SeriesTable
from monitor.sources.recorded import recorded_files
from monitor.storage.data_dir import DataDir
from monitor.training.train import TrainedWatch, collect_history, train_watch

__all__ = ["Demo", "DemoOutcome", "Fault", "Recording", "judge_episodes", "load_recording", "three_sigma"]

_GRACE_MS = 60_000  # an episode that opens so long after a fault's end still counts for it
_LEAD_IN_WINDOWS = 2  # fault-free windows replayed before the faults: a window must be full to be judged
_SIGMAS = 3.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One injected fault, event time in ms."""

    kind: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Recording:
    """A labelled recording: metric files, faults, and where its fault-free part ends."""

    files: tuple[Path, ...]
    faults: tuple[Fault, ...]
    fault_free_until_ms: int


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode, whoever raised it; `resolved_ms` is None while it is open."""

    entity: str
    opened_ms: int
    resolved_ms: int | None


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """What became of each fault, in order, and the episodes that belong to none.

    `opened_ms`: for each fault the time of the first episode that opened between its start
    and 60 s after its end; None where it was missed. An episode counts for one fault.
    """

    faults: tuple[Fault, ...]
    opened_ms: tuple[int | None, ...]
    false_episodes: tuple[Episode, ...]

    @property
    def delays_seconds(self) -> list[float]:
        """Seconds from the start of each caught fault to its episode."""
        return [(opened - fault.start_ms) / 1000 for fault, opened in zip(self.faults, self.opened_ms, strict=True) if opened is not None]

    @property
    def n_caught_while_active(self) -> int:
        """Faults whose episode opened before they ended."""
        return sum(opened is not None and opened <= fault.end_ms for fault, opened in zip(self.faults, self.opened_ms, strict=True))


def load_recording(folder: Path) -> Recording:
    """Read a recording's labels and find its files.

    Raises
    ------
    MonitorError
        If the folder is no recording.
    """
    try:
        about = json.loads((folder / "recording.json").read_text())
        with (folder / "labels.csv").open(newline="") as file:
            faults = tuple(Fault(row["kind"], int(row["start_ms"]), int(row["end_ms"])) for row in csv.DictReader(file))
        files = tuple(folder / name for name in about["files"])
        return Recording(files, faults, about["started_ms"] + round(about["fault_free_seconds"] * 1000))
    except (OSError, KeyError, ValueError) as error:
        raise MonitorError(f"{folder} is no labelled recording: {error}") from error


def judge_episodes(faults: Sequence[Fault], episodes: Iterable[Episode]) -> DemoOutcome:
    """Hold episodes against the faults that were injected."""
    opened: list[int | None] = [None] * len(faults)
    false = []
    for episode in sorted(episodes, key=lambda episode: episode.opened_ms):
        end_ms = math.inf if episode.resolved_ms is None else episode.resolved_ms
        overlapping = [i for i, fault in enumerate(faults) if episode.opened_ms <= fault.end_ms + _GRACE_MS and end_ms >= fault.start_ms]
        if not overlapping:
            false.append(episode)
            continue
        within = [i for i in overlapping if faults[i].start_ms <= episode.opened_ms]
        if within and opened[within[0]] is None:
            opened[within[0]] = episode.opened_ms
    return DemoOutcome(tuple(faults), tuple(opened), tuple(false))


def three_sigma(watch: WatchConfig, recording: Recording, config: Config) -> list[Episode]:
    """Raise episodes by the plain rule: any metric further than three standard deviations from its mean.

    Mean and deviation come from the fault-free part; the policy that opens and closes
    episodes is the watch's own.
    """
    table = SeriesTable()
    history = collect_history(watch.settings(), recorded_files(config, table).columns, table)
    if history is None:
        return []
    values = history.values
    times_ms = (history.last_ms // watch.step_ms - len(values) + 2 + np.arange(len(values))) * watch.step_ms  # ends of steps
    learned = values[times_ms <= recording.fault_free_until_ms]
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = np.abs(values - np.nanmean(learned, axis=0)) / np.nanstd(learned, axis=0)
    scores = np.nanmax(np.where(np.isinf(deviations), np.nan, deviations), axis=2, initial=0.0) / _SIGMAS  # constant ones say nothing
    book, episodes = EpisodeBook(watch.settings().alert), []
    for time_ms, score in zip(times_ms.tolist(), scores, strict=True):
        if time_ms <= recording.fault_free_until_ms:
            continue
        changes = book.update(time_ms, score)
        ended = np.concatenate([changes.recovered, changes.accepted]).tolist()
        episodes += [Episode(history.entities[row], int(book.opened_ms[row]), time_ms) for row in ended]
    still_open = np.flatnonzero(book.is_open).tolist()
    return episodes + [Episode(history.entities[row], int(book.opened_ms[row]), None) for row in still_open]


class _Collector:
    """An outlet that shows alerts as they come and keeps them."""

    def __init__(self, show: Callable[[Alert], None]) -> None:
        self._show = show
        self.alerts: dict[str, Alert] = {}

    def deliver(self, alerts: Sequence[Alert]) -> None:
        """Keep the newest state of each episode."""
        for alert in alerts:
            self.alerts[alert.identity] = alert
            self._show(alert)

    def send_summary(self, summary: Summary) -> None:
        """Pass it over: in a replay nothing is too old to be told."""


class Demo:
    """One run over a recording, through the very same daemon as in production.

    Parameters
    ----------
    config_file : Path
        The settings; only source, paths and data directory are overridden.
    """

    def __init__(self, recording: Recording, config_file: Path, data_dir: str, *, clock: Clock) -> None:
        self._recording = recording
        self._clock = clock
        files = [str(file) for file in recording.files]
        source = {"kind": "replay", "replay": {"paths": files, "time_unit": "ms", "speed": "max"}}
        self.config = load_config(config_file, {"data_dir": data_dir, "source": source})
        self.train_seconds = self.replay_seconds = 0.0
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
        trained = train_watch(watch.settings(), history, data_dir.registry(watch.name), now=self._clock.now(), on_epoch=on_epoch)
        self.train_seconds += time.perf_counter() - started
        return trained

    def start_daemon(self, show: Callable[[Alert], None]) -> tuple[Daemon, _Collector]:
        """Build the daemon over the rest of the recording, with enough before it to fill the windows."""
        longest = max(watch.window_length * watch.step_ms for watch in self.config.watch)
        start_ms = self._recording.fault_free_until_ms - _LEAD_IN_WINDOWS * longest
        collector = _Collector(show)
        return build_daemon(self._with_replay(start=str(start_ms)), outlets=[collector], clock=self._clock, keeps_state=False), collector

    def replay(self, daemon: Daemon, collector: _Collector, stop: threading.Event) -> None:
        """Replay to the end, or until `stop` is set."""
        started = time.perf_counter()
        daemon.run(stop, exit_at_end=True)
        self.replay_seconds = time.perf_counter() - started
        self._alerts = collector.alerts

    def _with_replay(self, **changes: str) -> Config:
        replay = self.config.source.replay.model_copy(update=changes)
        return self.config.model_copy(update={"source": self.config.source.model_copy(update={"replay": replay})})

    def outcome(self) -> DemoOutcome:
        """Hold the episodes of the run against the labels."""
        episodes = [Episode(alert.entity, alert.opened_ms, alert.resolved_ms) for alert in self._alerts.values()]
        return judge_episodes(self._recording.faults, episodes)

    def three_sigma(self) -> DemoOutcome:
        """Hold the three-sigma rule, over all watches together, against the same labels."""
        episodes = [episode for watch in self.config.watch for episode in three_sigma(watch, self._recording, self.config)]
        return judge_episodes(self._recording.faults, episodes)

    def summary(self, outcome: DemoOutcome) -> Mapping[str, object]:
        """Give the figures of the run, for machines."""
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
