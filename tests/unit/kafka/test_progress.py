"""How far partitions are read, by hand arithmetic: idle after 10 s, windows of 320 ms, marks 10 ms apart."""

from __future__ import annotations

import pytest

from monitor.kafka.progress import ReadProgress
from monitor.sources.position import NOTHING_YET, PartitionPosition, Position

CLOCK_MS = 10**12  # far ahead of every sample


def read_progress(*names, resumed=None):
    """Begin to read some partitions from offset 0 at time 0."""
    progress = ReadProgress(rewind_ms=320, idle_seconds=10.0, resumed=resumed)
    for name in names:
        progress.assign(name, 0, 0.0)
    return progress


def record(progress, name, offset, newest_ms, *, now=0.0):
    """Hand out a single record."""
    progress.record(name, first_offset=offset, next_offset=offset + 1, newest_ms=newest_ms, now=now)


def advance(progress, now=0.0, clock_ms=CLOCK_MS):
    return progress.advance(now, clock_ms=clock_ms)


# Event time


def test_nothing_is_complete_before_every_partition_has_shown_something():
    progress = read_progress("m/0", "m/1")
    record(progress, "m/0", 0, 5000)
    assert advance(progress) == NOTHING_YET

    record(progress, "m/1", 0, 3000)
    assert advance(progress) == 3000


def test_the_slowest_partition_tells_how_far_the_source_is():
    progress = read_progress("m/0", "m/1")
    for offset, (first, second) in enumerate([(1000, 900), (2000, 1100), (9000, 1200)]):
        record(progress, "m/0", offset, first)
        record(progress, "m/1", offset, second)

    assert advance(progress) == 1200


def test_it_never_goes_back():
    progress = read_progress("m/0")
    record(progress, "m/0", 0, 5000)
    assert advance(progress) == 5000

    progress.assign("m/1", 0, 0.0)
    record(progress, "m/1", 0, 100)

    assert advance(progress) == 5000


def test_an_older_sample_leaves_its_partition_where_it_was():
    progress = read_progress("m/0")
    record(progress, "m/0", 0, 5000)
    record(progress, "m/0", 1, 4000)

    assert advance(progress) == 5000


def test_a_record_without_a_sample_that_can_be_believed_moves_the_offset_only():
    progress = read_progress("m/0")
    record(progress, "m/0", 0, None)

    assert advance(progress) == NOTHING_YET
    assert progress.offset("m/0") == 1


def test_nothing_passes_the_clock():
    progress = read_progress("m/0")
    record(progress, "m/0", 0, 5000)

    assert advance(progress, clock_ms=4000) == 4000


def test_without_a_partition_time_stands_still():
    progress = read_progress("m/0")
    record(progress, "m/0", 0, 5000)
    advance(progress)
    progress.release(["m/0"])

    assert advance(progress, now=1000.0) == 5000


# Silence


def test_a_silent_partition_holds_the_others_up_until_it_is_idle_and_known_to_be_empty():
    progress = read_progress("m/0", "m/1")
    record(progress, "m/0", 0, 1000)
    record(progress, "m/1", 0, 1000)
    record(progress, "m/0", 1, 20_000, now=9.9)
    assert progress.silent(9.9) == []
    assert advance(progress, now=9.9) == 1000

    assert progress.silent(10.0) == ["m/1"]
    assert advance(progress, now=10.0) == 1000  # nobody has asked the broker yet

    progress.confirm_empty("m/1", 10.0)
    assert advance(progress, now=10.1) == 20_000


def test_a_broker_that_cannot_be_asked_any_more_holds_everything_up():
    progress = read_progress("m/0", "m/1")
    record(progress, "m/1", 0, 1000)
    progress.confirm_empty("m/1", 10.0)
    record(progress, "m/0", 0, 20_000, now=15.0)
    assert advance(progress, now=15.0) == 20_000

    record(progress, "m/0", 1, 30_000, now=15.1)
    assert advance(progress, now=15.1) == 20_000  # what the broker said is 5.1 s old


def test_a_record_ends_the_silence():
    progress = read_progress("m/0", "m/1")
    record(progress, "m/0", 0, 20_000, now=9.0)
    progress.confirm_empty("m/1", 10.0)
    record(progress, "m/1", 0, 15_000, now=10.5)

    assert advance(progress, now=10.5) == 15_000


def test_when_all_are_silent_time_goes_on_as_fast_as_the_clock():
    progress = read_progress("m/0", "m/1")
    record(progress, "m/0", 0, 1000, now=0.0)
    record(progress, "m/1", 0, 3000, now=2.0)
    for name in ("m/0", "m/1"):
        progress.confirm_empty(name, 14.0)

    assert advance(progress, now=14.5) == 3000 + 2500  # idle since 12.0


def test_partitions_that_never_showed_anything_stay_at_nothing():
    progress = read_progress("m/0")
    progress.confirm_empty("m/0", 20.0)

    assert advance(progress, now=20.0) == NOTHING_YET


# Offsets


