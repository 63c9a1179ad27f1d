from __future__ import annotations

from scraped import of

from monitor.sources.source import SourceReport


def test_what_a_source_with_topics_did_is_counted_and_where_it_stands_is_shown(served):
    daemon = served()
    daemon.metrics.source_polled(
        SourceReport(
            {"m": 3},
            {"m": 300},
            {"m": 7},
            {"done": 1},
            {"rebuilt": 1},
            n_rebalances=2,
            n_recreated={"m": 1},
            lag={("m", 0): 5, ("m", 1): 6},
        ),
        ready=True,
    )
    daemon.metrics.source_polled(SourceReport(n_records={"m": 4}, lag={("m", 1): 0}), ready=False)
    shown = daemon.scrape()

    assert shown[of("barograph_kafka_records_total", topic="m")] == 7
    assert shown[of("barograph_kafka_bytes_total", topic="m")] == 300
    assert shown[of("barograph_kafka_records_lost_total", topic="m")] == 7
    assert shown[of("barograph_kafka_topics_recreated_total", topic="m")] == 1
    assert shown[of("barograph_kafka_commits_total", result="done")] == 1
    assert shown[of("barograph_kafka_commits_total", result="failed")] == 0
    assert shown[of("barograph_kafka_errors_total", reaction="rebuilt")] == 1
    assert shown[of("barograph_kafka_rebalances_total")] == 2
    assert shown[of("barograph_kafka_lag_records", topic="m", partition="1")] == 0
    assert of("barograph_kafka_lag_records", topic="m", partition="0") not in shown  # another daemon reads it
    assert shown[of("barograph_source_ready")] == 0
