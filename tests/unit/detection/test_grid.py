"""Samples to closed steps, by hand arithmetic. Steps are 10 s long throughout."""

import numpy as np
from grid_samples import (
    at,
    close,
    closed,
    closed_one_by_one,
    make_grid,
    numbers,
    series,
    together,
    with_carrier,
    written,
)

from monitor.sample import Kind

# Steps and their boundaries


def test_a_step_holds_its_first_millisecond_and_not_that_of_the_next():
    blocks = closed(at((0.0, 1), (9.999, 2), (10.0, 3), (19.999, 4), (20.0, 5)))

    assert numbers(blocks) == [0, 1, 2]
    assert written(blocks) == "2 4 5"


def test_a_step_closes_at_the_millisecond_at_which_the_watermark_reaches_its_end():
    grid = make_grid(lateness_seconds=5)
    grid.add(at((0, 1), (14.999, 2)))  # watermark 9.999 s
    before = numbers(close(grid))
    grid.add(at((15, 3)))  # watermark 10 s

    assert 0 not in before
    assert numbers(close(grid)) == [0]


def test_steps_are_counted_from_the_epoch_whenever_the_first_sample_comes():
    assert numbers(closed(at((1_700_000_003, 1)))) == [170_000_000]


def test_nothing_closes_before_the_first_sample():
    grid = make_grid()

    assert grid.add(at()) == 0
    assert close(grid, 10_000) == []
    assert close(grid, 20_000, finished=True) == []
    assert grid.watermark_ms is None


def test_finished_closes_every_open_step():
    grid = make_grid(lateness_seconds=50)
    grid.add(series("1 2 3"))
    blocks = close(grid, finished=True)

    assert written(blocks).endswith("1 2 3")
    assert close(grid, finished=True) == []


def test_a_long_stretch_comes_in_blocks_that_join_without_a_seam():
    blocks = closed(series(" ".join(["1"] * 1300)))

    assert max(len(block.values) for block in blocks) <= 512
    assert numbers(blocks) == list(range(1300))
    assert written(blocks) == " ".join(["1"] * 1300)


def test_each_series_keeps_to_its_own_place():
    blocks = closed(together(series("1 2", row=0, channel=1), series("3 4", row=1, channel=0)))

    assert written(blocks, row=0, channel=1) == "1 2"
    assert written(blocks, row=1, channel=0) == "3 4"
    assert written(blocks, row=0, channel=0) == "_ _"


def test_an_entity_may_appear_after_the_first_steps_are_closed():
    grid = make_grid()
    grid.add(series("1 1 1"))
    blocks = close(grid, n_rows=1)
    grid.add(at((30, 5), row=1))
    later = close(grid, n_rows=2, finished=True)

    assert blocks[0].values.shape == (2, 1, 1)
    assert written(later, row=0) == "1 _"
    assert written(later, row=1) == "_ 5"


# The watermark, and what is late


def test_the_watermark_trails_the_newest_sample_by_the_lateness():
    grid = make_grid(lateness_seconds=30)
    grid.add(at((95, 1), (12, 2)))
    close(grid)

    assert grid.watermark_ms == 65_000


def test_the_watermark_never_goes_back():
    grid = make_grid()
    grid.add(at((100, 1)))
    close(grid, 2000)
    reached = grid.watermark_ms
    grid.add(at((50, 1)))
    close(grid, 3)

    assert reached == 1_000_000  # 1000 s of idle time behind the source's 2000 s
    assert grid.watermark_ms == reached


def test_a_sample_exactly_at_the_boundary_of_the_open_steps_is_on_time():
    grid = make_grid(lateness_seconds=20)
    grid.add(at((50, 5)))
    close(grid)  # watermark 30 s: step 3 is open

    assert grid.add(at((30.0, 3))) == 0
    assert grid.add(at((29.999, 2))) == 1
    blocks = close(grid, finished=True)
    assert numbers(blocks) == [3, 4, 5]
    assert written(blocks) == "3 _ 5"


