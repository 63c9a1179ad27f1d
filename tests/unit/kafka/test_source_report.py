"""What a batch reports: counts since the last one, and where each partition stands."""

from __future__ import annotations

from types import SimpleNamespace

from fake_kafka import M0, M1, fetched

from monitor.kafka.backlog import Backlog
from monitor.kafka.progress import ReadProgress
from monitor.kafka.source_report import SourceReportBuilder

NOW_MS = 60_000


class Setup:
    """Two partitions, read up to offsets 10 and 20; only the first has shown a sample, at 50 s."""

    def __init__(self, *, held=()):
        self.progress = ReadProgress(rewind_ms=320, idle_seconds=10.0)
        self.progress.assign("m/0", 10, 0.0)
        self.progress.assign("m/1", 20, 0.0)
        self.progress.record("m/0", first_offset=9, next_offset=10, newest_ms=50_000, now=0.0)
        self.backlog = Backlog()
        decoder = SimpleNamespace(held_offset=lambda partition: 3 if partition in held else None)
        self.builder = SourceReportBuilder(self.progress, decoder, self.backlog)


def test_counts_begin_anew_with_each_report():
    builder = Setup().builder
    builder.count_records("m", fetched([b"abc", b"de"], n_empty=1))
    builder.count_lost("m", 4)
    builder.count_recreated("m")
    builder.count_commit("done")
    builder.count_error("retried")
    builder.count_rebalance()
    builder.count_dead_letters({"sent": 2, "withheld": 1})

    report = builder.report(NOW_MS)
    assert (report.n_records, report.n_bytes, report.n_lost) == ({"m": 3}, {"m": 5}, {"m": 4})
    assert (report.commits, report.errors, report.n_rebalances) == ({"done": 1}, {"retried": 1}, 1)
    assert (report.dead_letters, report.n_recreated) == ({"sent": 2, "withheld": 1}, {"m": 1})

    report = builder.report(NOW_MS)
    assert (report.n_records, report.n_bytes, report.n_lost, report.n_recreated) == ({}, {}, {}, {})
    assert (report.commits, report.errors, report.n_rebalances, report.dead_letters) == ({}, {}, 0, {})


def test_what_did_not_happen_is_not_reported():
    builder = Setup().builder

    builder.count_lost("m", 0)
    builder.count_dead_letters({"withheld": 0})

    report = builder.report(NOW_MS)
    assert (report.n_lost, report.dead_letters) == ({}, {})


def test_lag_is_the_records_up_to_the_end_and_the_age_of_the_newest_sample_while_there_are_any():
    setup = Setup()
    setup.builder.know_log_ends({M0: 13, M1: 25})

    report = setup.builder.report(NOW_MS)

    assert report.lag == {("m", 0): 3, ("m", 1): 5}
    assert report.lag_seconds == {("m", 0): 10.0}  # of the second no event time is known
    assert report.newest_seconds == {("m", 0): 50.0}


def test_a_partition_that_is_read_to_its_end_has_no_lag():
    setup = Setup()
    setup.builder.know_log_ends({M0: 10, M1: 19})  # an old answer may be behind what was read

    report = setup.builder.report(NOW_MS)

    assert report.lag == {("m", 0): 0, ("m", 1): 0}
    assert report.lag_seconds == {("m", 0): 0.0, ("m", 1): 0.0}


def test_without_the_end_of_a_log_there_is_no_lag():
    setup = Setup()
    setup.builder.know_log_ends({M1: 20})

    assert setup.builder.report(NOW_MS).lag == {("m", 1): 0}


def test_only_partitions_that_are_read_are_reported():
    setup = Setup()
    setup.progress.release(["m/0"])
    setup.builder.know_log_ends({M0: 13, M1: 25})

    report = setup.builder.report(NOW_MS)

    assert set(report.lag) == set(report.wrong_format) == {("m", 1)}


def test_a_wrong_format_and_what_waits_are_shown():
    setup = Setup(held=[M1])
    setup.backlog.put({M0: fetched([b"abc", b"de"])})

    report = setup.builder.report(NOW_MS)

    assert report.wrong_format == {("m", 0): False, ("m", 1): True}
    assert (report.n_queued, report.n_queued_bytes, report.paused) == (2, 5, True)
