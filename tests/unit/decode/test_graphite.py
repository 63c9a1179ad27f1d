"""Graphite's plain text, and the templates that turn parts of a path into labels."""

import pytest

from monitor.decode.graphite import Template, decode_graphite
from monitor.decode.record import Limits

TIME = 1_700_000_000
PATH = "servers.web1.memory.memory-used"


def templates(*texts):
    return [Template.parse(text) for text in texts]


def test_a_line_is_a_sample_named_by_its_path(read):
    got = read(decode_graphite, f"{PATH} 277512192 {TIME}\r\n")

    assert got.samples == [(PATH, TIME * 1000, 277512192.0)]
    assert got.rejected == {}


def test_several_lines_come_in_one_message_with_either_line_end(read):
    got = read(decode_graphite, f"a 1 {TIME}\nb 2.5e1 {TIME}\r\n\r\n  c -3 {TIME}.5  \n")

    assert got.samples == [("a", TIME * 1000, 1.0), ("b", TIME * 1000, 25.0), ("c", TIME * 1000 + 500, -3.0)]
    assert got.rejected == {}


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-Inf"])
def test_what_is_not_finite_is_a_gap(read, text):
    assert read(decode_graphite, f"a {text} {TIME}").samples == [("a", TIME * 1000, None)]


def test_minus_one_is_the_time_of_arrival(read):
    assert read(decode_graphite, "a 1 -1", time_ms=5).samples == [("a", 5, 1.0)]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("servers.{host}.**", 'memory.memory-used{host="web1"}'),
        ("servers.{host}.*.*", 'memory.memory-used{host="web1"}'),
        ("servers.{host}.{plugin}.*", 'memory-used{host="web1",plugin="memory"}'),
        ("*.{host}.**", 'servers.memory.memory-used{host="web1"}'),
        ("servers.{host}.*", PATH),  # a part too short
        ("servers.{host}.*.*.**", PATH),  # a part too long
        ("hosts.{host}.**", PATH),
    ],
)
def test_a_template_makes_labels_of_the_paths_that_it_fits(read, template, expected):
    got = read(decode_graphite, f"{PATH} 1 {TIME}", templates=templates(template))

    assert got.series == [expected]


def test_the_first_template_that_fits_counts(read):
    got = read(decode_graphite, f"a.b.c 1 {TIME}", templates=templates("x.**", "{first}.**", "{other}.**"))

    assert got.series == ['b.c{first="a"}']


@pytest.mark.parametrize("text", ["", "a.b", "{host}", "a..**", "**.a", "{host.**", "h{ost}.*", "{}.*"])
def test_a_template_that_can_be_none_is_refused(text):
    with pytest.raises(ValueError, match="expected"):
        Template.parse(text)


BAD_LINES = [
    ("a", "invalid_line"),
    ("a 1", "invalid_line"),
    (f"a 1 {TIME} more", "invalid_line"),
    (f"a high {TIME}", "invalid_line"),
    (f"a 1_0 {TIME}", "invalid_line"),
    (f"a ٣ {TIME}", "invalid_line"),
    ("a 1 noon", "bad_time"),
    ("a 1 -5", "bad_time"),
    ("a 1 nan", "bad_time"),
    ("a 1 253370764801", "bad_time"),
    ("a 1 " + "9" * 5000, "bad_time"),
    ("a" * 2**20 + f" 1 {TIME}", "label_too_long"),
    ("\x00\x01garbage", "invalid_line"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=[line[:20] for line, _ in BAD_LINES])
def test_a_bad_line_is_rejected_alone(read, line, reason):
    got = read(decode_graphite, f"good 1 {TIME}\n{line}\ngood 2 {TIME}\n")

    assert [value for _, _, value in got.samples] == [1.0, 2.0]
    assert got.rejected == {reason: 1}
    assert got.series == ["good"]


def test_a_line_that_is_no_utf_8_costs_itself_only(read):
    got = read(decode_graphite, f"a 1 {TIME}\n".encode() + b"\xff 2 3\n" + f"a 3 {TIME}\n".encode())

    assert [value for _, _, value in got.samples] == [1.0, 3.0]
    assert got.rejected == {"invalid_utf8": 1}


def test_a_payload_over_the_limit_is_refused(read):
    assert read(decode_graphite, f"a 1 {TIME}", limits=Limits(max_record_bytes=5)).rejected == {
        "too_large": 1
    }
