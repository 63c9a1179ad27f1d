import math

import pytest

from monitor.detection.selector import SeriesSelector
from monitor.errors import MonitorError
from monitor.quickstart.presets import load_presets
from monitor.quickstart.suggestion import Wish, step_of, suggest
from monitor.sample import Kind, Series, labels_of

NOW_MS = 1_800_000_000_000
MINUTE_MS = 60_000


def fill(server, *, hours=30, moving=True):
    times = range(NOW_MS - hours * 60 * MINUTE_MS, NOW_MS + 1, 5 * MINUTE_MS)
    for host in ("a", "b"):
        level = [(time, math.sin(time / 3e6) if moving else 1.0) for time in times]
        server.add("node_load1", level, job="node", instance=host)
        server.add("depth", level, job="shop", instance=host)


def suggestion_for(api, retries, **wish):
    return suggest(api, retries, load_presets(), Wish(**wish), now_ms=NOW_MS)


def test_a_server_becomes_watches_with_a_step_of_its_samples(server, api, retries):
    fill(server)

    found = suggestion_for(api, retries)

    assert [(watch.name, watch.by, watch.n_series) for watch in found.watches] == [
        ("node", ("instance",), 2),
        ("shop", ("instance",), 2),
    ]
    assert (found.n_series, found.scrape_seconds, found.step_seconds) == (4, 300.0, 300.0)
    assert found.days == pytest.approx(30 / 24, abs=1 / 24)


def test_watches_of_jobs_with_the_same_metrics_take_their_own_series_only(server, api, retries):
    times = range(NOW_MS - 1800 * MINUTE_MS, NOW_MS + 1, 5 * MINUTE_MS)
    for job in ("shop", "ca*t"):
        server.add("depth", [(time, math.sin(time / 3e6)) for time in times], job=job, instance="a")

    cart, shop = suggestion_for(api, retries).watches

    assert (shop.match, cart.match) == ({"job": "shop"}, {"job": "ca[*]t"})
    for watch, job in ((shop, "shop"), (cart, "ca*t")):
        assert "(__name__, instance, job)" in watch.query
        assert f'job="{job}"' in watch.query
        selector = SeriesSelector(metrics=watch.metrics, match=watch.match, by=watch.by, ignore=())
        taken = [
            other
            for other in ("shop", "ca*t")
            if selector.select(Series("depth", labels_of({"instance": "a", "job": other}), Kind.GAUGE))
        ]
        assert taken == [job]


def test_matchers_choose(server, api, retries):
    fill(server)

    assert [watch.name for watch in suggestion_for(api, retries, match='job="shop"').watches] == ["shop"]


def test_the_series_are_shared_among_the_watches(server, api, retries):
    fill(server)

    found = suggestion_for(api, retries, max_series=3)

    assert [watch.name for watch in found.watches] == ["shop"]
    assert found.skipped == ("node: nothing moved of late, or nothing fits into --max-series",)


def test_a_server_where_nothing_moves_is_one_line_with_the_way_out(server, api, retries):
    fill(server, moving=False)

    with pytest.raises(MonitorError, match=r"nothing of node, shop has moved .* raise --max-series"):
        suggestion_for(api, retries)


@pytest.mark.parametrize(("scrape", "step"), [(15, 60), (60, 60), (61, 60), (120, 120), (9999, 3600)])
def test_a_step_is_a_minute_or_what_the_samples_need(scrape, step):
    assert step_of(scrape) == step
