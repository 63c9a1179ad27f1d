"""The view that metrics and the daemon have of a watch."""

import dataclasses

import numpy as np
import pytest

from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.testing import samples


def test_a_view_of_a_new_watch_knows_of_nothing(quiet_watch):
    view = build_watch(quiet_watch().settings(), None).view()

    assert (view.name, view.entities, view.channels, view.open_alerts) == ("w", [], [], {})
    assert (view.last_scored, view.limit, view.watermark_ms, view.closed_until_ms) == (None, None, None, None)


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


def test_a_view_cannot_be_assigned_to(quiet_watch):
    view = build_watch(quiet_watch().settings(), None).view()

    with pytest.raises(dataclasses.FrozenInstanceError):
        view.limit = None
