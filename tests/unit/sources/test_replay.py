"""Recorded samples replayed at a chosen speed."""

from itertools import pairwise

import numpy as np
import pytest

from monitor.files.metric_files import Recorded
from monitor.sample import Columns, SeriesTable, concatenate
from monitor.sources.position import Position
from monitor.sources.replay import ReplaySource
from monitor.testing import FakeClock, samples


def a_minute(table):
    """Record a sample a second, from 10 s after the epoch on."""
    return Recorded(samples(" ".join(str(k) for k in range(60)), table, start_ms=10_000), ())


def until_the_end(source, timeout_seconds=1.0):
    batches = []
    while not batches or not batches[-1].finished:
        batches.append(source.poll(timeout_seconds))
        assert len(batches) < 10_000
    return batches


def test_at_speed_ten_ten_seconds_of_event_time_pass_in_one():
    clock = FakeClock(1e9)
    source = ReplaySource(a_minute(SeriesTable()), clock, speed=10)
    first = source.poll(0.0)
    clock.advance(1.0)

    second = source.poll(0.0)

    assert first.columns.value.tolist() == [0.0]
    assert second.columns.value.tolist() == [float(k) for k in range(1, 11)]
    assert (first.now_ms, second.now_ms) == (10_000, 20_000)


def test_a_whole_replay_takes_its_time_and_brings_everything():
    clock = FakeClock()
    batches = until_the_end(ReplaySource(a_minute(SeriesTable()), clock, speed=10))

    assert clock.monotonic() == pytest.approx(5.9)
    assert np.concatenate([batch.columns.value for batch in batches]).tolist() == [
        float(k) for k in range(60)
    ]


def test_a_poll_waits_no_longer_than_it_may():
    clock = FakeClock()
    source = ReplaySource(a_minute(SeriesTable()), clock, speed=0.1)  # a sample each 10 s
    source.poll(1.0)

    batch = source.poll(1.0)

    assert len(batch.columns) == 0
    assert not batch.finished
    assert (clock.monotonic(), batch.now_ms) == (1.0, 10_100)


def test_the_speed_does_not_mind_the_wall_clock_being_set():
    clock = FakeClock(1e9)
    source = ReplaySource(a_minute(SeriesTable()), clock, speed=1)
    source.poll(0.0)
    clock.jump(-3600)
    clock.advance(5.0)

    assert source.poll(0.0).columns.value.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_at_full_speed_everything_comes_in_order_without_waiting():
    clock = FakeClock()
    batches = until_the_end(ReplaySource(a_minute(SeriesTable()), clock))

    assert clock.monotonic() == 0.0
    assert np.concatenate([batch.columns.value for batch in batches]).tolist() == [
        float(k) for k in range(60)
    ]
    assert [batch.finished for batch in batches] == [False] * (len(batches) - 1) + [True]


def test_at_full_speed_samples_of_one_moment_are_never_parted():
    table = SeriesTable()
    n_times = 2000
    columns = concatenate(samples(" ".join(["1"] * n_times), table, name=name) for name in "abcdefg")
    order = np.argsort(columns.time_ms, kind="stable")
    recorded = Recorded(Columns(columns.series[order], columns.time_ms[order], columns.value[order]), ())

    batches = until_the_end(ReplaySource(recorded, FakeClock()))

    times = [batch.columns.time_ms for batch in batches]
    assert len(batches) > 1
    assert sum(map(len, times)) == 7 * n_times
    assert all(earlier[-1] < later[0] for earlier, later in pairwise(times))
    assert all(batch.now_ms == batch.columns.time_ms[-1] for batch in batches)


def test_what_could_not_be_read_is_told_once():
    recorded = Recorded(a_minute(SeriesTable()).columns, (("bad_time", 3),))
    source = ReplaySource(recorded, FakeClock())

    assert [source.poll(0.0).n_bad for _ in range(3)] == [(("bad_time", 3),), (), ()]


def test_behind_the_end_event_time_goes_on_at_the_chosen_speed():
    clock = FakeClock()
    source = ReplaySource(a_minute(SeriesTable()), clock, speed=10)
    until_the_end(source)
    ended = source.poll(0.0).now_ms
    clock.advance(2.0)

    assert source.poll(0.0).now_ms - ended == pytest.approx(20_000, abs=1)


def test_behind_the_end_at_full_speed_time_stands_still_and_a_poll_waits():
    clock = FakeClock()
    source = ReplaySource(a_minute(SeriesTable()), clock)
    until_the_end(source)

    batch = source.poll(1.0)

    assert (batch.now_ms, batch.finished, len(batch.columns)) == (69_000, True, 0)
    assert clock.monotonic() == 1.0


def test_an_empty_recording_ends_at_once():
    source = ReplaySource(Recorded(concatenate([]), ()), FakeClock(), speed=2)

    assert [source.poll(0.0).finished for _ in range(2)] == [True, True]


def test_a_replay_goes_on_with_the_first_sample_behind_its_position():
    source = ReplaySource(a_minute(SeriesTable()), FakeClock(), after_ms=19_000)

    assert source.position() == Position(19_000)
    assert until_the_end(source)[0].columns.value[0] == 10.0  # the sample of 20 s
