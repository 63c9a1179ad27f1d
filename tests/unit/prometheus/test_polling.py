import random

import pytest
from fake_prometheus import Fault, api_error

from monitor.prometheus.api import PrometheusApi
from monitor.prometheus.errors import AccessError, QueryRefusedError
from monitor.prometheus.polling import PollingSource, WatchQuery
from monitor.sample import Kind, SeriesTable, concatenate
from monitor.sources.position import Position

NOW_MS = 1_800_000_000_000  # a multiple of a minute, as the fake clock shows first
MINUTE_MS = 60_000
NODE = WatchQuery("node", '{job="node"}', MINUTE_MS, 10 * MINUTE_MS)


@pytest.fixture
def open_source(client, clock):
    """Give a function that builds a source over a server, with the table of its series."""

    def make(server, *queries, resumed=None, lag_ms=30_000, max_catch_up_ms=86_400_000):
        table = SeriesTable()
        source = PollingSource(
            PrometheusApi(client(server.url)),
            table,
            clock,
            queries or (NODE,),
            lag_ms=lag_ms,
            max_catch_up_ms=max_catch_up_ms,
            rng=random.Random(0),
            resumed=resumed,
        )
        return source, table

    return make


@pytest.fixture
def node(server):
    """Give a server whose series have a value that is their minute's number, hours back and ahead."""
    for host in ("a", "b"):
        times = range(NOW_MS - 300 * MINUTE_MS, NOW_MS + 300 * MINUTE_MS, MINUTE_MS)
        server.add("load", [(t, t / MINUTE_MS) for t in times], job="node", host=host)
    return server


def poll_for(source, clock, seconds):
    """Poll until a time has passed on the fake clock, which moves while the source waits."""
    until = clock.monotonic() + seconds
    batches = []
    while clock.monotonic() < until:
        batches.append(source.poll(1.0))
        assert len(batches) < 20_000
    return batches


def points(batches):
    columns = concatenate(batch.columns for batch in batches)
    found = list(zip(columns.series.tolist(), columns.time_ms.tolist(), strict=True))
    assert len(found) == len(set(found)), "a sample came twice"
    return sorted({time_ms for _, time_ms in found})


def minutes(first, last):
    """Give the times of the minutes, counted from now, from the first to the last."""
    return [NOW_MS + number * MINUTE_MS for number in range(first, last + 1)]


def test_without_a_position_it_begins_so_far_back_that_windows_are_full(open_source, node, clock):
    source, _ = open_source(node)

    assert points(poll_for(source, clock, 1)) == minutes(-10, -1)


def test_each_point_of_the_grid_comes_once_as_soon_as_it_is_old_enough(open_source, node, clock):
    source, table = open_source(node)
    poll_for(source, clock, 1)

    batches = poll_for(source, clock, 600)

    assert points(batches) == minutes(0, 9)
    assert all(len(batch.columns) in (0, 2) for batch in batches)
    assert {str(table[0]), str(table[1])} == {'load{host="a",job="node"}', 'load{host="b",job="node"}'}
    arrived = next(batch for batch in batches if len(batch.columns))
    assert 30_000 <= arrived.now_ms - arrived.columns.time_ms[0] < 32_000


def test_requests_are_aligned_to_the_grid_and_never_ask_beyond_the_lag(open_source, node, clock):
    source, _ = open_source(node, WatchQuery("w", "load", 45_000, 90_000))

    poll_for(source, clock, 300)

    asked = node.asked("query_range")
    assert len(asked) >= 6
    for parameters in asked:
        assert round(float(parameters["start"]) * 1000) % 45_000 == 0
        assert round(float(parameters["end"]) * 1000) % 45_000 == 0
        assert parameters["step"] == "45.000"
    assert max(float(parameters["end"]) for parameters in asked) <= clock.now() - 30


