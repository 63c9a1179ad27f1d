"""What is told of files of payloads: places, counts, lines of JSON."""

from __future__ import annotations

import json

import pytest

from monitor.decode.formats import FormatSettings
from monitor.decode.record import Record
from monitor.decode.topic_decoders import TopicDecoders
from monitor.files.captures import Captured
from monitor.files.decode_captures import DecodeOutcome, decode_captured, json_lines, report
from monitor.sample import STALE_NAN, Columns, SeriesTable, labels_of
from monitor.testing import samples


def sent(topic, *payloads):
    return [
        Captured(topic, Record(payload), f"{topic}[0]@{offset}") for offset, payload in enumerate(payloads)
    ]


@pytest.fixture
def decoders():
    return TopicDecoders(FormatSettings(), {"lines": "graphite"}, "influx")


def test_each_topic_is_read_in_its_format_and_places_are_kept(decoders):
    table = SeriesTable()
    captured = [
        *sent("lines", b"load 1 1700000000\n", b"x", b"load 2 1700000001"),
        *sent("other", b"load v=3 1700000000000000000", b"y"),
    ]

    outcome = decode_captured(captured, decoders.of, table)

    assert outcome.columns.value.tolist() == [1.0, 2.0, 3.0]
    assert [(place, rejection.reason) for place, rejection in outcome.rejections] == [
        ("lines[0]@1", "invalid_line"),
        ("other[0]@1", "invalid_line"),
    ]
    assert outcome.rejected == {"invalid_line": 2}
    assert (outcome.n_records, outcome.has_read) == (5, True)


@pytest.mark.parametrize(
    ("payloads", "has_read"),
    [
        ([], False),
        ([b"x"], False),
        ([b"x", b"y"], False),
        ([b""], True),
        ([b"x", b""], True),
        ([b"x\nload v=1 1700000000000000000"], True),
        ([b'load v="text" 1700000000000000000'], True),
    ],
)
def test_a_record_that_is_empty_or_good_in_part_counts_as_read(decoders, payloads, has_read):
    assert decode_captured(sent("other", *payloads), decoders.of, SeriesTable()).has_read is has_read


def outcome_of(columns, rejections=()):
    return DecodeOutcome(columns, tuple(rejections), 3)


def test_gaps_and_ends_of_series_are_told_apart_and_are_no_lines():
    table = SeriesTable()
    columns = samples("1 2 3 4", table, name="load", start_ms=5, host="é")
    value = columns.value
    value[1], value[2] = float("nan"), STALE_NAN

    outcome = outcome_of(columns)
    lines = [json.loads(line) for line in json_lines(columns, table)]

    assert (outcome.n_values, outcome.n_gaps, outcome.n_stale, outcome.n_series) == (2, 1, 1, 1)
    assert lines == [
        {"name": "load", "labels": {"host": "é"}, "time_ms": 5, "value": 1.0},
        {"name": "load", "labels": {"host": "é"}, "time_ms": 3005, "value": 4.0},
    ]


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e300, 5e-324, -0.0, 1e16])
def test_a_value_is_written_so_that_it_reads_back_the_same(value):
    table = SeriesTable()
    columns = samples("0", table)
    columns = Columns(columns.series, columns.time_ms, columns.value + value)

    (line,) = json_lines(columns, table)

    assert json.loads(line)["value"] == value


def test_the_report_names_places_reasons_formats_and_counts(decoders):
    outcome = decode_captured(
        [*sent("other", b"load v=1 1700000000000000000", b"x\ny"), *sent("lines", b"z")],
        decoders.of,
        SeriesTable(),
    )

    lines = list(report(outcome, {**decoders.in_use(), "third": None}, shows_all=False))

    assert lines[:3] == [
        "other: read as influx",
        "lines: read as graphite",
        "third: the format cannot be recognised; name it with --format",
    ]
    assert lines[3].startswith("other[0]@1: invalid_line: ")
    assert lines[3].endswith(" (2 parts)")
    assert lines[4].startswith("lines[0]@0: invalid_line: ")
    assert lines[5:] == [
        "3 records: 1 samples of 1 series, 0 gaps, 0 stale markers; rejected: invalid_line 3"
    ]


def test_many_rejections_are_cut_short_unless_all_are_asked_for(decoders):
    outcome = decode_captured(sent("other", *[b"x"] * 30), decoders.of, SeriesTable())

    assert len(list(report(outcome, {}, shows_all=True))) == 31
    *_, more, _ = lines = list(report(outcome, {}, shows_all=False))
    assert len(lines) == 22
    assert more == "... and 10 more rejections: --all shows them"


def test_a_report_cannot_command_the_terminal(decoders):
    outcome = decode_captured(sent("a\x1b[31m\nb", b"x"), decoders.of, SeriesTable())

    first, _ = report(outcome, {}, shows_all=False)
    assert first.startswith("a\\x1b[31m\\nb[0]@0: ")


def test_labels_of_a_line_are_an_object():
    table = SeriesTable()
    number = table.intern("m", labels_of({"b": "2", "a": '"\\'}))
    columns = samples("1", table, name="m", a='"\\', b="2")

    assert columns.series.tolist() == [number]
    assert [json.loads(line)["labels"] for line in json_lines(columns, table)] == [{"a": '"\\', "b": "2"}]