def test_a_sample_behind_the_watermark_is_taken_while_its_step_is_open():
    grid = make_grid(lateness_seconds=20)
    grid.add(at((55, 5)))
    close(grid)  # watermark 35 s, in the middle of step 3

    assert grid.add(at((31, 3))) == 0
    assert written(close(grid, finished=True)) == "3 _ 5"


def test_the_first_batch_may_be_followed_by_samples_older_by_the_lateness():
    grid = make_grid(lateness_seconds=15)
    grid.add(at((100, 1)))
    close(grid)

    assert grid.add(at((85, 2))) == 0
    assert grid.add(at((79.9, 3))) == 1  # step 7 ends 20 s before the newest sample


def test_late_samples_are_counted_and_change_nothing():
    grid = make_grid()
    grid.add(series("1 2 3"))
    blocks = close(grid)
    n_late = grid.add(at((0, 9), (5, 9), (19.9, 9), (25, 4)))

    assert n_late == 3
    assert written(blocks + close(grid, finished=True)) == "1 2 4"


def test_silence_closes_steps_by_the_time_of_the_source():
    grid = make_grid(idle_seconds=30)
    grid.add(at((5, 1)))

    assert close(grid, 39.999) == []
    assert written(close(grid, 40)) == "1"
    assert written(close(grid, 70)) == "_ _ _"


def test_the_lateness_counts_on_top_of_the_idle_time():
    grid = make_grid(idle_seconds=30, lateness_seconds=20)
    grid.add(at((5, 1)))

    assert 0 not in numbers(close(grid, 59.999))
    assert 0 in numbers(close(grid, 60))


# Long silence


def test_the_rest_of_a_long_silence_is_skipped_and_the_next_sample_keeps_its_step_number():
    grid = make_grid(idle_seconds=30, empty_steps=3)
    grid.add(at((5, 1)))
    blocks = close(grid, 40) + close(grid, 235)  # open from step 20 on
    grid.add(at((205, 2)))

    blocks += close(grid, finished=True)

    assert numbers(blocks) == [0, 1, 2, 3, 20]
    assert written(blocks) == "1 _ _ _ 2"


def test_a_long_silence_inside_one_batch_is_skipped_just_the_same():
    samples = at((5, 1), (205, 2), (215, 3))

    assert numbers(closed_one_by_one(samples, empty_steps=3)) == [0, 1, 2, 3, 20, 21]
    assert numbers(closed(samples, empty_steps=3)) == [0, 1, 2, 3, 20, 21]


def test_silence_up_to_the_limit_is_given_out_whole():
    assert numbers(closed_one_by_one(at((5, 1), (45, 2), (55, 3)), empty_steps=3)) == [0, 1, 2, 3, 4, 5]


def test_a_value_is_not_held_across_a_skipped_silence():
    grid = make_grid(idle_seconds=30, empty_steps=3, gap_mode="hold", max_gap_steps=5)
    grid.add(together(at((5, 1), channel=0), at((5, 7), channel=1)))
    blocks = close(grid, 40, n_channels=2) + close(grid, 235, n_channels=2)
    grid.add(at((205, 2), channel=0))

    blocks += close(grid, n_channels=2, finished=True)

    assert written(blocks, channel=0) == "1 1 1 1 2"
    assert written(blocks, channel=1) == "7 7 7 7 _"


def test_beginning_anew_opens_steps_from_the_first_sample_to_come_and_tells_how_far_back_that_is():
    grid = make_grid(lateness_seconds=20)
    grid.add(at((1005, 1), (1095, 2)))
    close(grid)  # watermark 1075 s: step 107 is open

    assert grid.restart_at(505_000) == 107 - 48  # step 50, and two before it for samples that are later still
    assert grid.watermark_ms is None
    assert grid.add(at((485, 3), (525, 4))) == 0
    assert written(close(grid, finished=True)) == "3 _ _ _ 4"


def test_a_counter_has_no_rate_across_a_clock_that_was_set_back():
    grid = make_grid()
    grid.add(at((1000, 100), (1010, 130), kind=Kind.COUNTER))
    close(grid, finished=True)

    grid.restart_at(500_000)
    grid.add(at((500, 170), (510, 190), kind=Kind.COUNTER))

    assert written(close(grid, finished=True)) == "_ 2"