def test_each_watch_has_its_own_step(open_source, node, clock):
    coarse = WatchQuery("coarse", 'sum({job="node"})', 5 * MINUTE_MS, 10 * MINUTE_MS)
    source, table = open_source(node, NODE, coarse)

    columns = concatenate(batch.columns for batch in poll_for(source, clock, 1200))

    names = {table[number].name for number in columns.series.tolist()}
    assert names == {"load", "coarse"}  # what has no name is called like its watch
    of_coarse = [
        time
        for number, time in zip(columns.series, columns.time_ms, strict=True)
        if table[int(number)].name == "coarse"
    ]
    assert of_coarse == list(range(NOW_MS - 10 * MINUTE_MS, NOW_MS + 19 * MINUTE_MS, 5 * MINUTE_MS))


def test_it_says_up_to_which_time_it_is_complete_and_never_beyond_what_was_given(open_source, node, clock):
    source, _ = open_source(node)
    newest_ms = 0

    for batch in poll_for(source, clock, 300):
        newest_ms = max(newest_ms, int(batch.columns.time_ms.max(initial=0)))
        next_point_ms = newest_ms + MINUTE_MS if newest_ms else 1
        assert batch.complete_ms <= next_point_ms
    assert batch.complete_ms > newest_ms


@pytest.mark.parametrize(
    "fault", [Fault(503), Fault(drops=True), Fault(401), Fault(200, "<html>"), Fault(200, '{"status"')]
)
def test_an_outage_loses_nothing_and_doubles_nothing(open_source, node, clock, fault):
    source, _ = open_source(node)
    before = poll_for(source, clock, 90)

    node.broken = fault
    during = poll_for(source, clock, 1800)
    node.broken = None
    after = poll_for(source, clock, 120)

    assert points(during) == []
    # What lies behind the first point that is missing stays open.
    assert max(batch.complete_ms for batch in during) <= points(before)[-1] + MINUTE_MS
    first, last = points(before)[-1], points(after)[-1]
    assert points([*before, *during, *after]) == list(range(NOW_MS - 10 * MINUTE_MS, last + 1, MINUTE_MS))
    assert last - first > 30 * MINUTE_MS
    assert sum(dict(batch.n_bad).get("request_failed", 0) for batch in during) > 10


def test_a_server_is_asked_ever_more_rarely_while_it_is_away(open_source, node, clock):
    source, _ = open_source(node)
    poll_for(source, clock, 1)
    node.broken = Fault(503)
    node.requests.clear()

    poll_for(source, clock, 600)

    assert 20 < len(node.requests) < 60


def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(open_source, node, clock):
    source, _ = open_source(node)
    node.faults.append(Fault(429, Retry_After="100"))

    assert points(poll_for(source, clock, 99)) == []
    assert points(poll_for(source, clock, 3)) != []


def test_no_poll_takes_longer_than_it_may(open_source, node, clock):
    source, _ = open_source(node)
    node.faults.append(Fault(429, Retry_After="100"))

    for _ in range(100):
        before = clock.monotonic()
        source.poll(1.0)
        assert clock.monotonic() - before <= 1.0


def test_a_restart_goes_on_behind_the_position(open_source, node, clock):
    source, _ = open_source(node)
    before = poll_for(source, clock, 150)
    position = source.position()
    clock.advance(900)

    again, _ = open_source(node, resumed=position)
    after = poll_for(again, clock, 5)

    assert again.poll(1.0).complete_ms >= position.time_ms
    assert not set(points(before)) & set(points(after))
    assert points(before) + points(after) == list(
        range(NOW_MS - 10 * MINUTE_MS, points(after)[-1] + 1, MINUTE_MS)
    )


