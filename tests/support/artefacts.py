"""What an earlier version wrote, and what came of it, in `tests/data/artefacts`.

Made by `python tests/support/artefacts.py`.

Made once, at the commit that added it; a later version must load it and go on with the same numbers. When
scoring changes on purpose, `--expected` makes only the expected files anew, from the old state; all is made
anew only when a format is given up.

    input/          the samples, one file an entity
    data_dir/       two bundles, a checkpoint taken while an episode is open, the histories and the alert
    history expected.npz    what a daemon scores that goes on from there, and the histories as a training
    reads them expected.json   its alerts, and what the alert history holds then
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from monitor.config.explain import parse_config
from monitor.daemon.build import build_daemon
from monitor.detection.view import WatchObserver
from monitor.sources import replay
from monitor.storage.alert_history import read_episodes
from monitor.storage.data_dir import DataDir
from monitor.testing import FakeClock
from monitor.training.from_history import read_history

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "tests" / "data" / "artefacts"
START_MS = 1_700_000_000_000
STEP_MS = 10_000
N_TRAINED, N_STEPS = 500, 900
BATCH_SAMPLES = 90  # ten steps of three entities and three channels
MODEL = {"hidden": 8, "latent": 4, "epochs": 3, "memory_windows": 16, "seed": 1}


def settings(data_dir):
    """Give the configuration; its paths are relative to the artefacts' folder, wherever that is."""
    common = {
        "step_seconds": 10.0,
        "window_length": 8,
        "lateness_seconds": 20.0,
        "model": MODEL,
        "budget": "1/day",
    }
    alert = {"close_seconds": 50.0, "rest_seconds": 50.0}
    return {
        "data_dir": str(data_dir),
        "checkpoint_seconds": 1e-9,  # behind every batch
        "history": {"segment_seconds": 2500.0},
        "source": {"kind": "replay", "replay": {"paths": ["input/*.csv.gz"]}},
        "web": {"listen": "127.0.0.1:0"},
        "watch": [
            {"name": "hosts", "by": ["entity"], "alert": alert, **common},
            {"name": "series", "by": "series", "metrics": ["cpu_ratio"], "alert": alert, **common},
            {"name": "fresh", "by": ["entity"], "alert": alert, **common},  # judged without a network
        ],
    }


class Kept:
    """Keeps alerts; sets `stop` when one of each watch has opened."""

    def __init__(self, stop=None):
        self.alerts = []
        self._stop = stop

    def deliver(self, alerts):
        self.alerts += alerts
        open_watches = {alert.watch for alert in self.alerts if alert.resolved_ms is None}
        if self._stop is not None and len(open_watches) == 3:
            self._stop.set()


def run(data_dir, *, until_open=False):
    """Run a daemon from `data_dir` to the end of the samples, or until each watch has an open episode.

    Gives its scores, surprises and limits by watch, each with a row a step, and its alerts.
    """
    stop = threading.Event()
    kept = Kept(stop if until_open else None)
    with mock.patch.object(replay, "_BATCH_SAMPLES", BATCH_SAMPLES):
        daemon = build_daemon(
            parse_config(settings(data_dir), origin="artefacts"),
            outlets=[kept],
            clock=FakeClock(START_MS / 1000),
        )
        scored = {watch.name: [] for watch in daemon.loop.pipeline.watches}
        for watch in daemon.loop.pipeline.watches:
            watch.observe(
                WatchObserver(
                    on_scored=lambda step, watch=watch: scored[watch.name].append(
                        (step, watch.scorer.limits().copy())
                    )
                )
            )
        try:
            daemon.run(stop, exit_at_end=True)
        finally:
            daemon.close()
    arrays = {}
    for name, steps in scored.items():
        arrays[f"{name}.time_ms"] = np.array([step.time_ms for step, _ in steps], np.int64)
        for field in ("reason", "score", "surprise", "channel_error", "expected"):
            arrays[f"{name}.{field}"] = np.array([getattr(step, field) for step, _ in steps])
        arrays[f"{name}.limit"] = np.array([limits for _, limits in steps])
    return arrays, kept.alerts


