"""What waits between fetching and handing out, by hand arithmetic; a record here is a word."""

from __future__ import annotations

import fake_kafka

from monitor.kafka.backlog import Backlog
from monitor.kafka.client import Partition

A, B, C = (Partition("m", number) for number in range(3))


def fetched(words, **options):
    """Give records as a poll brings them; each is its own key."""
    return fake_kafka.fetched([word.encode() for word in words.split()], **options)


def backlog(**words):
    made = Backlog()
    made.put({{"a": A, "b": B, "c": C}[name]: fetched(text) for name, text in words.items()})
    return made


def take(waiting, *, most_records=100, most_bytes=100):
    pieces = waiting.take(most_records=most_records, most_bytes=most_bytes)
    return [
        ("abc"[partition.number], b" ".join(record.value for record in some.records).decode())
        for partition, some in pieces
    ]


def test_what_fits_is_handed_out_as_it_came():
    waiting = backlog(a="1 22 3", b="4")
    assert (waiting.n_records, waiting.n_bytes, bool(waiting)) == (4, 5, True)

    assert take(waiting) == [("a", "1 22 3"), ("b", "4")]
    assert (waiting.n_records, waiting.n_bytes, bool(waiting)) == (0, 0, False)
    assert take(waiting) == []


def test_it_is_cut_by_records():
    waiting = backlog(a="1 2 3", b="4 5")

    assert [take(waiting, most_records=2) for _ in range(3)] == [
        [("a", "1 2")],
        [("a", "3"), ("b", "4")],
        [("b", "5")],
    ]


def test_it_is_cut_by_bytes():
    waiting = backlog(a="11 22 3", b="44 5")

    assert [take(waiting, most_bytes=4) for _ in range(2)] == [[("a", "11 22")], [("a", "3"), ("b", "44 5")]]


def test_a_record_that_is_too_large_comes_alone():
    waiting = backlog(a="1 22222 3", b="44444")

    assert [take(waiting, most_bytes=3) for _ in range(4)] == [
        [("a", "1")],
        [("a", "22222")],
        [("a", "3")],
        [("b", "44444")],
    ]


def test_what_is_fetched_later_comes_behind():
    waiting = backlog(a="1 2", b="3")
    waiting.put({A: fetched("4", first=2)})

    assert [take(waiting, most_records=3) for _ in range(2)] == [[("a", "1 2"), ("b", "3")], [("a", "4")]]


def test_pieces_say_which_offsets_they_are_of_and_know_their_keys():
    waiting = Backlog()
    waiting.put({A: fetched("x y z", first=10, step=5, n_empty=2)})

    ((_, first),) = waiting.take(most_records=2, most_bytes=100)
    ((_, second),) = waiting.take(most_records=2, most_bytes=100)

    assert (first.first_offset, first.next_offset, list(first.offsets), first.n_empty) == (
        10,
        20,
        [10, 15],
        2,
    )
    assert (second.first_offset, second.next_offset, list(second.offsets), second.n_empty) == (
        20,
        27,
        [20],
        0,
    )
    assert (first.key_of(1), second.key_of(0)) == (b"y", b"z")


def test_records_without_a_value_take_no_room():
    waiting = Backlog()
    waiting.put({A: fetched("", n_empty=7), B: fetched("1")})

    assert [some.n_empty for _, some in waiting.take(most_records=1, most_bytes=1)] == [7, 0]


def test_what_somebody_else_reads_is_dropped():
    waiting = backlog(a="1 2", b="33")
    waiting.put({A: fetched("4", first=2)})

    waiting.drop([A, C])

    assert (waiting.n_records, waiting.n_bytes) == (1, 2)
    assert (waiting.holds(A), waiting.holds(B)) == (False, True)
    assert take(waiting) == [("b", "33")]


def test_all_may_be_dropped():
    waiting = backlog(a="1", b="2")

    waiting.clear()

    assert (waiting.n_records, waiting.n_bytes, take(waiting)) == (0, 0, [])
