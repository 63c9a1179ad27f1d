"""History to forecast: a small joint network learns a noisy sine and a ramp, and says what follows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.bundle import Bundle, load_bundle, save_bundle
from monitor.config.watch import WatchConfig
from monitor.offline.forecast_files import Question, answers, check_forecasts, forecast_files
from monitor.sample import Columns, SeriesTable, concatenate, labels_of
from monitor.storage.step_history import History
from monitor.training.train import fit_watch

torch.set_num_threads(1)  # threads of networks this small wait for each other longer than they work

PERIOD, N_TRAINED, N_STEPS = 48, 1200, 1800
RISE = 0.02  # of the disk, a step
MINUTE_MS = 60_000
WATCH = WatchConfig.model_validate(
    {
        "name": "host",
        "step_seconds": 60.0,
        "window_length": 24,
        "lateness_seconds": 0.0,
        "model": {
            "head": "joint",
            "hidden": 12,
            "latent": 6,
            "epochs": 6,
            "windows_per_epoch": 512,
            "learning_rate": 1e-2,
            "device": "cpu",
        },
    }
)


@pytest.fixture(scope="module")
def values():
    """Give the load, a sine under noise, and the disk, a ramp; shape (T, 1, 2)."""
    steps = np.arange(N_STEPS)
    noise = np.random.default_rng(0).normal(size=(N_STEPS, 2))
    load = 50 + 20 * np.sin(2 * np.pi * steps / PERIOD) + noise[:, 0]
    disk = 20 + RISE * steps + 0.02 * noise[:, 1]
    return np.stack([load, disk], axis=1)[:, None]


@pytest.fixture(scope="module")
def made(values, tmp_path_factory):
    channels = ("load", "disk_used_percent")
    history = History(("web1",), channels, values[:N_TRAINED], 0, N_TRAINED * MINUTE_MS)
    fit = fit_watch(WATCH.settings(), history)
    folder = tmp_path_factory.mktemp("bundles") / "1"
    save_bundle(Bundle(fit.detector, channels, ("web1",), {}), folder)
    table = SeriesTable()
    later = np.arange(N_TRAINED, N_STEPS, dtype=np.int64)
    parts = []
    for number, channel in enumerate(channels):
        series = table.intern(channel, labels_of({"host": "web1"}))
        shown = values[later, 0, number]
        parts.append(Columns(np.full(len(later), series, np.int32), later * MINUTE_MS, shown))
    champion = check_forecasts(WATCH, load_bundle(folder))
    return forecast_files(WATCH, champion, concatenate(parts), table, n_steps=120)


def test_the_errors_of_a_forecast_are_smaller_than_the_change_from_one_step_to_the_next(made):
    accuracy = made.accuracy

    assert accuracy.n_counted.min() > 500
    assert (accuracy.forecast < 1).all()
    assert (accuracy.forecast < 0.5 * accuracy.naive).all()
    assert abs(int(accuracy.period[0, 0]) - PERIOD) <= 1


def test_the_band_holds_about_nine_of_ten_values(made):
    assert ((made.accuracy.in_band > 0.75) & (made.accuracy.in_band < 0.99)).all()


def test_a_disk_that_fills_up_is_full_when_the_ramp_says_so(made, values):
    newest = float(values[-1, 0, 1])
    in_an_hour = newest + 60 * RISE

    ((_, _, answer),) = answers(made, [Question("disk_used_percent", in_an_hour)])

    rising = made.future.expected[0, :, 1] >= in_an_hour
    assert abs(int(np.argmax(rising)) + 1 - 60) <= 12
    assert answer.startswith("in ")


def test_a_fed_back_forecast_goes_on_with_the_wave(made):
    steps = np.arange(N_STEPS, N_STEPS + 120)
    wave = 50 + 20 * np.sin(2 * np.pi * steps / PERIOD)
    future = made.future

    inside = (wave >= future.low[0, :, 0]) & (wave <= future.high[0, :, 0])
    assert inside.mean() > 0.8
    assert np.abs(future.expected[0, :48, 0] - wave[:48]).mean() < 5
