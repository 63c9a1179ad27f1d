from __future__ import annotations

from scraped import of


def test_known_label_values_start_at_zero(served):
    shown = served().scrape()

    assert shown[of("barograph_suppressed_total", watch="w", reason="rest")] == 0
    assert shown[of("barograph_samples_total", watch="w", result="late")] == 0
    assert shown[of("barograph_samples_rejected_total", reason="future")] == 0


def test_bad_records_are_counted_by_reason(served, noise):
    daemon = served()
    daemon.feed(noise(2), n_bad=[("invalid_json", 3)])

    assert daemon.scrape()[of("barograph_bad_records_total", reason="invalid_json")] == 3


def test_a_metric_with_an_old_name_is_warned_of_at_start(served, caplog):
    served().metrics.started("1.2.3", [], now=0.0)

    (line,) = caplog.messages
    assert "barograph_episodes_quiet_total is deprecated: it is barograph_episodes_withheld_total now" in line


def test_the_series_of_the_table_and_the_length_of_a_batch_are_shown(served, noise, table):
    daemon = served()
    daemon.feed(noise(2))
    daemon.metrics.series_known(table)
    shown = daemon.scrape()

    assert shown[of("barograph_series")] == 2
    assert of("barograph_series_limit") in shown
    assert shown[of("barograph_batch_duration_seconds_count")] == 1
    assert shown[of("barograph_last_batch_timestamp_seconds")] == 5.0
