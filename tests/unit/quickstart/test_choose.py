import pytest
from sampled_series import sampled

from monitor.quickstart.candidates import Candidate
from monitor.quickstart.choose import choose_watch, shares
from monitor.quickstart.presets import load_presets

NODE = next(preset for preset in load_presets() if preset.name == "node")
MOVES, RISES = "1 3 2 5 4 6", "1 3 5 8 9 12"


def candidate(*names, preset=None):
    return Candidate("shop", "job shop", names, 'job="shop"', {}, preset)


def chosen(series, *, preset=None, types=None, max_series=500):
    by_name = {}
    for member in series:
        by_name.setdefault(member.name, []).append(member)
    return choose_watch(
        candidate(*by_name, preset=preset), by_name, types or {}, max_series=max_series, rate_seconds=60
    )


def test_what_moves_is_watched_and_the_rest_is_named():
    watch = chosen(
        [
            sampled(MOVES, "depth", instance="a"),
            sampled("7 7 7 7 7 7", "limit", instance="a"),
            sampled("900 1800 2700 3600 4500 5400", "uptime", instance="a"),
        ],
        types={"uptime": "gauge"},
    )

    assert watch.metrics == ("depth",)
    assert watch.left_out == {"constant of late": ["limit"], "a time": ["uptime"]}
    assert watch.query == 'sum by (__name__, instance) ({__name__="depth",job="shop"})'


def test_nothing_that_moves_makes_no_watch():
    assert chosen([sampled("7 7 7 7 7 7", "limit", instance="a")]) is None


def test_a_counter_that_the_server_does_not_know_is_known_by_what_it_does():
    watch = chosen([sampled(RISES, "reqs", instance="a")])
    known = chosen([sampled(RISES, "reqs", instance="a")], types={"reqs": "gauge"})
    level = chosen([sampled(MOVES, "n_total", instance="a")], types={"n_total": "gauge"})

    assert (watch.counters, known.counters, level.gauges) == (("reqs",), (), ("n_total",))


def test_counters_are_summed_as_rates_over_labels_that_nobody_keeps():
    series = [
        sampled(RISES, "node_cpu_seconds_total", instance="a", cpu=str(cpu), mode=mode)
        for cpu in range(2)
        for mode in ("user", "system")
    ]
    watch = chosen([*series, sampled(MOVES, "node_load1", instance="a")], preset=NODE)

    assert watch.metrics == ("node_load1", "node_cpu_seconds_rate")
    assert watch.n_series == 3
    assert "cpu," not in watch.query
    assert "sum by (instance, mode)" in watch.query


def test_what_tells_series_of_an_entity_apart_is_kept():
    watch = chosen(
        [sampled(MOVES, "free", instance=host, disk=disk) for host in "ab" for disk in ("sda", "sdb")]
    )

    assert watch.by == ("instance",)
    assert "(__name__, instance, disk)" in watch.query
    assert (watch.n_entities, watch.n_series) == (2, 4)


def test_pods_of_a_release_are_summed_to_their_workload():
    old, new = "1 2 3 _ _ _", "_ _ _ 1 2 3"
    watch = chosen(
        [
            sampled(old, "reqs_total", namespace="n", pod="web-7d4b9c6f5d-x2x4z", instance="10.0.0.1:80"),
            sampled(new, "reqs_total", namespace="n", pod="web-5f6d8b7c9c-bb4lt", instance="10.0.0.2:80"),
        ]
    )

    assert watch.by == ("namespace", "workload")
    assert watch.rates == ("reqs_total",)  # though it is a single pod now
    assert "sum by (namespace, workload) (label_replace(" in watch.query
    assert (watch.n_entities, watch.n_series) == (1, 1)


def test_what_finds_no_room_is_cut_off_at_the_end_of_a_preset():
    hosts = [f"h{number}" for number in range(4)]
    series = [
        sampled(MOVES, name, instance=host) for name in ("node_load1", "node_procs_running") for host in hosts
    ]

    watch = chosen(series, preset=NODE, max_series=6)

    assert (watch.metrics, watch.n_series) == (("node_load1",), 4)
    assert watch.left_out["no room: raise --max-series"] == ["node_procs_running"]
    assert chosen(series, preset=NODE, max_series=3) is None


@pytest.mark.parametrize(
    ("sizes", "room", "given"),
    [([10, 20], 500, [10, 20]), ([10, 400, 400], 500, [10, 245, 245]), ([5], 3, [3]), ([], 5, [])],
)
def test_the_small_get_what_they_want_and_the_large_the_same(sizes, room, given):
    assert shares(sizes, room) == given
