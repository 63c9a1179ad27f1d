"""Samples of steps to values, by hand arithmetic: gaps, counters, deltas, and the ends of series."""

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
    with_carrier,
    written,
)

from monitor.detection.rates import BlockRules, Carried, close_block
from monitor.detection.steps import LocatedSamples
from monitor.sample import Kind

# A block as it is, without a grid around it


def test_a_block_continues_from_what_was_carried_into_it_and_leaves_that_unchanged():
    rules = BlockRules(step_ms=10_000, gap_mode="hold", max_gap_steps=2)
    carried = Carried.of(
        count=np.array([[100.0, np.nan]]),
        count_ms=np.array([[15_000, 0]]),
        held=np.array([[3.0, 7.0]]),
        held_age=np.array([[0, 1]]),
    )

    block = close_block(at((25, 120), kind=Kind.COUNTER), carried, rules, first_step=2, n_steps=2)

    np.testing.assert_array_equal(
        block.values, [[[2.0, 7.0]], [[2.0, np.nan]]]
    )  # 20 in 10 s; 7 is held for two steps
    assert (block.carried.count[0, 0], block.carried.count_ms[0, 0], block.carried.held[0, 0]) == (
        120.0,
        25_000,
        2.0,
    )
    assert block.carried.held_age.tolist() == [[1, 3]]
    assert block.n_empty_last == 1
    assert (carried.count[0, 0], carried.held_age.tolist()) == (100.0, [[0, 1]])


def test_a_block_without_samples_is_wholly_empty():
    rules = BlockRules(step_ms=10_000, gap_mode="skip", max_gap_steps=0)

    block = close_block(at(), Carried(2, channels=1), rules, first_step=0, n_steps=3)

    assert (block.values.shape, block.n_empty_last) == ((3, 2, 1), 3)
    assert np.isnan(block.values).all()


def test_rows_are_replaced_in_copies_and_equal_arrays_are_shared():
    carried = Carried(3, channels=1)
    changed = Carried.of(
        count=np.full((1, 1), np.nan),
        count_ms=np.zeros((1, 1), np.int64),
        held=np.full((1, 1), 5.0),
        held_age=np.ones((1, 1), np.int64),
    )

    other = carried.with_rows(np.array([1]), changed)

    assert (other.count is carried.count, other.held is carried.held) == (True, False)
    np.testing.assert_array_equal(other.held[:, 0], [np.nan, 5.0, np.nan])
    assert np.isnan(carried.held).all()


# Gaps. Channel 1 has a value in every step, so that no step is wholly empty.


GAPS = pytest.mark.parametrize(
    ("mode", "max_gap_steps", "text", "expected"),
    [
        ("skip", 0, "1 _ _ 4", "1 _ _ 4"),
        ("skip", 9, "1 _ _ 4", "1 _ _ 4"),
        ("hold", 1, "1 _ _ 4", "1 1 _ 4"),
        ("hold", 2, "1 _ _ 4", "1 1 1 4"),
        ("hold", 2, "1 _ 3 _ _ _ 7", "1 1 3 3 3 _ 7"),
        ("hold", 3, "_ _ 3", "_ _ 3"),  # nothing to hold yet
        ("hold", 1, "1 2 _ _", "1 2 2 _"),
        ("zero", 1, "1 _ _ 4", "1 0 _ 4"),
        ("zero", 2, "1 _ _ 4", "1 0 0 4"),
        ("zero", 3, "_ _ 3", "_ _ 3"),
        ("interpolate", 2, "1 _ _ 4", "1 2 3 4"),
        ("interpolate", 1, "1 _ _ 4", "1 _ _ 4"),  # a gap beyond the bound is left whole
        ("interpolate", 3, "8 _ _ _ 4", "8 7 6 5 4"),
        ("interpolate", 3, "1 _ 3 _ _ 6", "1 2 3 4 5 6"),
        ("interpolate", 3, "_ 2 _ _", "_ 2 _ _"),  # no line without both ends
    ],
)


@GAPS
def test_gaps_are_filled_as_their_mode_says_and_no_further_than_its_bound(
    mode, max_gap_steps, text, expected
):
    assert written(closed(with_carrier(text), gap_mode=mode, max_gap_steps=max_gap_steps)) == expected


@GAPS
def test_gaps_are_filled_alike_when_every_step_is_closed_on_its_own(mode, max_gap_steps, text, expected):
    assert (
        written(closed_one_by_one(with_carrier(text), gap_mode=mode, max_gap_steps=max_gap_steps)) == expected
    )


