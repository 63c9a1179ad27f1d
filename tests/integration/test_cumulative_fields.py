"""The watch that is suggested for Telegraf's cumulative fields ends the episode of a load; without a server.

Line protocol knows no counters. An interface that was idle while the topic was read shows two constants. Read
as levels they stay far from where they were: a real Telegraf's fields had an episode that was still open 14
minutes behind a load of 30 s.
"""

from __future__ import annotations

import tomllib

import numpy as np
import pytest
from listed_cluster import NOW, report_on
from maturity import mature_from_the_start

from monitor.config.explain import parse_config
from monitor.decode.influx import decode_influx
from monitor.decode.record import Record
from monitor.detection.build import build_watch
from monitor.detection.pipeline import Pipeline
from monitor.discovery.suggested_settings import suggestion_of
from monitor.sample import SeriesTable

N_HISTORY, N_LOAD, N_AFTER = 200, 30, 300  # seconds, a step each
COUNTED = ("net_packets_sent", "net_bytes_sent", "queue_done")


def records(begin, n_seconds, *, packets, done, packets_per_second=0, seed=0):
    """Give a host's records, one of each measurement a second, and what is counted behind them."""
    rng = np.random.default_rng(seed)
    made = []
    for second in range(begin, begin + n_seconds):
        packets += packets_per_second
        done += rng.uniform(2.0, 4.0) * (10 if packets_per_second else 1)
        sent = f"packets_sent={packets}i,bytes_sent={99 * packets}i"
        depth = f"depth={rng.normal(20, 2):.2f},done={int(done)}i"
        for text in (f"net,host=db1,interface=eth1 {sent}", f"queue,host=db1 {depth}"):
            made += [Record(f"{text} {second}000000000".encode(), second * 1000)]
    return made, {"packets": packets, "done": done}


def history():
    return records(round(NOW) - N_HISTORY, N_HISTORY, packets=1000, done=5000.0)


def alerts_behind_a_load(watch):
    """Let a watch judge the history, a load, and five minutes behind it; tell when and why alerts came."""
    table = SeriesTable()
    pipeline = Pipeline([build_watch(watch.settings(), None)], table, max_future_ms=60_000)
    before, counts = history()
    load, counts = records(round(NOW), N_LOAD, **counts, packets_per_second=500, seed=1)
    after, _ = records(round(NOW) + N_LOAD, N_AFTER, **counts, seed=2)
    everything = [*before, *load, *after]
    alerts = []
    for start in range(0, len(everything), 20):
        part = everything[start : start + 20]
        decoded = decode_influx(part, table)
        assert decoded.rejections == ()
        alerts += pipeline.process(decoded.columns, part[-1].time_ms).alerts
    return [(alert.reason, round((alert.resolved_ms or alert.opened_ms) / 1000 - NOW)) for alert in alerts]


@pytest.fixture
def suggested(monkeypatch):
    """Give the watch that is suggested for the history."""
    mature_from_the_start(monkeypatch)
    text = suggestion_of(report_on({"telegraf": [history()[0]]}), {"bootstrap_servers": ["b:9092"]}, {})
    (watch,) = parse_config(tomllib.loads(text), origin="suggestion").watch
    return watch


def test_the_episode_of_a_load_on_idle_counters_ends_behind_the_load(suggested):
    (opened, opened_at), (ended, ended_at) = alerts_behind_a_load(suggested)

    assert (opened, ended) == (None, "recovered")
    assert 0 <= opened_at <= N_LOAD
    # A window of 32 s is free of the load, and the score has been low for half a window.
    assert N_LOAD + 32 <= ended_at <= N_LOAD + 60


def test_read_as_levels_the_same_fields_never_recover(suggested):
    as_levels = suggested.model_copy(update={"counters": [], "gauges": list(COUNTED)})

    reasons = [reason for reason, _ in alerts_behind_a_load(as_levels)]

    assert reasons[0] is None
    assert "recovered" not in reasons  # at best a new level is found, far behind the load
