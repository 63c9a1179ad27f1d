"""What a pipeline accepts of a batch and what each watch is given; steps are 1 s, windows 8 steps."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_stream import Stream, watch

from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.detection.view import WatchObserver
from monitor.sample import STALE_NAN, Columns, concatenate, labels_of, no_samples
from monitor.testing import samples

# What no watch is given


def step_with(*points, now_ms=100_000):
    """Run one batch of samples given as `(time_ms, value)` through a pipeline."""
    stream = Stream(seed=0)
    number = stream.table.intern("load", labels_of({"host": "web1"}))
    times, values = zip(*points, strict=True)
    decision = stream.take(
        Columns(np.full(len(points), number, np.int32), np.array(times, np.int64), np.array(values)), now_ms
    )
    return decision, stream.watch


def test_gaps_infinities_and_samples_from_the_future_are_counted_and_left_out():
    decision, _ = step_with(
        (99_000, 1.0), (99_000, np.nan), (99_000, np.inf), (99_500, -np.inf), (200_000, 1.0)
    )

    assert decision.rejected == {"gap": 1, "stale_marker": 0, "not_finite": 2, "future": 1, "over_limit": 0}
    assert decision.reports["web"].n_samples == 1


def test_a_value_beyond_what_float32_holds_is_counted_as_not_finite_and_left_out():
    decision, _ = step_with((99_000, 3.4e38), (99_000, 3.5e38), (99_500, -1e308), (99_500, 1.7e308))

    assert decision.rejected == {"gap": 0, "stale_marker": 0, "not_finite": 3, "future": 0, "over_limit": 0}
    assert decision.reports["web"].n_samples == 1


def test_a_sample_is_counted_under_one_reason_only():
    decision, _ = step_with((200_000, np.nan), (200_000, np.inf))

    assert decision.rejected == {"gap": 1, "stale_marker": 0, "not_finite": 1, "future": 0, "over_limit": 0}


def test_the_end_of_a_series_is_counted_apart_and_is_no_sample():
    decision, _ = step_with((98_000, 1.0), (99_000, STALE_NAN), (99_500, np.nan), (200_000, STALE_NAN))

    assert decision.rejected == {"gap": 1, "stale_marker": 2, "not_finite": 0, "future": 0, "over_limit": 0}
    assert (decision.reports["web"].n_samples, decision.reports["web"].n_late) == (1, 0)


def test_nothing_is_counted_across_the_end_of_a_series():
    def rates(marker):
        stream = Stream(seed=0)
        number = stream.table.intern("hits_total", labels_of({"host": "web1"}))
        seen = []
        stream.watch.observe(WatchObserver(on_scored=lambda scored: seen.append(scored.actual[0, 0])))
        points = [(0, 100.0), (1000, 110.0), (1500, marker), (3000, 500.0), (4000, 520.0)]
        times, values = zip(*points, strict=True)
        stream.take(
            Columns(np.full(5, number, np.int32), np.array(times, np.int64), np.array(values)),
            5000,
            finished=True,
        )
        return ["_" if np.isnan(rate) else f"{rate:g}" for rate in seen]

    assert rates(np.nan) == ["_", "10", "_", "195", "20"]
    assert rates(STALE_NAN) == ["_", "10", "_", "_", "20"]


def test_a_sample_is_from_the_future_beyond_the_bound_and_not_at_it():
    decision, watch = step_with((160_000, 1.0), (160_001, 2.0))

    assert decision.rejected["future"] == 1
    assert watch.grid.watermark_ms == 160_000


def test_a_sample_from_the_future_does_not_advance_the_watermark():
    _, watch = step_with((99_000, 1.0), (10_000_000_000, 1.0))

    assert watch.grid.watermark_ms == 99_000


def test_a_watch_is_given_its_own_metrics_only():
    stream = Stream(watch("loads", metrics=["load"]), watch("queues", metrics=["queue_*"]), seed=0)
    number = stream.table.intern("unwanted", labels_of({"host": "web1"}))
    wanted = samples("1 2 3", stream.table, name="load", host="web1")

    decision = stream.take(
        concatenate([wanted, Columns(np.full(5, number, np.int32), np.arange(5) * 1000, np.ones(5))]), 5000
    )

    assert {name: report.n_samples for name, report in decision.reports.items()} == {"loads": 3, "queues": 0}
    assert stream.pipeline.watches[1].entities.entities == []


# Nothing is lost without being counted

VALUES = st.sampled_from([1.0, 2.0, math.nan, math.inf, -math.inf, 1e308])


@settings(deadline=None, max_examples=60)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 300), VALUES), max_size=20),
        min_size=1,
        max_size=6,
    ),
    moves=st.lists(st.integers(-200, 200), min_size=6, max_size=6),
)
def test_every_sample_is_taken_late_or_refused_whatever_comes_and_however_the_clock_moves(batches, moves):
    stream = Stream(seed=0)
    series = [stream.table.intern(f"m{number}", labels_of({"host": "web1"})) for number in range(3)]
    now, n_sent, n_taken, n_late, n_refused = 200, 0, 0, 0, 0
    for batch, move in zip(batches, moves, strict=False):
        now = max(0, now + move)
        columns = Columns(
            np.array([series[number] for number, _, _ in batch], np.int32),
            np.array([1000 * second for _, second, _ in batch], np.int64),
            np.array([value for _, _, value in batch], np.float64),
        )
        decision = stream.take(columns, 1000 * now)
        report = decision.reports["web"]
        n_sent += len(batch)
        n_taken += report.n_samples - report.n_late
        n_late += report.n_late
        n_refused += sum(decision.rejected.values())
        n_bad = sum(second > now + 60 or not abs(value) < 3 for _, second, value in batch)
        assert sum(decision.rejected.values()) == n_bad

    assert n_taken + n_late + n_refused == n_sent


@pytest.mark.parametrize(("step_seconds", "n_known"), [(1.0, 0), (7200.0, 1)])
def test_a_series_keeps_its_number_for_an_hour_and_for_two_steps(quiet_watch, table, step_seconds, n_known):
    config = quiet_watch(step_seconds=step_seconds)
    pipeline = Pipeline(
        [build_watch(config.settings(), None, live=True)], table, max_future_ms=0, forgets_series=True
    )
    columns = samples("1", table, name="load", host="web1")
    for hour in range(4):  # forgotten at the second end of a turn without it
        pipeline.process(columns if hour == 0 else no_samples(), hour * 3_600_000)

    assert table.n_known == n_known
