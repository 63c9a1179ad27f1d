"""The newest steps as arrays: joined, corrected, numbered anew."""

import numpy as np
import pytest

from monitor.detection.recent_steps import RecentSteps
from monitor.detection.steps import Reclosed

NAN = np.nan


def steps(*values):
    """Give steps (T, n, 1): one tuple a step, one number an entity."""
    return np.array(values, float)[:, :, None]


def recent(*values, n_steps=4, first_step=10):
    held = RecentSteps(n_steps)
    held.make_room(len(values[0]), 1, first_step)
    for number, step in enumerate(steps(*values), start=first_step):
        held.count_step(number, step)
    held.append(steps(*values))
    return held


def test_what_each_entity_has_shown_is_counted():
    held = recent((1, NAN), (2, NAN), (NAN, 3))

    assert held.seen.n_seen.tolist() == [2, 1]
    assert held.seen.last_seen.tolist() == [11, 12]
    assert held.newest_step == 12


def test_only_the_newest_steps_are_held_and_all_are_counted():
    held = recent((1,), (2,), (3,), n_steps=2)

    assert held.values[:, 0, 0].tolist() == [2, 3]
    assert held.n_shown().tolist() == [2]
    assert held.seen.n_seen.tolist() == [3]


@pytest.mark.parametrize(("n_steps", "expected"), [(1, [2, 9]), (2, [1, 2, 9]), (3, [NAN, 1, 2, 9])])
def test_before_a_block_stand_the_newest_steps_and_gaps_where_there_are_none(n_steps, expected):
    held = recent((1,), (2,))

    np.testing.assert_array_equal(held.before(n_steps, steps((9,)))[:, 0, 0], expected)


def test_an_entity_that_was_never_seen_is_stale_from_its_first_step_on():
    held = recent((1, NAN), (NAN, NAN))

    assert held.seen.stale_from_ms(1000, 5000).tolist() == [16_000, 15_000]


def test_late_steps_replace_what_was_there_and_say_what_differs():
    held = recent((1, 1), (NAN, 2), (3, 3))
    before = held.seen.n_seen

    changed = held.patch(Reclosed(10, np.array([0, 1]), steps((1, 1), (7, 2), (3, 3)), 1))

    first_step, rows = changed
    assert (first_step, rows.tolist()) == (11, [0])
    assert held.values[:, 0, 0].tolist() == [1, 7, 3]
    assert held.seen.n_seen.tolist() == [3, 3]
    assert before.tolist() == [2, 3]  # snapshots refer to it


def test_late_steps_that_repeat_what_was_there_change_nothing():
    held = recent((1, NAN), (2, 2))

    assert held.patch(Reclosed(10, np.array([1]), steps((NAN,), (2,)), 1)) is None


def test_some_entities_steps_are_given_as_they_were_before_the_newest():
    held = recent((1, 5), (2, 6), (3, 7))
    snapshot = {"n_seen": np.array([2, 2]), "last_seen": np.array([11, 11])}

    earlier = held.as_of(1, np.array([1]), snapshot, n_steps=1)

    assert earlier.values[:, 0, 0].tolist() == [6]
    assert (earlier.seen.n_seen.tolist(), earlier.newest_step) == ([2], 11)


def test_the_rows_that_stay_are_numbered_anew():
    held = recent((1, 2, 3), (4, 5, NAN))

    held.keep_rows(np.array([2, 0]))

    np.testing.assert_array_equal(held.values[:, :, 0], [[3, 1], [NAN, 4]])
    assert held.seen.n_seen.tolist() == [1, 2]


def test_new_entities_are_known_from_the_step_at_which_there_is_room_for_them():
    held = recent((1,), (2,))

    held.make_room(2, 1, 12)

    assert held.seen.known_since.tolist() == [9, 11]
    assert np.isnan(held.values[:, 1]).all()


def test_a_clock_that_is_set_back_moves_all_times_and_none_below_zero():
    held = recent((1, 1), (NAN, 2))

    held.shift_time(11)

    assert held.seen.last_seen.tolist() == [0, 0]
    assert held.newest_step == 0


def test_a_state_that_is_loaded_goes_on_where_it_was():
    held, other = recent((1, NAN), (2, 3)), RecentSteps(4)

    other.load_state(held.state())

    assert other.newest_step == 11
    for name, array in held.state().items():
        np.testing.assert_array_equal(other.state()[name], array, err_msg=name)


def test_steps_follow_their_channel_and_a_channel_that_is_new_was_a_gap():
    held = RecentSteps(4)
    held.make_room(1, 2, 10)
    held.append(np.array([[[1.0, 2.0]], [[3.0, 4.0]]]))

    held.rearrange_channels(np.array([1, -1]))

    np.testing.assert_array_equal(held.values, [[[2, NAN]], [[4, NAN]]])


def test_a_first_window_fills_until_as_many_steps_have_shown_the_entity():
    held = recent((1, NAN, 7), (2, NAN, NAN), (3, NAN, 8))  # steps 10, 11 and 12

    assert held.seen.filling_ms(1000, 4).tolist() == [13_000, 0, 13_000]
    assert held.seen.filling_ms(1000, 3).tolist() == [0, 0, 13_000]
