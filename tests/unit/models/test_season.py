import numpy as np
import pytest

from models.limits import Budget
from models.season import GROSS, SeasonProfile, accept_season, explain_season, slots_of_day

STEP = 600  # seconds
N = 86400 // STEP  # steps of a day
FIRST_STEP = 20458 * N  # a Monday, 00:00 UTC
ROW_0 = np.array([0])
JOB_AT, JOB_STEPS, HEIGHT = 3 * 6, 2, 8.0  # 03:00, twenty minutes


def days(n_days, *, no_job=(), moved=(), n_channels=1, weekend=0.0):
    """Noise with a job each night; `moved` days have it at 15:00 too. Scaled, shape (T, 1, C)."""
    values = np.random.default_rng(0).normal(0, 0.3, (n_days * N, 1, n_channels)).astype(np.float32)
    for day in range(n_days):
        if day not in no_job:
            start = day * N + JOB_AT
            values[start : start + JOB_STEPS, 0, 0] += HEIGHT
        if day in moved:
            values[day * N + 15 * 6 : day * N + 15 * 6 + JOB_STEPS, 0, 0] += HEIGHT
        if day % 7 >= 5:
            values[day * N : (day + 1) * N] += weekend
    return values


def live(profile, values, *, first_step=FIRST_STEP):
    """Judge and learn values step by step, as serving does; shape (T,)."""
    scores = []
    for t, step in enumerate(values):
        profile.begin_step((first_step + t + 1) * STEP * 1000)
        scores.append(profile.score(ROW_0, step).item())
        profile.learn(ROW_0, step)
    return np.array(scores)


