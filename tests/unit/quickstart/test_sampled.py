import numpy as np
import pytest
from sampled_series import sampled

from monitor.quickstart.sampled import clock_like, moves, only_rises, sampled_of, spacing_seconds, trends


def test_an_answer_becomes_values_at_the_points_with_gaps():
    result = [{"metric": {"__name__": "up", "job": "a"}, "values": [[100, "1"], [120, "3"]]}]

    (series,) = sampled_of(result, 100_000, 10_000, 3)

    assert (series.name, series.labels) == ("up", {"job": "a"})
    np.testing.assert_array_equal(series.values, [1, np.nan, 3])


@pytest.mark.parametrize(
    ("text", "expected"), [("5 5 5 _ 5", False), ("5 5 6 6 6", False), ("5 6 5 5 5", True)]
)
def test_a_metric_moves_where_a_value_changes_more_than_once(text, expected):
    assert moves([sampled("1 1 1 1 1"), sampled(text)]) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1 2 3 9", True), ("5 9 0 2", True), ("5 9 8 10", False), ("-3 -2 -1 0", False), ("4 4 4 4", False)],
)
def test_a_counter_rises_and_falls_to_nearly_nothing_only(text, expected):
    assert only_rises([sampled(text)]) is expected


def test_a_time_rises_by_a_second_a_second():
    assert clock_like([sampled("1000 1010 1020 1030", step_ms=10_000)])
    assert not clock_like([sampled("1000 1040 1080 1120", step_ms=10_000)])


def test_a_level_that_goes_one_way_for_a_day_has_a_trend_and_a_rhythm_has_none():
    rising = " ".join(str(10 * hour + hour % 2) for hour in range(24))
    rhythm = " ".join(str(abs(12 - hour)) for hour in range(24))

    assert trends([sampled(rising, step_ms=3_600_000)])
    assert not trends([sampled(rhythm, step_ms=3_600_000)])
    assert not trends([sampled(rising, step_ms=900_000)])  # six hours: it may be the morning


def test_the_spacing_is_the_usual_one():
    result = [{"values": [[0, "1"], [15, "1"], [30.01, "1"], [90, "1"], [105, "1"]]}]

    assert spacing_seconds(result) == 15.0
    assert spacing_seconds([{"values": [[0, "1"]]}]) is None
