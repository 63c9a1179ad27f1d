"""What is written about a record that could not be read comes back, and can be shown without harm."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.kafka.dead_letter import DeadLetter, excerpt, headers_of, read_dead_letter, report, safe

LETTER = DeadLetter(
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


def back(dead_letter, headers):
    return read_dead_letter(dead_letter.value, headers, topic="dead", partition=2, time_ms=99)


def test_a_letter_says_where_it_lay_when_why_and_who_wrote_it():
    assert headers_of(LETTER, "1.2") == [
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
    assert back(LETTER, headers_of(LETTER, "1.2")) == replace(LETTER, key=None)  # its key is the record's own


def test_headers_of_ours_that_the_record_had_already_do_not_stand_for_it():
    nested = DeadLetter(
        "t",
        0,
        1,
        5,
        "too_large",
        "",
        b"x",
        None,
        (("barograph.reason", b"invalid_json"), ("barograph.offset", b"888")),
    )

    read = back(nested, headers_of(nested, "1.2"))

    assert (read.reason, read.offset) == ("too_large", 1)


def test_a_long_detail_is_cut():
    dead_letter = DeadLetter("t", 0, 1, 5, "r", "y" * 5000, b"x")

    assert dict(headers_of(dead_letter, "1"))["barograph.detail"] == b"y" * 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("barograph.topic", b"t")],
        [*headers_of(LETTER, "1"), ("barograph.offset", b"many")],
        [("other", b"1")],
    ],
)
def test_a_record_that_is_not_ours_is_told_by_its_own_place(headers):
    read = back(LETTER, headers)

    assert (read.place, read.time_ms, read.reason) == ("dead[2]@?", 99, "unknown")


# What is shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", "(empty)"),
        (b'{"a": 1', '{"a": 1'),
        ("caf\u00e9".encode(), "caf\u00e9"),
        (b"two\nlines\tof\\it", r"two\nlines\tof\\it"),
        (b"a clear screen \x1b[2J", r"a clear screen \x1b[2J"),
        ("right\u202eto left".encode(), r"right\u202eto left"),
        (b"\x00\x01\x02\x03", "hex 00010203 (4 bytes)"),
        (b"\xff\xfe", "hex fffe (2 bytes)"),
        (b"\xff" * 100, f"hex {'ff' * 80}... (100 bytes)"),
        (b"x" * 200, f"{'x' * 160}... (200 bytes)"),
        (("\u00e9" * 100).encode()[1:], f"hex {('a9' + 'c3a9' * 40)[:160]}... (199 bytes)"),
        (b"x" + ("\u00e9" * 100).encode(), "x" + "\u00e9" * 79 + "... (201 bytes)"),
    ],
    ids=str,
)
def test_an_excerpt_shows_how_a_record_begins(value, expected):
    assert excerpt(value) == expected


def test_no_byte_reaches_a_terminal_as_a_command():
    for value in range(256):
        for payload in (bytes([value]), b"text " * 5 + bytes([value])):
            assert excerpt(payload).isprintable()


def test_text_from_headers_is_escaped_too():
    assert safe("a\x1b]0;title\x07") == r"a\x1b]0;title\x07"


def dead_letters():
    yield DeadLetter("n", 1, 9, -1, "wrong_schema", "", b"\x80")
    for number in (4, 2, 0, 1, 3):  # of several partitions, one behind the other
        yield DeadLetter(
            "m", 0, number, 1_700_000_000_000 + number * 1000, "invalid_json", f"at {number}", b"{%d" % number
        )


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


def test_one_reason_may_be_asked_for():
    lines = list(report(dead_letters(), n_shown=5, reason="wrong_schema"))

    assert lines == [
        "1 dead letters with reason wrong_schema",
        "        1  wrong_schema  n",
        "the newest 1:",
        "n[1]@9  without a time  wrong_schema",
        "    hex 80 (1 bytes)",
    ]


def test_none_is_a_report_too():
    assert list(report([], n_shown=5)) == ["0 dead letters"]


def test_a_time_that_no_calendar_knows_is_shown_as_a_number():
    (line,) = [
        line for line in report([DeadLetter("m", 0, 1, 10**18, "r", "", b"x")], n_shown=1) if "@" in line
    ]

    assert line == "m[0]@1  time 1000000000000000000 ms  r"