def over(scores):
    """The days and hours at which a score is over the limit, each hour once."""
    return sorted({(t // N, t % N // 6) for t in np.flatnonzero(scores >= 1).tolist()})


def one(n_channels=1):
    return SeasonProfile(1, n_channels, STEP)


# What is out of season.


def test_the_nightly_job_is_no_evidence_and_its_height_at_another_hour_is():
    assert over(live(one(), days(20, moved=[16]))) == [(16, 15)]


def test_what_is_accepted_is_no_evidence_any_more_and_what_is_higher_still_is():
    profile = one()
    values = days(18, moved=[16, 17])
    first = 16 * N + 15 * 6 + 2  # behind the first job at 15:00
    before = live(profile, values[:first])
    accept_season(profile, 0)
    at_once = profile.score(ROW_0, values[first - 1]).item()
    higher = profile.score(ROW_0, values[first - 1] + 3 * HEIGHT).item()
    after = live(profile, values[first:], first_step=FIRST_STEP + first)

    assert before[-1] >= 1 > at_once
    assert higher >= 1
    assert over(after) == []


def test_nothing_is_accepted_where_nothing_was_shown_today():
    profile = one()

    accept_season(profile, 0)

    assert np.isinf(profile.limit).all()


def test_a_missing_job_is_explained_by_the_height_that_was_reached_and_the_usual_one():
    profile = one()
    values = days(17, no_job=[16])[: 16 * N + JOB_AT + 4]  # up to 03:40
    live(profile, values)

    of_step = explain_season(profile, ROW_0, values[-1])

    assert of_step.evidence == pytest.approx(profile.raw_score(ROW_0, values[-1])[None])
    assert of_step.usual.item() == pytest.approx(HEIGHT, abs=0.5)
    assert of_step.actual.item() == pytest.approx(values[-16:-1].max(), abs=0.5)  # noise alone


def test_a_height_at_another_hour_is_explained_by_itself_and_the_usual_one():
    profile = one()
    values = days(17, moved=[16])[: 16 * N + 15 * 6 + 1]  # its first step, at 15:00
    live(profile, values)

    of_step = explain_season(profile, ROW_0, values[-1])

    assert of_step.actual.item() == values[-1].item()
    assert of_step.usual.item() == pytest.approx(0.7, abs=0.5)  # the highest of 90 minutes of noise


def test_a_job_that_does_not_come_is_evidence_from_the_end_of_the_slot_in_which_it_should_have():
    scores = live(one(), days(20, no_job=[16]))

    first = int(np.argmax(scores >= 1))
    assert first == 16 * N + JOB_AT + 3  # 03:30
    assert {day for day, _ in over(scores)} == {16}
    assert (scores[first + 10 :] < 1).all()  # for as long as a neighbourhood is to blame: 90 minutes


def test_a_missing_low_is_evidence_as_a_missing_high_is():
    upright, upside_down = days(20, no_job=[16]), -days(20, no_job=[16])

    np.testing.assert_array_equal(live(one(), upright), live(one(), upside_down))


def test_a_job_that_comes_earlier_or_later_by_ten_minutes_is_no_evidence():
    values = np.concatenate([np.roll(days(1), shift, axis=0) for shift in (0, 1, -1, 1, 0, -1) * 4])

    assert over(live(one(), values)) == []


def test_a_weekend_at_another_level_is_no_evidence():
    assert over(live(one(), days(35, weekend=-4.0))) == []


def test_a_job_in_a_single_channel_of_many_is_missed_too():
    assert {day for day, _ in over(live(one(8), days(20, no_job=[16], n_channels=8)))} == {16}


def test_nothing_is_evidence_before_twelve_days():
    """Seven to know what is usual, five to know how far a normal day departs from it."""
    moved = live(one(), days(30, moved=[10])), live(one(), days(30, moved=[13]))

    assert [len(over(scores)) > 0 for scores in moved] == [False, True]


def test_a_job_that_has_moved_is_told_for_a_night_and_is_usual_then():
    values = np.concatenate([days(16), np.roll(days(14), 12 * 6, axis=0)])

    assert {day for day, _ in over(live(one(), values))} == {16}


def test_a_new_level_is_no_matter_of_the_time_of_day_after_two_hours():
    values = days(20)
    values[16 * N :] += 5.0

    scores = live(one(), values)

    assert over(scores)[0] == (16, 0)
    assert len(over(scores)) <= 4
    assert over(scores)[-1][0] == 16


def test_spikes_at_any_hour_have_shown_that_they_are_normal():
    values = days(60, no_job=range(60))
    spikes = np.random.default_rng(1).choice(len(values), 60, replace=False)  # one a day
    values[spikes] = HEIGHT

    assert over(live(one(), values)) == []


def test_the_limit_is_the_third_highest_of_the_last_days_and_a_quarter_and_gross_at_least():
    profile = one()
    profile.begin_step(FIRST_STEP * STEP * 1000)
    profile.day_peak[0, :7] = [40, 12, 9, 8, 2, 1, 0]
    profile.begin_step((FIRST_STEP + 1) * STEP * 1000)
    above = profile.limit[0]
    profile.day_peak[0, :3] = 0

    profile.begin_step((FIRST_STEP + N + 1) * STEP * 1000)

    assert above == pytest.approx(1.25 * 9)
    assert profile.limit[0] == GROSS


def test_rows_that_were_over_their_limits_more_often_than_a_quarter_of_the_budget_have_higher_ones():
    def limits(budget, sharing):
        profile = SeasonProfile(4, 1, STEP)
        profile.begin_step(FIRST_STEP * STEP * 1000)
        profile.day_peak[:, 1:9] = [[12, 9], [18, 0], [15, 0], [0, 0]] @ np.eye(2, 8)  # two, one, one, no day
        profile.begin_step((FIRST_STEP + N) * STEP * 1000, budget=budget, sharing=np.array(sharing))
        return profile.limit.tolist()

    # 1/week allows 4 in four weeks, of which one may be: the highest is 18 / 6, the next 15 / 6.
    assert limits(Budget.parse("1/week"), [True] * 4) == pytest.approx([15.0] * 4)
    assert limits(Budget.parse("1/week"), [True, False, True, True]) == pytest.approx([12.0] * 4)
    assert limits(Budget.parse("1/week per entity"), [True] * 4) == pytest.approx([6.0] * 4)


def test_rows_apart_keep_their_own_part_of_the_budget_whatever_the_others_show():
    def limits(budget, rows):
        profile = SeasonProfile(len(rows), 1, STEP)
        profile.begin_step(FIRST_STEP * STEP * 1000)
        profile.day_peak[:, 1:9] = np.array([[18, 15], [12, 9], [0, 0]])[rows] @ np.eye(2, 8)
        profile.begin_step((FIRST_STEP + N) * STEP * 1000, budget=Budget.parse(budget), n_apart=4)
        return profile.limit.tolist()

    # Of 8/week, 8 of the 32 in four weeks may be, and 2 of each of four rows: no third day was over 6. Of
    # 4/week one may be: the next is 15 / 6 in the first row, 9 / 6 in the second.
    assert limits("8/week", [0, 1, 2]) == pytest.approx([6.0, 6.0, 6.0])
    assert limits("4/week", [0, 1, 2]) == pytest.approx([15.0, 9.0, 6.0])
    assert limits("4/week", [1]) == pytest.approx([9.0])


# Gaps, and steps without a season.


def test_a_job_that_lies_in_a_gap_is_not_known_to_be_missing():
    values = days(20, no_job=[16])
    values[16 * N + JOB_AT - 3 : 16 * N + JOB_AT + 9] = np.nan

    scores = live(one(), values)

    assert over(scores) == []
    assert np.isnan(scores[16 * N + JOB_AT])


def test_a_day_of_silence_leaves_what_is_known():
    values = days(20, no_job=[16])
    profile = one()
    live(profile, values[: 14 * N])

    scores = live(profile, values[15 * N :], first_step=FIRST_STEP + 15 * N)

    assert {day for day, _ in over(scores)} == {1}


def test_slots_are_half_an_hour_and_two_steps_long_at_least():
    assert [slots_of_day(step) for step in (1, 60, 900, 1200, 3600, 3601)] == [48, 48, 48, 36, 12, 0]


def test_steps_of_more_than_an_hour_have_no_season():
    profile = SeasonProfile(1, 1, 7200)
    profile.begin_step(7_200_000)
    profile.learn(ROW_0, np.ones((1, 1), np.float32))

    assert np.isnan(profile.raw_score(ROW_0, np.full((1, 1), 9.0, np.float32))).all()


# Learning from history, and judging again.


def test_a_profile_that_starts_from_history_is_the_one_that_has_lived_through_it():
    values = days(15, moved=[13], n_channels=2)
    values[100:150] = np.nan
    lived, started = one(2), SeasonProfile(3, 2, STEP)
    live(lived, values)

    started.start(np.array([1]), values, FIRST_STEP + np.arange(len(values))[:, None])

    for name, array in lived.state().items():
        np.testing.assert_allclose(started.state()[name][1], array[0], rtol=1e-5, err_msg=name)
    assert (started.n_days[[0, 2]] == 0).all()


def test_rows_whose_history_is_of_other_times_start_by_their_own():
    values = days(13)
    steps = FIRST_STEP + np.arange(len(values))[:, None] + np.array([[0, N // 2]])
    profile = SeasonProfile(2, 1, STEP)

    profile.start(np.array([0, 1]), np.concatenate([values, values], axis=1), steps)

    highest_at = profile.mean[:, 0, 0].argmax(axis=1)
    assert abs(highest_at[0] - 6) <= 1
    assert abs(highest_at[1] - 6 - 24) <= 1


def test_steps_judged_again_by_their_snapshots_score_the_same_and_a_late_job_is_not_missing():
    values = days(18, no_job=[16])
    profile = one()
    start, stop = 16 * N + JOB_AT - 4, 16 * N + JOB_AT + 12
    live(profile, values[:start])
    snapshots, first = [], []
    for t in range(start, stop):
        profile.begin_step((FIRST_STEP + t + 1) * STEP * 1000)
        snapshots.append(profile.snapshot())
        first.append(profile.score(ROW_0, values[t]).item())
        profile.learn(ROW_0, values[t])

    def again(steps):
        other = profile.take(ROW_0)
        scores = []
        for t in range(start, stop):
            other.restore(snapshots[t - start], begins=t == start)
            other.begin_step((FIRST_STEP + t + 1) * STEP * 1000, learns=False)
            scores.append(other.score(ROW_0, steps[t]).item())
            other.observe(ROW_0, steps[t])
        return scores

    late = days(18)
    late[:start] = values[:start]
    np.testing.assert_array_equal(again(values), first)
    assert max(first) >= 1 > max(again(late))


def test_what_is_kept_of_a_series_is_small():
    kept = sum(array.nbytes for array in SeasonProfile(1, 1, 60).state().values())

    assert kept <= 1200


def test_a_row_is_judged_the_same_beside_others():
    values = days(17, no_job=[16])
    alone, beside = one(), SeasonProfile(2, 1, STEP)
    expected = live(alone, values)
    scores = []
    for t, step in enumerate(values):
        beside.begin_step((FIRST_STEP + t + 1) * STEP * 1000)
        both = np.concatenate([step[::-1] * -0.5, step])
        scores.append(beside.score(np.array([0, 1]), both)[1])
        beside.learn(np.array([0, 1]), both)

    np.testing.assert_array_equal(scores, expected)
