from __future__ import annotations

import threading

import pytest
from prometheus_client import CollectorRegistry

from monitor.loop import run
from monitor.metrics import Exposition, Metrics
from monitor.pipeline import Pipeline
from monitor.sources import Batch
from monitor.testing import FakeClock, ListSource
from monitor.watch import build_watch
from monitor.web import Health


class Outlet:
    def __init__(self, fails=False):
        self.alerts = []
        self._fails = fails

    def deliver(self, alerts):
        if self._fails and alerts:
            raise ConnectionError
        self.alerts += alerts


class TickingSource(ListSource):
    """Some time passes before each batch."""

    def __init__(self, batches, clock, tick_seconds):
        super().__init__(batches)
        self._clock, self._tick_seconds = clock, tick_seconds

    def poll(self, timeout_seconds):
        self._clock.advance(self._tick_seconds)
        return super().poll(timeout_seconds)


@pytest.fixture
def loop(quiet_watch, table):
    def start(batches, outlet, *, stop=None, exit_at_end=True, tick_seconds=1.0, **options):
        pipeline = Pipeline([build_watch(quiet_watch(), None)], table, max_future_ms=60_000)
        metrics = Metrics(CollectorRegistry(), ["w"])
        exposition = Exposition(metrics, 1000)
        health = Health(ticked_at=-1.0)
        clock = FakeClock(1000.0)
        source = TickingSource(batches, clock, tick_seconds)
        run(
            source, pipeline, [outlet], metrics=metrics, exposition=exposition, health=health,
            clock=clock, stop=stop or threading.Event(), exit_at_end=exit_at_end, **options,
        )  # fmt: skip
        return source, exposition, health

    return start


def batches_with_a_fault(noise):
    parts = [noise(200), noise(20, start_step=200, shift=50.0, seed=1), noise(40, start_step=220, seed=2)]
    return [Batch(columns, int(columns.time_ms.max())) for columns in parts]


def test_alerts_reach_the_outlet_as_they_open_and_resolve(loop, noise):
    outlet = Outlet()

    loop(batches_with_a_fault(noise), outlet)

    assert [(alert.entity, alert.reason) for alert in outlet.alerts] == [("web1", None), ("web1", "recovered")]
    assert outlet.alerts[0].identity == outlet.alerts[1].identity


def test_an_outlet_that_fails_is_not_passed_over_in_silence(loop, noise):
    with pytest.raises(ConnectionError):
        loop(batches_with_a_fault(noise), Outlet(fails=True))


def test_the_loop_ends_where_the_source_does_and_leaves_the_last_state_to_scrape(loop, noise):
    _, exposition, health = loop(batches_with_a_fault(noise), Outlet())

    assert b'barograph_episodes_opened_total{watch="w"} 1.0' in exposition.text
    assert health.ready
    assert health.ticked_at >= 0


def test_a_stop_that_is_set_ends_the_loop_before_the_next_poll(loop, noise):
    stop = threading.Event()
    stop.set()

    source, _, health = loop(batches_with_a_fault(noise), Outlet(), stop=stop, exit_at_end=False)

    assert len(source.poll(0.0).columns) == 400  # the first batch is still there
    assert not health.ready


def test_state_is_kept_behind_the_outlets_as_soon_as_episodes_open_and_resolve(loop, noise):
    outlet, kept = Outlet(), []
    quiet = [Batch(noise(1, start_step=260 + step, seed=3 + step), (260 + step) * 1000) for step in range(10)]

    loop([*batches_with_a_fault(noise), *quiet], outlet, save=lambda: kept.append(len(outlet.alerts)), save_seconds=1000.0)

    assert kept == [1, 2, 2]  # opened, resolved, and the end of the loop


def test_what_changes_within_a_second_is_kept_together(loop, noise):
    outlet, kept = Outlet(), []

    loop(batches_with_a_fault(noise), outlet, tick_seconds=0.4, save=lambda: kept.append(len(outlet.alerts)), save_seconds=1000.0)

    assert kept == [2, 2]  # opened after 0.8 s, resolved after 1.2 s; and the end of the loop
