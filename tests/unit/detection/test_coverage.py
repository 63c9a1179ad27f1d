"""How many of the expected entities are judged. A step may end 30 s behind the newest sample."""

import numpy as np

from monitor.detection.coverage import Coverage

ALL = np.array([True, True])


def count(coverage, newest_ms, now_ms, expected=ALL):
    return coverage.count(expected, newest_ms=newest_ms, now_ms=now_ms, longest_delay_ms=30_000)


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
