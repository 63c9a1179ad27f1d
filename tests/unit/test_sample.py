"""Samples as columns, and the numbers that series are given."""

import numpy as np

from monitor.sample import (
    UNKNOWN,
    Columns,
    Kind,
    SeriesTable,
    concatenate,
    kind_of,
    labels_of,
    no_samples,
    series_text,
)
from monitor.testing import samples


def test_labels_are_ordered_by_name_and_empty_ones_are_no_labels():
    assert labels_of({"zone": "north", "pod": "", "host": "web1"}) == (("host", "web1"), ("zone", "north"))


def test_a_name_that_ends_in_total_is_a_counter_and_any_other_a_gauge():
    assert [kind_of(name) for name in ("requests_total", "total_requests", "queue_depth")] == [
        Kind.COUNTER,
        Kind.GAUGE,
        Kind.GAUGE,
    ]


def test_a_series_is_written_in_prometheus_notation():
    labels = labels_of({"mode": "idle", "host": "web1"})

    assert series_text("cpu_seconds_total", labels) == 'cpu_seconds_total{host="web1",mode="idle"}'
    assert series_text("up", ()) == "up"


def test_numbers_count_up_from_zero_in_order_of_arrival():
    table = SeriesTable()

    assert [table.intern(name, ()) for name in ("b", "a", "c")] == [0, 1, 2]
    assert [str(table[number]) for number in range(len(table))] == ["b", "a", "c"]


def test_a_series_keeps_the_number_it_was_given_first():
    table = SeriesTable()
    first = table.intern("load", labels_of({"host": "web1", "zone": "north"}))

    assert table.intern("load", labels_of({"zone": "north", "host": "web1"})) == first
    assert len(table) == 1


def test_one_name_with_other_labels_is_another_series():
    table = SeriesTable()

    assert table.intern("load", labels_of({"host": "web1"})) != table.intern(
        "load", labels_of({"host": "web2"})
    )


def test_the_kind_given_first_stands():
    table = SeriesTable()
    number = table.intern("requests", (), Kind.COUNTER)
    table.intern("requests", (), Kind.GAUGE)

    assert table[number].kind is Kind.COUNTER


def test_without_a_kind_the_suffix_decides():
    table = SeriesTable()

    assert table[table.intern("requests_total", ())].kind is Kind.COUNTER
    assert table[table.intern("queue_depth", ())].kind is Kind.GAUGE


def test_joined_columns_keep_their_order_and_types():
    table = SeriesTable()

    joined = concatenate(
        [samples("1 2", table, name="a"), no_samples(), samples("3", table, name="b", start_ms=500)]
    )

    assert joined.series.tolist() == [0, 0, 1]
    assert joined.time_ms.tolist() == [0, 1000, 500]
    assert joined.value.tolist() == [1.0, 2.0, 3.0]
    assert (joined.series.dtype, joined.time_ms.dtype, joined.value.dtype) == (np.int32, np.int64, np.float64)


def test_joining_nothing_gives_no_samples():
    joined = concatenate([])

    assert len(joined) == 0
    assert (joined.series.dtype, joined.time_ms.dtype, joined.value.dtype) == (np.int32, np.int64, np.float64)


def test_a_series_as_text_leaves_out_its_gaps():
    table = SeriesTable()

    columns = samples("0 1 _ 3.5", table, name="load", step_seconds=10, start_ms=5000, host="web1")

    assert str(table[0]) == 'load{host="web1"}'
    assert isinstance(columns, Columns)
    assert columns.time_ms.tolist() == [5_000, 15_000, 35_000]
    assert columns.value.tolist() == [0.0, 1.0, 3.5]


def test_a_full_table_gives_new_series_no_number_and_the_old_ones_theirs():
    table = SeriesTable(max_series=2)

    numbers = [table.intern(name, ()) for name in "abcad"]

    assert numbers == [0, 1, UNKNOWN, 0, UNKNOWN]
    assert (len(table), str(table.last_refused)) == (2, "d")
