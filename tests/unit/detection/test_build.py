from __future__ import annotations

import numpy as np
import pytest

from models.bundle import Bundle
from models.detector import Detector
from models.settings import ModelSettings
from monitor.detection.build import build_watch
from monitor.errors import ConfigError
from monitor.sample import Kind, SeriesTable


def bundle(*, step_seconds=1.0, window_length=8):
    settings = ModelSettings(window_length=window_length)
    detector = Detector(settings, n_rows=1, resolution=np.ones(2), step_seconds=step_seconds, block_steps=10)
    return Bundle(detector, ("a", "b"), ("web1",), {})


def test_a_model_brings_its_entities_and_channels_in_its_order(quiet_watch):
    watch = build_watch(quiet_watch().settings(), bundle())

    assert watch.entities.entities == ["web1"]
    assert watch.entities.channels == ["a", "b"]
    assert watch.entities.fixed


def test_a_watch_takes_metrics_as_the_kinds_that_its_settings_say(quiet_watch):
    settings = quiet_watch(counters=["done"], gauges=["pool_total"]).settings()
    table = SeriesTable()
    for name in ("done", "pool_total"):
        table.intern(name, (("entity", "a"), ("host", "a")))
    entities = build_watch(settings, None).entities

    entities.update(table)

    assert entities.kind.tolist() == [Kind.COUNTER, Kind.GAUGE]


@pytest.mark.parametrize(
    ("key", "of_model"), [("step_seconds", {"step_seconds": 2.0}), ("window_length", {"window_length": 16})]
)
def test_a_model_of_another_grid_is_refused_with_the_way_out(quiet_watch, key, of_model):
    with pytest.raises(
        ConfigError,
        match=rf"watch\.w\.{key} is .*, but its model was trained with .*barograph train --watch w",
    ):
        build_watch(quiet_watch().settings(), bundle(**of_model))


def test_a_step_that_is_no_whole_millisecond_fits_the_model_that_was_trained_with_it(quiet_watch):
    settings = quiet_watch(step_seconds=0.0125).settings()  # the grid's step is 12 ms

    assert build_watch(settings, bundle(step_seconds=0.0125)).name == "w"
