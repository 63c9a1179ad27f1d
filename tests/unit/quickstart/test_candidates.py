from monitor.quickstart.candidates import WANDERING, candidates_of
from monitor.quickstart.inventory import Inventory
from monitor.quickstart.presets import load_presets


def found(n_series, match=""):
    return {
        candidate.name: candidate
        for candidate in candidates_of(Inventory(n_series, {}), load_presets(), match)
    }


def test_a_known_exporter_is_watched_by_its_preset_and_nothing_else_of_its_job():
    candidates = found(
        {("node_load1", "node"): 1, ("node_entropy_available_bits", "node"): 1, ("up", "node"): 1}
    )

    assert list(candidates) == ["node"]
    assert candidates["node"].names == ("node_load1",)


def test_levels_that_wander_are_named_and_not_watched():
    names = ("node_load1", "node_filesystem_avail_bytes")
    (candidate,) = found({(name, "node"): 1 for name in names}).values()

    assert candidate.names == ("node_load1",)
    assert candidate.left_out == {WANDERING: ["node_filesystem_avail_bytes"]}


def test_other_jobs_are_candidates_without_technicalities():
    metrics = ("queue_depth", "app_build_info", "lag_bucket", "up", "go_goroutines", "jobs_created")
    (candidate,) = found({(name, "shop"): 1 for name in metrics}).values()

    assert candidate.names == ("queue_depth",)
    assert candidate.match == 'job="shop"'
    assert candidate.left_out["of the runtime"] == ["go_goroutines"]


def test_the_runtime_is_watched_where_nothing_else_is_there():
    (candidate,) = found({("go_goroutines", "x"): 1, ("up", "x"): 1}).values()

    assert candidate.names == ("go_goroutines",)


def test_requests_are_watched_beside_the_other_metrics_of_their_job():
    candidates = found({("http_requests_total", "shop"): 9, ("queue_depth", "shop"): 1})

    assert candidates["http"].names == ("http_requests_total",)
    assert candidates["shop"].names == ("queue_depth",)


def test_a_metric_of_too_many_series_is_left_out():
    (candidate,) = found({("flows", "x"): 3000, ("depth", "x"): 1}).values()

    assert candidate.left_out["more than 2000 series each"] == ["flows"]


def test_the_users_matchers_are_in_every_query():
    candidates = found({("node_load1", "node"): 1, ("depth", "a b"): 1}, match='env="prod"')

    assert candidates["node"].match.startswith('env="prod",')
    assert candidates["a_b"].match == 'env="prod",job="a b"'


def test_a_job_that_is_called_like_a_preset_gets_another_name():
    assert set(found({("node_load1", "n"): 1, ("depth", "node"): 1})) == {"node", "node-2"}
