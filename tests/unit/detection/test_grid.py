"""Samples to closed steps, by hand arithmetic. Steps are 10 s long throughout."""

import numpy as np
import pytest

from monitor.detection.grid import Grid
from monitor.detection.steps import ClosedSteps, LocatedSamples
from monitor.sample import Kind, SeriesTable
from monitor.testing import samples

STEP_SECONDS = 10


def grid(*, lateness_seconds=0, idle_seconds=1000, gap_mode="skip", max_gap_steps=0, empty_steps=1000):
    return Grid(
        step_ms=STEP_SECONDS * 1000,
        lateness_ms=lateness_seconds * 1000,
        idle_ms=idle_seconds * 1000,
        gap_mode=gap_mode,
        max_gap_steps=max_gap_steps,
        empty_steps=empty_steps,
    )


def at(*points, row=0, channel=0, kind=Kind.GAUGE):
    """Place samples given as `(seconds, value)`."""
    n = len(points)
    return LocatedSamples(
        np.full(n, row, np.int32),
        np.full(n, channel, np.int32),
        np.array([round(seconds * 1000) for seconds, _ in points], np.int64),
        np.array([value for _, value in points], np.float64),
        np.full(n, kind, np.int8),
    )


def series(text, **place):
    """Place a series given as text, one value a step, `_` where none came."""
    columns = samples(text, SeriesTable(), step_seconds=STEP_SECONDS)
    return at(*zip((columns.time_ms / 1000).tolist(), columns.value.tolist(), strict=True), **place)


def together(*parts):
    """Join placed samples, ordered by time."""
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "channel", "time_ms", "value", "kind")]
    order = np.argsort(columns[2], kind="stable")
    return LocatedSamples(*(column[order] for column in columns))


def close(grid, now_seconds=0, *, n_rows=1, n_channels=1, finished=False):
    return list(grid.close(round(now_seconds * 1000), n_rows=n_rows, n_channels=n_channels, finished=finished))


def written(blocks, *, row=0, channel=0):
    """Write one series of closed steps as text, `_` for a gap."""
    values = [value for block in blocks for value in block.values[:, row, channel].tolist()]
    return " ".join("_" if np.isnan(value) else f"{value:g}" for value in values)


def numbers(blocks):
    """Give the numbers of closed steps, in order."""
    return [block.first_step + t for block in blocks for t in range(len(block.values))]


def closed(samples, **settings):
    """Add samples in one batch and close everything."""
    one = grid(**settings)
    one.add(samples)
    return close(one, n_rows=2, n_channels=2, finished=True)


def closed_one_by_one(samples, **settings):
    """Add samples one at a time, closing what can be closed behind each."""
    one = grid(**settings)
    blocks = []
    for which in range(len(samples.row)):
        one.add(samples.take(np.array([which])))
        blocks += close(one, n_rows=2, n_channels=2)
    return blocks + close(one, n_rows=2, n_channels=2, finished=True)


# Steps and their boundaries


def test_a_step_holds_its_first_millisecond_and_not_that_of_the_next():
    blocks = closed(at((0.0, 1), (9.999, 2), (10.0, 3), (19.999, 4), (20.0, 5)))

    assert numbers(blocks) == [0, 1, 2]
    assert written(blocks) == "2 4 5"


def test_a_step_ends_where_the_next_begins():
    steps = ClosedSteps(3, 10_000, np.zeros((2, 1, 1)))

    assert [steps.end_ms(0), steps.end_ms(1)] == [40_000, 50_000]


def test_a_step_closes_at_the_millisecond_at_which_the_watermark_reaches_its_end():
    one = grid(lateness_seconds=5)
    one.add(at((0, 1), (14.999, 2)))  # watermark 9.999 s
    before = numbers(close(one))
    one.add(at((15, 3)))  # watermark 10 s

    assert 0 not in before
    assert numbers(close(one)) == [0]


def test_steps_are_counted_from_the_epoch_whenever_the_first_sample_comes():
    assert numbers(closed(at((1_700_000_003, 1)))) == [170_000_000]


def test_nothing_closes_before_the_first_sample():
    one = grid()

    assert one.add(at()) == 0
    assert close(one, 10_000) == []
    assert close(one, 20_000, finished=True) == []
    assert one.watermark_ms is None


