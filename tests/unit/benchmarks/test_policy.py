"""Raw scores of any contender become episodes by the product's own calibration, limit and episodes."""

import numpy as np

from benchmarks.card.policy import judge_raw
from benchmarks.card.product import settings_of

SETTINGS = settings_of(300)
N_CALIBRATION = 1000


def noise(n_steps=3000, n_rows=3, seed=0):
    return np.random.default_rng(seed).gamma(4.0, 0.25, (n_steps, n_rows))


def test_independent_noise_spends_no_more_than_the_budget():
    verdicts = judge_raw(noise(), N_CALIBRATION, SETTINGS)

    n_weeks = 3 * 2000 * 300 / 604800
    assert sum(map(len, verdicts.episodes)) <= 3 * n_weeks


def test_a_gross_raw_score_opens_an_episode_at_its_row_and_ends_with_it():
    raw = noise()
    raw[2000:2010, 1] = 50.0

    verdicts = judge_raw(raw, N_CALIBRATION, SETTINGS)

    found = [episode for episode in verdicts.episodes[1] if episode.start <= 2000 < episode.end]
    assert [episode.start for episode in found] == [2000]
    n_close = round(SETTINGS.alert.close_seconds / SETTINGS.step_seconds)
    assert 2010 <= found[0].end <= 2010 + n_close + 4
    assert (verdicts.scores[2000:2010, 1] >= 1).all()


def test_what_comes_later_changes_nothing():
    raw = noise()
    other = raw.copy()
    other[2500:] *= 7

    first, second = judge_raw(raw, N_CALIBRATION, SETTINGS), judge_raw(other, N_CALIBRATION, SETTINGS)

    assert np.array_equal(first.scores[:2500], second.scores[:2500])
    assert not np.array_equal(first.scores, second.scores)


def test_rows_of_the_calibration_and_missing_ones_are_not_judged():
    raw = noise()
    raw[1500:1520, 0] = np.nan

    scores = judge_raw(raw, N_CALIBRATION, SETTINGS).scores

    assert (scores[:N_CALIBRATION] == 0).all()
    assert (scores[1500:1520, 0] == 0).all()
    assert (scores[1500:1520, 1] > 0).any()


def test_an_entity_without_calibration_rows_is_judged_once_it_has_shown_enough():
    raw = noise()
    raw[: N_CALIBRATION + 50, 2] = np.nan

    scores = judge_raw(raw, N_CALIBRATION, SETTINGS).scores[:, 2]

    assert (scores[: N_CALIBRATION + 150] == 0).all()
    assert (scores[N_CALIBRATION + 300 :] > 0).any()


def test_an_episode_that_is_open_at_the_end_reaches_to_the_end():
    raw = noise()
    raw[2990:, 0] = 50.0

    assert judge_raw(raw, N_CALIBRATION, SETTINGS).episodes[0][-1].end == 3000


def test_with_one_channel_a_rare_height_is_learned_and_with_several_it_is_not():
    raw = noise()
    raw[1500:3000:60, 0] = 2.5

    alone, of_several = (judge_raw(raw, N_CALIBRATION, SETTINGS, n_channels=n).scores for n in (1, 5))

    assert alone[2940, 0] < of_several[2940, 0]


def test_a_height_that_comes_more_often_than_the_budget_allows_raises_its_own_limit():
    raw = noise()
    raw[1500:3000:100, 0] = 4.0

    verdicts = judge_raw(raw, N_CALIBRATION, SETTINGS, n_channels=5)

    assert len(verdicts.episodes[0]) < 15  # of as many
    assert verdicts.scores[2900, 0] < verdicts.scores[1500, 0]
