from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from scraped import Served, scraped

from monitor.metrics.catalogue import Catalogue


@pytest.fixture
def served(quiet_watch, table):
    """Make a watch behind exported metrics."""

    def make(max_series=1000, all_channels=False, **settings):
        config = quiet_watch(stale_seconds=30.0, **settings)
        return Served(config, table, max_series=max_series, all_channels=all_channels)

    return make


@pytest.fixture
def declared():
    """Make a group of instruments by itself, and give it with a function that scrapes it."""

    def make(group, *arguments):
        registry = CollectorRegistry()
        instruments = group(Catalogue(registry), *arguments)
        return instruments, lambda: scraped(generate_latest(registry))

    return make