def test_finished_closes_every_open_step():
    one = grid(lateness_seconds=50)
    one.add(series("1 2 3"))
    blocks = close(one, finished=True)

    assert written(blocks).endswith("1 2 3")
    assert close(one, finished=True) == []


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
    one = grid()
    one.add(series("1 1 1"))
    blocks = close(one, n_rows=1)
    one.add(at((30, 5), row=1))
    later = close(one, n_rows=2, finished=True)

    assert blocks[0].values.shape == (2, 1, 1)
    assert written(later, row=0) == "1 _"
    assert written(later, row=1) == "_ 5"


# The watermark, and what is late


def test_the_watermark_trails_the_newest_sample_by_the_lateness():
    one = grid(lateness_seconds=30)
    one.add(at((95, 1), (12, 2)))
    close(one)

    assert one.watermark_ms == 65_000


def test_the_watermark_never_goes_back():
    one = grid()
    one.add(at((100, 1)))
    close(one, 2000)
    reached = one.watermark_ms
    one.add(at((50, 1)))
    close(one, 3)

    assert reached == 1_000_000  # 1000 s of idle time behind the source's 2000 s
    assert one.watermark_ms == reached


def test_a_sample_exactly_at_the_boundary_of_the_open_steps_is_on_time():
    one = grid(lateness_seconds=20)
    one.add(at((50, 5)))
    close(one)  # watermark 30 s: step 3 is open

    assert one.add(at((30.0, 3))) == 0
    assert one.add(at((29.999, 2))) == 1
    blocks = close(one, finished=True)
    assert numbers(blocks) == [3, 4, 5]
    assert written(blocks) == "3 _ 5"


def test_a_sample_behind_the_watermark_is_taken_while_its_step_is_open():
    one = grid(lateness_seconds=20)
    one.add(at((55, 5)))
    close(one)  # watermark 35 s, in the middle of step 3

    assert one.add(at((31, 3))) == 0
    assert written(close(one, finished=True)) == "3 _ 5"


def test_the_first_batch_may_be_followed_by_samples_older_by_the_lateness():
    one = grid(lateness_seconds=15)
    one.add(at((100, 1)))
    close(one)

    assert one.add(at((85, 2))) == 0
    assert one.add(at((79.9, 3))) == 1  # step 7 ends 20 s before the newest sample


def test_late_samples_are_counted_and_change_nothing():
    one = grid()
    one.add(series("1 2 3"))
    blocks = close(one)
    n_late = one.add(at((0, 9), (5, 9), (19.9, 9), (25, 4)))

    assert n_late == 3
    assert written(blocks + close(one, finished=True)) == "1 2 4"


def test_silence_closes_steps_by_the_time_of_the_source():
    one = grid(idle_seconds=30)
    one.add(at((5, 1)))

    assert close(one, 39.999) == []
    assert written(close(one, 40)) == "1"
    assert written(close(one, 70)) == "_ _ _"


def test_the_lateness_counts_on_top_of_the_idle_time():
    one = grid(idle_seconds=30, lateness_seconds=20)
    one.add(at((5, 1)))

    assert 0 not in numbers(close(one, 59.999))
    assert 0 in numbers(close(one, 60))


# Long silence


def test_the_rest_of_a_long_silence_is_skipped_and_the_next_sample_keeps_its_step_number():
    one = grid(idle_seconds=30, empty_steps=3)
    one.add(at((5, 1)))
    blocks = close(one, 40) + close(one, 235)  # open from step 20 on
    one.add(at((205, 2)))

    blocks += close(one, finished=True)

    assert numbers(blocks) == [0, 1, 2, 3, 20]
    assert written(blocks) == "1 _ _ _ 2"


def test_a_long_silence_inside_one_batch_is_skipped_just_the_same():
    samples = at((5, 1), (205, 2), (215, 3))

    assert numbers(closed_one_by_one(samples, empty_steps=3)) == [0, 1, 2, 3, 20, 21]
    assert numbers(closed(samples, empty_steps=3)) == [0, 1, 2, 3, 20, 21]


def test_silence_up_to_the_limit_is_given_out_whole():
    assert numbers(closed_one_by_one(at((5, 1), (45, 2), (55, 3)), empty_steps=3)) == [0, 1, 2, 3, 4, 5]


def test_a_value_is_not_held_across_a_skipped_silence():
    one = grid(idle_seconds=30, empty_steps=3, gap_mode="hold", max_gap_steps=5)
    one.add(together(at((5, 1), channel=0), at((5, 7), channel=1)))
    blocks = close(one, 40, n_channels=2) + close(one, 235, n_channels=2)
    one.add(at((205, 2), channel=0))

    blocks += close(one, n_channels=2, finished=True)

    assert written(blocks, channel=0) == "1 1 1 1 2"
    assert written(blocks, channel=1) == "7 7 7 7 _"


