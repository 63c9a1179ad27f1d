from __future__ import annotations

import random
import threading

import pytest
from fake_prometheus import FakePrometheus

from monitor.prometheus.api import PrometheusApi
from monitor.prometheus.http import Connection, HttpClient
from monitor.prometheus.retry import Retries
from monitor.testing import FakeClock


@pytest.fixture
def server():
    fake = FakePrometheus()
    yield fake
    fake.close()


@pytest.fixture
def api(server):
    api = PrometheusApi(HttpClient(Connection(url=server.url), FakeClock(1_800_000_000.0)))
    yield api
    api.close()


@pytest.fixture
def retries():
    return Retries(FakeClock(1_800_000_000.0), threading.Event(), random.Random(0), max_failures=2)
