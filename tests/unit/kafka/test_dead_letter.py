"""What is written about a record that could not be read is read back as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.kafka.dead_letter import DeadLetter, dead_letter_headers, read_dead_letter

TORN = DeadLetter(
    "metrics",
    3,
    17,
    1_700_000_000_123,
    "invalid_json",
    "line 1: unexpected end",
    b"{torn",
    b"web1",
    (("trace", b"7"),),
)


def read_back(dead_letter, headers):
    return read_dead_letter(dead_letter.value, headers, topic="dead", partition=2, time_ms=99)


def test_the_headers_say_where_the_record_was_when_why_and_who_wrote_them():
    assert dead_letter_headers(TORN, "1.2") == [
        ("trace", b"7"),
        ("barograph.topic", b"metrics"),
        ("barograph.partition", b"3"),
        ("barograph.offset", b"17"),
        ("barograph.timestamp", b"1700000000123"),
        ("barograph.reason", b"invalid_json"),
        ("barograph.detail", b"line 1: unexpected end"),
        ("barograph.version", b"1.2"),
    ]


def test_it_is_read_back_as_it_was():
    assert read_back(TORN, dead_letter_headers(TORN, "1.2")) == replace(
        TORN, key=None
    )  # its key is the record's own


def test_headers_of_this_program_that_the_record_had_already_do_not_replace_the_new_ones():
    old_headers = (("barograph.reason", b"invalid_json"), ("barograph.offset", b"888"))
    nested = DeadLetter("t", 0, 1, 5, "too_large", "", b"x", None, old_headers)

    read = read_back(nested, dead_letter_headers(nested, "1.2"))

    assert (read.reason, read.offset) == ("too_large", 1)


def test_a_long_detail_is_cut():
    dead_letter = DeadLetter("t", 0, 1, 5, "r", "y" * 5000, b"x")

    assert dict(dead_letter_headers(dead_letter, "1"))["barograph.detail"] == b"y" * 200


def test_its_size_is_that_of_value_key_and_headers():
    assert TORN.n_bytes == len(b"{torn") + len(b"web1") + len("trace") + len(b"7")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("barograph.topic", b"t")],
        [*dead_letter_headers(TORN, "1"), ("barograph.offset", b"many")],
        [("other", b"1")],
    ],
)
def test_a_record_of_another_program_keeps_its_own_position(headers):
    read = read_back(TORN, headers)

    assert (read.position, read.time_ms, read.reason) == ("dead[2]@?", 99, "unknown")
