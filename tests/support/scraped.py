"""A watch behind exported metrics, and its scrape as a table."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.metrics.exposition import Exposition
from monitor.metrics.instruments import Metrics


class Served:
    """Runs batches through one watch and gives what a scrape then shows, as {(name, labels): value}."""

    def __init__(self, config, table, *, max_series=1000, all_channels=False):
        self.watch = build_watch(config.settings(), None)
        self.pipeline = Pipeline([self.watch], table, max_future_ms=60_000)
        self.metrics = Metrics(CollectorRegistry(), ["w"])
        self.exposition = Exposition(self.metrics, max_series, all_channels)

    def feed(self, columns, now_ms=None, n_bad=()):
        now_ms = int(columns.time_ms.max()) if now_ms is None else now_ms
        decision = self.pipeline.process(columns, now_ms)
        self.metrics.batch_done(decision, self.views(), n_bad, duration_seconds=0.1, now=5.0)

    def views(self):
        return [watch.view() for watch in self.pipeline.watches]

    def scrape(self, withheld=frozenset()):
        self.exposition.render(self.views(), withheld)
        return scraped(self.exposition.text)


def scraped(text):
    """Read the text of a scrape."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def of(name, **labels):
    """Give the key of a series in `scraped`."""
    return name, tuple(sorted(labels.items()))