def test_beginning_anew_opens_steps_from_the_first_sample_to_come_and_tells_how_far_back_that_is():
    one = grid(lateness_seconds=20)
    one.add(at((1005, 1), (1095, 2)))
    close(one)  # watermark 1075 s: step 107 is open

    assert one.restart_at(505_000) == 107 - 48  # step 50, and two before it for samples that are later still
    assert one.watermark_ms is None
    assert one.add(at((485, 3), (525, 4))) == 0
    assert written(close(one, finished=True)) == "3 _ _ _ 4"


def test_a_counter_has_no_rate_across_a_clock_that_was_set_back():
    one = grid()
    one.add(at((1000, 100), (1010, 130), kind=Kind.COUNTER))
    close(one, finished=True)

    one.restart_at(500_000)
    one.add(at((500, 170), (510, 190), kind=Kind.COUNTER))

    assert written(close(one, finished=True)) == "_ 2"


def test_nothing_is_held_across_a_clock_that_was_set_back():
    one = grid(gap_mode="hold", max_gap_steps=5)
    one.add(with_carrier("7 7"))
    close(one, n_channels=2, finished=True)

    one.restart_at(0)
    one.add(at((0, 1), (10, 1), channel=1))

    assert written(close(one, n_channels=2, finished=True)) == "_ _"


# Which sample stands for a step


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
def test_another_value_for_the_same_series_and_time_is_counted_and_the_larger_stands_in_any_order(order, kind):
    points = [(3, 9.0), (3, 1.0), (13, 9.0)]
    batch, one_by_one = grid(), grid()
    batch.add(at(*(points[which] for which in order), kind=kind))
    for which in order:
        one_by_one.add(at(points[which], kind=kind))

    for one in (batch, one_by_one):
        assert one.n_conflicting == 1
        assert written(close(one, finished=True)) == {Kind.GAUGE: "9 9", Kind.COUNTER: "_ 0", Kind.DELTA: "0.9 0.9"}[kind]


def test_what_comes_twice_or_at_another_time_or_of_another_series_is_no_conflict():
    one = grid()
    for _ in range(2):
        one.add(together(at((3, 9), (4, 1), (13, 2)), at((3, 8), channel=1), at((3, 7), row=1), at((3, np.nan), (3, np.nan), row=2)))

    assert one.n_conflicting == 0


def test_a_sample_that_comes_twice_counts_once():
    one = grid()
    for _ in range(2):
        one.add(series("1 2 3"))

    assert written(close(one, finished=True)) == "1 2 3"


# Gaps. Channel 1 has a value in every step, so that no step is wholly empty.


def with_carrier(text):
    return together(series(text), series(" ".join("0" for _ in text.split()), channel=1))


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
def test_gaps_are_filled_as_their_mode_says_and_no_further_than_its_bound(mode, max_gap_steps, text, expected):
    assert written(closed(with_carrier(text), gap_mode=mode, max_gap_steps=max_gap_steps)) == expected


@GAPS
def test_gaps_are_filled_alike_when_every_step_is_closed_on_its_own(mode, max_gap_steps, text, expected):
    assert written(closed_one_by_one(with_carrier(text), gap_mode=mode, max_gap_steps=max_gap_steps)) == expected


@pytest.mark.parametrize(
    ("mode", "gap"), [("hold", ["1"] * 5), ("zero", ["0"] * 5), ("interpolate", ["2", "3", "4", "5", "6"]), ("skip", ["_"] * 5)]
)
def test_a_gap_across_the_seam_of_two_blocks_is_filled_like_any_other(mode, gap):
    text = ["1"] * 510 + ["_"] * 5 + ["7"] * 85  # the first block ends behind step 511

    blocks = closed(with_carrier(" ".join(text)), gap_mode=mode, max_gap_steps=5)

    assert written(blocks).split() == text[:510] + gap + text[515:]


def test_wholly_empty_steps_are_filled_too():
    assert written(closed(series("1 _ 3"), gap_mode="hold", max_gap_steps=1)) == "1 1 3"
    assert written(closed_one_by_one(series("1 _ 3"), gap_mode="interpolate", max_gap_steps=1)) == "1 2 3"