def histories(data_dir):
    """Give the kept steps of every watch, as a training reads them."""
    config = parse_config(settings(data_dir), origin="artefacts")
    values = {}
    for watch in config.watch:
        folder = DataDir(data_dir).history_folder(watch.name)
        values[f"{watch.name}.history"] = read_history(folder, watch.settings(), channels=()).history.values
    return values


def episodes(data_dir):
    """Give what the alert history holds, as JSON can hold it."""
    return json.loads(
        json.dumps([asdict(episode) for episode in read_episodes(DataDir(data_dir).episodes_file)])
    )


def _write_input(folder):
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number, name in enumerate(("web1", "web2", "web3")):
        wave = np.sin(np.arange(N_STEPS) / 20 + number)
        frame = pd.DataFrame(
            {
                "timestamp": START_MS + STEP_MS * np.arange(N_STEPS),
                "cpu_ratio": (0.5 + 0.2 * wave + rng.normal(0, 0.02, N_STEPS)).round(4),
                "queue_depth": (20 + 5 * wave + rng.normal(0, 1, N_STEPS)).round(2),
                "requests_total": (100 + 20 * wave + rng.normal(0, 3, N_STEPS)).round(0).cumsum(),
            }
        )
        fault = slice(620 + 5 * number, 650 + 5 * number)
        frame.loc[fault, "cpu_ratio"] = 0.98
        frame.loc[fault, "queue_depth"] += 60
        frame.loc[780:790, "queue_depth"] = np.nan  # a gap
        frame.loc[820:840, "cpu_ratio"] = 0.02
        with (
            (folder / f"{name}.csv.gz").open("wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file,
        ):
            frame.to_csv(file, index=False)


def _train(data_dir, config_file):
    end = datetime.fromtimestamp((START_MS + N_TRAINED * STEP_MS) / 1000, UTC).isoformat()
    for watch in ("hosts", "series"):
        command = [sys.executable, "-m", "monitor", "train", "--config", str(config_file), "--watch", watch]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "BAROGRAPH_SOURCE__REPLAY__END": json.dumps(end)}
        subprocess.run(command, check=True, env=environment)


def main():
    """Make all of it anew."""
    shutil.rmtree(ARTEFACTS, ignore_errors=True)
    _write_input(ARTEFACTS / "input")
    os.chdir(ARTEFACTS)
    data_dir = ARTEFACTS / "data_dir"
    config_file = ARTEFACTS / "config.toml"
    config_file.write_text(_toml(settings(data_dir)))
    _train(data_dir, config_file)
    config_file.unlink()
    run(data_dir, until_open=True)
    for plot in data_dir.rglob("*.png"):
        plot.unlink()
    write_expected()
    for lock in (data_dir / "lock", *data_dir.rglob(".training.lock")):
        lock.unlink(missing_ok=True)


def write_expected():
    """Write down what comes of the state that is kept: scoring has changed, and the state must still load."""
    os.chdir(ARTEFACTS)
    data_dir, later = ARTEFACTS / "data_dir", ARTEFACTS / "later"
    shutil.copytree(data_dir, later)
    arrays, alerts = run(later)
    np.savez_compressed(ARTEFACTS / "expected.npz", **arrays, **histories(data_dir))
    expected = {"alerts": [asdict(alert) for alert in alerts], "episodes": episodes(later)}
    (ARTEFACTS / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    shutil.rmtree(later)


def _toml(config):
    """Write a configuration down; JSON's values are TOML's, but for tables."""
    tops = {key: value for key, value in config.items() if not isinstance(value, dict | list)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in tops.items()]
    lines += [f"{key} = {_inline(config[key])}" for key in config if key not in tops]
    return "\n".join(lines) + "\n"


def _inline(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_inline(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(one) for one in value) + "]"
    return json.dumps(value)


if __name__ == "__main__":
    write_expected() if sys.argv[1:] == ["--expected"] else main()
