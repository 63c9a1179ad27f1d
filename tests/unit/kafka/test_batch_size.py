"""How many records make a batch, by hand arithmetic."""

from __future__ import annotations

import pytest

from monitor.kafka.batch_size import BatchSizer


def batch_sizer(**limits):
    """Give the sizer after quick batches have made it as large as allowed."""
    sizer = BatchSizer(**{"most_records": 5000, "most_samples": 10**9, **limits})
    for _ in range(5):
        sizer.record(sizer.n_records, sizer.n_records, 0.1)
    return sizer


def test_it_begins_with_few_and_grows_while_they_are_quick():
    sizer, sizes = BatchSizer(most_records=5000, most_samples=10**9), []

    for _ in range(7):
        sizes.append(sizer.n_records)
        sizer.record(sizer.n_records, 1, 0.1)

    assert sizes == [200, 400, 800, 1600, 3200, 5000, 5000]


def test_a_batch_that_took_long_makes_the_next_ones_smaller_by_as_much():
    sizer = batch_sizer()

    sizer.record(5000, 5000, 4.0)

    assert sizer.n_records == 1250


def test_full_batches_that_take_little_make_it_grow_again():
    sizer = batch_sizer()
    sizer.record(5000, 5000, 10.0)

    sizer.record(500, 500, 0.3)
    assert sizer.n_records == 1000
    sizer.record(200, 200, 0.1)  # there was no more: it says nothing of a thousand
    assert sizer.n_records == 1000
    sizer.record(1000, 1000, 0.7)  # it is about right
    assert sizer.n_records == 1000
    for _ in range(5):
        sizer.record(sizer.n_records, 1, 0.1)
    assert sizer.n_records == 5000


def test_what_a_step_costs_by_itself_does_not_end_in_one_record_a_step():
    sizer = batch_sizer()

    sizer.record(3, 3, 60.0)

    assert sizer.n_records == 100


def test_an_empty_batch_says_nothing():
    sizer = batch_sizer()

    sizer.record(0, 0, 60.0)

    assert sizer.n_records == 5000


def test_records_that_hold_much_come_in_smaller_number():
    sizer = batch_sizer(most_samples=10_000)

    sizer.record(5000, 50_000, 0.5)
    assert sizer.n_records == 1000
    sizer.record(1000, 40_000_000, 0.9)
    assert sizer.n_records == 1
    sizer.record(1, 4, 0.1)
    assert sizer.n_records == 2500


@pytest.mark.parametrize("seconds", [0.01, 0.2, 3.0])
def test_the_settings_own_limit_always_holds(seconds):
    sizer = batch_sizer(most_records=20)

    for _ in range(10):
        sizer.record(20, 20, seconds)
        assert sizer.n_records == 20


def test_a_batch_takes_from_being_handed_out_until_the_next_is_asked_for():
    sizer = batch_sizer()

    sizer.hand_out(5000, 5000, 10.0)
    sizer.request(14.0)

    assert sizer.n_records == 1250
