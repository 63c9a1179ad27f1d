import math

import numpy as np
import pytest

from models.tail import MAX_SURPRISE, TailBank

ROW_0 = np.array([0])
AT_TAIL = 1.69897  # -log10 of 2 %: the surprise where the tail starts
FOREVER = 1e12  # memory_steps with which nothing fades, so that plain quantiles can be compared
MEMORY = 500.0  # one that follows within a few hundred steps


def exponential(n=100_000):
    """The exact quantiles of an exponential distribution of mean 1, in a random order."""
    q = (np.arange(n) + 0.5) / n
    return np.random.default_rng(0).permutation(-np.log1p(-q))


def bank_from(raw_scores, *, memory_steps=FOREVER, n_rows=1, **settings):
    bank = TailBank(n_rows, 1, memory_steps=memory_steps, **settings)
    bank.start(0, np.asarray(raw_scores, float).reshape(-1, 1))
    return bank


def surprise(bank, *raw_scores, row=0):
    return bank.surprise(np.full(len(raw_scores), row), np.array(raw_scores, float).reshape(-1, 1)).ravel()


def teach(bank, raw_scores, row=0):
    for raw_score in raw_scores:
        bank.learn(np.array([row]), np.array([[float(raw_score)]]))


def snapshot(bank):
    return {name: array.copy() for name, array in bank.state().items()}


def shares(bank, row=0, raw_score=0):
    return bank.counts[row, raw_score] / bank.counts[row, raw_score].sum()


def test_surprise_is_zero_at_the_median_and_below_it():
    raw_scores = exponential()
    bank = bank_from(raw_scores)

    assert surprise(bank, 0.0, 0.1, np.median(raw_scores)).tolist() == pytest.approx([0, 0, 0], abs=0.02)


def test_surprise_is_that_of_one_in_fifty_at_the_98_percent_quantile():
    raw_scores = exponential()

    assert surprise(bank_from(raw_scores), np.quantile(raw_scores, 0.98)).item() == pytest.approx(
        AT_TAIL, abs=0.05
    )


def test_surprise_halfway_between_median_and_tail_is_half_of_it():
    bank = bank_from(exponential())

    assert surprise(bank, (bank.median.item() + bank.threshold.item()) / 2).item() == pytest.approx(
        AT_TAIL / 2, abs=1e-4
    )


@pytest.mark.parametrize("raw_score", [5.0, 8.0, 12.0, 20.0])
def test_in_an_exponential_tail_surprise_is_the_logarithm_of_the_true_probability(raw_score):
    # P(x > r) = exp(-r), so -log10 P = r / ln 10, also far beyond the largest raw score seen.
    assert surprise(bank_from(exponential()), raw_score).item() == pytest.approx(
        raw_score / math.log(10), rel=0.04
    )


def test_surprise_never_falls_as_the_raw_score_grows_and_ends_at_its_cap():
    bank = bank_from(np.random.default_rng(1).lognormal(size=3000))

    rising = surprise(bank, *np.linspace(0, 1000, 5001))

    assert (np.diff(rising) >= 0).all()
    assert rising[0] == 0
    assert rising[-1] == MAX_SURPRISE


def test_surprise_does_not_depend_on_the_unit_of_the_raw_score():
    raw_scores = np.random.default_rng(2).lognormal(size=3000)

    for factor in (1e-4, 1e3):
        scaled = surprise(bank_from(raw_scores * factor), *(np.array([1.0, 3.0, 9.0, 20.0]) * factor))
        np.testing.assert_allclose(scaled, surprise(bank_from(raw_scores), 1.0, 3.0, 9.0, 20.0), rtol=1e-3)


def test_a_raw_score_that_never_changes_is_no_surprise():
    for level in (0.01, 0.7, 1.0, 3.0):
        assert surprise(bank_from([level] * 500), level).item() == pytest.approx(0, abs=0.1)


def test_a_raw_score_that_is_mostly_zero_leaves_its_other_common_value_unsurprising():
    bank = bank_from([0, 0.3, 0, 0, 0.3] * 200)  # 0.3 is seen at 40 % of the steps

    assert surprise(bank, 0.3).item() <= AT_TAIL


