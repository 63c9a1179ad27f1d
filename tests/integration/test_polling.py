"""A daemon that asks Prometheus: what an outage and a kill cost it (nothing)."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from fake_prometheus import FakePrometheus, Fault

from monitor.config.explain import parse_config
from monitor.daemon.build import build_daemon
from monitor.detection.view import WatchObserver
from monitor.testing import FakeClock

NOW_MS = 1_800_000_000_000
MINUTE_MS = 60_000


class KilledError(Exception):
    pass


class EventfulClock(FakeClock):
    """A fake clock on which things happen at set times, in seconds after the start."""

    def __init__(self, now, events):
        super().__init__(now)
        self._start = now
        self._events = sorted(events.items())

    def advance(self, seconds):
        super().advance(seconds)
        while self._events and self.now() - self._start >= self._events[0][0]:
            self._events.pop(0)[1]()


@pytest.fixture
def server():
    fake = FakePrometheus()
    rng = np.random.default_rng(0)
    times = range(NOW_MS - 100 * MINUTE_MS, NOW_MS + 200 * MINUTE_MS, 15_000)
    for host in ("a", "b"):
        load = rng.normal(size=len(times)).tolist()
        counts = np.cumsum(rng.integers(0, 9, len(times))).astype(float).tolist()
        fake.add("load", zip(times, load, strict=True), job="node", host=host)
        fake.add("reqs_total", zip(times, counts, strict=True), job="node", host=host)
    yield fake
    fake.close()


def run(folder, url, clock, stop):
    """Run a daemon until it is stopped or killed; give its closed values by entity, channel and step."""
    config = parse_config(
        {
            "data_dir": str(folder),
            "checkpoint_seconds": 1e-9,
            "source": {"kind": "prometheus", "prometheus": {"mode": "query_range", "url": url}},
            "web": {"listen": "127.0.0.1:0"},
            "watch": [{"name": "w", "query": '{job="node"}', "window_length": 8}],
        },
        origin="test",
    )
    daemon = build_daemon(config, outlets=[], clock=clock)
    closed = {}
    (watch,) = daemon.loop.pipeline.watches

    def keep(steps):
        for t, row, column in np.argwhere(~np.isnan(steps.values)).tolist():
            place = (watch.entities.entities[row], watch.entities.channels[column], steps.first_step + t)
            closed[place] = steps.values[t, row, column]

    watch.observe(WatchObserver(on_closed=keep))
    try:
        daemon.loop.run(stop)
    except KilledError:
        pass
    finally:
        daemon.close()
    assert watch.grid.n_conflicting == 0
    return closed


def undisturbed(folder, server):
    stop = threading.Event()
    return run(folder, server.url, EventfulClock(NOW_MS / 1000, {5400: stop.set}), stop)


def test_steps_are_closed_soon_and_counters_are_rates(tmp_path, server):
    closed = undisturbed(tmp_path, server)

    assert {channel for _, channel, _ in closed} == {'load{job="node"}', 'reqs_total{job="node"}'}
    newest_ms = (max(step for _, _, step in closed) + 1) * MINUTE_MS
    assert newest_ms >= NOW_MS + 5400_000 - 2 * MINUTE_MS
    rates = [value for (_, channel, _), value in closed.items() if channel.startswith("reqs")]
    assert 0.15 < np.mean(rates) < 0.4  # four increases of 0 to 8 a minute


def test_an_outage_costs_no_step(tmp_path, server):
    expected = undisturbed(tmp_path / "calm", server)
    stop = threading.Event()
    events = {
        1000: lambda: setattr(server, "broken", Fault(503)),
        3000: lambda: setattr(server, "broken", None),
        5400: stop.set,
    }

    assert run(tmp_path / "outage", server.url, EventfulClock(NOW_MS / 1000, events), stop) == expected


def test_a_kill_costs_no_step_and_counts_nothing_twice(tmp_path, server):
    expected = undisturbed(tmp_path / "calm", server)

    def kill():
        raise KilledError

    first = run(
        tmp_path / "killed", server.url, EventfulClock(NOW_MS / 1000, {1777.5: kill}), threading.Event()
    )
    stop = threading.Event()
    restarted = EventfulClock(NOW_MS / 1000 + 3600, {1800: stop.set})
    second = run(tmp_path / "killed", server.url, restarted, stop)

    assert set(first) | set(second) == set(expected)
    for closed in (first, second):
        np.testing.assert_array_equal(list(closed.values()), [expected[place] for place in closed])
