"""Levels of one entity with two channels, of scale 1, over 32 steps; noise of a standard deviation of 1."""

import numpy as np
import pytest

from models.levels import Levels, level_steps, median_and_spread, on_present_level

ROW = np.array([0])
CENTRE = np.array([10.0, 50.0])
SCALE = np.ones((1, 2))


def noise(n_steps=32, *, seed=1, level=(10.0, 50.0)):
    return np.random.default_rng(seed).normal(level, 1.0, (n_steps, 2))


def begun(*, blames=(5.0, 0.1)):
    levels = Levels(1, channels=2)
    levels.begin(0, noise(), CENTRE, SCALE[0], since_ms=100, near_ms=50)
    levels.blame(ROW, np.array([blames]))
    return levels


def changes(levels, window):
    return levels.changes(ROW, window[:, None], SCALE)[0]


def accepted(shift=(10.0, 0.0)):
    levels = begun()
    levels.accept(0, np.array(shift), time_ms=1000)
    return levels


def returning(levels, steps, error=(5.0, 0.1)):
    return bool(levels.returning(ROW, steps[:, None], np.array([error]))[0])


def back_by(step, n_steps=1):
    """Give 33 steps around a level of 20 and 50, the newest of them moved by `step`."""
    steps = noise(33, level=(20.0, 50.0))
    steps[-n_steps:] += step
    return steps


def test_a_level_is_measured_by_a_window_but_not_by_too_few_steps():
    assert [level_steps(window) for window in (8, 32, 100)] == [32, 32, 100]


def test_median_and_spread_ignore_gaps():
    values = np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, np.nan], [3.0, np.nan], [10.0, np.nan]])

    median, spread = median_and_spread(values)

    known = np.array([1.0, 2.0, 3.0, 10.0])
    assert median[0] == np.median(known)
    assert spread[0] == pytest.approx(np.subtract(*np.quantile(known, [0.75, 0.25])) / 1.349)
    assert np.isnan(median[1])
    assert np.isnan(spread[1])


def test_a_stable_new_level_of_a_blamed_channel_is_a_change():
    shift = changes(begun(), noise(seed=2, level=(20.0, 80.0)))

    assert shift[0] == pytest.approx(10.0, abs=1.0)
    assert shift[1] == 0.0  # moved as well, but had no part in the error


@pytest.mark.parametrize("level", [10.0, 12.0])
def test_a_level_that_is_back_or_near_is_no_change(level):
    assert not changes(begun(), noise(seed=2, level=(level, 50.0))).any()


def test_a_ramp_is_no_stable_level():
    window = noise(seed=2) + np.linspace(20.0, 40.0, 32)[:, None] * [1.0, 0.0]

    assert not changes(begun(), window).any()


def test_none_has_changed_as_long_as_a_blamed_channel_still_moves():
    window = noise(seed=2, level=(20.0, 80.0))
    window[:, 1] += np.linspace(0.0, 20.0, 32)

    assert changes(begun(), window)[0] > 9.0
    assert not changes(begun(blames=(5.0, 5.0)), window).any()


def test_what_was_before_is_unknown_without_a_value():
    levels = Levels(1, channels=2)
    levels.begin(0, np.full((32, 2), np.nan), CENTRE, SCALE[0], since_ms=100, near_ms=50)
    levels.blame(ROW, np.ones((1, 2)))

    assert not changes(levels, noise(level=(90.0, 90.0))).any()


@pytest.mark.parametrize(("gap_ms", "reference"), [(40, 10.0), (60, 20.0)])
def test_an_episode_near_behind_another_has_the_reference_of_that(gap_ms, reference):
    levels = begun()
    levels.ended_ms[0] = 200

    levels.begin(0, noise(level=(20.0, 50.0)), CENTRE, SCALE[0], since_ms=200 + gap_ms, near_ms=50)

    assert levels.before[0, 0] == pytest.approx(reference, abs=1.0)


def test_a_fall_by_the_change_is_a_return_and_any_other_is_none():
    levels = accepted()

    assert returning(levels, back_by([-10.0, 0.0]))
    assert not returning(levels, back_by([10.0, 0.0]))  # twice the level
    assert not returning(levels, back_by([-30.0, 0.0]))
    assert not returning(levels, back_by([-10.0, 20.0]), error=(5.0, 5.0))  # another channel, too
    assert not returning(begun(), back_by([-10.0, 0.0]))  # nothing to come back from