def test_a_narrow_raw_score_is_resolved_well_enough_to_see_its_tail():
    # The root mean square of 600 normal errors (20 channels, 30 steps) is 1 +- 3 %: 1.15 is five deviations
    # away.
    raw_scores = np.random.default_rng(3).normal(1, 0.03, 5000)

    assert surprise(bank_from(raw_scores), 1.15).item() > 3


def test_a_row_that_has_learned_nothing_has_no_surprise():
    assert np.isnan(surprise(TailBank(1, 1), 0.0, 1.0, 1e9)).all()


def test_a_missing_raw_score_has_no_surprise_and_teaches_nothing():
    bank = TailBank(1, 2, memory_steps=MEMORY)
    bank.start(0, np.random.default_rng(4).lognormal(size=(500, 2)))
    before = bank.counts.copy()

    assert np.isnan(bank.surprise(ROW_0, np.array([[np.nan, 1.0]]))).tolist() == [[True, False]]
    bank.learn(ROW_0, np.array([[np.nan, 1.0]]))

    np.testing.assert_array_equal(bank.counts[0, 0], before[0, 0])
    assert bank.counts[0, 1].sum() == pytest.approx(before[0, 1].sum() + 1, rel=1e-5)


def test_a_raw_score_with_a_shorter_history_is_calibrated_from_what_there_is():
    raw_scores = np.random.default_rng(5).lognormal(size=(600, 2))
    late = raw_scores.copy()
    late[:400, 1] = np.nan
    bank = TailBank(1, 2, memory_steps=FOREVER)

    bank.start(0, late)

    alone = bank_from(raw_scores[400:, 1])
    np.testing.assert_allclose(
        bank.surprise(ROW_0, np.array([[2.0, 2.0]]))[0, 1], surprise(alone, 2.0).item(), rtol=1e-6
    )


def test_raw_scores_and_rows_are_judged_each_by_their_own_history():
    bank = TailBank(2, 2, memory_steps=FOREVER)
    raw_scores = np.random.default_rng(6).lognormal(size=(500, 1))
    bank.start(0, raw_scores * [1, 10])
    bank.start(1, raw_scores * [100, 1000])

    same = bank.surprise(np.array([0, 1]), np.array([[20.0, 200.0], [2000.0, 20000.0]]))

    assert same.min() > AT_TAIL
    np.testing.assert_allclose(same, same[0, 0], rtol=1e-3)


def test_learning_step_by_step_ends_where_calibrating_at_once_does():
    raw_scores = np.tile([1.0, 2.0, 3.0, 4.0, 9.0], 200)  # every part of it has the same median
    at_once = bank_from(raw_scores, memory_steps=300)

    by_steps = bank_from(raw_scores[:500], memory_steps=300)
    teach(by_steps, raw_scores[500:])
    by_steps.freeze(0)
    by_steps.thaw(0, keep=True)  # fits anew, whenever the next fit were due

    np.testing.assert_allclose(shares(by_steps), shares(at_once), atol=1e-6)
    np.testing.assert_allclose(
        surprise(by_steps, 4.0, 9.0, 20.0), surprise(at_once, 4.0, 9.0, 20.0), atol=1e-4
    )


def test_a_raw_scores_weight_has_fallen_to_1_over_e_after_memory_steps():
    bank = TailBank(1, 1, memory_steps=100)

    teach(bank, [1.0] + [np.nan] * 99 + [0.1])  # 100 steps later

    newer, older = bank.counts[0, 0][bank.counts[0, 0] > 0]
    assert older / newer == pytest.approx(1 / math.e, rel=1e-5)


def test_a_short_history_starts_with_the_weight_of_half_a_memory():
    bank = bank_from(np.random.default_rng(16).lognormal(size=100), memory_steps=4000)

    assert bank.counts.sum() == pytest.approx(2000, rel=1e-4)  # in units of the next raw score


