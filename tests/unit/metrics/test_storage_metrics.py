from __future__ import annotations

from scraped import of

from monitor.metrics.storage_metrics import StorageMetrics

SKIPPED = "barograph_history_segments_skipped_total"


def test_what_was_written_and_what_failed_is_shown(declared):
    metrics, scrape = declared(StorageMetrics, ["w"])
    metrics.checkpoint_saved(7.0)
    metrics.checkpoint_failed()
    metrics.alert_history_failed()
    metrics.history_written("w", 4096)
    metrics.history_failed("w")
    metrics.history_skipped("w", {"gone": 2, "settings": 1})
    shown = scrape()

    assert shown[of("barograph_last_checkpoint_timestamp_seconds")] == 7.0
    assert shown[of("barograph_checkpoint_failures_total")] == 1
    assert shown[of("barograph_alert_history_failures_total")] == 1
    assert shown[of("barograph_history_bytes", watch="w")] == 4096
    assert shown[of("barograph_history_failures_total", watch="w")] == 1
    skipped = {
        reason: shown[of(SKIPPED, watch="w", reason=reason)] for reason in ("gone", "unreadable", "settings")
    }
    assert skipped == {"gone": 2, "unreadable": 0, "settings": 1}