def test_a_restart_in_the_middle_of_a_turn_repeats_the_whole_turn_and_gives_nothing_twice(
    open_source, node, clock
):
    other = WatchQuery("other", 'sum({job="node"})', MINUTE_MS, 10 * MINUTE_MS)
    source, _ = open_source(node, NODE, other)
    batch = source.poll(1.0)  # the first of two requests
    assert len(node.asked("query_range")) == 1
    assert (len(batch.columns), source.position()) == (0, Position(None))

    again, _ = open_source(node, NODE, other, resumed=source.position())

    assert points(poll_for(again, clock, 1)) == minutes(-10, -1)


def test_an_outage_that_is_too_long_to_catch_up_with_leaves_a_gap_and_says_so(
    open_source, node, clock, caplog
):
    resumed = Position(NOW_MS - 200 * MINUTE_MS)
    source, _ = open_source(node, resumed=resumed, max_catch_up_ms=20 * MINUTE_MS)

    assert points(poll_for(source, clock, 1)) == minutes(-20, -1)
    assert "gap left" in caplog.text


def test_a_long_catching_up_comes_in_turns(open_source, node, clock):
    source, _ = open_source(node, resumed=Position(NOW_MS - 290 * MINUTE_MS))

    batches = poll_for(source, clock, 1)

    assert points(batches) == minutes(-290, -1)
    assert sum(len(batch.columns) > 0 for batch in batches) > 1
    times = [time for batch in batches for time in batch.columns.time_ms.tolist()]
    assert times == sorted(times)


def test_what_is_too_much_for_the_server_is_asked_for_in_halves(open_source, node, clock):
    node.max_samples = 5
    source, _ = open_source(node)

    assert points(poll_for(source, clock, 1)) == minutes(-10, -1)


def test_a_query_that_is_refused_later_leaves_a_gap_and_other_watches_go_on(open_source, node, clock, caplog):
    other = WatchQuery("other", 'sum({job="node"})', MINUTE_MS, 10 * MINUTE_MS)
    source, table = open_source(node, NODE, other)
    before = poll_for(source, clock, 5)
    node.faults.append(api_error(422, "execution", "many-to-many matching not allowed"))

    batches = [*before, *poll_for(source, clock, 180)]

    columns = concatenate(batch.columns for batch in batches)
    times = {"load": set(), "other": set()}
    for number, time in zip(columns.series.tolist(), columns.time_ms.tolist(), strict=True):
        times[table[number].name].add(time)
    assert len(times["other"] - times["load"]) == 1
    assert "query refused watch=node" in caplog.text
    assert sum(dict(batch.n_bad).get("query_refused", 0) for batch in batches) == 1


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (Fault(401), AccessError, "other credentials"),
        (Fault(200, "<html>"), AccessError, "answers with a page"),
        (
            api_error(400, "bad_data", "1:4: parse error"),
            QueryRefusedError,
            r"watch.node.query: .*parse error",
        ),
    ],
)
def test_what_is_set_wrongly_ends_the_start(open_source, node, fault, error, text):
    source, _ = open_source(node)
    node.broken = fault

    with pytest.raises(error, match=text):
        source.poll(1.0)


def test_a_server_that_is_away_at_the_start_is_waited_for(open_source, node, clock):
    node.broken = Fault(drops=True)
    source, _ = open_source(node)

    assert not any(batch.ready for batch in poll_for(source, clock, 60))
    node.broken = None

    assert poll_for(source, clock, 60)[-1].ready


def test_types_of_the_server_decide_which_series_are_counters(open_source, server, clock):
    server.types = {"waits": "histogram"}
    server.add("waits_count", [(NOW_MS - MINUTE_MS, 1.0)], job="node")
    source, table = open_source(server)

    poll_for(source, clock, 1)

    assert table[0].kind is Kind.COUNTER


def test_a_clock_that_is_set_back_asks_for_nothing_until_it_is_there_again(open_source, node, clock):
    source, _ = open_source(node)
    poll_for(source, clock, 100)
    clock.jump(-120)
    node.requests.clear()

    batches = poll_for(source, clock, 100)
    assert (points(batches), node.requests) == ([], [])

    assert points(poll_for(source, clock, 150)) != []
