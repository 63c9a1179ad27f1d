"""What waits between fetching and handing out, by hand arithmetic; a record here is text, as large as it is long."""

from __future__ import annotations

import pytest

from monitor.backlog import Backlog, Pace


def backlog(**fetched):
    one = Backlog(len)
    one.put({partition: records.split() for partition, records in fetched.items()})
    return one


def take(one, *, most_records=100, most_bytes=100):
    return {partition: " ".join(records) for partition, records in one.take(most_records=most_records, most_bytes=most_bytes).items()}


def test_what_fits_is_handed_out_as_it_came():
    one = backlog(a="1 22 3", b="4")
    assert (one.n_records, one.n_bytes) == (4, 5)

    assert take(one) == {"a": "1 22 3", "b": "4"}
    assert (one.n_records, one.n_bytes) == (0, 0)
    assert take(one) == {}


def test_it_is_cut_by_records():
    one = backlog(a="1 2 3", b="4 5")

    assert [take(one, most_records=2) for _ in range(3)] == [{"a": "1 2"}, {"a": "3", "b": "4"}, {"b": "5"}]


def test_it_is_cut_by_bytes():
    one = backlog(a="11 22 3", b="44 5")

    assert [take(one, most_bytes=4) for _ in range(2)] == [{"a": "11 22"}, {"a": "3", "b": "44 5"}]


def test_a_record_that_is_too_large_comes_alone():
    one = backlog(a="1 22222 3", b="44444")

    assert [take(one, most_bytes=3) for _ in range(4)] == [{"a": "1"}, {"a": "22222"}, {"a": "3"}, {"b": "44444"}]


def test_what_is_fetched_later_comes_behind():
    one = backlog(a="1 2", b="3")
    one.put({"a": ["4"], "c": []})

    assert [take(one, most_records=3) for _ in range(2)] == [{"a": "1 2", "b": "3"}, {"a": "4"}]


def test_what_somebody_else_reads_is_dropped():
    one = backlog(a="1 2", b="33")
    one.put({"a": ["4"]})

    one.drop(["a", "z"])

    assert (one.n_records, one.n_bytes) == (1, 2)
    assert (one.holds("a"), one.holds("b")) == (False, True)
    assert take(one) == {"b": "33"}


def test_all_may_be_dropped():
    one = backlog(a="1", b="2")

    one.clear()

    assert (one.n_records, one.n_bytes, take(one)) == (0, 0, {})


# How many come at once


def pace(**limits):
    return Pace(**{"most_records": 5000, "most_samples": 10**9, **limits})


def test_a_batch_that_took_long_makes_the_next_ones_smaller_by_as_much():
    one = pace()

    one.took(5000, 5000, 4.0)

    assert one.n_records == 1250


def test_full_batches_that_take_little_make_it_grow_again():
    one = pace()
    one.took(5000, 5000, 10.0)

    one.took(500, 500, 0.3)
    assert one.n_records == 1000
    one.took(200, 200, 0.1)  # there was no more: it says nothing of a thousand
    assert one.n_records == 1000
    one.took(1000, 1000, 0.7)  # it is about right
    assert one.n_records == 1000
    for _ in range(5):
        one.took(one.n_records, 1, 0.1)
    assert one.n_records == 5000


def test_what_a_step_costs_by_itself_does_not_end_in_one_record_a_step():
    one = pace()

    one.took(3, 3, 60.0)

    assert one.n_records == 100


def test_an_empty_batch_says_nothing():
    one = pace()

    one.took(0, 0, 60.0)

    assert one.n_records == 5000


def test_records_that_hold_much_come_in_smaller_number():
    one = pace(most_samples=10_000)

    one.took(5000, 50_000, 0.5)
    assert one.n_records == 1000
    one.took(1000, 40_000_000, 0.9)
    assert one.n_records == 1
    one.took(1, 4, 0.1)
    assert one.n_records == 2500


@pytest.mark.parametrize("seconds", [0.01, 0.2, 3.0])
def test_the_settings_own_limit_always_holds(seconds):
    one = pace(most_records=20)

    for _ in range(10):
        one.took(20, 20, seconds)
        assert one.n_records == 20
