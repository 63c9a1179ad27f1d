"""Closed steps to scores, by the baselines alone; windows have 8 steps.

An entity is judged from its 109th step on (number 108).
"""

import numpy as np
import pytest
from maturity import mature
from scoring import NEEDED, STEP_MS, WINDOW, assert_bit_equal, noise, run, scorer, settings

from monitor.detection.entities import EntityTable
from monitor.detection.scored_step import Reason
from monitor.detection.scorer import Scorer
from monitor.detection.steps import ClosedSteps


def reasons(scored, row=0):
    return [Reason(int(step.reason[row])) for step in scored]


def scores(scored, row=0):
    return np.array([step.score[row] for step in scored])


# Warming up


def test_nothing_is_judged_before_a_window_and_a_hundred_steps():
    scored = run(scorer(), noise(150, seed=1))

    assert reasons(scored) == [Reason.WARMING] * NEEDED + [Reason.JUDGED] * (150 - NEEDED)
    assert np.isnan(scores(scored)[:NEEDED]).all()
    assert not np.isnan(scores(scored)[NEEDED:]).any()


def test_what_is_missing_counts_down_to_nothing():
    judge = scorer()
    values = noise(150, seed=1)

    missing = []
    for start in range(0, 150, 50):
        run(judge, values[start : start + 50], first_step=start)
        missing.append(judge.missing_steps().tolist())

    assert missing == [[NEEDED - 50], [NEEDED - 100], [0]]


def test_there_is_no_limit_before_anything_is_calibrated():
    judge = scorer()

    assert judge.limit is None
    run(judge, noise(NEEDED, seed=1))
    assert judge.limit is not None
    assert judge.limit.provisional  # some 100 s of a budget for a day


def test_an_entity_that_appears_midway_warms_up_on_its_own():
    values = noise(400, 2, seed=2)
    values[:200, 1] = np.nan

    scored = run(scorer(2), values)

    assert reasons(scored, 0)[NEEDED:] == [Reason.JUDGED] * (400 - NEEDED)
    assert reasons(scored, 1) == [Reason.WARMING] * (200 + NEEDED) + [Reason.JUDGED] * (200 - NEEDED)


def test_an_entity_may_need_more_room_than_there_was():
    judge = scorer(1)
    values = noise(400, 2, seed=2)
    run(judge, values[:200, :1])

    scored = run(judge, values[200:], first_step=200)

    assert reasons(scored, 0) == [Reason.JUDGED] * 200
    assert reasons(scored, 1) == [Reason.WARMING] * NEEDED + [Reason.JUDGED] * (200 - NEEDED)


def test_steps_that_an_entity_missed_do_not_count_as_shown():
    values = noise(300, 2, seed=3)
    values[41:200, 1] = np.nan

    scored = run(scorer(2), values)

    shown = np.cumsum(~np.isnan(values[:, 1]).all(axis=1))
    assert Reason.JUDGED not in np.array(reasons(scored, 1))[shown < NEEDED].tolist()


def test_where_each_series_is_an_entity_a_constant_one_is_scaled_by_its_own_unit():
    entities = EntityTable(
        metrics=["*"],
        match={},
        by=(),
        entities=["memory_used_bytes", 'latency_seconds{host="web1"}'],
        channels=["value"],
    )
    judge = Scorer(entities, settings())

    run(judge, np.zeros((NEEDED, 2, 1)))

    assert judge.detector.scaling.scale.tolist() == [[65536.0], [0.01]]


# Blocks


def test_scores_do_not_depend_on_how_steps_are_cut_into_blocks():
    values = noise(320, 2, seed=4)
    values[:60, 1] = np.nan
    values[200:203, 0] = np.nan
    values[250:262] = np.nan
    values[270:280, 1, 1] += 15

    whole = run(scorer(2), values)

    assert_bit_equal(run(scorer(2), values, block_lengths=[1]), whole)
    assert_bit_equal(run(scorer(2), values, block_lengths=[7, 100, 1, 64, 30, 118]), whole)


def test_a_gap_while_warming_up_does_not_make_blocks_matter():
    values = noise(200, 1, seed=5)
    values[50:56] = np.nan

    assert_bit_equal(run(scorer(), values, block_lengths=[55, 145]), run(scorer(), values, block_lengths=[1]))


def test_steps_are_numbered_by_the_end_of_each():
    scored = run(scorer(), noise(5, seed=1), first_step=1000)

    assert [step.time_ms for step in scored] == [1_001_000, 1_002_000, 1_003_000, 1_004_000, 1_005_000]


