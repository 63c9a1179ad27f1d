"""A limit that refuses series is logged by name, and not in every batch."""

from __future__ import annotations

from monitor.daemon.limit_log import LimitLog
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.testing import FakeClock


def refusing_pipeline(quiet_watch, table):
    """Make a pipeline whose watch has room for one entity of two channels."""
    watch = build_watch(quiet_watch(max_series=2).settings(), None, live=True)
    return Pipeline([watch], table, max_future_ms=60_000)


def test_a_watch_without_room_names_a_series_and_its_limit(quiet_watch, table, noise, caplog):
    pipeline = refusing_pipeline(quiet_watch, table)
    limit_log = LimitLog(FakeClock(0.0))
    pipeline.process(noise(3), 2000)

    limit_log.log_refused(pipeline.process(noise(3, host="web2\n"), 2000), pipeline)

    (line,) = caplog.messages
    assert line.startswith("series refused watch=w series=")
    assert 'host="web2\\n"' in line
    assert "no room beside 1 entities times 2 channels, by watch.w.max_series = 2" in line


def test_a_limit_is_logged_again_after_ten_minutes_with_a_count(quiet_watch, table, noise, caplog):
    pipeline = refusing_pipeline(quiet_watch, table)
    clock = FakeClock(0.0)
    limit_log = LimitLog(clock)
    pipeline.process(noise(3), 2000)
    decision = pipeline.process(noise(3, host="web2"), 2000)

    for _ in range(21):  # a batch every 30 s
        limit_log.log_refused(decision, pipeline)
        clock.advance(30.0)

    assert [line[-len("(and 19 times before)") :] for line in caplog.messages][1] == "(and 19 times before)"
    assert len(caplog.messages) == 2


def test_nothing_is_logged_where_nothing_is_refused(quiet_watch, table, noise, caplog):
    pipeline = refusing_pipeline(quiet_watch, table)

    LimitLog(FakeClock(0.0)).log_refused(pipeline.process(noise(3), 2000), pipeline)

    assert caplog.messages == []
