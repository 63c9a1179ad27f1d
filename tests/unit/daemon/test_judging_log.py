"""Log lines about what is judged, for a watch that is judged from its 108th step on (8 + 100 steps)."""

from __future__ import annotations

import logging

import pytest

from monitor.daemon.judging_log import JudgingLog
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.sample import concatenate, no_samples
from monitor.sources.source import Batch


@pytest.fixture
def lines(quiet_watch, table, caplog):
    """Give the lines that some batches lead to, and the end behind them."""
    caplog.set_level(logging.INFO, "monitor.daemon.judging_log")

    def lines_of(batches, version=None):
        pipeline = Pipeline([build_watch(quiet_watch().settings(), None)], table, max_future_ms=60_000)
        judging_log = JudgingLog(lambda watch: version)
        for batch in batches:
            decision = pipeline.process(batch.columns, batch.now_ms, finished=batch.finished)
            judging_log.count(batch, decision, pipeline)
        began = [record.getMessage() for record in caplog.records]
        caplog.clear()
        judging_log.log_end()
        return began, [record.getMessage() for record in caplog.records]

    return lines_of


def batch(columns, **options):
    return Batch(columns, int(columns.time_ms.max()), **options)


def test_the_begin_of_judging_is_logged_once_with_entities_model_and_limit(lines, noise):
    batches = [batch(noise(50)), batch(noise(100, start_step=50)), batch(noise(100, start_step=150))]

    began, _ = lines(batches)

    assert began == ["judging began watch=w entities=1 of 1 model=none limit=provisional"]


def test_the_model_that_judges_is_named(lines, noise):
    began, _ = lines([batch(noise(200))], version="20260131T120000Z")

    assert began == ["judging began watch=w entities=1 of 1 model=20260131T120000Z limit=provisional"]


def test_the_end_sums_up_samples_time_steps_episodes_and_what_was_skipped(lines, noise):
    batches = [
        batch(noise(200), n_bad=(("bad_time", 3),)),
        batch(noise(20, start_step=200, shift=50.0, seed=1), n_bad=(("bad_time", 1),)),
        batch(noise(40, start_step=220, seed=2), finished=True),
    ]

    _, ended = lines(batches)

    # 260 steps of two channels; windows are judged from the 108th step on
    assert ended[0].startswith("replayed samples=520 time=")
    assert ended[0].endswith(" skipped=bad_time:4")
    assert ended[1].startswith("replayed watch=w samples=520 steps=260 windows_judged=")
    assert " episodes_opened=1 skipped=" in ended[1]


def test_samples_that_come_too_late_or_lie_in_the_future_are_among_what_was_skipped(lines, noise):
    first = batch(concatenate([noise(200), noise(1, start_step=1000)]))
    first = Batch(first.columns, 200_000)
    late = Batch(noise(1, start_step=5), 200_000)

    _, ended = lines([first, late])

    assert ended[0].endswith(" skipped=future:2")
    assert ",late:2" in f",{ended[1].partition('skipped=')[2]}"


def test_a_source_without_a_single_sample_says_so(lines):
    began, ended = lines([Batch(no_samples(), 0, finished=True)])

    assert began == []
    assert ended == [
        "replayed samples=0 time=none skipped=none",
        "replayed watch=w samples=0 steps=0 windows_judged=0 episodes_opened=0 skipped=none",
    ]