# Gaps


def test_a_missing_step_is_a_gap_and_a_longer_silence_is_stale():
    values = noise(150, seed=6)
    values[120:130] = np.nan

    scored = run(scorer(), values)

    # The last sample is step 119's: 5 s of silence are a gap, more is stale.
    # Then a window needs half of its 8 steps.
    assert reasons(scored)[118:136] == [
        *[Reason.JUDGED] * 2, *[Reason.GAP] * 5, *[Reason.STALE] * 5, *[Reason.GAP] * 3, *[Reason.JUDGED] * 3,
    ]  # fmt: skip
    assert np.isnan(scores(scored)[120:133]).all()


def test_one_missing_channel_of_two_leaves_an_entity_judged():
    values = noise(200, seed=7)
    values[150:, 0, 1] = np.nan

    assert set(reasons(run(scorer(), values))[NEEDED:]) == {Reason.JUDGED}


# Scores


def test_quiet_noise_rarely_reaches_the_limit():
    judged = scores(run(scorer(), noise(3000, seed=8)))[NEEDED:]

    assert (judged >= 1.0).mean() < 0.005


@pytest.mark.parametrize("seed", range(3))
def test_a_level_shift_scores_above_the_limit_within_a_window(seed):
    values = noise(420, seed=seed)
    values[400:, 0, 0] += 12

    scored = scores(run(scorer(), values))

    assert scored[400 : 400 + WINDOW].max() >= 1.0
    assert np.nanmax(scored[:400]) < 1.0


@pytest.mark.parametrize("seed", range(3))
def test_a_spike_scores_above_the_limit(seed):
    values = noise(420, seed=seed)
    values[400:402] += 30

    assert scores(run(scorer(), values))[400:404].max() >= 1.0


def disturbed(seed):
    """Score noise whose second channel is disturbed from step 400 on; give the last step and its values."""
    values = noise(420, seed=seed)
    values[400:, 0, 1] += 20
    return run(scorer(), values)[-1], values[-1, 0]


def test_the_disturbed_channel_has_the_largest_error():
    last, values = disturbed(seed=9)

    assert int(np.argmax(last.channel_error[0])) == 1
    assert last.actual[0].tolist() == values.tolist()
    assert last.expected[0] == pytest.approx([50.0, 50.0], abs=2.0)


def test_a_channel_is_elevated_since_it_was_disturbed():
    last, _ = disturbed(seed=9)

    assert 401_000 <= last.elevated_since_ms[0, 1] <= 403_000


def test_in_quiet_noise_a_channels_error_rarely_exceeds_its_normal_error():
    judged = run(scorer(), noise(1500, seed=21))[NEEDED:]

    assert np.mean([step.elevated_since_ms > 0 for step in judged]) < 0.05


# Freezing


def warmed(n_entities=2, *, seed, n_steps=300, is_mature=True):
    judge = scorer(n_entities)
    run(judge, noise(n_steps, n_entities, seed=seed))
    if is_mature:
        mature(judge.detector)
    return judge


def test_a_frozen_entity_keeps_its_limit_and_its_tail():
    judge = warmed(seed=10)
    tails = judge.detector.tails
    limit = judge.limits()[0]
    judge.freeze(0)
    fit = [part[0].tolist() for part in (tails.median, tails.threshold, tails.scale)]
    fault = noise(400, 2, seed=11)
    fault[:, 0] += 12

    run(judge, fault, first_step=300, frozen=[0])

    assert judge.limits()[0] == limit
    assert [part[0].tolist() for part in (tails.median, tails.threshold, tails.scale)] == fit
    assert judge.limits()[1] == judge.limit.value != limit


def test_a_lasting_fault_stays_above_the_limit_while_frozen_and_sinks_below_it_otherwise():
    fault = noise(600, seed=13)
    fault[:, 0, 0] += 12
    held, let_go = warmed(1, seed=12), warmed(1, seed=12)
    held.freeze(0)

    frozen = scores(run(held, fault, first_step=300, frozen=[0]))
    learning = scores(run(let_go, fault, first_step=300))

    assert frozen[WINDOW:].min() >= 1.0
    assert learning[-100:].max() < 1.0


def test_a_young_entity_learns_out_of_an_alarm_while_frozen():
    fault = noise(600, seed=13)
    fault[:, 0, 0] += 12
    judge = warmed(1, seed=12, is_mature=False)
    judge.freeze(0)

    frozen = scores(run(judge, fault, first_step=300, frozen=[0]))

    assert frozen[:WINDOW].max() >= 1.0
    assert frozen[-100:].max() < 1.0


