import pytest

from monitor.prometheus.ranges import (
    ChunkLength,
    TimeRange,
    grid_points,
    halves,
    merged,
    point_ranges,
    subtract,
)


def test_halves_meet_at_a_multiple_of_the_step_and_share_nothing():
    assert halves(TimeRange(0, 240), 60) == (TimeRange(0, 120), TimeRange(120, 240))
    assert halves(TimeRange(50, 130), 60) == (TimeRange(50, 60), TimeRange(60, 130))


@pytest.mark.parametrize("span", [TimeRange(0, 60), TimeRange(10, 50), TimeRange(61, 120)])
def test_what_holds_no_multiple_of_the_step_cannot_be_halved(span):
    assert halves(span, 60) is None


def test_points_are_the_multiples_of_the_step_in_a_range_without_its_end():
    assert grid_points(TimeRange(0, 180), 60) == (0, 120)
    assert grid_points(TimeRange(1, 181), 60) == (60, 180)
    assert grid_points(TimeRange(61, 120), 60) is None


def test_points_are_split_into_runs_that_repeat_none_and_leave_none_out():
    runs = list(point_ranges(0, 600, 60, 4))

    assert runs == [(0, 180), (240, 420), (480, 600)]
    assert list(point_ranges(0, 0, 60, 4)) == [(0, 0)]


def test_ranges_that_overlap_or_nearly_meet_become_one():
    spans = [TimeRange(10, 20), TimeRange(0, 5), TimeRange(18, 30), TimeRange(33, 40)]

    assert merged(spans) == [TimeRange(0, 5), TimeRange(10, 30), TimeRange(33, 40)]
    assert merged(spans, tolerance_ms=3) == [TimeRange(0, 5), TimeRange(10, 40)]


def test_what_is_left_of_a_range_are_the_holes_between_what_is_taken():
    taken = [TimeRange(-5, 10), TimeRange(30, 40), TimeRange(90, 200)]

    assert subtract(TimeRange(0, 100), taken) == [TimeRange(10, 30), TimeRange(40, 90)]
    assert subtract(TimeRange(0, 100), []) == [TimeRange(0, 100)]
    assert subtract(TimeRange(0, 100), [TimeRange(0, 100)]) == []


def test_chunks_double_until_they_hold_enough_samples():
    length = ChunkLength(3600, longest_ms=86_400, most_samples=1000)

    length.record(TimeRange(0, 3600), 100, shortest_ms=3600)
    assert length.length_ms == 7200
    length.record(TimeRange(0, 7200), 2000, shortest_ms=7200)
    assert length.length_ms == 3600
    for _ in range(10):
        length.record(TimeRange(0, 3600), 0, shortest_ms=3600)
    assert length.length_ms == 86_400


def test_after_a_refusal_chunks_stay_as_short_as_what_was_answered():
    length = ChunkLength(100_000, longest_ms=1_000_000, most_samples=10**9)

    length.record(TimeRange(0, 100_000), 10, shortest_ms=25_000)
    assert length.length_ms == 25_000
    length.record(TimeRange(0, 25_000), 10, shortest_ms=25_000)
    assert 25_000 < length.length_ms < 30_000
