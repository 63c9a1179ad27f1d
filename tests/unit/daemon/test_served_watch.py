"""A model warms up before it serves, and a swap is whole or changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detection.steps import ClosedSteps
from monitor.errors import ConfigError, SwapError


def test_a_model_learns_the_steps_that_it_had_not_seen_before_it_serves(house):
    house.promote(1)
    house.begin()
    second = house.promote(2)
    house.writer.add(ClosedSteps(house.step, 1000, house.quiet(200, seed=7)))
    house.writer.write(["web1"], ["a", "b"], ())
    house.step += 200

    assert any(house.live(house.quiet(3)))

    learned = house.watch.scorer.detector.tails.n_learned[0]
    assert learned >= house.registry.load(second).detector.tails.n_learned[0] + 200 - 8


def test_a_model_without_a_history_serves_as_it_was_saved(house):
    version = house.promote(1)
    house.begin()

    loaded = house.served.loader.load(version)

    saved = house.registry.load(version).detector
    np.testing.assert_array_equal(loaded.detector.tails.counts, saved.tails.counts)


def test_a_history_that_cannot_be_used_does_not_keep_a_model_from_serving(house, caplog):
    version = house.promote(1)
    house.begin()
    house.writer.add(ClosedSteps(house.step, 1000, house.quiet(5)))
    house.writer.write(["web1"], ["a", "b"], ())
    (house.folder / "spans.json").unlink()

    assert house.served.loader.load(version).entities == ("web1",)
    assert "history unusable watch=w" in caplog.text


def test_a_model_that_does_not_fit_leaves_the_version_that_serves(house, quiet_watch):
    first = house.promote(1)
    house.begin()

    with pytest.raises(SwapError):
        house.served.swap("v2", house.bundle(channels=("c", "d")))

    assert house.served.version == first


def test_a_model_of_another_window_is_refused_when_it_is_loaded(house, quiet_watch):
    version = house.promote(1)
    house.config = quiet_watch(window_length=10)
    house.writer = None
    with pytest.raises(ConfigError, match="window_length is 10, but its model was trained with 8"):
        house.begin()
    assert house.registry.champion() == version
