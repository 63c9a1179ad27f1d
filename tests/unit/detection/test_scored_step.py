"""One scored step: its entities chosen and replaced, and what only the judge needs dropped."""

import numpy as np
from scoring import assert_bit_equal

from monitor.detection.scored_step import Learnable, Reason, ScoredStep


def step(scores, *, time_ms=1000, **more):
    n = len(scores)
    cells = np.arange(2.0 * n).reshape(n, 2)
    return ScoredStep(
        time_ms,
        reason=np.where(np.isnan(scores), Reason.GAP, Reason.JUDGED).astype(np.int8),
        surprise=np.array(scores) * 3,
        score=np.array(scores),
        channel_error=cells,
        elevated_since_ms=np.zeros((n, 2), np.int64),
        actual=cells + 1,
        expected=cells + 2,
        **more,
    )


def test_an_entity_is_judged_or_has_a_reason():
    assert step([1.0, np.nan]).judged.tolist() == [True, False]


def test_chosen_entities_come_in_the_order_asked_for_and_those_beyond_the_last_are_ignored():
    taken = step([1.0, 2.0, 3.0]).take(np.array([2, 0, 7]))

    assert taken.score.tolist() == [3.0, 1.0]
    assert taken.actual.tolist() == [[5.0, 6.0], [1.0, 2.0]]


def test_replaced_entities_leave_the_others_and_the_step_itself_as_they_were():
    original = step([1.0, 2.0, 3.0])

    changed = original.with_rows(np.array([1]), step([9.0]))

    assert changed.score.tolist() == [1.0, 9.0, 3.0]
    assert changed.expected[1].tolist() == [2.0, 3.0]
    assert_bit_equal([original], [step([1.0, 2.0, 3.0])])


def test_without_inputs_neither_windows_nor_snapshot_are_kept_alive():
    learnable = Learnable(np.array([0]), np.zeros((1, 2)), np.zeros((1, 8, 2), np.float32))
    scored = step([1.0], learnable=learnable, snapshot={"limits": np.ones(1)})

    bare = scored.without_inputs()

    assert (bare.learnable, bare.snapshot) == (None, None)
    assert_bit_equal([bare], [scored])


def test_channels_in_another_models_order_show_what_they_showed_and_a_new_one_shows_nothing():
    scored = step(
        [1.0], learnable=Learnable(np.array([0]), np.zeros((1, 2)), np.zeros((1, 8, 2), np.float32))
    )

    moved = scored.rearranged(np.array([1, -1, 0]))

    np.testing.assert_array_equal(moved.actual, [[2, np.nan, 1]])
    np.testing.assert_array_equal(moved.expected, [[3, np.nan, 2]])
    assert (moved.channel_error.tolist(), moved.elevated_since_ms.tolist()) == ([[1, 0, 0]], [[0, 0, 0]])
    assert (moved.score.tolist(), moved.learnable) == ([1.0], None)
