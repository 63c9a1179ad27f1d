"""What a watch lacks is logged by name, and not in every batch."""

from __future__ import annotations

import pytest

from monitor.daemon.watch_log import WatchLog
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.sample import no_samples
from monitor.testing import FakeClock


@pytest.fixture
def unmatched(quiet_watch, table, noise):
    """Make a pipeline whose watch wants a label that is misspelt, with what a batch of four series does."""
    watch = build_watch(quiet_watch(by=["hostname"]).settings(), None, live=True)
    pipeline = Pipeline([watch], table, max_future_ms=60_000)
    pipeline.process(noise(3), 2000)
    return pipeline, pipeline.process(noise(3, host="web2\n"), 2000)


def test_a_watch_that_no_series_matches_is_logged_with_the_labels_seen_ten_seconds_after_the_first_samples(
    unmatched, caplog
):
    pipeline, decision = unmatched
    clock = FakeClock(0.0)
    watch_log = WatchLog(clock)

    watch_log.log_unmatched(decision, pipeline, has_samples=True)
    clock.advance(9.0)
    watch_log.log_unmatched(decision, pipeline, has_samples=True)
    assert caplog.messages == []
    clock.advance(1.0)
    watch_log.log_unmatched(decision, pipeline, has_samples=False)

    assert caplog.messages == [
        "watch w: no matching series: 4 seen, none with label `hostname`; "
        "labels seen: host; the nearest is `host`"
    ]


def test_it_is_logged_again_every_ten_minutes(unmatched, caplog):
    pipeline, decision = unmatched
    clock = FakeClock(0.0)
    watch_log = WatchLog(clock)

    for _ in range(1221):  # until 1220 s, a batch a second: at 10, 610 and 1210 s
        watch_log.log_unmatched(decision, pipeline, has_samples=True)
        clock.advance(1.0)

    assert len(caplog.messages) == 3


def test_where_no_sample_comes_at_all_it_is_logged_after_five_minutes(quiet_watch, table, caplog):
    pipeline = Pipeline([build_watch(quiet_watch().settings(), None)], table, max_future_ms=0)
    decision = pipeline.process(no_samples(), 0)
    clock = FakeClock(0.0)
    watch_log = WatchLog(clock)

    clock.advance(299.0)
    watch_log.log_unmatched(decision, pipeline, has_samples=False)
    assert caplog.messages == []
    clock.advance(1.0)
    watch_log.log_unmatched(decision, pipeline, has_samples=False)

    assert caplog.messages == ["watch w: no matching series: 0 seen, the source has brought none"]


def test_a_name_from_outside_cannot_end_a_log_line(quiet_watch, table, noise, caplog):
    config = quiet_watch(match={"host": "db*"})
    pipeline = Pipeline([build_watch(config.settings(), None)], table, max_future_ms=60_000)
    decision = pipeline.process(noise(3, host="web\n2"), 2000)
    clock = FakeClock(0.0)
    watch_log = WatchLog(clock)
    watch_log.log_unmatched(decision, pipeline, has_samples=True)
    clock.advance(10.0)

    watch_log.log_unmatched(decision, pipeline, has_samples=True)

    (line,) = caplog.messages
    assert "values of `host` seen: web\\n2;" in line
    assert line.isprintable()


def test_an_optional_watch_and_one_that_series_match_are_not_logged(
    unmatched, quiet_watch, table, noise, caplog
):
    matched = Pipeline([build_watch(quiet_watch().settings(), None)], table, max_future_ms=60_000)
    clock = FakeClock(0.0)
    optional, watch_log = WatchLog(clock, optional={"w"}), WatchLog(clock)
    for _ in range(2):
        optional.log_unmatched(unmatched[1], unmatched[0], has_samples=True)
        watch_log.log_unmatched(matched.process(noise(3), 2000), matched, has_samples=True)
        clock.advance(400.0)

    assert caplog.messages == []
