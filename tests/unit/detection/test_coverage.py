"""How many of the expected entities are judged. A step is 10 s, and may end 30 s behind the newest sample."""

import numpy as np

from monitor.detection.coverage import Coverage

ALL = np.array([True, True])


def count(coverage, newest_ms, now_ms, expected=ALL, filling_ms=(), **options):
    coverage.update(
        expected,
        filling_ms=np.array(filling_ms, np.int64),
        newest_ms=newest_ms,
        now_ms=now_ms,
        longest_delay_ms=30_000,
        step_ms=10_000,
        **options,
    )
    return coverage.n_judged


def test_all_expected_entities_count_until_a_step_can_have_closed():
    coverage = Coverage()

    assert count(coverage, None, 100_000) == 2
    assert count(coverage, None, 129_999) == 2
    assert count(coverage, None, 130_000) == 0


def test_an_entity_counts_while_its_newest_judged_step_is_fresh():
    coverage = Coverage()
    count(coverage, None, 0)
    coverage.take(60_000, np.array([True, False]))

    assert count(coverage, 90_000, 90_000) == 1
    assert count(coverage, 90_000, 90_001) == 0  # no sample has come since


def test_a_source_that_trails_the_clock_loses_nothing():
    coverage = Coverage()
    count(coverage, None, 0)
    coverage.take(60_000, ALL)

    assert count(coverage, 90_000, 5_000_000) == 2


def test_an_entity_that_no_step_has_shown_does_not_count():
    coverage = Coverage()
    count(coverage, None, 0)
    coverage.take(60_000, np.array([True]))

    assert count(coverage, 60_000, 60_000) == 1


def test_entities_that_are_not_expected_do_not_count():
    coverage = Coverage()
    count(coverage, None, 0)
    coverage.take(60_000, ALL)

    assert count(coverage, 60_000, 60_000, expected=np.array([False, True])) == 1


def test_the_rows_that_are_left_keep_their_times():
    coverage = Coverage()
    count(coverage, None, 0)
    coverage.take(60_000, np.array([False, True]))
    coverage.keep_rows(np.array([1]))

    assert count(coverage, 60_000, 60_000, expected=np.array([True])) == 1


def test_who_is_missing_is_known_since_its_newest_judged_step_and_the_longest_missing_comes_first():
    three = np.array([True, True, True])
    coverage = Coverage()
    count(coverage, None, 5_000, three)
    coverage.take(70_000, np.array([True, True, False]))
    coverage.take(80_000, np.array([True, False, False]))

    assert count(coverage, 105_000, 105_000, three) == 1
    view = coverage.view()
    assert view.missing.tolist() == [False, True, True]
    assert view.since_ms.tolist() == [80_000, 70_000, 5_000]  # the last one never was: since the beginning
    assert view.longest_missing(10).tolist() == [2, 1]
    assert view.longest_missing(1).tolist() == [2]


def test_behind_the_end_of_a_source_all_expected_entities_are_missing():
    coverage = Coverage()
    count(coverage, None, 0)
    coverage.take(60_000, ALL)

    assert count(coverage, 60_000, 60_000, np.array([True, False]), finished=True) == 0
    assert coverage.view().missing.tolist() == [True, False]


def test_the_rows_that_are_left_are_still_missing_before_the_next_update():
    coverage = Coverage()
    count(coverage, None, 0)
    coverage.take(60_000, np.array([True, False]))
    count(coverage, 60_000, 60_000)

    coverage.keep_rows(np.array([1]))

    assert (coverage.view().missing.tolist(), coverage.view().since_ms.tolist()) == ([True], [0])


def test_since_when_survives_a_restart_and_a_state_without_it_is_taken_too():
    coverage, resumed, older = Coverage(), Coverage(), Coverage()
    count(coverage, None, 0)
    coverage.take(60_000, np.array([True, False]))

    resumed.load_state(coverage.state())
    older.load_state({})
    for behind_a_restart in (resumed, older):
        count(behind_a_restart, 60_000, 100_000)
        count(behind_a_restart, 60_000, 130_001)

    assert resumed.view().since_ms.tolist() == [60_000, 100_000]
    assert older.view().since_ms.tolist() == [100_000, 100_000]


def test_an_entity_that_is_just_expected_is_not_missing_before_it_can_have_been_judged():
    coverage = Coverage()
    count(coverage, None, 0, np.array([True]))
    coverage.take(60_000, np.array([True]))
    grown = np.array([True, True])

    assert count(coverage, 60_000, 60_000, grown) == 2  # the second has just shown enough
    coverage.take(89_000, np.array([True, False]))
    assert count(coverage, 99_999, 99_999, grown) == 2
    assert count(coverage, 100_000, 100_000, grown) == 1
    assert coverage.view().since_ms.tolist() == [89_000, 60_000]


def test_an_entity_whose_first_window_fills_is_missing_only_once_its_steps_end():
    coverage = Coverage()
    count(coverage, None, 0)

    assert count(coverage, 60_000, 60_000, filling_ms=[50_000]) == 1  # the second has shown nothing
    assert count(coverage, 80_000, 80_000, filling_ms=[50_000, 0]) == 1
    assert count(coverage, 80_001, 80_001, filling_ms=[50_000, 0]) == 0
    assert coverage.view().since_ms.tolist() == [0, 0]  # neither was ever judged


def test_an_entity_that_was_judged_is_missing_however_it_fills_a_window_again():
    coverage = Coverage()
    count(coverage, None, 0)
    coverage.take(60_000, ALL)

    assert count(coverage, 200_000, 200_000, filling_ms=[200_000, 200_000]) == 0
