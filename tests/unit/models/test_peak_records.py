import numpy as np
import pytest

from models.peak_records import PeakRecords

ROWS = np.array([0, 1])
FREE, IN_EPISODE = np.ones(2, bool), np.zeros(2, bool)


def recorded(peaks, *, n_judged=1000):
    """Two rows that have judged so many steps; the first has shown these peaks live."""
    records = PeakRecords(2)
    records.n_judged[:] = n_judged
    for peak in peaks:
        records.add(np.array([0]), np.array([float(peak)]))
    return records


@pytest.mark.parametrize(
    ("peaks", "floor"),
    [
        ([], 0),
        ([9, 8, 7], 0),  # three are free
        ([9, 8, 7, 6], 0),  # and one is what the budget allows in 1000 steps
        ([9, 8, 7, 6, 5], 5),
        ([5, 9, 6, 8, 7, 4, 3, 2, 1], 5),  # the order does not matter
        ([9, 9, 9, 9, 9, 9, 9, 9, 1], 6),  # what is gross is always told
    ],
)
def test_the_floor_is_the_highest_peak_shown_more_often_than_the_budget_and_three_allow(peaks, floor):
    first, second = recorded(peaks).floor(1 / 1000)

    assert first == pytest.approx(floor, rel=0.15)
    assert first >= floor  # what comes again is never quite the same
    assert second == 0  # the other row has shown none


def test_a_larger_budget_lowers_the_floor():
    records = recorded([9, 8, 7, 6, 5, 4])

    assert records.floor(1 / 1000)[0] > records.floor(2 / 1000)[0] > records.floor(3 / 1000)[0] == 0


def test_what_was_shown_longer_ago_than_four_peaks_of_the_budget_counts_no_more():
    records = recorded([9, 8, 7, 6, 5, 4, 3, 2])
    before = records.floor(1 / 100)[0]

    records.n_judged[:] += 401

    assert before > 0
    assert records.floor(1 / 100)[0] == 0


def test_the_history_that_was_learned_as_normal_has_one_free_peak():
    records = PeakRecords(2)
    records.start(0, np.array([3.0, 9.0, 5.0]), 1000)

    assert records.floor(1 / 1000)[0] == pytest.approx(3, rel=0.15)  # one free, one allowed
    assert records.floor(1 / 2000)[0] == pytest.approx(5, rel=0.15)  # one free, none allowed


def test_a_row_that_is_started_again_forgets_the_peaks_of_its_first_history():
    records = PeakRecords(1)
    records.start(0, np.full(8, 9.0), 1000)
    records.start(0, np.array([2.0]), 100)

    assert records.n_calibrated_over(np.array([1.0])) == 1
    assert records.n_calibrated.tolist() == [100]


def test_peaks_of_calibration_that_reach_the_limit_of_their_row_are_counted():
    records = PeakRecords(2)
    records.start(0, np.array([1.0, 4.0, 5.0]), 1000)
    records.start(1, np.arange(1.0, 21.0), 1000)

    assert records.n_calibrated_over(np.array([4.0, 15.5])) == 2 + 5
    assert records.n_calibrated_over(np.zeros(2)) == 3 + 8  # eight of a row at most


def test_an_episode_is_one_peak_and_is_recorded_when_it_has_ended():
    records = PeakRecords(2)
    for surprise in ([4.0, 2.0], [7.0, np.nan], [5.0, 3.0]):
        records.count(ROWS, np.array(surprise), IN_EPISODE)
    assert not records.highest.any()

    records.count(ROWS, np.array([1.0, 1.0]), FREE)
    records.count(ROWS, np.array([1.0, 1.0]), FREE)

    assert np.sort(records.highest, axis=1)[:, -2:].tolist() == [[0, 7], [0, 3]]
    assert records.n_judged.tolist() == [5, 5]


def test_an_accepted_peak_counts_as_shown_too_often_up_to_what_is_gross():
    records = recorded([])
    records.count(ROWS, np.array([5.0, 9.0]), IN_EPISODE)
    records.accept(0)
    records.accept(1)

    assert records.floor(0.001).tolist() == pytest.approx([1.05 * 5, 1.05 * 6])
    records.count(ROWS, np.array([1.0, 1.0]), FREE)
    assert records.of_episode.tolist() == [0.0, 0.0]