def test_nothing_is_held_across_a_clock_that_was_set_back():
    grid = make_grid(gap_mode="hold", max_gap_steps=5)
    grid.add(with_carrier("7 7"))
    close(grid, n_channels=2, finished=True)

    grid.restart_at(0)
    grid.add(at((0, 1), (10, 1), channel=1))

    assert written(close(grid, n_channels=2, finished=True)) == "_ _"


def test_interpolation_closes_steps_later_by_its_bound():
    grid = make_grid(gap_mode="interpolate", max_gap_steps=2)
    grid.add(series("1 2 3 4 5"))  # watermark 40 s

    assert written(close(grid)) == "1 2"


def test_open_deltas_survive_a_restart():
    before, after = make_grid(lateness_seconds=10), make_grid(lateness_seconds=10)
    before.add(at((1, 20), (2, 10), kind=Kind.DELTA))
    after.load_state(before.state())
    after.add(at((2, 10), (3, 30), kind=Kind.DELTA))

    assert written(close(after, finished=True)) == "_ 6"


def test_an_end_is_no_late_sample():
    grid = make_grid()
    grid.add(at((0, 1), (30, 2)))
    close(grid)

    assert grid.add(at((5, np.nan), (6, 3))) == 1


# A source with partitions says itself how far it has been read


def close_complete(grid, complete_seconds):
    return list(grid.close(0, n_rows=1, n_channels=1, complete_ms=round(complete_seconds * 1000)))


def test_a_step_waits_for_the_slowest_partition_however_new_the_newest_sample_is():
    grid = make_grid()
    grid.add(at((5, 1), (95, 2)), opens=False)

    assert written(close_complete(grid, 19.9)) == "1"
    assert grid.add(at((12, 7)), opens=False) == 0
    assert written(close_complete(grid, 20)) == "7"


def test_nothing_closes_and_nothing_is_late_while_no_partition_is_complete():
    grid = make_grid(lateness_seconds=10)
    grid.add(at((505, 2)), opens=False)
    assert close_complete(grid, -0.001) == []
    assert grid.watermark_ms is None

    assert grid.add(at((105, 1)), opens=False) == 0  # another partition, far behind
    blocks = close_complete(grid, 120)

    assert numbers(blocks) == [9, 10]  # one step of lateness before the oldest sample
    assert written(blocks) == "_ 1"


def test_the_sources_own_word_stands_for_its_clock():
    grid = make_grid(idle_seconds=0)
    grid.add(at((5, 1)), opens=False)

    closed_by_now = list(grid.close(10**12, n_rows=1, n_channels=1, complete_ms=5000))

    assert closed_by_now == []


def test_the_lateness_and_the_look_ahead_lie_between_complete_and_closed():
    assert make_grid(lateness_seconds=7).closed_ms(100_000) == 93_000
    assert make_grid(gap_mode="interpolate", max_gap_steps=3).closed_ms(100_000) == 70_000


def test_a_grid_that_has_not_opened_goes_on_from_its_state():
    grid, other = make_grid(), make_grid()
    grid.add(at((205, 2)), opens=False)

    other.load_state(grid.state())
    other.add(at((105, 1)), opens=False)

    assert numbers(close_complete(other, 120))[0] == 10


def test_open_steps_counters_and_held_values_follow_their_channel():
    grid = make_grid(gap_mode="hold", max_gap_steps=5)
    grid.add(together(series("10 30", channel=0, kind=Kind.COUNTER), series("7", channel=1)))
    before = close(grid, n_channels=2)  # the first step alone is closed
    grid.rearrange_channels(np.array([2, 1, 0]))

    grid.add(series("_ _ 60", channel=2, kind=Kind.COUNTER))
    after = close(grid, n_channels=3, finished=True)

    assert written(before, channel=1) == "7"
    assert written(after, channel=2) == "2 3"  # (30 - 10) / 10 s, (60 - 30) / 10 s
    assert written(after, channel=1) == "7 7"
    assert written(after, channel=0) == "_ _"
