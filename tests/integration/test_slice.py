"""The whole path on a slice of the shipped recording: train, replay, one fault caught and explained."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from monitor.clock import SystemClock
from monitor.commands.demo_recording import load_recording
from monitor.config.load import load_config
from monitor.daemon.build import build_daemon
from monitor.files.recorded import recorded_files
from monitor.sample import SeriesTable
from monitor.storage.data_dir import DataDir
from monitor.training.train import collect_history, train_watch

ROOT = Path(__file__).parents[2]


class Kept:
    def __init__(self):
        self.alerts = []

    def deliver(self, alerts):
        self.alerts += alerts


@pytest.fixture(scope="module")
def recording():
    return load_recording(ROOT / "recordings/first")


@pytest.fixture(scope="module")
def settings(recording, tmp_path_factory):
    """Give the shipped settings over the service's half of the recording, with a smaller network."""
    data_dir = str(tmp_path_factory.mktemp("data"))

    def make(start_ms, end_ms, watch="service"):
        paths = [str(file) for file in recording.files if file.stem == watch]
        replay = {"paths": paths, "start": str(start_ms), "end": str(end_ms)}
        whole = load_config(
            ROOT / "config.toml",
            {
                "data_dir": data_dir,
                "source": {"kind": "replay", "replay": replay},
                "web": {"listen": "127.0.0.1:0"},
            },
        )
        chosen = next(candidate for candidate in whole.watch if candidate.name == watch)
        quick = chosen.model.model_copy(update={"epochs": 8, "hidden": 16, "latent": 6})
        return whole.model_copy(update={"watch": [chosen.model_copy(update={"model": quick})]})

    return make


@pytest.fixture(scope="module")
def trained(recording, settings):
    until = recording.fault_free_until_ms
    config = settings(until - 1_500_000, until)
    table = SeriesTable()
    history = collect_history(config.watch[0].settings(), recorded_files(config, table).columns, table)
    return train_watch(
        config.watch[0].settings(), history, DataDir(config.data_dir).registry(config.watch[0].name), now=0.0
    )


def test_training_learns_more_than_the_median(trained):
    assert trained.fit.explained_ratio > 0
    assert trained.history.entities == ("shop",)


def test_an_injected_fault_opens_one_explained_episode_that_resolves(recording, settings, trained):
    fault = next(fault for fault in recording.faults if fault.kind == "dependency_errors")
    kept = Kept()
    daemon = build_daemon(
        settings(fault.start_ms - 100_000, fault.end_ms + 120_000), outlets=[kept], clock=SystemClock()
    )
    try:
        daemon.run(threading.Event(), exit_at_end=True)
    finally:
        daemon.close()

    opened = [alert for alert in kept.alerts if alert.resolved_ms is None]
    assert opened
    assert fault.start_ms <= opened[0].opened_ms <= fault.end_ms
    assert "service_errors_total" in [channel.channel for channel in opened[0].channels[:3]]
    assert [alert.reason for alert in kept.alerts if alert.resolved_ms is not None] == ["recovered"] * len(
        opened
    )
