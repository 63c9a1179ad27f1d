import pytest
from fake_prometheus import Fault, api_error

from monitor.prometheus.api import PrometheusApi
from monitor.prometheus.errors import QueryRefusedError, UnavailableError
from monitor.prometheus.ranges import TimeRange

SECOND = 1000
NOW_MS = 1_000_000


@pytest.fixture
def api(client):
    return lambda server: PrometheusApi(client(server.url))


def test_raw_samples_are_asked_for_so_that_a_range_ends_before_its_end(api, server):
    api(server).raw('{job="a"}', TimeRange(60_000, 120_000))

    assert server.asked("query") == [{"query": '{job="a"}[60000ms]', "time": "119.999"}]


def test_steps_are_asked_for_to_the_millisecond(api, server):
    server.add("up", [(60_000, 1.0)])

    api(server).at_steps("up", 60_500, 61_000, 250)

    assert server.asked("query_range") == [
        {"query": "up", "start": "60.500", "end": "61.000", "step": "0.250"}
    ]


def test_the_server_tells_selectors_from_expressions(api, server):
    server.add("up", [(NOW_MS, 1.0)])

    assert api(server).is_selector("up", NOW_MS)
    assert not api(server).is_selector("sum(up)", NOW_MS)


def test_a_query_that_is_neither_is_refused_with_the_servers_words(api, server):
    with pytest.raises(QueryRefusedError, match="parse error"):
        api(server).is_selector("sum(up", NOW_MS)


def test_a_selector_of_too_many_samples_is_a_selector(api, server):
    server.faults.append(api_error(422, "execution", "would load too many samples"))

    assert api(server).is_selector("up", NOW_MS)


def test_types_and_names_are_read(api, server):
    server.types = {"up": "gauge", "reqs_total": "counter"}
    server.add("up", [])
    server.add("down", [])

    assert api(server).types() == server.types
    assert api(server).names('{__name__=~".+"}', TimeRange(0, 1)) == ["down", "up"]


def test_a_server_without_an_export_has_none_and_one_that_is_away_is_not_judged(api, serve):
    plain, victoria = serve(), serve(exports=True)

    assert not api(plain).has_export(NOW_MS)
    assert api(victoria).has_export(NOW_MS)
    victoria.faults.append(Fault(503))
    with pytest.raises(UnavailableError):
        api(victoria).has_export(NOW_MS)


def test_the_export_takes_selectors_only(api, serve):
    victoria = serve(exports=True)
    victoria.add("up", [(NOW_MS, 1.0)])

    assert api(victoria).exports("up", NOW_MS)
    assert not api(victoria).exports("sum(up)", NOW_MS)


def test_a_query_that_gives_no_series_is_refused(api, server):
    server.faults.append(Fault(200, '{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}'))

    with pytest.raises(QueryRefusedError, match="gives a scalar, expected series"):
        api(server).at_steps("1", 0, 1000, 1000)
