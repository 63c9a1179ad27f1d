from __future__ import annotations

from scraped import of

from monitor.sources.source import ReceiverReport


def test_what_was_received_is_counted_and_what_waits_is_shown(served):
    daemon = served()
    daemon.metrics.source_polled(
        ReceiverReport({204: 3, 503: 1}, 100, 1000, 1, 2, n_log_bytes=5000, n_unread_samples=70), ready=True
    )
    daemon.metrics.source_polled(ReceiverReport({204: 1}, 10, 100), ready=True)
    shown = daemon.scrape()

    assert shown[of("barograph_remote_write_requests_total", status="204")] == 4
    assert shown[of("barograph_remote_write_requests_total", status="503")] == 1
    assert shown[of("barograph_remote_write_requests_total", status="401")] == 0
    assert shown[of("barograph_remote_write_samples_total")] == 110
    assert shown[of("barograph_remote_write_bytes_total")] == 1100
    assert shown[of("barograph_remote_write_log_failures_total")] == 1
    assert shown[of("barograph_remote_write_log_damaged_total")] == 2
    assert shown[of("barograph_remote_write_log_bytes")] == 0
    assert shown[of("barograph_remote_write_unread_samples")] == 0