@pytest.mark.parametrize(
    ("mode", "gap"),
    [
        ("hold", ["1"] * 5),
        ("zero", ["0"] * 5),
        ("interpolate", ["2", "3", "4", "5", "6"]),
        ("skip", ["_"] * 5),
    ],
)
def test_a_gap_across_the_seam_of_two_blocks_is_filled_like_any_other(mode, gap):
    text = ["1"] * 510 + ["_"] * 5 + ["7"] * 85  # the first block ends behind step 511

    blocks = closed(with_carrier(" ".join(text)), gap_mode=mode, max_gap_steps=5)

    assert written(blocks).split() == text[:510] + gap + text[515:]


def test_wholly_empty_steps_are_filled_too():
    assert written(closed(series("1 _ 3"), gap_mode="hold", max_gap_steps=1)) == "1 1 3"
    assert written(closed_one_by_one(series("1 _ 3"), gap_mode="interpolate", max_gap_steps=1)) == "1 2 3"


# Counters


def rates(text, **settings):
    """Give the rates of a counter written as text, without the first step's: that has a test of its own."""
    counts = series(text, kind=Kind.COUNTER)
    counts = LocatedSamples(
        counts.row, counts.channel, counts.time_ms + 1_700_000_000_000, counts.value, counts.kind
    )
    blocks = closed(counts, **settings)
    assert written(blocks) == written(closed_one_by_one(counts, **settings))
    return written(blocks).split(maxsplit=1)[1]


def test_the_first_sample_of_a_counter_has_no_rate():
    assert written(closed(series("100 130", kind=Kind.COUNTER))).split()[0] == "_"


def test_the_first_sample_of_a_counter_that_appears_later_has_no_rate():
    blocks = closed(together(series("1 1 1 1"), at((20, 500), (30, 520), channel=1, kind=Kind.COUNTER)))

    assert written(blocks, channel=1) == "_ _ _ 2"


def test_a_counter_becomes_a_rate_per_second():
    assert rates("100 130 190 190") == "3 6 0"


def test_a_counter_that_falls_was_reset_and_grew_by_its_new_count():
    assert rates("100 130 20 50") == "3 2 3"


def test_a_gap_in_a_counter_spreads_the_increase_over_the_time_that_passed():
    assert rates("100 _ _ 160") == "_ _ 2"


def test_the_rate_counts_from_sample_to_sample_not_from_step_to_step():
    blocks = closed(at((3, 100), (18, 130), (22, 138), kind=Kind.COUNTER))

    assert written(blocks).split()[1:] == ["2", "2"]  # 30 in 15 s, 8 in 4 s


def test_within_a_step_the_last_sample_of_a_counter_counts():
    blocks = closed(at((3, 100), (7, 110), (12, 130), kind=Kind.COUNTER))

    assert written(blocks).split()[1:] == ["4"]  # 20 in 5 s


def test_a_counter_is_carried_over_a_skipped_silence():
    grid = make_grid(idle_seconds=30, empty_steps=3)
    grid.add(at((0, 100), kind=Kind.COUNTER))
    close(grid, 40)
    close(grid, 235)
    grid.add(at((205, 510), kind=Kind.COUNTER))

    assert written(close(grid, finished=True)) == "2"  # 410 in 205 s


def test_a_counter_is_carried_over_the_seam_of_two_blocks():
    text = " ".join(str(50 * k) for k in range(1100))

    assert set(rates(text).split()) == {"5"}


def test_a_gauge_beside_a_counter_stays_as_it_is():
    blocks = closed(together(series("100 130 160", kind=Kind.COUNTER), series("7 8 9", channel=1)))

    assert written(blocks, channel=1) == "7 8 9"


def test_what_fills_a_counters_gap_is_its_rate():
    assert rates("100 130 _ 230", gap_mode="hold", max_gap_steps=1) == "3 3 5"
    assert rates("100 130 _ 230", gap_mode="interpolate", max_gap_steps=1) == "3 4 5"


# Deltas


def test_the_deltas_of_a_step_add_up_to_its_rate_from_the_first_on():
    blocks = closed(at((1, 20), (4, 10), (9, 30), (12, 5), (35, 40), kind=Kind.DELTA))

    assert written(blocks) == "6 0.5 _ 4"  # 60, 5 and 40 in steps of 10 s