def test_a_few_extreme_raw_scores_do_not_stretch_the_tail():
    raw_scores = np.random.default_rng(17).lognormal(size=500)
    bank, far = (bank_from(raw_scores, memory_steps=MEMORY, max_learned=5.0) for _ in range(2))
    at_five = far.threshold.item() + far.scale.item() * math.log(10) * (5 - AT_TAIL)  # where surprise is 5

    teach(bank, [at_five] * 10 + [1.0] * 40)
    teach(far, [1e9] * 10 + [1.0] * 40)

    np.testing.assert_array_equal(shares(far), shares(bank))


def test_weights_that_have_grown_large_are_brought_down_without_changing_their_proportions():
    raw_scores = np.where(np.arange(300) % 3 == 0, 0.1, 1.0)
    bank = TailBank(1, 1, memory_steps=10)

    teach(bank, raw_scores)

    assert bank.weight[0] < 2e6
    weights = np.exp((np.arange(300) - 300) / 10.0)
    assert shares(bank).max() == pytest.approx(weights[raw_scores == 1].sum() / weights.sum(), rel=1e-4)


def test_a_higher_level_becomes_normal_when_it_stays():
    bank = bank_from(np.random.default_rng(7).lognormal(size=1000), memory_steps=500)
    higher = 30 * np.random.default_rng(8).lognormal(size=2000)
    before = surprise(bank, 60.0).item()

    teach(bank, higher)

    assert before > 3
    assert surprise(bank, 60.0).item() < AT_TAIL


def test_the_fit_of_a_row_is_renewed_within_fifty_steps():
    bank = bank_from([1.0, 2.0, 3.0] * 20, memory_steps=20)
    before = bank.threshold.item()

    teach(bank, [0.2] * 150)  # at the last renewal, of three, five memories are past: nothing else counts

    assert bank.threshold.item() < 0.3 < before


def test_a_frozen_row_learns_but_is_judged_by_the_fit_from_before():
    bank = bank_from(np.random.default_rng(9).lognormal(size=500), memory_steps=MEMORY)
    before = snapshot(bank)

    bank.freeze(0)
    teach(bank, [40.0] * 300)

    for name in ("median", "threshold", "scale"):
        np.testing.assert_array_equal(getattr(bank, name), before[name], err_msg=name)
    assert shares(bank).max() > 0.5  # of what it has learned meanwhile, most is the new level


def test_a_frozen_row_holds_up_no_other_row():
    bank = TailBank(2, 1, memory_steps=MEMORY)
    for row in (0, 1):
        bank.start(row, np.random.default_rng(10).lognormal(size=(500, 1)))

    bank.freeze(0)
    before = bank.threshold.copy()
    for _ in range(200):
        bank.learn(np.array([0, 1]), np.array([[40.0], [40.0]]))

    assert bank.threshold[0, 0] == before[0, 0]
    assert bank.threshold[1, 0] > 1.5 * before[1, 0]


def test_thawing_without_keeping_restores_what_was_known_before():
    bank = bank_from(np.random.default_rng(11).lognormal(size=500), memory_steps=400)
    before = snapshot(bank)

    bank.freeze(0)
    teach(bank, [40.0] * 123)
    bank.thaw(0, keep=False)

    for name, array in before.items():
        np.testing.assert_array_equal(bank.state()[name], array, err_msg=name)


def test_a_young_row_learns_raw_scores_as_they_are_and_keeps_what_it_learned_in_an_episode():
    history = np.random.default_rng(11).lognormal(size=500)
    young, mature = (bank_from(history, memory_steps=4000, young_steps=steps) for steps in (4000, 500))
    assert (young.is_young(ROW_0).item(), mature.is_young(ROW_0).item()) == (True, False)

    for bank in (young, mature):
        bank.freeze(0)
        teach(bank, [1e4] * 100)
        bank.thaw(0, keep=False)

    assert surprise(young, 1e4).item() < 2
    assert surprise(mature, 1e4).item() == MAX_SURPRISE
    assert surprise(mature, 40.0).item() > surprise(young, 40.0).item()