def test_a_return_moves_the_steps_before_it():
    levels = accepted()
    steps = back_by([-10.0, 0.0], n_steps=3)

    shift = levels.go_back(0, steps, newest_step=500, time_ms=2000, lasting_ms=10_000)
    steps[5, 0] = 10.5  # came late: it lies on the present level already
    centre = np.array([[10.0, 50.0]])
    present = on_present_level(steps[:, None], 468, levels.joint, levels.jump, centre)[:, 0]

    assert shift.tolist() == [-10.0, 0.0]
    assert levels.joint.tolist() == [498]
    others = np.setdiff1d(np.arange(30), [5])
    np.testing.assert_allclose(present[others, 0], steps[others, 0] - 10.0)
    assert present[5, 0] == 10.5
    np.testing.assert_array_equal(present[-3:], steps[-3:])
    np.testing.assert_array_equal(present[:, 1], steps[:, 1])


@pytest.mark.parametrize(("lasting_ms", "is_silent"), [(1000, True), (1001, False)])
def test_going_to_a_level_again_is_silent_only_if_it_has_lasted(lasting_ms, is_silent):
    levels = accepted()

    levels.go_back(0, back_by([-10.0, 0.0]), newest_step=500, time_ms=2000, lasting_ms=lasting_ms)

    assert returning(levels, back_by([10.0, 0.0])) is is_silent


def test_behind_a_return_to_a_level_in_between_the_way_to_the_first_is_silent_too():
    levels = accepted()
    levels.accept(0, np.array([20.0, 0.0]), time_ms=3000)
    both = returning(levels, back_by([-20.0, 0.0])), returning(levels, back_by([-30.0, 0.0]))

    levels.go_back(0, back_by([-20.0, 0.0]), newest_step=500, time_ms=4000, lasting_ms=10_000)

    assert both == (True, True)
    assert levels.offset[0, 0] == 10.0
    assert returning(levels, back_by([-10.0, 0.0]))


def test_a_new_model_has_no_way_back_but_knows_what_was_before_an_episode():
    levels = accepted()

    levels.forget_shifts()

    assert not returning(levels, back_by([-10.0, 0.0]))
    assert levels.before[0, 0] == pytest.approx(10.0, abs=1.0)


def test_times_move_back_with_the_clock():
    levels = accepted()
    levels.go_back(0, back_by([-10.0, 0.0]), newest_step=500, time_ms=5000, lasting_ms=10_000)

    levels.shift_time(2, 10)

    assert (levels.since_ms[0], levels.shift_ms[0], levels.ended_ms[0]) == (80, 4980, 0)
    assert levels.joint.tolist() == [498]


# Second faults


def steps_with(newest):
    """Give 32 steps around a change of the first channel by 10, and a newest one."""
    return np.vstack([noise(seed=2, level=(20.0, 50.0)), [newest]])[:, None]


def share(newest, error, *, highest=(5.0, 1.0)):
    levels = begun()
    levels.highest_error[0] = highest
    return levels.second_fault(ROW, steps_with(newest), np.array([error]), SCALE)[0]


def test_the_share_of_a_second_fault_is_the_squared_error_beyond_the_highest_of_the_episode():
    expected = (36.0 - (1.2 * 1.0) ** 2) / (25.0 + 36.0)

    assert share((20.0, 80.0), (5.0, 6.0)) == pytest.approx(expected)


def test_a_slow_change_or_one_towards_the_level_before_is_no_second_fault():
    assert share((20.0, 51.0), (5.0, 6.0)) == 0.0
    assert share((12.0, 50.0), (9.0, 1.0)) == 0.0


def test_errors_at_their_cap_count_where_the_value_moves_again_by_half():
    assert share((30.0, 50.0), (5.0, 0.0)) == pytest.approx(0.25)
    assert share((23.5, 50.0), (5.0, 0.0)) == 0.0


def test_a_second_fault_shows_from_its_first_step_on_until_it_is_gone():
    levels, since_ms = begun(), []
    for time_ms, shows in ((200, True), (210, True), (220, False), (230, True)):
        levels.show_second(ROW, np.array([shows]), time_ms=time_ms)
        since_ms.append(int(levels.second_since_ms[0]))
    levels.begin_again(0, since_ms=240)

    assert since_ms == [200, 200, 0, 230]
    assert (levels.since_ms[0], levels.followed_ms[0]) == (240, 230)


def test_a_new_model_finds_second_faults_by_values_only():
    levels = begun()
    levels.forget_shifts()

    assert levels.second_fault(ROW, steps_with((20.0, 80.0)), np.array([[5.0, 6.0]]), SCALE)[0] > 0.0
    assert np.isinf(levels.highest_error).all()


def test_few_values_before_an_episode_are_no_level_and_the_centre_counts():
    levels, window = Levels(1, channels=2), np.full((32, 2), np.nan)
    window[-4:] = 90.0

    levels.begin(0, window, CENTRE, SCALE[0], since_ms=100, near_ms=50)

    assert levels.before[0].tolist() == CENTRE.tolist()