def test_of_two_deltas_at_one_time_the_larger_counts_once():
    blocks = closed(at((1, 20), (1, 20), (2, 10), (1, 30), kind=Kind.DELTA))

    assert written(blocks) == "4"  # 30 and 10


def test_deltas_that_come_one_by_one_count_as_those_that_come_together():
    deltas = at((1, 20), (12, 5), (4, 10), (13, 5), (24, 1), kind=Kind.DELTA)

    assert (
        written(closed(deltas, lateness_seconds=20))
        == written(closed_one_by_one(deltas, lateness_seconds=20))
        == "_ _ 3 1 0.1"
    )


def test_deltas_stand_beside_counters_and_gauges():
    blocks = closed(
        together(
            at((1, 7), (11, 8)),
            at((2, 20), (3, 20), channel=1, kind=Kind.DELTA),
            at((0, 100), (10, 130), row=1, kind=Kind.COUNTER),
        )
    )

    assert written(blocks) == "7 8"
    assert written(blocks, channel=1) == "4 _"
    assert written(blocks, row=1) == "_ 3"


def test_what_fills_a_gap_in_deltas_is_their_rate():
    deltas = at((1, 20), (25, 40), kind=Kind.DELTA)

    assert written(closed(deltas, gap_mode="hold", max_gap_steps=1)) == "2 2 4"
    assert written(closed(deltas, gap_mode="zero", max_gap_steps=1)) == "2 0 4"


def test_deltas_too_large_to_add_are_a_gap():
    assert written(closed(at((1, 1.7e308), (2, 1.7e308), (11, 1), kind=Kind.DELTA))) == "_ 0.1"


# The ends of series


END = np.nan  # in the value of a placed sample


def test_a_counter_that_ended_and_came_back_has_no_rate_at_first():
    counts = at((0, 100), (10, 130), (15, END), (20, 500), (30, 520), kind=Kind.COUNTER)

    assert written(closed(counts)) == written(closed_one_by_one(counts)) == "_ 3 _ 2"


def test_a_counter_that_ended_long_before_it_came_back_has_no_rate_at_first():
    counts = at((0, 100), (10, 130), (20, END), (50, 500), (60, 520), kind=Kind.COUNTER)

    assert written(closed(counts)) == written(closed_one_by_one(counts)) == "_ 3 _ _ _ _ 2"


def test_an_end_within_a_step_parts_what_lies_before_from_its_value():
    behind = at((0, 100), (12, END), (18, 130), (28, 150), kind=Kind.COUNTER)
    before = at((0, 100), (12, 130), (18, END), (28, 150), kind=Kind.COUNTER)

    assert written(closed(behind)) == "_ _ 2"  # the value behind it starts anew
    assert written(closed(before)) == "_ 2.5 _"  # 30 in 12 s; the next value starts anew


@pytest.mark.parametrize("gap_mode", ["hold", "zero", "interpolate"])
def test_nothing_is_filled_behind_the_end_of_a_series(gap_mode):
    ended = at((0, 1), (10, 2), (15, END), (40, 5), (60, 7))
    filled = {"hold": "1 2 _ _ 5 5 7", "zero": "1 2 _ _ 5 0 7", "interpolate": "1 2 _ _ 5 6 7"}[gap_mode]

    assert written(closed(ended, gap_mode=gap_mode, max_gap_steps=3)) == filled
    assert written(closed_one_by_one(ended, gap_mode=gap_mode, max_gap_steps=3)) == filled


def test_a_gap_that_a_series_ends_in_is_filled_up_to_its_end():
    ended = at((0, 1), (25, END), (40, 5))

    assert written(closed(ended, gap_mode="hold", max_gap_steps=3)) == "1 1 _ _ 5"
    assert written(closed(ended, gap_mode="interpolate", max_gap_steps=3)) == "1 _ _ _ 5"


def test_the_end_of_one_series_leaves_the_others_alone():
    blocks = closed(
        together(at((0, 1), (15, END)), at((0, 7), (30, 8), channel=1)), gap_mode="hold", max_gap_steps=3
    )

    assert written(blocks) == "1 _ _ _"
    assert written(blocks, channel=1) == "7 7 7 8"


def test_an_end_is_remembered_over_the_seam_of_two_batches_and_a_restart():
    before, after = make_grid(), make_grid()
    before.add(at((0, 100), (10, 130), (15, END), kind=Kind.COUNTER))
    close(before)
    after.load_state(before.state())
    after.add(at((20, 500), (30, 520), kind=Kind.COUNTER))

    assert written(close(after, finished=True)) == "3 _ 2"
