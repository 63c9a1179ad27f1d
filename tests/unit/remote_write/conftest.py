"""A receiver behind a real web server on a loopback port."""

from __future__ import annotations

import httpx
import pytest
from protobuf_writer import snappy
from write_requests import HEADERS_1, message_1, open_source

from monitor.testing import FakeClock
from monitor.web.server import Health, WebServer


class Served:
    """A source whose route is served; `post` sends to it."""

    def __init__(self, folder, clock, **settings):
        self.source = open_source(folder, clock, **settings)
        self.web = WebServer(
            "127.0.0.1:0",
            exposition=lambda: b"",
            health=Health(ticked_at=0.0),
            monotonic=clock.monotonic,
            routes=self.source.routes,
        )
        self.url = f"http://{self.web.address}/api/v1/write"
        self.client = httpx.Client(timeout=10)

    def post(self, message=None, headers=HEADERS_1, *, body=None, **more):
        content = snappy(message_1([1.0]) if message is None else message) if body is None else body
        return self.client.post(self.url, content=content, headers={**headers, **more})

    def close(self):
        self.client.close()
        self.web.close()
        self.source.close()


@pytest.fixture
def clock():
    return FakeClock(1_700_000_100.0)


@pytest.fixture
def served(tmp_path, clock):
    """Start receivers over one log, and stop them."""
    started = []

    def start(**settings):
        started.append(Served(tmp_path / "log", clock, **settings))
        return started[-1]

    yield start
    for each in started:
        each.close()
