"""What a watch lacks is logged by name, and not in every batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monitor.daemon.watch_log import WatchLog
from monitor.detection.build import build_watch
from monitor.detection.coverage import CoverageView
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


def test_it_is_logged_again_after_ten_minutes_and_then_more_rarely(unmatched, caplog):
    pipeline, decision = unmatched
    clock = FakeClock(0.0)
    watch_log = WatchLog(clock)

    for _ in range(1821):  # until 1820 s, a batch a second: at 10, 610 and 1810 s
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


# Entities without data


class Fleet:
    """A view of hosts, of which some are missing, and the log lines that a watch log makes of it."""

    def __init__(self, quiet_watch, caplog, n_hosts=2000):
        self._view = build_watch(quiet_watch().settings(), None).view()
        self.names = [f"web{number}" for number in range(n_hosts)]
        self.clock = FakeClock(0.0)
        self._watch_log = WatchLog(self.clock)
        self._caplog = caplog
        caplog.set_level("INFO")

    def lines(self, missing, *, gone=()):
        """Give what is logged where these rows are missing, and those no longer expected."""
        n_hosts = len(self.names)
        expected, absent = np.ones(n_hosts, bool), np.zeros(n_hosts, bool)
        expected[list(gone)], absent[list(missing)] = False, True
        since_ms = np.full(n_hosts, 1_700_000_000_000)
        coverage = CoverageView(expected, absent, since_ms)
        self._caplog.clear()
        self._watch_log.log_coverage([replace(self._view, entities=self.names, coverage=coverage)])
        return self._caplog.messages


@pytest.fixture
def fleet(quiet_watch, caplog):
    return Fleet(quiet_watch, caplog)


def test_a_thousand_hosts_that_vanish_are_one_line_with_ten_names(fleet):
    assert fleet.lines(range(1000)) == [
        "no data for web0, web1, web2, web3, web4, web5, web6, web7, web8, web9 and 990 more "
        "(1000 of 2000 entities) watch=w since=2023-11-14T22:13:20Z: their input has ended or has gaps"
    ]
    assert fleet.lines(range(1000)) == []


def test_hosts_that_return_are_logged_and_so_are_those_given_up(fleet):
    fleet.lines([0, 1, 2, 3])

    assert fleet.lines([3], gone=[2]) == [
        "data again for web0, web1 watch=w: 1 still without",
        "no longer expected: web2 watch=w: without data for too long",
    ]
    fleet.clock.advance(60.0)
    assert fleet.lines([3], gone=[2]) == []


def test_what_changes_within_a_minute_is_logged_together_at_its_end(fleet):
    assert len(fleet.lines([0])) == 1
    assert fleet.lines([0, 1]) == []
    fleet.clock.advance(30.0)
    assert fleet.lines([0, 1, 2]) == []
    fleet.clock.advance(30.0)

    (line,) = fleet.lines([0, 1, 2])

    assert line.startswith("no data for web1, web2 (3 of 2000 entities) watch=w ")


def test_a_host_that_flaps_is_logged_ever_more_rarely(fleet):
    lines = []
    for second in range(181):  # at 0, 60 and 180 s; its return at 1 and 61 s
        lines += fleet.lines([0] if second % 2 == 0 else [])
        fleet.clock.advance(1.0)

    assert sum(line.startswith("no data for web0 ") for line in lines) == 3
    assert sum(line.startswith("data again for web0 ") for line in lines) == 2


def test_a_name_that_holds_a_line_break_stays_in_its_line(quiet_watch, caplog):
    fleet = Fleet(quiet_watch, caplog, n_hosts=1)
    fleet.names = ["a\nb"]

    (line,) = fleet.lines([0])

    assert line.startswith("no data for a\\nb (1 of 1 entities) ")


def test_a_derived_channel_without_series_is_logged_by_its_name(quiet_watch, table, noise, caplog):
    sums = {"name": "loads", "kind": "sum", "of": "a"}
    ratio = {"name": "error_ratio", "kind": "ratio", "of": "b", "over": "requests_total"}
    watch = build_watch(quiet_watch(derive=[sums, ratio]).settings(), None, live=True)
    pipeline = Pipeline([watch], table, max_future_ms=60_000)
    decision = pipeline.process(noise(3), 2000)
    clock = FakeClock(0.0)
    watch_log = WatchLog(clock)

    watch_log.log_unmatched(decision, pipeline, has_samples=True)
    clock.advance(10.0)
    watch_log.log_unmatched(decision, pipeline, has_samples=True)

    (line,) = caplog.messages
    assert line.startswith("watch w: derived channel error_ratio: no series named requests_total")
