import json

import numpy as np
import pytest
from fake_prometheus import Fault, api_error

from monitor.prometheus.errors import AccessError, QueryRefusedError, RangeTooLargeError, UnavailableError
from monitor.prometheus.fetch import Query, parts_by_name
from monitor.prometheus.ranges import TimeRange
from monitor.sample import Kind

HOUR_MS = 3_600_000
START_MS = 100 * HOUR_MS
SPAN = TimeRange(START_MS, START_MS + HOUR_MS)
QUERY = Query('{job="node"}', 60_000)


def fill(server, *, n_series=3, every_ms=15_000):
    """Give a server series with a sample at every border of a minute, before, in and behind the span."""
    truth = {}
    for number in range(n_series):
        times = range(START_MS - HOUR_MS, START_MS + 2 * HOUR_MS, every_ms)
        samples = [(time, number + time / 1e7) for time in times]
        server.add(f"m{number}", samples, job="node", host="a")
        truth |= {(f"m{number}", time): value for time, value in samples if SPAN.from_ms <= time < SPAN.to_ms}
    return truth


def keyed(fetched, table):
    columns = fetched.columns
    names = [table[number].name for number in columns.series.tolist()]
    keys = list(zip(names, columns.time_ms.tolist(), strict=True))
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, columns.value.tolist(), strict=True))


@pytest.mark.parametrize("closed_ranges", [True, False])
@pytest.mark.parametrize("exports", [True, False])
def test_no_sample_is_lost_and_none_comes_twice_whichever_ends_a_range_holds(
    serve, fetcher, closed_ranges, exports
):
    server = serve(closed_ranges=closed_ranges, exports=exports)
    truth = fill(server)
    fetch, table = fetcher(server.url)

    fetch.prepare([QUERY], SPAN.to_ms)
    middle = START_MS + 900_000
    first = fetch.fetch(TimeRange(SPAN.from_ms, middle))
    second = fetch.fetch(TimeRange(middle, SPAN.to_ms))

    assert len(first.columns) + len(second.columns) == len(truth)
    assert keyed(first, table) | keyed(second, table) == truth
    assert bool(server.asked("export")[1:]) == exports


def test_a_range_that_is_too_much_is_halved_until_it_is_answered(serve, fetcher):
    server = serve(max_samples=100)
    truth = fill(server)
    fetch, table = fetcher(server.url)
    fetch.prepare([QUERY], SPAN.to_ms)

    fetched = fetch.fetch(SPAN)

    assert keyed(fetched, table) == truth
    assert fetched.shortest_ms <= HOUR_MS / 8


def test_series_that_are_too_many_for_any_range_are_split_by_their_names(serve, fetcher):
    server = serve(max_samples=10)
    truth = fill(server, n_series=7)
    fetch, table = fetcher(server.url)
    fetch.prepare([QUERY], SPAN.to_ms)
    server.add("later", [(START_MS + 5, 1.0)], job="node")

    fetched = fetch.fetch(SPAN)

    assert keyed(fetched, table) == {**truth, ("later", START_MS + 5): 1.0}


def test_a_query_that_cannot_be_split_further_says_what_to_do(serve, fetcher):
    server = serve(max_samples=2)
    fill(server)
    fetch, _ = fetcher(server.url)
    fetch.prepare([Query("m0", 60_000)], SPAN.to_ms)

    with pytest.raises(RangeTooLargeError, match=r"m0 is too much even for 60 s: .* Name fewer series"):
        fetch.fetch(SPAN)


def test_a_server_that_runs_out_of_time_twice_is_asked_for_half(server, fetcher):
    truth = fill(server)
    fetch, table = fetcher(server.url)
    fetch.prepare([QUERY], SPAN.to_ms)
    server.faults.extend([api_error(503, "timeout", "query timed out")] * 2)

    fetched = fetch.fetch(SPAN)

    assert keyed(fetched, table) == truth
    assert fetched.shortest_ms == HOUR_MS / 2


@pytest.mark.parametrize(
    "fault",
    [Fault(503), Fault(429, Retry_After="1"), Fault(200, '{"status":"succ'), Fault(drops=True)],
)
def test_a_failure_that_passes_doubles_and_loses_nothing(server, fetcher, fault):
    truth = fill(server)
    fetch, table = fetcher(server.url)
    fetch.prepare([QUERY], SPAN.to_ms)
    server.faults.extend([fault, fault])

    assert keyed(fetch.fetch(SPAN), table) == truth


def test_an_export_that_breaks_off_is_read_again_as_a_whole(serve, fetcher):
    server = serve(exports=True)
    truth = fill(server)
    fetch, table = fetcher(server.url)
    fetch.prepare([QUERY], SPAN.to_ms)
    metric = {"__name__": "m0", "job": "node", "host": "a"}
    line = json.dumps({"metric": metric, "values": [1], "timestamps": [START_MS]})
    server.faults.append(Fault(200, line + "\n" + line[:-9], cut_off=True))

    assert keyed(fetch.fetch(SPAN), table) == truth


