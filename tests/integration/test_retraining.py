"""Retraining end to end: a seeded replay with made-up trainers; then the real scheduler with a real child."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from prometheus_client import CollectorRegistry

from models.dataset import gather_windows, index_windows
from models.detector import Detector
from models.network import Autoencoder
from models.raw_scores import error_windows, fit_error_scale
from models.registry import Registry
from models.trained import Trained
from monitor.clock import SystemClock
from monitor.config.load import load_config
from monitor.config.watch import WatchConfig
from monitor.daemon.build import build_daemon
from monitor.daemon.champion_watcher import ChampionWatcher
from monitor.daemon.retraining import Retraining, report_training
from monitor.daemon.served_watch import ModelLoader, ServedWatch
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.detection.steps import ClosedSteps
from monitor.detection.view import WatchObserver
from monitor.errors import LockedError
from monitor.metrics.instruments import Metrics
from monitor.sample import Columns, SeriesTable, concatenate, labels_of
from monitor.storage.step_history import HistoryWriter, Retention
from monitor.testing import FakeClock
from monitor.training.challenge import retrain
from monitor.training.from_history import read_history
from monitor.training.train import fit_watch, train_watch

ROOT = Path(__file__).parents[2]
STEP_MS = 1000
START = 1_700_000_000
BATCH = 10  # steps
METRICS = "abcdef"
MIX = np.random.default_rng(5).normal(
    size=(2, len(METRICS))
)  # every metric is a mixture of the same two swings
LEVEL, SIZE = 50.0, 5.0

WATCH = WatchConfig.model_validate(
    {
        "name": "w",
        "step_seconds": 1.0,
        "window_length": 8,
        "lateness_seconds": 0.0,
        "budget": "1/day",
        "alert": {"close_seconds": 5.0, "rest_seconds": 5.0},
        "model": {"hidden": 16, "latent": 4, "epochs": 40, "patience": 40, "learning_rate": 0.02},
    }
)

SETTINGS = WATCH.settings()


def with_model(settings, **changes):
    return dataclasses.replace(settings, model=dataclasses.replace(settings.model, **changes))


def trained_for(epochs):
    """Make a trainer that stops after so many epochs."""

    def trainer(settings, history):
        return fit_watch(with_model(settings, epochs=epochs), history)

    return trainer


def worse(settings, history):
    """Give a network that has learned nothing."""
    return fit_watch(with_model(settings, epochs=1, learning_rate=1e-9), history)


def garbage(settings, history):
    """Train on noise of another size in place of the history."""
    values = np.random.default_rng(0).normal(0, 1e4, history.values.shape)
    return trained_for(3)(settings, dataclasses.replace(history, values=values))


class Copying(Autoencoder):
    """Gives back what it is given: its error is nothing, whatever comes."""

    def forward(self, windows, *, tbptt_steps=0):
        return windows


def deaf(settings, history):
    """Fit as always, but for a network that copies its input; what it is measured by is its own."""
    fit = trained_for(1)(settings, history)
    trained = fit.detector.trained
    network = Copying(history.values.shape[2], **settings.model.network_options()).eval()
    scaled = fit.detector.scaling.apply(history.values)
    windows = gather_windows(scaled, index_windows(scaled, settings.window_length), settings.window_length)
    errors, _ = error_windows(network, windows)
    detector = Detector(
        settings.model,
        n_rows=len(history.entities),
        resolution=fit.detector.resolution,
        step_seconds=settings.step_seconds,
        block_steps=settings.block_steps,
        trained=Trained(network, fit_error_scale(errors), trained.pca),
    )
    detector.calibrate(np.arange(len(history.entities)), history.values)
    return dataclasses.replace(fit, detector=detector)


class Life:
    """Two hosts, a pipeline over them, its history, its registry and a fake clock, as in the daemon."""

    def __init__(self, folder, *, seed):
        self.rng = np.random.default_rng(seed)
        self.folder = folder
        self.clock = FakeClock(float(START))
        self.table = SeriesTable()
        self.registry = Registry(folder / "bundles" / "w")
        self.metrics = Metrics(CollectorRegistry(), ["w"])
        self.watch = build_watch(WATCH.settings(), None)
        self.pipeline = Pipeline([self.watch], self.table, max_future_ms=60_000)
        self.scored, self.alerts, self.outcomes = [], [], []
        self.watch.observe(WatchObserver(on_scored=lambda scored: self.scored.append(scored.time_ms)))
        loader = ModelLoader(SETTINGS, self.registry, folder / "history" / "w", max_steps=50_000)
        self.served = ServedWatch(WATCH, self.watch, None, loader)
        self.retraining = Retraining(
            [self.served],
            writers={
                "w": HistoryWriter(
                    folder / "history" / "w",
                    Retention(segment_seconds=50.0, max_age_seconds=1e9, max_bytes=1 << 30),
                    shape=SETTINGS.history_shape,
                    step_ms=STEP_MS,
                    window_length=WATCH.window_length,
                )
            },
            champion_watcher=ChampionWatcher([self.served], start=lambda work: work()),
            scheduler=None,
            metrics=self.metrics,
            clock=self.clock,
        )
        self.step = 0

    def live(self, n_steps, *, shift=0.0):
        """Let time pass; the first host's first metric is shifted."""
        for _ in range(n_steps // BATCH):
            steps = self.step + np.arange(BATCH)
            parts = []
            for row, host in enumerate(("web1", "web2")):
                swing = np.stack([np.sin(steps / 4.0 + row), np.sin(steps / 9.0 + row)], axis=1)  # (BATCH, 2)
                values = LEVEL + SIZE * (swing @ MIX + self.rng.normal(0, 0.3, (BATCH, len(METRICS))))
                values[:, 0] += shift * SIZE if row == 0 else 0.0
                for column, name in enumerate(METRICS):
                    number = self.table.intern(name, labels_of({"host": host}))
                    parts.append(
                        Columns(
                            np.full(BATCH, number, np.int32),
                            START * 1000 + steps * STEP_MS,
                            values[:, column],
                        )
                    )
            self.step += BATCH
            self.clock.advance(BATCH * WATCH.step_seconds)
            decision = self.pipeline.process(concatenate(parts), round(self.clock.now() * 1000))
            self.alerts += decision.alerts
            self.retraining.after_step(decision)

    def retrain(self, trainer):
        steps_read = read_history(
            self.folder / "history" / "w", SETTINGS, channels=self.watch.entities.channels
        )
        outcome = retrain(
            SETTINGS, clock=self.clock, trainer=trainer, registry=self.registry, history=steps_read.history
        )
        report_training(outcome, self.registry, self.metrics, keep_versions=5, now=self.clock.now())
        self.outcomes.append(outcome)
        return outcome

    def count(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, {"watch": "w", **labels})


def test_better_challengers_take_over_worse_ones_do_not_and_every_step_is_scored_once(tmp_path):
    torch.set_num_threads(1)
    life = Life(tmp_path, seed=3)
    life.live(900)
    # The first model is one that was trained by hand, and badly.
    history = read_history(tmp_path / "history" / "w", SETTINGS, channels=()).history
    first = train_watch(with_model(SETTINGS, epochs=1), history, life.registry, now=life.clock.now()).version
    life.live(300)
    assert life.served.version == first

    served = [first]
    for epochs in (4, 12, 40):
        outcome = life.retrain(trained_for(epochs))
        assert outcome.result == "promoted", outcome.reason
        assert outcome.gate.opponent == served[-1]
        life.live(100, shift=0.0)
        served.append(outcome.version)
        assert life.served.version == outcome.version
    for trainer in (worse, garbage, deaf):
        outcome = life.retrain(trainer)
        assert outcome.result == "refused", trainer.__name__
        life.live(100)
        assert life.served.version == served[-1]

    errors = [outcome.gate.error / outcome.gate.opponent_error for outcome in life.outcomes]
    assert max(errors[:3]) <= 1.05
    assert errors[3] > 1.05
    assert errors[4] > 1.05
    assert errors[5] < 1e-6  # the deaf one rebuilds perfectly; it is what it does not hear that gives it away
    assert "injected faults" in life.outcomes[5].reason
    assert life.scored == [
        (START + number + 1) * 1000 for number in range(life.step - 1)
    ]  # the last one is open
    assert life.count("barograph_model_swaps_total") == 4
    assert life.count("barograph_training_runs_total", result="promoted") == 3
    assert life.count("barograph_training_runs_total", result="refused") == 3
    assert life.registry.load(served[-1]) is not None


def test_an_episode_that_is_open_while_a_model_takes_over_stays_one_and_is_not_learned(tmp_path):
    torch.set_num_threads(1)
    life = Life(tmp_path, seed=4)
    life.live(600)
    history = read_history(tmp_path / "history" / "w", SETTINGS, channels=()).history
    first = train_watch(SETTINGS, history, life.registry, now=life.clock.now()).version
    life.live(100)
    life.live(50, shift=20.0)
    (opened,) = life.alerts
    assert life.served.version == first

    again = train_watch(SETTINGS, history, life.registry, now=life.clock.now()).version
    life.live(50, shift=20.0)
    assert life.served.version == again
    assert life.alerts == [opened]
    life.live(100)
    life.retraining.finish()

    assert [alert.reason for alert in life.alerts] == [None, "recovered"]
    assert life.alerts[1].identity == opened.identity
    learned = read_history(tmp_path / "history" / "w", SETTINGS, channels=("a",)).history
    shifted = learned.values[:, learned.entities.index("web1"), 0]
    assert np.nanmax(shifted) < LEVEL + 10 * SIZE  # the shift was of twenty
    assert (np.nan_to_num(shifted) > 0).sum() >= 700


# The real thing


CONFIG = """
data_dir = "{folder}/data"
checkpoint_seconds = 1.0
[source]
kind = "host"
[source.host]
interval_seconds = 0.05
host = "here"
[web]
listen = "127.0.0.1:0"
[history]
segment_seconds = 2.0
[[watch]]
name = "host"
metrics = [
    "host_load1", "host_memory_available_bytes", "host_context_switches_total", "host_interrupts_total",
]
step_seconds = 0.1
window_length = 8
lateness_seconds = 0.1
idle_seconds = 5.0
[watch.model]
hidden = 8
latent = 3
epochs = 3
windows_per_epoch = 256
[watch.alert]
hold_seconds = 3.0
close_seconds = 1.0
rest_seconds = 1.0
[watch.retrain]
interval_seconds = 3600.0
retry_seconds = 10.0
timeout_seconds = 60.0
"""


@pytest.fixture
def config_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # a child runs this source tree
    file = tmp_path / "config.toml"
    file.write_text(CONFIG.format(folder=tmp_path))
    return file


def test_the_real_scheduler_trains_in_a_real_child_on_this_machines_metrics_to_a_decision(
    config_file, caplog
):
    caplog.set_level("INFO")
    config = load_config(config_file)
    daemon = build_daemon(config, outlets=[], clock=SystemClock(), config_file=config_file)
    stop = threading.Event()
    loop = threading.Thread(target=daemon.run, args=(stop,))

    def runs(*results):
        value = daemon.loop.metrics.registry.get_sample_value
        return sum(
            value("barograph_training_runs_total", {"watch": "host", "result": result}) for result in results
        )

    loop.start()
    try:
        deadline = time.monotonic() + 180.0
        while not runs("promoted", "refused") and time.monotonic() < deadline and loop.is_alive():
            assert not runs("failed", "timed_out"), caplog.text
            stop.wait(0.1)
        decided = runs("promoted", "refused")
    finally:
        stop.set()
        loop.join(20.0)
        daemon.close()

    assert decided == 1, caplog.text
    registry = Registry(Path(config.data_dir) / "bundles" / "host")
    (version,) = registry.versions()
    gate = registry.about(version)["made"]["gate"]
    assert gate["opponent"] == "baselines"
    assert gate["n_judged"] >= 108
    assert gate["n_faults"] == 200
    assert (registry.champion() == version) == bool(runs("promoted"))


def test_a_daemon_that_stops_ends_its_training(config_file, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(
        "monitor.daemon.build.training_command",
        lambda *arguments: [
            sys.executable,
            "-c",
            f"import time; open({str(tmp_path / 'up')!r}, 'w'); time.sleep(600)",
        ],
    )
    config_file.write_text(config_file.read_text().replace("retry_seconds = 10.0", "retry_seconds = 0.1"))
    daemon = build_daemon(load_config(config_file), outlets=[], clock=SystemClock(), config_file=config_file)
    stop = threading.Event()
    loop = threading.Thread(target=daemon.run, args=(stop,))
    loop.start()
    deadline = time.monotonic() + 30.0
    while not (tmp_path / "up").exists() and time.monotonic() < deadline:
        stop.wait(0.05)

    started = time.monotonic()
    stop.set()
    loop.join(20.0)
    daemon.close()

    assert (tmp_path / "up").exists()
    assert time.monotonic() - started < 10.0
    assert "the daemon was stopped" in caplog.text


def test_a_second_daemon_on_one_data_directory_is_told_who_holds_it(config_file):
    config = load_config(config_file)
    daemon = build_daemon(config, outlets=[], clock=SystemClock())
    try:
        with pytest.raises(
            LockedError,
            match=rf"data_dir .*data is in use by process {os.getpid()} on .* since .*Z\. Stop it, or set",
        ):
            build_daemon(config, outlets=[], clock=SystemClock())
        ended = subprocess.run(
            [sys.executable, "-m", "monitor", "run", "--config", str(config_file)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 1
        assert f"is in use by process {os.getpid()}" in ended.stderr
        assert "Traceback" not in ended.stderr
    finally:
        daemon.close()

    build_daemon(config, outlets=[], clock=SystemClock()).close()  # it is free again


# The command line


def barograph(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "monitor", *arguments], capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def with_history(tmp_path, config_file):
    """Keep a history of a made-up host for the configuration's watch."""
    config = load_config(config_file)
    (watch,) = config.watch
    folder = Path(config.data_dir) / "history" / "host"
    writer = HistoryWriter(
        folder,
        Retention(segment_seconds=300.0, max_age_seconds=1e9, max_bytes=1 << 30),
        shape=watch.settings().history_shape,
        step_ms=watch.step_ms,
        window_length=watch.window_length,
    )
    pipeline = build_watch(watch.settings(), None)
    pipeline.entities.adopt(["here"], ["host_load1", "host_memory_available_bytes"])
    values = np.random.default_rng(0).normal(0, 1, (500, 1, 2)) * np.array([1.0, 1e6]) + np.array([5.0, 4e9])
    writer.add(ClosedSteps(START * 10, watch.step_ms, values))
    writer.write(pipeline.entities.entities, pipeline.entities.channels, ())
    return config_file


def test_retraining_gates_and_shows_the_numbers(with_history, tmp_path):
    result = tmp_path / "result.json"

    ended = barograph("retrain", "--candidate", "--config", str(with_history), "--result", str(result))

    assert "Traceback" not in ended.stderr
    assert "injected faults caught" in ended.stdout
    assert '"segments_skipped"' in result.read_text()
    assert ended.returncode == (0 if '"candidate"' in result.read_text() else 1)


def test_retraining_without_a_history_says_why_with_code_1(config_file, tmp_path):
    ended = barograph("retrain", "--config", str(config_file), "--until", "2026-01-01")

    assert ended.returncode == 1
    assert (
        ended.stderr.strip()
        .splitlines()[-1]
        .endswith("the history has 0 steps without an incident, expected at least 324: wait 32 s")
    )
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "arguments", [["retrain", "x.csv"], ["train", "--candidate"], ["train", "--until", "3"]]
)
def test_options_of_the_other_command_are_refused_with_code_2(config_file, arguments):
    ended = barograph(*arguments, "--config", str(config_file))

    assert ended.returncode == 2
    assert "Usage" in ended.stderr


def test_a_training_that_needs_more_memory_than_it_may_have_fails_and_changes_nothing(with_history, tmp_path):
    text = with_history.read_text().replace(
        "timeout_seconds = 60.0", "timeout_seconds = 60.0\nmax_memory_bytes = 30000000"
    )
    with_history.write_text(text)

    ended = barograph(
        "retrain", "--candidate", "--background", "--config", str(with_history), "--watch", "host"
    )

    assert ended.returncode != 0
    assert Registry(tmp_path / "data" / "bundles" / "host").versions() == []
