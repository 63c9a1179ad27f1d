"""Which sample stands for a step, and where steps lie."""

import numpy as np
import pytest
from grid_samples import (
    at,
    close,
    closed,
    closed_one_by_one,
    make_grid,
    series,
    together,
    written,
)

from monitor.detection.steps import ClosedSteps, join_located, latest_of_steps, load_located, no_located
from monitor.sample import Kind


def test_a_step_ends_where_the_next_begins():
    steps = ClosedSteps(3, 10_000, np.zeros((2, 1, 1)))

    assert [steps.end_ms(0), steps.end_ms(1)] == [40_000, 50_000]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_later_sample_in_a_step_stands_for_it(order):
    points = [(3, 9.0), (7, 1.0)]

    assert written(closed(at(*(points[which] for which in order)))) == "1"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_samples_at_one_time_the_larger_stands(order):
    points = [(3, 9.0), (3, 1.0)]
    arrived = at(*(points[which] for which in order))

    assert written(closed(arrived)) == "9"
    assert written(closed_one_by_one(arrived)) == "9"


@pytest.mark.parametrize("kind", [Kind.GAUGE, Kind.COUNTER, Kind.DELTA])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
def test_another_value_for_the_same_series_and_time_is_counted_and_the_larger_stands_in_any_order(
    order, kind
):
    points = [(3, 9.0), (3, 1.0), (13, 9.0)]
    batch, one_by_one = make_grid(), make_grid()
    batch.add(at(*(points[which] for which in order), kind=kind))
    for which in order:
        one_by_one.add(at(points[which], kind=kind))

    for grid in (batch, one_by_one):
        assert grid.n_conflicting == 1
        assert (
            written(close(grid, finished=True))
            == {Kind.GAUGE: "9 9", Kind.COUNTER: "_ 0", Kind.DELTA: "0.9 0.9"}[kind]
        )


def test_what_comes_twice_or_at_another_time_or_of_another_series_is_no_conflict():
    grid = make_grid()
    for _ in range(2):
        grid.add(
            together(
                at((3, 9), (4, 1), (13, 2)),
                at((3, 8), channel=1),
                at((3, 7), row=1),
                at((3, np.nan), (3, np.nan), row=2),
            )
        )

    assert grid.n_conflicting == 0


def test_a_sample_that_comes_twice_counts_once():
    grid = make_grid()
    for _ in range(2):
        grid.add(series("1 2 3"))

    assert written(close(grid, finished=True)) == "1 2 3"


def test_besides_the_latest_value_of_a_step_its_latest_end_is_kept():
    samples = at((3, np.nan), (5, 1.0), (7, np.nan), (8, 2.0), (12, 3.0))

    latest, n_conflicting = latest_of_steps(samples, 10_000)

    assert latest.time_ms.tolist() == [8000, 7000, 12000]
    assert n_conflicting == 0


def test_rows_are_numbered_anew_by_their_index():
    samples = join_located(at((1, 5), row=2), at((2, 6), row=7))

    assert samples.renumbered(np.array([2, 7])).row.tolist() == [0, 1]


def test_samples_come_back_from_their_arrays_as_copies():
    samples = at((1, 5), (2, 6))

    loaded = load_located(samples.state("pending"), "pending")

    assert loaded.value.tolist() == [5.0, 6.0]
    assert not np.shares_memory(loaded.value, samples.value)


def test_joining_nothing_gives_no_samples():
    assert len(join_located().row) == len(no_located().row) == 0


def test_samples_follow_their_channel_and_those_of_a_channel_that_is_dropped_go():
    samples = together(series("1 2", channel=0), series("3 4", channel=1), series("5 6", channel=2))

    moved = samples.rearranged(np.array([2, -1, 0]))

    assert sorted(zip(moved.channel.tolist(), moved.value.tolist(), strict=True)) == [
        (0, 5.0),
        (0, 6.0),
        (2, 1.0),
        (2, 2.0),
    ]
    assert no_located().rearranged(np.array([], np.int64)).channel.tolist() == []


def test_closed_steps_follow_their_channel_and_a_new_one_is_gaps():
    steps = ClosedSteps(3, 10_000, np.array([[[1.0, 2.0]]])).rearranged(np.array([1, -1, 0]))

    np.testing.assert_array_equal(steps.values, [[[2.0, np.nan, 1.0]]])
    assert (steps.first_step, steps.step_ms) == (3, 10_000)
