"""What waits between fetching and handing out, by hand arithmetic; a record here is a word, as large as it is long."""

from __future__ import annotations

import pytest

from monitor.decode.record import Record
from monitor.kafka.backlog import Backlog
from monitor.kafka.batch_size import BatchSizer
from monitor.kafka.client import Fetched, Partition

A, B, C = (Partition("m", number) for number in range(3))


def fetched(words, *, first=0, n_empty=0, step=1):
    """Give records as a poll brings them; each is its own key."""
    values = [word.encode() for word in words.split()]
    offsets = [first + step * at for at in range(len(values))]
    behind = first + step * len(values) + n_empty
    return Fetched([Record(value) for value in values], offsets, n_empty, first, behind, values.__getitem__)


def backlog(**words):
    one = Backlog()
    one.put({{"a": A, "b": B, "c": C}[name]: fetched(text) for name, text in words.items()})
    return one


def take(one, *, most_records=100, most_bytes=100):
    taken = one.take(most_records=most_records, most_bytes=most_bytes)
    return [("abc"[partition.number], b" ".join(record.value for record in some.records).decode()) for partition, some in taken]


def test_what_fits_is_handed_out_as_it_came():
    one = backlog(a="1 22 3", b="4")
    assert (one.n_records, one.n_bytes, bool(one)) == (4, 5, True)

    assert take(one) == [("a", "1 22 3"), ("b", "4")]
    assert (one.n_records, one.n_bytes, bool(one)) == (0, 0, False)
    assert take(one) == []


def test_it_is_cut_by_records():
    one = backlog(a="1 2 3", b="4 5")

    assert [take(one, most_records=2) for _ in range(3)] == [[("a", "1 2")], [("a", "3"), ("b", "4")], [("b", "5")]]


def test_it_is_cut_by_bytes():
    one = backlog(a="11 22 3", b="44 5")

    assert [take(one, most_bytes=4) for _ in range(2)] == [[("a", "11 22")], [("a", "3"), ("b", "44 5")]]


def test_a_record_that_is_too_large_comes_alone():
    one = backlog(a="1 22222 3", b="44444")

    assert [take(one, most_bytes=3) for _ in range(4)] == [[("a", "1")], [("a", "22222")], [("a", "3")], [("b", "44444")]]


def test_what_is_fetched_later_comes_behind():
    one = backlog(a="1 2", b="3")
    one.put({A: fetched("4", first=2)})

    assert [take(one, most_records=3) for _ in range(2)] == [[("a", "1 2"), ("b", "3")], [("a", "4")]]


def test_pieces_say_which_offsets_they_are_of_and_know_their_keys():
    one = Backlog()
    one.put({A: fetched("x y z", first=10, step=5, n_empty=2)})

    ((_, first),) = one.take(most_records=2, most_bytes=100)
    ((_, second),) = one.take(most_records=2, most_bytes=100)

    assert (first.first_offset, first.next_offset, list(first.offsets), first.n_empty) == (10, 20, [10, 15], 2)
    assert (second.first_offset, second.next_offset, list(second.offsets), second.n_empty) == (20, 27, [20], 0)
    assert (first.key_of(1), second.key_of(0)) == (b"y", b"z")


def test_records_without_a_value_take_no_room():
    one = Backlog()
    one.put({A: fetched("", n_empty=7), B: fetched("1")})

    assert [some.n_empty for _, some in one.take(most_records=1, most_bytes=1)] == [7, 0]


def test_what_somebody_else_reads_is_dropped():
    one = backlog(a="1 2", b="33")
    one.put({A: fetched("4", first=2)})

    one.drop([A, C])

    assert (one.n_records, one.n_bytes) == (1, 2)
    assert (one.holds(A), one.holds(B)) == (False, True)
    assert take(one) == [("b", "33")]


def test_all_may_be_dropped():
    one = backlog(a="1", b="2")

    one.clear()

    assert (one.n_records, one.n_bytes, take(one)) == (0, 0, [])


# How many come at once


def batch_sizer(**limits):
    """Give the pace once quick batches have made it as large as it may be."""
    one = BatchSizer(**{"most_records": 5000, "most_samples": 10**9, **limits})
    for _ in range(5):
        one.record(one.n_records, one.n_records, 0.1)
    return one


def test_it_begins_with_few_and_grows_while_they_are_quick():
    one, sizes = BatchSizer(most_records=5000, most_samples=10**9), []

    for _ in range(7):
        sizes.append(one.n_records)
        one.record(one.n_records, 1, 0.1)

    assert sizes == [200, 400, 800, 1600, 3200, 5000, 5000]


def test_a_batch_that_took_long_makes_the_next_ones_smaller_by_as_much():
    one = batch_sizer()

    one.record(5000, 5000, 4.0)

    assert one.n_records == 1250


def test_full_batches_that_take_little_make_it_grow_again():
    one = batch_sizer()
    one.record(5000, 5000, 10.0)

    one.record(500, 500, 0.3)
    assert one.n_records == 1000
    one.record(200, 200, 0.1)  # there was no more: it says nothing of a thousand
    assert one.n_records == 1000
    one.record(1000, 1000, 0.7)  # it is about right
    assert one.n_records == 1000
    for _ in range(5):
        one.record(one.n_records, 1, 0.1)
    assert one.n_records == 5000


def test_what_a_step_costs_by_itself_does_not_end_in_one_record_a_step():
    one = batch_sizer()

    one.record(3, 3, 60.0)

    assert one.n_records == 100


def test_an_empty_batch_says_nothing():
    one = batch_sizer()

    one.record(0, 0, 60.0)

    assert one.n_records == 5000


def test_records_that_hold_much_come_in_smaller_number():
    one = batch_sizer(most_samples=10_000)

    one.record(5000, 50_000, 0.5)
    assert one.n_records == 1000
    one.record(1000, 40_000_000, 0.9)
    assert one.n_records == 1
    one.record(1, 4, 0.1)
    assert one.n_records == 2500


@pytest.mark.parametrize("seconds", [0.01, 0.2, 3.0])
def test_the_settings_own_limit_always_holds(seconds):
    one = batch_sizer(most_records=20)

    for _ in range(10):
        one.record(20, 20, seconds)
        assert one.n_records == 20