def test_an_outage_ends_with_the_last_failure(server, fetcher):
    fetch, _ = fetcher(server.url, max_failures=2)
    fetch.prepare([QUERY], SPAN.to_ms)
    server.broken = Fault(503)

    with pytest.raises(UnavailableError):
        fetch.fetch(SPAN)

    assert len(server.asked("query")) == 1 + 3


def test_access_that_is_refused_ends_it_at_once(server, fetcher):
    fetch, _ = fetcher(server.url)
    fetch.prepare([QUERY], SPAN.to_ms)
    server.broken = Fault(401)

    with pytest.raises(AccessError):
        fetch.fetch(SPAN)

    assert len(server.asked("query")) == 1 + 1


def test_an_expression_is_evaluated_at_the_multiples_of_its_step(server, fetcher):
    fill(server)
    fetch, table = fetcher(server.url)
    fetch.prepare([Query('sum({job="node"})', 60_000, "total")], SPAN.to_ms)

    fetched = fetch.fetch(TimeRange(SPAN.from_ms + 1, SPAN.to_ms + 1))

    assert fetch.expressions == ['sum({job="node"})']
    assert fetched.columns.time_ms.tolist() == list(range(START_MS + 60_000, SPAN.to_ms + 1, 60_000))
    np.testing.assert_allclose(fetched.columns.value, 3 + 3 * fetched.columns.time_ms / 1e7)
    assert table[0].name == "total"


def test_an_expression_is_asked_for_in_no_more_points_than_a_server_gives(server, fetcher):
    server.add("m", [(START_MS, 1.0)], job="node")
    fetch, _ = fetcher(server.url)
    fetch.prepare([Query("sum(m)", 100, "total")], SPAN.to_ms)

    columns = fetch.fetch(SPAN).columns

    assert len(server.asked("query_range")) == 4  # 36,000 points, 11,000 at most
    assert columns.time_ms.tolist() == list(range(START_MS, START_MS + 300_001, 100))


def test_a_gap_stays_a_gap(server, fetcher):
    server.add("m", [(START_MS, 1.0), (START_MS + 240_000, 2.0)], job="node")
    fetch, _ = fetcher(server.url)
    fetch.prepare([QUERY], SPAN.to_ms)

    assert fetch.fetch(SPAN).columns.time_ms.tolist() == [START_MS, START_MS + 240_000]


def test_two_queries_for_one_series_bring_it_once(server, fetcher):
    truth = fill(server)
    fetch, table = fetcher(server.url)
    fetch.prepare([QUERY, Query("m1", 60_000)], SPAN.to_ms)

    assert keyed(fetch.fetch(SPAN), table) == truth


def test_types_are_asked_for_again_where_a_name_is_new(server, fetcher):
    server.add("first", [(START_MS, 1.0)], job="node")
    fetch, table = fetcher(server.url)
    fetch.prepare([QUERY], SPAN.to_ms)
    server.add("late_count", [(START_MS, 1.0)], job="node")
    server.types = {"late_count": "gauge", "first": "counter"}

    fetch.fetch(SPAN)

    kinds = {table[number].name: table[number].kind for number in range(len(table))}
    assert kinds == {"first": Kind.COUNTER, "late_count": Kind.GAUGE}
    assert len(server.asked("metadata")) == 2


def test_a_server_that_tells_no_types_is_read_all_the_same(server, fetcher):
    truth = fill(server)
    fetch, table = fetcher(server.url)
    server.faults.extend([Fault(404, "404 page not found"), Fault(404, "404 page not found")])

    fetch.prepare([QUERY], SPAN.to_ms)

    assert keyed(fetch.fetch(SPAN), table) == truth


def test_a_wrong_query_is_refused_before_anything_is_read(server, fetcher):
    fetch, _ = fetcher(server.url)

    with pytest.raises(QueryRefusedError):
        fetch.prepare([Query("sum(", 60_000)], SPAN.to_ms)


@pytest.mark.parametrize(
    ("selector", "names", "parts"),
    [
        ('{a="b", }', ["x", "y.z"], ('{a="b",__name__=~"x"}', '{a="b",__name__!~"x"}')),
        ('{a="b"}', ["y.z", "z"], ('{a="b",__name__=~"y\\\\.z"}', '{a="b",__name__!~"y\\\\.z"}')),
        ('{a="b"}', ["x"], None),
        ("x", ["x", "y"], None),
        ('{a="b" or c="d"}', ["x", "y"], None),
    ],
)
def test_a_selector_is_split_so_that_each_name_is_in_one_part(selector, names, parts):
    assert parts_by_name(selector, names) == parts
