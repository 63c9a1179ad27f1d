"""The view that metrics and the daemon have of a watch."""

import dataclasses

import numpy as np
import pytest

from models.bundle import Bundle
from models.detector import Detector
from models.settings import ModelSettings
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.testing import samples


def test_a_view_of_a_new_watch_knows_of_nothing(quiet_watch):
    view = build_watch(quiet_watch().settings(), None).view()

    assert (view.name, view.entities, view.channels, view.open_alerts) == ("w", [], [], {})
    assert (view.last_scored, view.limit, view.watermark_ms, view.closed_until_ms) == (None, None, None, None)


def test_a_view_of_a_watch_whose_model_knows_entities_already_has_no_rows_before_the_first_step(quiet_watch):
    settings = ModelSettings(window_length=8)
    detector = Detector(settings, n_rows=2, resolution=np.ones(1), step_seconds=1.0, block_steps=10)
    detector.calibrate(np.arange(2), np.random.default_rng(0).normal(0, 1, (150, 2, 1)))
    champion = Bundle(detector, ("load",), ("web1", "web2"), {})

    view = build_watch(quiet_watch().settings(), champion).view()

    assert view.entities == ["web1", "web2"]
    assert view.limit is not None
    assert [len(array) for array in (view.limits, view.missing_steps, view.is_open, view.out_of_range)] == [
        0
    ] * 4


def test_a_view_shows_the_watch_as_the_last_batch_left_it(quiet_watch, table):
    watch = build_watch(quiet_watch().settings(), None)
    pipeline = Pipeline([watch], table, max_future_ms=0)
    pipeline.process(samples("1 2 3", table, name="load", host="web1"), 3000)
    view = watch.view()

    assert (view.entities, view.channels, view.max_series) == (["web1"], ["load"], None)
    assert view.closed_until_ms == watch.grid.closed_until_ms
    assert view.last_scored is not None
    np.testing.assert_array_equal(view.is_open, [False])
    np.testing.assert_array_equal(view.limits, [np.inf])
    n_closed = view.closed_until_ms // 1000
    assert view.missing_steps.tolist() == [108 - n_closed]


def test_a_view_tells_how_far_an_open_episode_is(quiet_watch, table, noise):
    watch = build_watch(quiet_watch().settings(), None)
    pipeline = Pipeline([watch], table, max_future_ms=0)
    before = watch.view().progress()
    pipeline.process(noise(200), 200_000)
    pipeline.process(noise(30, start_step=200, shift=50.0, seed=1), 230_000)
    pipeline.process(noise(2, start_step=230, seed=2), 232_000)

    (progress,) = watch.view().progress()

    assert before == []
    assert progress.alert is next(iter(watch.open_alerts.values()))
    assert progress.time_ms == watch.grid.closed_until_ms > 230_000
    assert 0 < progress.score <= progress.alert.score
    assert progress.actual["a"] == pytest.approx(100, abs=5)  # not the 150 of the episode
    assert progress.alert.channels[0].actual > 140


def test_a_view_cannot_be_assigned_to(quiet_watch):
    view = build_watch(quiet_watch().settings(), None).view()

    with pytest.raises(dataclasses.FrozenInstanceError):
        view.limit = None
