import json

import numpy as np
import pytest

from monitor.prometheus.answers import export_answer, matrix_answer, names_in, without_duplicates
from monitor.prometheus.errors import QueryRefusedError, UnavailableError
from monitor.prometheus.kinds import MetricKinds
from monitor.prometheus.ranges import TimeRange
from monitor.sample import Columns, Kind

SPAN = TimeRange(1000, 5000)
NO_KINDS = MetricKinds({})


def matrix(*values, **labels):
    return {"metric": {"__name__": "up", **labels}, "values": [list(value) for value in values]}


def test_values_are_read_from_text_with_their_own_times(table):
    result = [matrix((1.037, "1.5"), (2, "NaN"), (3, "+Inf"), (4.999, "-Inf"), host="a")]

    answer = matrix_answer(result, SPAN, table, NO_KINDS, name="")

    assert answer.columns.time_ms.tolist() == [1037, 2000, 3000, 4999]
    np.testing.assert_array_equal(answer.columns.value, [1.5, np.nan, np.inf, -np.inf])
    assert str(table[0]) == 'up{host="a"}'


def test_a_range_holds_its_start_and_not_its_end(table):
    result = [matrix((0.999, "0"), (1, "1"), (4.999, "2"), (5, "3"))]

    assert matrix_answer(result, SPAN, table, NO_KINDS, name="").columns.value.tolist() == [1.0, 2.0]


def test_native_histograms_are_counted_and_left_out(table):
    histogram = {"metric": {"__name__": "h"}, "histograms": [[2, {"count": "1"}], [3, {"count": "2"}]]}

    answer = matrix_answer([histogram, matrix((2, "1"))], SPAN, table, NO_KINDS, name="")

    assert (answer.n_histograms, len(answer.columns)) == (2, 1)


def test_a_result_without_a_name_takes_the_given_one_or_is_an_error(table):
    result = [{"metric": {"host": "a"}, "values": [[2, "1"]]}]

    matrix_answer(result, SPAN, table, NO_KINDS, name="rate")
    assert str(table[0]) == 'rate{host="a"}'
    with pytest.raises(QueryRefusedError, match="label_replace"):
        matrix_answer(result, SPAN, table, NO_KINDS, name="")


def test_kinds_are_those_that_the_server_knows(table):
    matrix_answer([matrix((2, "1"))], SPAN, table, MetricKinds({"up": "counter"}), name="")

    assert table[0].kind is Kind.COUNTER


@pytest.mark.parametrize(
    "series",
    [
        {"values": [[2, "1"]]},
        {"metric": {"__name__": "up"}, "values": [[2]]},
        {"metric": {"__name__": "up"}, "values": [[2, "one"]]},
        {"metric": {"__name__": "up"}, "values": [["two", "1"]]},
    ],
)
def test_a_damaged_answer_is_to_be_asked_for_again(table, series):
    with pytest.raises(UnavailableError, match="damaged"):
        matrix_answer([series], SPAN, table, NO_KINDS, name="")


def exported(values, times, **labels):
    return json.dumps(
        {"metric": {"__name__": "up", **labels}, "values": values, "timestamps": times}
    ).encode()


def test_an_export_is_read_line_by_line(table):
    lines = [exported([0, 1.5, None], [999, 1037, 2000]), exported(["NaN", "Infinity"], [1000, 2000], a="b")]

    columns = export_answer(lines, SPAN, table, NO_KINDS).columns

    assert columns.time_ms.tolist() == [1037, 2000, 1000, 2000]
    np.testing.assert_array_equal(columns.value, [1.5, np.nan, np.nan, np.inf])


def test_an_export_that_is_cut_off_is_to_be_asked_for_again(table):
    whole = exported([1.0], [2000])

    for line in (whole[:-5], exported([1.0, 2.0], [2000])):
        with pytest.raises(UnavailableError, match="cut off"):
            export_answer([whole, line], SPAN, table, NO_KINDS)


def test_what_two_queries_bring_is_there_once_in_order_of_time():
    part = Columns(
        np.array([0, 0, 1], np.int32), np.array([2000, 1000, 1000], np.int64), np.array([2.0, 1, 3])
    )

    joined = without_duplicates([part, part])

    assert joined.time_ms.tolist() == [1000, 1000, 2000]
    assert joined.series.tolist() == [0, 1, 0]
    assert joined.value.tolist() == [1.0, 3.0, 2.0]
    assert len(without_duplicates([])) == 0


def test_names_of_an_answer():
    assert names_in([matrix((1, "1")), {"metric": {}}, {}]) == {"up"}
