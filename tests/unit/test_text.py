"""Text from outside is shown so that it can do no harm and can still be read."""

import pytest

from monitor.text import escape_quotes, excerpt, first_of, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("caf\u00e9 \u4e2d", "caf\u00e9 \u4e2d"),
        ("a\x1b]0;title\x07", r"a\x1b]0;title\x07"),
        ("two\nlines", r"two\nlines"),
        ("right\u202eto left", r"right\u202eto left"),
        ("a lone \ud800 surrogate", r"a lone \ud800 surrogate"),
        ('path="C:\\\\temp"', 'path="C:\\\\temp"'),
    ],
)
def test_what_cannot_be_seen_is_written_as_an_escape(text, expected):
    assert printable(text) == expected


def test_a_reversible_escape_differs_from_the_same_characters_in_the_text():
    assert printable("\n", reversible=True) == r"\n"
    assert printable(r"\n", reversible=True) == r"\\n"


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


def test_between_quotes_backslashes_and_quotes_are_escaped_and_nothing_else():
    assert escape_quotes('say "a\\b",\n') == 'say \\"a\\\\b\\",\n'


@pytest.mark.parametrize(
    ("texts", "shown"),
    [([], ""), (["a"], "a"), (["a", "b"], "a, b"), (["a", "b", "c", "d"], "a, b and 2 more")],
)
def test_of_a_long_list_the_first_are_shown_and_how_many_more_there_are(texts, shown):
    assert first_of(texts, 2) == shown
