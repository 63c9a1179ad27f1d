import numpy as np
import pytest
from fake_prometheus import api_error

from monitor.errors import MonitorError
from monitor.quickstart.inventory import (
    Inventory,
    history_days,
    sample_series,
    scrape_seconds,
    take_inventory,
)

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
TOO_LARGE = ("query processing would load too many samples into memory in query execution",)


def fill(server, *, hours=3, every_ms=15_000):
    times = range(NOW_MS - hours * HOUR_MS, NOW_MS + 1, every_ms)
    for host in ("a", "b"):
        server.add("load", [(time, time / 1e6 % 7) for time in times], job="node", host=host)
    server.add("depth", [(time, 1.0) for time in times], job="shop")


def test_series_are_counted_by_name_and_job(server, api, retries):
    fill(server)
    server.types = {"load": "gauge"}

    inventory = take_inventory(api, retries, "", NOW_MS)

    assert inventory.n_series == {("load", "node"): 2, ("depth", "shop"): 1}
    assert (inventory.total, inventory.count("load"), inventory.names) == (3, 2, {"load", "depth"})
    assert inventory.jobs() == {"node": {"load"}, "shop": {"depth"}}
    assert inventory.types == {"load": "gauge"}


def test_a_server_without_series_is_one_line_with_the_way_out(server, api, retries):
    with pytest.raises(MonitorError, match=r"has no series at this time: look at .*/targets"):
        take_inventory(api, retries, "", NOW_MS)
    with pytest.raises(MonitorError, match=r'no series that matches \{job="x"\}'):
        take_inventory(api, retries, 'job="x"', NOW_MS)


def test_too_many_series_to_count_point_at_match(server, api, retries):
    server.broken = api_error(422, "execution", *TOO_LARGE)

    with pytest.raises(MonitorError, match="--match"):
        take_inventory(api, retries, "", NOW_MS)


def test_series_are_given_at_points_of_the_last_hours(server, api, retries):
    fill(server)
    inventory = take_inventory(api, retries, "", NOW_MS)

    series, refused = sample_series(api, retries, inventory, ["load"], 'job="node"', hours=3, now_ms=NOW_MS)

    assert refused == []
    assert sorted(member.labels["host"] for member in series["load"]) == ["a", "b"]
    assert all(len(member.values) == 97 and not np.isnan(member.values).any() for member in series["load"])
    assert series["load"][0].step_ms == round(3 * HOUR_MS / 96)


def test_what_is_too_much_for_an_answer_is_asked_for_metric_by_metric(server, api, retries):
    fill(server)
    server.max_samples = 150  # two series of "load" have 194 points
    inventory = Inventory({("load", "node"): 2, ("depth", "shop"): 1}, {})

    series, refused = sample_series(api, retries, inventory, ["load", "depth"], "", hours=1, now_ms=NOW_MS)

    assert (set(series), refused) == ({"depth"}, ["load"])


def test_the_time_between_samples_is_read_from_the_stored_ones(server, api, retries):
    fill(server)
    inventory = Inventory({("load", "node"): 2}, {})

    assert scrape_seconds(api, retries, inventory, "load", NOW_MS) == 15.0
    assert scrape_seconds(api, retries, inventory, "missing", NOW_MS) == 60.0


def test_the_reach_of_a_history_is_known_to_the_hour(server, api, retries):
    fill(server, hours=36, every_ms=60_000)

    assert history_days(api, retries, "load", 7.0, NOW_MS) == pytest.approx(1.5, abs=1 / 24)
    assert history_days(api, retries, "load", 1.0, NOW_MS) == pytest.approx(1.0)
    assert history_days(api, retries, "missing", 7.0, NOW_MS) == 0
