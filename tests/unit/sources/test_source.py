"""What a poll returns when a source says no more than it must."""

from monitor.sample import no_samples
from monitor.sources.host import HostSource
from monitor.sources.replay import ReplaySource
from monitor.sources.source import Batch, Source, SourceReport
from monitor.testing import ListSource


def test_a_batch_of_a_simple_source_is_ready_unfinished_and_has_no_partitions():
    batch = Batch(no_samples(), 1000)

    assert (batch.ready, batch.finished, batch.n_bad) == (True, False, ())
    assert (batch.complete_ms, batch.delivered_ms, batch.report) == (None, None, None)


def test_a_report_of_a_source_that_did_nothing_counts_nothing():
    report = SourceReport()

    assert not any((report.n_records, report.n_lost, report.commits, report.errors, report.lag))
    assert (report.n_rebalances, report.n_queued, report.paused) == (0, 0, False)


def test_every_source_has_the_methods_of_the_protocol():
    methods = {name for name in vars(Source) if not name.startswith("_")}

    assert methods == {"poll", "position", "commit", "close"}
    for source in (HostSource, ReplaySource, ListSource):
        assert methods <= set(dir(source))