def test_a_partition_that_comes_back_goes_on_where_it_was():
    progress = read_progress("m/0")
    record(progress, "m/0", 0, 5000)
    progress.release(["m/0"])
    assert progress.owned == frozenset()
    assert progress.offset("m/0") == 1

    progress.assign("m/0", 1, 100.0)
    assert advance(progress, now=100.0) == 5000


def test_a_jump_forgets_what_was_before_it():
    progress = read_progress("m/0", "m/1")
    record(progress, "m/0", 0, 5000)
    record(progress, "m/1", 0, 9000)

    progress.assign("m/0", 700, 0.0)

    assert progress.position().partitions["m/0"] == PartitionPosition(700, 700, NOTHING_YET)
    assert advance(progress) == NOTHING_YET


def test_a_topic_is_known_by_any_of_its_partitions():
    progress = read_progress("a/b/0")

    assert progress.knows_topic("a/b")
    assert not progress.knows_topic("a")


def test_the_rewind_is_the_first_record_that_windows_may_still_need():
    progress = read_progress("m/0")
    for offset in range(100):
        record(progress, "m/0", offset, offset * 10)
    assert advance(progress) == 990

    # 990 - 320 = 670, the time of record 67
    assert progress.position() == Position(990, {"m/0": PartitionPosition(100, 67, 990)})


def test_out_of_order_records_are_never_left_out_of_a_rewind():
    progress = read_progress("m/0")
    times = [400, 10, 420, 800, 405, 820]
    for offset, time_ms in enumerate(times):
        record(progress, "m/0", offset, time_ms)
    advance(progress)

    rewind = progress.position().partitions["m/0"].rewind

    assert 820 - 320 == 500
    assert rewind <= times.index(800)  # nothing before it is as new as 500


@pytest.mark.parametrize("seed_step", [1, 7, 13])
def test_every_record_that_is_needed_lies_behind_the_rewind(seed_step):
    progress = read_progress("m/0")
    times = [k * 3 + (k * seed_step * 31) % 60 for k in range(500)]
    for offset, time_ms in enumerate(times):
        record(progress, "m/0", offset, time_ms)
    complete_ms = advance(progress)

    rewind = progress.position().partitions["m/0"].rewind

    assert all(time_ms < complete_ms - 320 for time_ms in times[:rewind])
    assert rewind > 0


