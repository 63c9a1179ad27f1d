"""Each row has a limit by its own peaks, and the budget is shared by a number that stays the same."""

import numpy as np
import pytest

from models.limits import Budget, PeakHistogram, limit_for_budget
from models.own_limits import OwnLimits

BUDGET = Budget.parse("1/day")


def known():
    peaks = PeakHistogram(600.0)
    peaks.start(np.linspace(1.0, 3.0, 50))
    return peaks


def alone(n_entities, *more):
    peaks = known()
    for each in more:
        peaks.add(np.array([each]))
    return limit_for_budget(peaks, BUDGET, n_entities=n_entities).value


def test_a_row_without_peaks_of_its_own_has_the_limit_of_the_start():
    limits = OwnLimits(known(), BUDGET, n_entities=5, n_rows=2)
    limits.grow(3)

    assert limits.values.tolist() == [alone(5)] * 3


def test_what_a_row_shows_changes_its_own_limit_only():
    limits = OwnLimits(known(), BUDGET, n_entities=5, n_rows=3)

    for peak in (9.0, 8.0, 7.5):
        limits.add(np.array([0, 2]), np.array([peak, 1.0]))

    assert limits.values[0] == alone(5, 9.0, 8.0, 7.5)
    assert limits.values[1] == alone(5)
    assert limits.values[2] == alone(5, 1.0, 1.0, 1.0)
    assert len(set(limits.values)) == 3


def test_a_calibration_counts_as_that_of_the_row_alone():
    of_calibration = np.linspace(4.0, 6.0, 10)
    peaks = known()
    peaks.start(of_calibration)
    limits = OwnLimits(known(), BUDGET, n_entities=1, n_rows=2)

    limits.start(1, of_calibration)

    assert limits.values[1] == limit_for_budget(peaks, BUDGET, n_entities=1).value
    assert limits.values[0] == alone(1) < limits.values[1]


def test_the_peaks_of_the_start_are_left_as_they_are():
    peaks = known()
    before = peaks.counts.copy()

    OwnLimits(peaks, BUDGET, n_entities=1, n_rows=1).add(np.array([0]), np.array([9.0]))

    assert peaks.counts == pytest.approx(before)
