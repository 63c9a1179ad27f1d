from __future__ import annotations

from prometheus_client import CollectorRegistry

from monitor.metrics.catalogue import Catalogue, Declaration


def test_what_is_declared_is_on_the_registry_and_in_the_list():
    registry = CollectorRegistry()
    catalogue = Catalogue(registry)

    catalogue.counter("runs_total", "Runs.", "watch").labels("w").inc(2)
    catalogue.gauge("lag_seconds", "Lag.").set(1.5)
    catalogue.histogram("batch_seconds", "Batches.", buckets=(1.0, 2.0)).observe(0.5)

    assert registry.get_sample_value("runs_total", {"watch": "w"}) == 2
    assert registry.get_sample_value("lag_seconds") == 1.5
    assert registry.get_sample_value("batch_seconds_bucket", {"le": "1.0"}) == 1
    assert catalogue.declarations == [
        Declaration("runs_total", "counter", ("watch",), "Runs."),
        Declaration("lag_seconds", "gauge", (), "Lag."),
        Declaration("batch_seconds", "histogram", (), "Batches."),
    ]
