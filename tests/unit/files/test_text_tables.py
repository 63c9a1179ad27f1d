"""Delimited text: character sets, delimiters, headers, and rows that do not fit."""

import math

import pytest
from file_reading import START_S, FileRead

from monitor.errors import SourceError

ROWS = [(START_S + 60 * k, k + 0.5) for k in range(3)]
POINTS = [(60_000 * k, k + 0.5) for k in range(3)]


def text(delimiter=",", header="timestamp,cpu"):
    lines = [header.replace(",", delimiter), *(f"{time}{delimiter}{value}" for time, value in ROWS)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_and_said(tmp_path, delimiter):
    read = FileRead(tmp_path / "web1.csv", text(delimiter))

    assert read.series == {'cpu{entity="web1"}': POINTS}
    assert ("delimiter" in read.read_as) == (delimiter != ",")


def test_the_delimiter_may_be_set(tmp_path):
    assert FileRead(tmp_path / "web1.csv", text("~"), delimiter="~").series == {'cpu{entity="web1"}': POINTS}


def test_two_delimiters_that_both_fit_are_an_error_that_names_the_setting(tmp_path):
    with pytest.raises(SourceError, match=r"Set source\.replay\.delimiter"):
        FileRead(tmp_path / "web1.csv", "time;a,b\n1;2,3\n")


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16", "utf-8"])
def test_a_byte_order_mark_says_the_character_set(tmp_path, charset):
    content = text(header="timestamp,cpu °C").encode(charset)

    assert FileRead(tmp_path / "web1.csv", content).series == {'cpu °C{entity="web1"}': POINTS}


def test_text_of_another_character_set_is_an_error_with_its_place(tmp_path):
    with pytest.raises(SourceError, match=r"line 1, byte 14: no UTF-8 text\. Save the file as UTF-8"):
        FileRead(tmp_path / "web1.csv", text(header="timestamp,cpu °C").encode("latin-1"))


@pytest.mark.parametrize("before", ["sep=;\n", '"sep=;"\r\n', "\n\n", "# downloaded today\n"])
def test_what_stands_above_the_header_is_passed_over(tmp_path, before):
    assert FileRead(tmp_path / "web1.csv", before + text(";")).series == {'cpu{entity="web1"}': POINTS}


def test_carriage_returns_and_quoted_line_breaks_are_read(tmp_path):
    content = f'timestamp,"cpu\ntotal"\r\n{START_S},1\r\n'

    assert FileRead(tmp_path / "web1.csv", content).series == {'cpu\ntotal{entity="web1"}': [(0, 1.0)]}


def test_rows_that_do_not_fit_are_counted_and_the_others_stay(tmp_path):
    content = f"timestamp,cpu,mem\n{START_S},1,2\n{START_S + 60},1,2,3,4\n{START_S + 120},5\n{START_S + 180}"

    read = FileRead(tmp_path / "web1.csv", content)

    assert read.series['cpu{entity="web1"}'] == [(0, 1.0), (120_000, 5.0)]
    assert math.isnan(
        read.values['mem{entity="web1"}'][1]
    )  # a short row is filled up; a torn last one is not
    assert read.n_bad == {"bad_row": 2}


def test_an_open_quote_costs_its_row_only(tmp_path):
    read = FileRead(
        tmp_path / "web1.csv", f'timestamp,cpu\n{START_S},1\n{START_S + 60},"2\n{START_S + 120},3\n'
    )

    assert read.values == {'cpu{entity="web1"}': [1.0, 3.0]}
    assert read.n_bad == {"bad_row": 1}


def test_a_header_that_comes_again_or_changes_begins_a_table(tmp_path):
    content = (
        f"timestamp,cpu\n{START_S},1\ntimestamp,cpu\n{START_S + 60},2\n"
        f"timestamp,mem,cpu\n{START_S + 120},7,3\n"
    )

    read = FileRead(tmp_path / "web1.csv", content)

    assert read.values == {'cpu{entity="web1"}': [1.0, 2.0, 3.0], 'mem{entity="web1"}': [7.0]}
    assert read.n_bad == {}


def test_columns_of_one_name_are_numbered(tmp_path):
    read = FileRead(tmp_path / "web1.csv", f"timestamp,cpu,cpu\n{START_S},1,2\n")

    assert read.values == {'cpu{entity="web1"}': [1.0], 'cpu.1{entity="web1"}': [2.0]}


@pytest.mark.parametrize("content", ["", "\ufeff", "\n\n"])
def test_a_file_without_text_is_an_error(tmp_path, content):
    with pytest.raises(SourceError, match="there is no text in it"):
        FileRead(tmp_path / "web1.csv", content)
