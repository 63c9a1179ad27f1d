"""Numbers as tools write them."""

import math

import pytest
from file_reading import FileRead

from monitor.errors import SourceError
from monitor.files.cells import read_value


def column(tmp_path, *cells, delimiter=";", **layout):
    """Read cells as a column beside ISO times; give the values and what was bad."""
    rows = "".join(f'2026-01-05T00:{minute:02}:00Z{delimiter}"{cell}"\n' for minute, cell in enumerate(cells))
    read = FileRead(tmp_path / "web1.csv", f"time{delimiter}cpu\n{rows}", **layout)
    return read.values['cpu{entity="web1"}'], read


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (("0,5", "1,5"), [0.5, 1.5]),
        (("1.234,5", "950,0", "1.234"), [1234.5, 950.0, 1234.0]),
        (("1,234.5", "12,345"), [1234.5, 12345.0]),
        (("1.234.567", "2"), [1234567.0, 2.0]),
        (("1 234,5", "7,0"), [1234.5, 7.0]),
        (("1\u2019234.5", "7.25"), [1234.5, 7.25]),
        (("1\u202f234,5", "\u22127,0"), [1234.5, -7.0]),
        (("1,5e3", "2"), [1500.0, 2.0]),
    ],
)
def test_marks_are_read_as_the_file_itself_proves_them(tmp_path, cells, values):
    assert column(tmp_path, *cells)[0] == values


def test_what_decided_the_decimal_mark_is_said(tmp_path):
    assert 'decimal mark "," as in 0,5' in column(tmp_path, "0,5", "1,234")[1].read_as


@pytest.mark.parametrize(("decimal", "values"), [(",", [1.234, 2.345]), (".", [1234.0, 2345.0])])
def test_a_mark_that_may_be_either_is_an_error_that_names_the_setting_which_then_decides(
    tmp_path, decimal, values
):
    with pytest.raises(SourceError, match=r"'1,234' in column \"cpu\" may be .*Set source\.replay\.decimal"):
        column(tmp_path, "1,234", "2,345")

    assert column(tmp_path, "1,234", "2,345", decimal=decimal)[0] == values


def test_points_in_groups_of_three_beside_whole_numbers_are_unclear_where_semicolons_part_the_columns(
    tmp_path,
):
    with pytest.raises(SourceError, match=r"'1\.234' .*source\.replay\.decimal"):
        column(tmp_path, "1.234", "950")

    assert column(tmp_path, "1.234", "950", delimiter=",")[0] == [1.234, 950.0]


def test_columns_with_contrary_marks_are_an_error(tmp_path):
    with pytest.raises(SourceError, match=r"mixes decimal marks: '0,5' .*'0\.25'.*source\.replay\.decimal"):
        column(tmp_path, "0,5", "0.25")


def test_a_space_as_mark_of_thousands_is_any_space(tmp_path):
    cells = ("1 234", "1\u00a0234", "1\u202f234", "1.234,5")

    values, _ = column(tmp_path, *cells, thousands=" ", decimal=",")

    assert values[:3] == [1234.0] * 3
    assert math.isnan(values[3])


def test_thousands_that_are_switched_off_make_a_cell_text(tmp_path):
    values, read = column(tmp_path, "1 234", "2", "3", thousands="")

    assert math.isnan(values[0])
    assert read.n_bad == {"bad_value": 1}


@pytest.mark.parametrize("word", ["", "NaN", "null", "-", "N/A", "None", "undefined", "\u2014"])
def test_words_for_nothing_are_gaps_and_not_counted(tmp_path, word):
    values, read = column(tmp_path, "1", word, "3")

    assert math.isnan(values[1])
    assert read.n_bad == {}


def test_an_address_is_no_number(tmp_path):
    values, read = column(tmp_path, "1", "10.0.0.1", "3", "4")

    assert math.isnan(values[1])
    assert read.n_bad == {"bad_value": 1}


def test_infinities_and_truth_are_numbers(tmp_path):
    assert column(tmp_path, "+Inf", "-Infinity", "true", "0.5")[0] == [math.inf, -math.inf, 1.0, 0.5]


def test_units_are_read_with_their_factor_which_is_said(tmp_path):
    values, read = column(tmp_path, "1.5 GiB", "512 MiB", "0")

    assert values == [1.5 * 2**30, 2.0**29, 0.0]
    assert 'column "cpu" with units (GiB, MiB) in bytes' in read.read_as


def test_per_cent_stay_per_cent(tmp_path):
    assert column(tmp_path, "12.3%", "45 %")[0] == [12.3, 45.0]


@pytest.mark.parametrize(
    ("raw", "value"),
    [(1, 1.0), ("0.5", 0.5), ("+Inf", math.inf), (True, 1.0), ("1_0", None), ("x", None), ([], None)],
)
def test_a_value_of_json_is_a_number_or_text_of_a_number(raw, value):
    assert read_value(raw) == value
