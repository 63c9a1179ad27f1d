"""A model judges and learns steps that it has not seen, before it serves."""

from __future__ import annotations

import dataclasses

import numpy as np
from waves import history_of, waves

from monitor.training.warm_up import blocks_of, warm_up


def test_a_model_lives_through_what_it_has_not_seen(watch, registry, champion):
    bundle = registry.load(champion)
    values = waves(300, start=500)
    shifted = values * np.array([1.0, 1.0, 1.02])

    current = warm_up(
        watch.settings(), bundle, dataclasses.replace(history_of(shifted), first_ms=500_000, last_ms=800_000)
    )

    assert current.detector.tails.n_learned[0] > bundle.detector.tails.n_learned[0]
    assert not np.array_equal(current.detector.tails.threshold, bundle.detector.tails.threshold)
    np.testing.assert_array_equal(current.detector.scaling.centre, bundle.detector.scaling.centre)


def test_an_entity_that_is_new_to_it_is_calibrated_from_its_steps(watch, registry, champion):
    bundle = registry.load(champion)
    assert bundle.entities == ("web0",)

    current = warm_up(watch.settings(), bundle, history_of(waves(300, n=2)))

    assert current.entities == ("web0", "web1")
    assert current.detector.calibrated.tolist() == [True, True]


def test_without_a_history_a_model_stays_as_it_is(watch, registry, champion):
    bundle = registry.load(champion)

    assert warm_up(watch.settings(), bundle, None) is bundle
    assert (
        warm_up(
            watch.settings(), bundle, dataclasses.replace(history_of(waves(300)), channels=("c", "b", "a"))
        )
        is bundle
    )


def test_steps_are_cut_into_blocks_of_bounded_size_and_none_is_lost():
    values = np.arange(1200.0).reshape(1200, 1, 1)

    blocks = blocks_of(values, 1000, first_step=7)

    assert [len(block.values) for block in blocks] == [512, 512, 176]
    assert [block.first_step for block in blocks] == [7, 519, 1031]
    np.testing.assert_array_equal(np.concatenate([block.values for block in blocks]), values)
    assert blocks_of(values[:0], 1000, first_step=0) == []