def test_few_marks_are_kept_whatever_the_number_of_records():
    progress = read_progress("m/0")
    for offset in range(10_000):
        record(progress, "m/0", offset, offset // 10)
    progress.position()
    advance(progress)

    rewind = progress.position().partitions["m/0"].rewind

    # 999 - 320 = 679: its mark of 10 ms begins with record 6700
    assert rewind == 6700
    assert len(progress._partitions["m/0"].marks) == 33


def test_what_a_checkpoint_kept_is_gone_on_from():
    resumed = Position(
        5000, {"m/0": PartitionPosition(50, 20, 5000), "m/1": PartitionPosition(7, 7, NOTHING_YET)}
    )
    progress = ReadProgress(rewind_ms=320, idle_seconds=10.0, resumed=resumed)

    assert progress.position() == resumed
    assert progress.owned == frozenset()
    progress.assign("m/0", 50, 0.0)
    assert advance(progress) == 5000
    record(progress, "m/0", 50, 5330)
    assert advance(progress) == 5330
    assert progress.position().partitions["m/0"] == PartitionPosition(
        51, 50, 5330
    )  # 5330 - 320 is behind all that was before


# Records that tell no time


def test_a_partition_whose_records_tell_no_time_holds_the_others_up_no_longer_than_a_silent_one():
    progress = read_progress("m/0", "m/1")
    record(progress, "m/0", 0, 5000)
    record(progress, "m/1", 0, 1000)
    for second in range(1, 12):
        record(progress, "m/0", second, 5000 + second * 1000, now=float(second))
        progress.confirm_empty("m/1", float(second))
        record(progress, "m/1", second, None, now=float(second))
        assert advance(progress, now=float(second)) == (1000 if second < 10 else 5000 + second * 1000)


def test_a_held_partition_that_tells_no_time_holds_nobody_up_whatever_the_broker_says():
    progress = read_progress("m/0", "m/1")
    progress.hold("m/1", 0)
    record(progress, "m/0", 0, 5000, now=11.0)

    assert advance(progress, now=9.0) == NOTHING_YET
    assert advance(progress, now=11.0) == 5000


def test_a_held_partition_that_still_tells_times_is_waited_for():
    progress = read_progress("m/0", "m/1")
    progress.hold("m/1", 0)
    record(progress, "m/0", 0, 5000, now=11.0)
    record(progress, "m/1", 7, 2000, now=11.0)

    assert advance(progress, now=11.0) == 2000


def test_time_stands_when_every_partition_is_held():
    progress = read_progress("m/0")
    record(progress, "m/0", 0, 5000)
    progress.hold("m/0", 1)
    assert advance(progress, now=5.0) == 5000

    assert advance(progress, now=500.0) == 5000


def test_a_silent_partition_beside_a_held_one_lets_time_go_on():
    progress = read_progress("m/0", "m/1")
    record(progress, "m/0", 0, 5000)
    progress.hold("m/1", 0)
    progress.confirm_empty("m/0", 14.0)

    assert advance(progress, now=14.0) == 9000  # it was idle 4 s ago, after 10 s


def test_the_position_of_a_held_partition_is_where_it_is_held():
    progress = read_progress("m/0")
    for offset in range(100):
        record(progress, "m/0", offset, offset * 10)
    progress.hold("m/0", 40)

    advance(progress)
    assert progress.position().partitions == {
        "m/0": PartitionPosition(40, 40, NOTHING_YET)
    }  # windows need 320 ms: from 67 on

    progress.hold("m/0", None)
    assert progress.position().partitions == {"m/0": PartitionPosition(100, 67, 990)}


def test_who_goes_on_from_a_held_place_reads_it_again_and_waits_for_it():
    progress = read_progress("m/0", "m/1")
    record(progress, "m/0", 0, 5000)
    progress.hold("m/1", 3)
    assert advance(progress, now=5.0) == NOTHING_YET  # no sample ever came of it
    record(progress, "m/0", 1, 6000, now=12.0)
    assert advance(progress, now=12.0) == 6000

    again = ReadProgress(rewind_ms=320, idle_seconds=10.0, resumed=progress.position())
    assert (again.offset("m/0"), again.offset("m/1")) == (2, 3)
    for name in ("m/0", "m/1"):
        again.assign(name, again.offset(name), 0.0)
    record(again, "m/0", 2, 9000)
    record(again, "m/1", 3, 2000)
    assert advance(again) == 6000  # it never goes back
    record(again, "m/1", 4, 8000)
    assert advance(again) == 8000


def test_a_partition_that_is_read_from_another_place_is_held_no_longer():
    progress = read_progress("m/0")
    record(progress, "m/0", 0, 5000)
    progress.hold("m/0", 1)

    progress.assign("m/0", 50, 0.0)

    assert progress.position().partitions["m/0"].offset == 50


# The wall clock, which is only asked what has certainly not happened yet


def test_a_wall_clock_that_jumps_ahead_makes_no_partition_idle_and_nothing_complete_early():
    progress = read_progress("m/0", "m/1")
    record(progress, "m/0", 0, 9000, now=1.0)
    record(progress, "m/1", 0, 5000, now=1.0)

    assert advance(progress, now=9.0, clock_ms=9500) == 5000
    assert advance(progress, now=9.5, clock_ms=9500 + 3_600_000) == 5000
    assert progress.silent(9.5) == []


def test_a_wall_clock_that_is_set_back_holds_time_where_it_was_until_it_is_there_again():
    progress = read_progress("m/0")
    record(progress, "m/0", 0, 3_605_000, now=1.0)
    assert advance(progress, now=1.0, clock_ms=3_605_000) == 3_605_000

    record(progress, "m/0", 1, 3_606_000, now=2.0)
    assert advance(progress, now=2.0, clock_ms=6000) == 3_605_000

    record(progress, "m/0", 2, 3_607_000, now=3.0)
    assert advance(progress, now=3.0, clock_ms=3_607_000) == 3_607_000


# The topic that a position is of


def test_the_id_of_the_topic_goes_with_the_position():
    resumed = Position(None, {"m/0": PartitionPosition(7, 7, topic_id="a")})
    progress = ReadProgress(rewind_ms=320, idle_seconds=10.0, resumed=resumed)
    assert (progress.topic_id("m/0"), progress.topic_id("m/1")) == ("a", "")

    progress.assign("m/1", 3, 0.0, "b")
    progress.assign("m/1", 5, 0.0)  # elsewhere in the same topic
    assert progress.position().partitions == {
        "m/0": PartitionPosition(7, 7, topic_id="a"),
        "m/1": PartitionPosition(5, 5, topic_id="b"),
    }

    progress.hold("m/1", 4)
    assert progress.position().partitions["m/1"] == PartitionPosition(4, 4, topic_id="b")


def test_the_same_offset_of_another_topic_is_a_beginning():
    progress = ReadProgress(rewind_ms=320, idle_seconds=10.0)
    assert progress.assign("m/0", 5, 0.0, "a")
    progress.record("m/0", first_offset=4, next_offset=5, newest_ms=1000, now=0.0)

    assert not progress.assign("m/0", 5, 0.0, "a")
    assert not progress.assign("m/0", 5, 0.0)
    assert progress.newest_ms("m/0") == 1000
    assert progress.assign("m/0", 5, 0.0, "b")
    assert (progress.newest_ms("m/0"), progress.topic_id("m/0")) == (NOTHING_YET, "b")


def test_an_id_that_is_learned_later_begins_nothing():
    progress = ReadProgress(rewind_ms=320, idle_seconds=10.0)
    progress.assign("m/0", 5, 0.0)
    progress.record("m/0", first_offset=4, next_offset=5, newest_ms=1000, now=0.0)

    progress.learn_topic_id("m/0", "a")
    progress.learn_topic_id("m/0", "")

    assert (progress.topic_id("m/0"), progress.newest_ms("m/0")) == ("a", 1000)
