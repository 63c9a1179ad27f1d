import tomllib

from monitor.config.explain import parse_config
from monitor.quickstart.choose import ChosenWatch
from monitor.quickstart.suggestion import Suggestion
from monitor.quickstart.write_config import config_text

QUERY = 'sum by (__name__, instance) ({__name__=~"a|b"})\nor on (__name__) label_replace(x, "a", "", "", "")'
WATCH = ChosenWatch(
    name="node",
    title="node exporter",
    query=QUERY,
    metrics=("a", "b_rate"),
    counters=("a",),
    gauges=(),
    rates=("b_total",),
    by=("instance",),
    by_reason="instance rather than pod",
    match={"job": "a b"},
    n_entities=3,
    n_series=6,
    left_out={"constant of late": [f"m{number}" for number in range(20)]},
)
SUGGESTION = Suggestion("http://p:9090", 99, 15.0, 60.0, 7.0, (WATCH,), ("shop: nothing moved\nhere",))
CONNECTION = {"url": "http://p:9090", "username": "u", "password": {"from_file": "/run/secret"}}


def test_what_is_written_is_a_good_configuration():
    document = tomllib.loads(config_text(SUGGESTION, CONNECTION, data_dir="data"))
    document["source"]["prometheus"]["password"] = "as the file says"
    config = parse_config(document, origin="test")

    (watch,) = config.watch
    assert (config.source.kind, config.source.prometheus.mode) == ("prometheus", "query_range")
    assert (watch.query, watch.metrics, watch.counters, watch.by) == (
        QUERY,
        ["a", "b_rate"],
        ["a"],
        ["instance"],
    )


def test_secrets_are_references():
    text = config_text(SUGGESTION, CONNECTION, data_dir="data")

    assert 'password = { from_file = "/run/secret" }' in text


def test_comments_say_what_was_left_out_and_why():
    text = config_text(SUGGESTION, CONNECTION, data_dir="data")

    assert "# left out, constant of late: m0, m1," in text
    assert "and 8 more" in text
    assert "# an entity is instance rather than pod" in text
    assert "# not watched: shop: nothing moved?here" in text  # a line break ends no comment
    assert 'mode = "remote_write"' in text
