import random
import threading

import numpy as np
import pytest
from fake_prometheus import FakePrometheus, Fault
from stage_settings import history_retention

from monitor.config.watch import WatchConfig
from monitor.errors import MonitorError
from monitor.offline.backfill import backfill_file, backfill_histories, queries_of, within_retention
from monitor.offline.history_fill import HistoryFill
from monitor.offline.sample_file import SampleFile
from monitor.prometheus.api import PrometheusApi
from monitor.prometheus.errors import UnavailableError
from monitor.prometheus.fetch import Query, SampleFetcher
from monitor.prometheus.http import Connection, HttpClient
from monitor.prometheus.ranges import TimeRange
from monitor.prometheus.retry import Retries
from monitor.sample import SeriesTable
from monitor.storage.step_history import list_segments
from monitor.testing import FakeClock
from monitor.training.from_history import read_history

HOUR_MS = 3_600_000
START_MS = 1000 * HOUR_MS
WANTED = TimeRange(START_MS, START_MS + 9 * HOUR_MS)
QUERIES = [Query('{job="node"}', 60_000)]


def watch(name="node", **settings):
    defaults = {"name": name, "window_length": 8, "stale_seconds": 60.0, "metrics": ["node_*"]}
    return WatchConfig.model_validate({**defaults, **settings})


@pytest.fixture
def server():
    fake = FakePrometheus(closed_ranges=False)
    rng = np.random.default_rng(0)
    for host in ("a", "b"):
        times = range(START_MS - HOUR_MS + 137, WANTED.to_ms + HOUR_MS, 60_000)
        counts = np.cumsum(rng.integers(0, 9, len(times))).tolist()
        load = list(zip(times, rng.random(len(times)).tolist(), strict=True))
        fake.add("node_load", load, job="node", host=host)
        fake.add("node_wait_count", zip(times, map(float, counts), strict=True), job="node", host=host)
    yield fake
    fake.close()


@pytest.fixture
def fetcher(server):
    clients = []

    def make(*, max_failures=2):
        clock = FakeClock(1e9)
        clients.append(HttpClient(Connection(url=server.url), clock))
        table = SeriesTable()
        retries = Retries(clock, threading.Event(), random.Random(0), max_failures=max_failures)
        made = SampleFetcher(PrometheusApi(clients[-1]), table, retries)
        made.prepare(QUERIES, WANTED.to_ms)
        return made, table

    yield make
    for client in clients:
        client.close()


def ignore(share, n_samples):
    pass


def fills(folder, *watches):
    made = [
        HistoryFill(watch.settings(), folder / watch.name, history_retention(), [QUERIES[0].text])
        for watch in watches
    ]
    for fill in made:
        fill.plan(WANTED)
    return made


def files_of(folder):
    return {segment.file.name: segment.file.read_bytes() for segment in list_segments(folder)}


def test_every_watch_that_series_match_gets_its_history_in_one_pass(tmp_path, fetcher):
    watches = (watch(), watch("coarse", step_seconds=300.0, metrics=["node_load"]), watch("x", metrics=["x"]))
    made = fills(tmp_path, *watches)
    shares = []

    report = backfill_histories(*fetcher(), made, progress=lambda share, _: shares.append(share))

    fine, coarse, other = made
    assert report.n_samples == fine.n_samples == 4 * 9 * 60
    assert (coarse.n_samples, other.n_samples) == (2 * 9 * 60, 0)
    assert (fine.n_rows, coarse.n_rows) == (2 * 9 * 60, 2 * 9 * 12)
    assert report.counters == {"node_wait_count"}
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    history = read_history(tmp_path / "node", watches[0].settings(), channels=()).history
    assert history.counters == {'node_wait_count{job="node"}'}


def test_a_backfill_that_an_outage_ends_goes_on_to_the_same_history(tmp_path, server, fetcher):
    node, coarse = watch(), watch("coarse", step_seconds=300.0)
    backfill_histories(*fetcher(), fills(tmp_path / "whole", node, coarse), progress=ignore)
    made = fills(tmp_path / "broken", node, coarse)

    def goes_away(share, n_samples):
        if share > 0.5:
            server.broken = Fault(503)

    with pytest.raises(UnavailableError):
        backfill_histories(*fetcher(), made, progress=goes_away)
    assert 0 < len(files_of(tmp_path / "broken" / "node")) < len(files_of(tmp_path / "whole" / "node"))
    server.broken = None
    backfill_histories(*fetcher(), fills(tmp_path / "broken", node, coarse), progress=ignore)

    for name in ("node", "coarse"):
        assert files_of(tmp_path / "broken" / name) == files_of(tmp_path / "whole" / name)


def test_a_second_backfill_of_the_same_time_asks_for_nothing(tmp_path, server, fetcher):
    backfill_histories(*fetcher(), fills(tmp_path, watch()), progress=ignore)
    made, table = fetcher()
    server.requests.clear()

    report = backfill_histories(made, table, fills(tmp_path, watch()), progress=ignore)

    assert (report.n_samples, server.requests) == (0, [])


def test_a_file_is_continued_to_the_end_that_is_asked_for(tmp_path, server, fetcher):
    path = tmp_path / "out.parquet"
    for wanted in (TimeRange(START_MS, START_MS + 4 * HOUR_MS), WANTED, WANTED):
        file = SampleFile(path, [QUERIES[0].text])
        backfill_file(*fetcher(), file, wanted, progress=ignore)
        n_samples = file.finish()

    assert n_samples == 4 * 9 * 60


def test_named_queries_come_before_those_of_the_watches():
    watches = [watch(query="a"), watch("other", query="b", step_seconds=10.0), watch("none")]

    assert queries_of([], watches, step_ms=None) == [Query("a", 60_000, "node"), Query("b", 10_000, "other")]
    assert queries_of(["q", "q"], watches, step_ms=None) == [Query("q", 10_000)]
    assert queries_of(["q"], watches, step_ms=500) == [Query("q", 500)]


def test_nothing_to_ask_for_says_what_to_do():
    with pytest.raises(MonitorError, match="name a --query, or set `query`"):
        queries_of([], [watch()], step_ms=None)


def test_what_the_retention_would_delete_at_once_is_not_read(tmp_path):
    retention = history_retention(max_age_seconds=3600.0)
    fill = HistoryFill(watch().settings(), tmp_path, retention, ["q"])

    assert within_retention(WANTED, fill, retention) == TimeRange(WANTED.to_ms - HOUR_MS, WANTED.to_ms)
    assert within_retention(WANTED, fill, history_retention()) == WANTED