def test_interpolation_closes_steps_later_by_its_bound():
    one = grid(gap_mode="interpolate", max_gap_steps=2)
    one.add(series("1 2 3 4 5"))  # watermark 40 s

    assert written(close(one)) == "1 2"


# Counters


def rates(text, **settings):
    """Give the rates of a counter written as text, without the first step's: that has a test of its own."""
    counts = series(text, kind=Kind.COUNTER)
    counts = LocatedSamples(counts.row, counts.channel, counts.time_ms + 1_700_000_000_000, counts.value, counts.kind)
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
    one = grid(idle_seconds=30, empty_steps=3)
    one.add(at((0, 100), kind=Kind.COUNTER))
    close(one, 40)
    close(one, 235)
    one.add(at((205, 510), kind=Kind.COUNTER))

    assert written(close(one, finished=True)) == "2"  # 410 in 205 s


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

    assert written(closed(deltas, lateness_seconds=20)) == written(closed_one_by_one(deltas, lateness_seconds=20)) == "_ _ 3 1 0.1"


def test_deltas_stand_beside_counters_and_gauges():
    blocks = closed(
        together(at((1, 7), (11, 8)), at((2, 20), (3, 20), channel=1, kind=Kind.DELTA), at((0, 100), (10, 130), row=1, kind=Kind.COUNTER))
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


def test_open_deltas_survive_a_restart():
    before, after = grid(lateness_seconds=10), grid(lateness_seconds=10)
    before.add(at((1, 20), (2, 10), kind=Kind.DELTA))
    after.load_state(before.state())
    after.add(at((2, 10), (3, 30), kind=Kind.DELTA))

    assert written(close(after, finished=True)) == "_ 6"


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
    blocks = closed(together(at((0, 1), (15, END)), at((0, 7), (30, 8), channel=1)), gap_mode="hold", max_gap_steps=3)

    assert written(blocks) == "1 _ _ _"
    assert written(blocks, channel=1) == "7 7 7 8"


def test_an_end_is_remembered_over_the_seam_of_two_batches_and_a_restart():
    before, after = grid(), grid()
    before.add(at((0, 100), (10, 130), (15, END), kind=Kind.COUNTER))
    close(before)
    after.load_state(before.state())
    after.add(at((20, 500), (30, 520), kind=Kind.COUNTER))

    assert written(close(after, finished=True)) == "3 _ 2"


def test_an_end_is_no_late_sample():
    one = grid()
    one.add(at((0, 1), (30, 2)))
    close(one)

    assert one.add(at((5, END), (6, 3))) == 1


# A source with partitions says itself how far it has been read


def close_complete(grid, complete_seconds):
    return list(grid.close(0, n_rows=1, n_channels=1, complete_ms=round(complete_seconds * 1000)))


def test_a_step_waits_for_the_slowest_partition_however_new_the_newest_sample_is():
    one = grid()
    one.add(at((5, 1), (95, 2)), opens=False)

    assert written(close_complete(one, 19.9)) == "1"
    assert one.add(at((12, 7)), opens=False) == 0
    assert written(close_complete(one, 20)) == "7"


def test_nothing_closes_and_nothing_is_late_while_no_partition_is_complete():
    one = grid(lateness_seconds=10)
    one.add(at((505, 2)), opens=False)
    assert close_complete(one, -0.001) == []
    assert one.watermark_ms is None

    assert one.add(at((105, 1)), opens=False) == 0  # another partition, far behind
    blocks = close_complete(one, 120)

    assert numbers(blocks) == [9, 10]  # one step of lateness before the oldest sample
    assert written(blocks) == "_ 1"


def test_the_sources_own_word_stands_for_its_clock():
    one = grid(idle_seconds=0)
    one.add(at((5, 1)), opens=False)

    closed_by_now = list(one.close(10**12, n_rows=1, n_channels=1, complete_ms=5000))

    assert closed_by_now == []


def test_the_lateness_and_the_look_ahead_lie_between_complete_and_closed():
    assert grid(lateness_seconds=7).closed_ms(100_000) == 93_000
    assert grid(gap_mode="interpolate", max_gap_steps=3).closed_ms(100_000) == 70_000


def test_a_grid_that_has_not_opened_goes_on_from_its_state():
    one, other = grid(), grid()
    one.add(at((205, 2)), opens=False)

    other.load_state(one.state())
    other.add(at((105, 1)), opens=False)

    assert numbers(close_complete(other, 120))[0] == 10