def test_without_a_model_the_limit_comes_down_until_a_period_of_the_budget_was_shown():
    young, old = warmed(seed=14, is_mature=False), warmed(seed=14)

    expected = 6 * (1 - young.detector.tails.n_learned / 86_400)

    assert young.limits() == pytest.approx(expected)
    assert (young.limits() > young.limit.value).all()
    assert old.limits().tolist() == [old.limit.value] * 2


def test_a_limit_is_no_lower_than_what_its_own_entity_has_shown_too_often():
    judge = warmed(seed=14)
    for _ in range(5):
        judge.detector.records.add(np.array([1]), np.array([5.9]))

    assert judge.limits().tolist() == [judge.limit.value, pytest.approx(1.05 * 5.9)]


def test_a_thawed_entity_goes_by_the_current_limit_again():
    judge = warmed(seed=14)
    judge.freeze(0)
    run(judge, noise(200, 2, seed=15), first_step=300, frozen=[0])

    judge.thaw(0, keep=False)

    assert judge.limits()[0] == judge.limits()[1] == judge.limit.value


def test_an_entity_that_forgets_an_episode_is_alarmed_by_the_next_one():
    fault = noise(300, seed=17)
    fault[:, 0, 0] += 12
    judge = warmed(1, seed=16)
    judge.freeze(0)
    run(judge, fault, first_step=300, frozen=[0])
    run(judge, noise(60, seed=18), first_step=600, frozen=[0])  # recovering
    judge.thaw(0, keep=False)
    run(judge, noise(100, seed=20), first_step=660)

    assert scores(run(judge, fault[:20], first_step=760)).max() >= 1.0


def test_an_entity_that_appears_during_an_episode_of_another_leaves_it_frozen():
    values = noise(500, 2, seed=19)
    values[:, 0] += 12
    judge = warmed(1, seed=19)
    judge.freeze(0)
    limit = judge.limits()[0]

    scored = run(judge, values, first_step=300, frozen=[0])

    assert judge.limits()[0] == limit
    assert scores(scored)[WINDOW:].min() >= 1.0
    judge.thaw(0, keep=False)


# Learning


def test_a_step_carries_what_can_be_learned_from_it_and_what_it_was_judged_by():
    judge = scorer(2, revision_steps=1)
    run(judge, noise(NEEDED, 2, seed=1))

    (step,) = run(judge, noise(1, 2, seed=2), first_step=NEEDED)

    assert step.learnable.rows.tolist() == [0, 1]
    assert step.learnable.windows.shape == (2, WINDOW, 2)
    assert step.snapshot["n_seen"].tolist() == [NEEDED, NEEDED]


def test_where_steps_are_not_judged_again_they_carry_no_snapshot():
    assert {step.snapshot for step in run(scorer(), noise(NEEDED + 5, seed=1))} == {None}


def test_a_step_that_is_not_passed_to_learn_teaches_nothing():
    learning, other = scorer(), scorer()
    values = noise(NEEDED + 50, seed=1)
    run(learning, values)
    list(other.score(ClosedSteps(0, STEP_MS, values)))

    assert learning.detector.tails.n_learned[0] > other.detector.tails.n_learned[0]


# The time of day


def test_a_nightly_job_that_does_not_come_scores_above_the_limit_in_a_watch_without_a_model():
    n_day, first_step = 144, 3 * 6  # steps of ten minutes; the job is at 03:00
    last_night = 16 * n_day + first_step
    values = np.random.default_rng(0).normal(50.0, 1.0, (17 * n_day, 1, 1))
    values[np.arange(first_step, len(values), n_day)] = 80.0
    values[last_night] = 50.0
    names = {"entities": ["web1"], "channels": ["load"]}
    entities = EntityTable(metrics=["*"], match={}, by=("host",), **names)
    judge, scored = Scorer(entities, settings(step_ms=600_000)), []

    for step in judge.score(ClosedSteps(0, 600_000, values)):
        judge.learn(step, np.zeros(1, bool))
        scored.append(step)

    late = scored[last_night : last_night + 6]
    assert (scores(late) >= 1).tolist() == [False] * 3 + [True] * 3  # from 03:30 on: the slot has ended
    assert max(step.surprise[0] for step in late) < judge.limits()[0]  # nothing else tells
