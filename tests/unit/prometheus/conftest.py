from __future__ import annotations

import random
import threading

import pytest
from fake_prometheus import FakePrometheus

from monitor.prometheus.api import PrometheusApi
from monitor.prometheus.fetch import SampleFetcher
from monitor.prometheus.http import Connection, HttpClient
from monitor.prometheus.retry import Retries
from monitor.sample import SeriesTable
from monitor.testing import FakeClock


@pytest.fixture
def serve():
    """Give a function that starts a fake server; all are stopped at the end."""
    servers = []

    def start(**settings):
        servers.append(FakePrometheus(**settings))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def server(serve):
    return serve()


@pytest.fixture
def clock():
    return FakeClock(1_800_000_000.0)


@pytest.fixture
def client(clock):
    """Give a function that makes a client; all are closed at the end."""
    clients = []

    def make(url, *, min_interval_seconds=0.0, **settings):
        connection = Connection(url=url, **{"timeout_seconds": 5.0, **settings})
        clients.append(HttpClient(connection, clock, min_interval_seconds=min_interval_seconds))
        return clients[-1]

    yield make
    for made in clients:
        made.close()


@pytest.fixture
def fetcher(client, clock):
    """Give a function that makes a fetcher over a server, and the table of its series."""

    def make(url, *, max_failures=3):
        table = SeriesTable()
        retries = Retries(clock, threading.Event(), random.Random(0), max_failures=max_failures)
        return SampleFetcher(PrometheusApi(client(url)), table, retries), table

    return make