def test_a_row_is_young_until_it_has_shown_its_young_steps():
    bank = TailBank(2, 1, young_steps=100)
    bank.n_learned[:] = [98, 99]

    bank.learn(np.array([0, 1]), np.ones((2, 1)))

    assert bank.is_young(np.array([0, 1])).tolist() == [True, False]


def test_no_threshold_lies_below_the_least_one_of_its_row():
    bank, free = TailBank(1, 1), TailBank(1, 1)
    bank.min_threshold[:] = 0.5
    for each in (bank, free):
        each.start(0, np.random.default_rng(3).uniform(0.001, 0.002, (500, 1)))

    assert free.threshold.item() < 0.003
    assert bank.threshold.item() == 0.5
    assert surprise(bank, 0.25).item() < 1 < surprise(free, 0.25).item()
    assert bank.scale.item() == pytest.approx(0.1)  # a fifth of it


def test_thawing_with_keep_adopts_what_was_learned_meanwhile():
    bank = bank_from(np.random.default_rng(12).lognormal(size=500), memory_steps=MEMORY)
    before = surprise(bank, 40.0).item()

    bank.freeze(0)
    teach(bank, [40.0] * 300)
    bank.thaw(0, keep=True)

    assert before > AT_TAIL > surprise(bank, 40.0).item()


def test_a_thawed_row_follows_again():
    bank = bank_from(np.random.default_rng(13).lognormal(size=500), memory_steps=MEMORY)
    bank.freeze(0)
    bank.thaw(0, keep=False)
    before = bank.threshold.item()

    teach(bank, [40.0] * 200)

    assert bank.threshold.item() > 1.5 * before


def test_memory_does_not_grow_with_what_is_learned():
    bank = TailBank(3, 2)
    sizes = {name: array.nbytes for name, array in snapshot(bank).items()}
    raw_scores = np.random.default_rng(14).lognormal(size=(1000, 3, 2))

    for step in raw_scores:
        bank.learn(np.arange(3), step)

    assert {name: array.nbytes for name, array in snapshot(bank).items()} == sizes
    assert sum(sizes.values()) / 3 < 2048  # bytes for one entity's two raw scores


def test_calibrating_a_row_again_forgets_its_first_history():
    raw_scores = np.random.default_rng(15).lognormal(size=500)
    bank = bank_from(1000 * raw_scores)
    bank.start(0, raw_scores[:, None])

    np.testing.assert_array_equal(shares(bank), shares(bank_from(raw_scores)))
    assert surprise(bank, 3.0).item() == surprise(bank_from(raw_scores), 3.0).item()


def test_a_row_that_is_taken_is_not_frozen_and_judges_by_the_fit_of_the_freeze():
    bank = bank_from(np.random.default_rng(16).lognormal(size=500), memory_steps=MEMORY)
    bank.freeze(0)
    teach(bank, [40.0] * 60)

    taken = bank.take(np.array([-1, 0]))

    assert taken.frozen.tolist() == [False, False]
    assert bank.is_frozen(0)
    assert surprise(taken, 5.0, row=1).item() == surprise(bank, 5.0).item()
    assert np.isnan(surprise(taken, 5.0, row=0)).all()


def test_a_frozen_row_that_is_overwritten_thaws():
    bank = bank_from(np.random.default_rng(17).lognormal(size=500), memory_steps=MEMORY)
    fresh = bank.take(np.array([0]))
    bank.freeze(0)

    bank.put(np.array([0]), fresh)

    assert not bank.is_frozen(0)
    assert bank.state()["saved.rows"].size == 0


def test_rows_that_are_kept_take_what_was_saved_at_their_freeze_along():
    bank = bank_from(np.random.default_rng(18).lognormal(size=500), memory_steps=MEMORY, n_rows=3)
    bank.put(np.array([2]), bank, np.array([0]))
    for row in (0, 2):
        bank.freeze(row)
    before = bank.counts[2].copy()
    teach(bank, [40.0] * 60, row=2)

    bank.keep_rows(np.array([2, 1]))
    bank.thaw(0, keep=False)

    assert bank.frozen.tolist() == [False, False]
    np.testing.assert_array_equal(bank.counts[0], before)
    assert bank.state()["saved.rows"].size == 0
