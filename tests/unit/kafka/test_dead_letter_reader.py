"""Dead letters are read from the end of their topic, and shown without harm to a terminal."""

from __future__ import annotations

import pytest

from monitor.decode.record import Record
from monitor.errors import SourceError
from monitor.kafka.dead_letter import DeadLetter, dead_letter_headers
from monitor.kafka.dead_letter_reader import read_dead_letters, report
from monitor.kafka.topic_reader import Bounds, Peek


class ListReader:
    """A cluster with one topic, `dead`: the records of each partition, whose offsets begin at 100."""

    def __init__(self, *partitions):
        self._partitions = partitions

    def topics(self):
        return {"dead": tuple(range(len(self._partitions)))}

    def bounds(self, topic, partitions):
        return {number: Bounds(100, 100 + len(self._partitions[number])) for number in partitions}

    def read(self, topic, starts, bounds):
        for number, start in starts.items():
            yield Peek(number, list(self._partitions[number][start - 100 :]), 0, 0)


def torn(number, *, partition=0):
    """Give a record of the topic: a dead letter whose offset in `metrics` is its number."""
    dead_letter = DeadLetter("metrics", partition, number, 1000 + number, "invalid_json", "", b"{%d" % number)
    return Record(dead_letter.value, 5, tuple(dead_letter_headers(dead_letter, "1")))


def dead_letters():
    yield DeadLetter("n", 1, 9, -1, "wrong_schema", "", b"\x80")
    for number in (4, 2, 0, 1, 3):  # of several partitions, each in its order
        time_ms = 1_700_000_000_000 + number * 1000
        yield DeadLetter("m", 0, number, time_ms, "invalid_json", f"at {number}", b"{%d" % number)


def test_the_newest_of_each_partition_are_read():
    reader = ListReader([torn(number) for number in range(5)], [torn(7, partition=1)], [])

    read = list(read_dead_letters(reader, "dead", n_newest=2))

    assert [dead_letter.position for dead_letter in read] == ["metrics[0]@3", "metrics[0]@4", "metrics[1]@7"]


def test_a_record_of_another_program_is_shown_with_its_position_in_the_topic():
    (read,) = read_dead_letters(ListReader([], [Record(b"hello", 7)]), "dead", n_newest=5)

    assert (read.position, read.time_ms, read.reason) == ("dead[1]@?", 7, "unknown")


def test_a_topic_that_does_not_exist_is_an_error_that_says_what_to_do():
    with pytest.raises(
        SourceError, match=r"there is no topic other, which source.kafka.dead_letter_topic names: make it"
    ):
        next(read_dead_letters(ListReader([]), "other", n_newest=5))


def test_the_report_counts_by_reason_and_topic_and_shows_the_newest():
    assert list(report(dead_letters(), n_shown=2)) == [
        "6 dead letters",
        "        5  invalid_json  m",
        "        1  wrong_schema  n",
        "the newest 2:",
        "m[0]@3  2023-11-14T22:13:23.000+00:00  invalid_json  at 3",
        "    {3",
        "m[0]@4  2023-11-14T22:13:24.000+00:00  invalid_json  at 4",
        "    {4",
    ]


def test_the_report_may_be_of_a_single_reason():
    lines = list(report(dead_letters(), n_shown=5, reason="wrong_schema"))

    assert lines == [
        "1 dead letters with reason wrong_schema",
        "        1  wrong_schema  n",
        "the newest 1:",
        "n[1]@9  without a time  wrong_schema",
        "    hex 80 (1 bytes)",
    ]


def test_no_dead_letters_make_a_report_too():
    assert list(report([], n_shown=5)) == ["0 dead letters"]


def test_a_time_that_no_calendar_knows_is_shown_as_a_number():
    lines = report([DeadLetter("m", 0, 1, 10**18, "r", "", b"x")], n_shown=1)
    (line,) = [line for line in lines if "@" in line]

    assert line == "m[0]@1  time 1000000000000000000 ms  r"


def test_nothing_in_a_record_reaches_the_terminal_as_a_command():
    evil = "\x1b]0;title\x07\nnext"
    lines = list(report([DeadLetter(evil, 0, 1, 5, evil, evil, evil.encode())], n_shown=1, reason=evil))

    assert len(lines) == 5
    assert all(line.isprintable() for line in lines)
    assert r"\x1b]0;title\x07\nnext" in lines[0]
