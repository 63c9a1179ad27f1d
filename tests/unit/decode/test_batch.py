"""Samples and rejections collected record by record, and made into columns."""

import math

import numpy as np
import pytest

from monitor.decode.batch import FieldNumbers, Gathered, Rejections, gather
from monitor.decode.record import Record, RejectedError, Rejection
from monitor.sample import Kind, SeriesTable


def read_number(index, record, gathered):
    """Read a payload as the value of series 7 at the record's time."""
    if not record.value.isdigit():
        raise RejectedError("invalid_line", repr(record.value))
    gathered.add(7, record.time_ms, float(record.value))


def test_a_record_that_is_rejected_leaves_those_around_it():
    decoded = gather([Record(b"1", 10), Record(b"x", 20), Record(b"3", 30)], read_number)

    assert decoded.columns.series.tolist() == [7, 7]
    assert decoded.columns.time_ms.tolist() == [10, 30]
    assert decoded.columns.value.tolist() == [1.0, 3.0]
    assert decoded.rejections == (Rejection(1, "invalid_line", "b'x'"),)


def test_columns_have_the_types_that_the_stages_take():
    columns = gather([Record(b"1", 10)], read_number).columns

    assert (columns.series.dtype, columns.time_ms.dtype, columns.value.dtype) == (
        np.int32,
        np.int64,
        np.float64,
    )


def test_none_and_infinities_are_gaps_and_booleans_numbers():
    gathered = Gathered()
    gathered.extend([1, 2, 3, 4, 5], 1000, [None, math.inf, -math.inf, True, False])

    np.testing.assert_array_equal(gathered.decoded().columns.value, [np.nan, np.nan, np.nan, 1.0, 0.0])


def test_a_million_faults_of_a_record_are_one_rejection_for_each_reason():
    rejections = Rejections()
    for number in range(1000):
        rejections.add(0, RejectedError("bad_time", f"fault {number}"))
    rejections.add(0, RejectedError("bad_label", "empty"))
    rejections.add(1, RejectedError("bad_time", "another record"))

    assert list(rejections) == [
        Rejection(0, "bad_time", "fault 0", n_parts=1000),
        Rejection(0, "bad_label", "empty"),
        Rejection(1, "bad_time", "another record"),
    ]


# Fields of a JSON object


def series_of(table, names=None):
    """Give the numbers of series `cpu_<field>`; `names` collects the fields that were named."""

    def name_of(field):
        if names is not None:
            names.append(field)
        if not field:
            raise RejectedError("wrong_schema", "no name")
        return f"cpu_{field}"

    return FieldNumbers(table, name_of, (("host", "a"),), lambda name: Kind.COUNTER)


def test_a_field_is_named_once_and_its_series_has_the_shared_labels_and_kind():
    table, names = SeriesTable(), []
    series = series_of(table, names)

    assert series["idle"] == series["idle"]
    assert names == ["idle"]
    assert (str(table[series["idle"]]), table[series["idle"]].kind) == ('cpu_idle{host="a"}', Kind.COUNTER)


def test_a_field_that_cannot_be_named_gets_no_series():
    table = SeriesTable()

    with pytest.raises(RejectedError):
        series_of(table)[""]

    assert len(table) == 0


@pytest.mark.parametrize(
    ("fields", "values", "rejected"),
    [
        ({"a": 1, "b": 2.5, "c": True, "d": None}, [1.0, 2.5, 1.0, None], {}),
        ({"a": 1, "b": "text", "c": 2}, [1.0, 2.0], {}),
        ({"a": 1, "b": [1], "c": {"d": 1}}, [1.0], {"wrong_schema": 2}),
        ({}, [], {}),
    ],
    ids=["numbers", "text is skipped", "lists and objects are rejected", "none"],
)
def test_the_numbers_among_fields_are_samples(fields, values, rejected):
    gathered = Gathered()

    gathered.extend_fields(0, series_of(SeriesTable()), 1000, fields)

    decoded = gathered.decoded()
    assert [None if math.isnan(value) else value for value in decoded.columns.value.tolist()] == values
    assert decoded.rejected == rejected
