from __future__ import annotations

import json
import tomllib

import pytest

from monitor.config.load import load_config
from monitor.decode.record import Record
from monitor.decode.topic_decoders import build_decoder
from monitor.detection.entities import EntityTable
from monitor.discovery.suggest import suggest_watches, toml_of
from monitor.discovery.survey import Survey
from monitor.sample import SeriesTable

T0 = 1_700_000_000_000
KAFKA = {"bootstrap_servers": ["127.0.0.1:9092"]}


def sample(second, name, value=0.0, **labels):
    return Record(
        json.dumps({"name": name, "labels": labels, "time": T0 + second * 1000, "value": value}).encode()
    )


def seen(*topics, table=None):
    """Survey topics, each given as its records on one partition."""
    table = SeriesTable() if table is None else table
    surveys = []
    for number, records in enumerate(topics):
        survey = Survey(f"t{number}", "native_sample", build_decoder("native_sample"), table)
        survey.take(0, records, n_keyed=0, n_empty=0)
        surveys.append(survey)
    return suggest_watches(surveys, table), table


def series(name, *, step=10, n=5, values=None, **labels):
    return [sample(step * k, name, (values or [1, 2, 1, 2, 1])[k], **labels) for k in range(n)]


@pytest.mark.parametrize(
    ("labels", "by"),
    [
        ({"host": "a", "cpu": "0"}, ("host",)),
        ({"instance": "a:9100", "job": "node"}, ("instance",)),
        ({"instance": "a:9100", "pod": "web-1", "namespace": "x"}, ("pod",)),
        ({"k8s.pod.name": "web-1", "host.name": "n1"}, ("k8s.pod.name",)),
        ({"host.name": "n1", "service.name": "api"}, ("host.name",)),
        ({"service.name": "api"}, ("service.name",)),
        ({"Server": "a"}, ("Server",)),
        ({"colour": "red"}, ()),
    ],
)
def test_entities_are_made_by_the_smallest_thing_that_a_known_label_names(labels, by):
    (watch,), _ = seen(series("load", **labels))

    assert watch.by == by


def test_series_with_different_labels_get_watches_of_their_own():
    watches, _ = seen(
        [*series("node_load", host="a"), *series("node_mem", host="a"), *series("queue_depth", service="s")]
    )

    assert [(watch.name, watch.by, watch.metrics) for watch in watches] == [
        ("host", ("host",), ("node_*",)),
        ("service", ("service",), ("queue_depth",)),
    ]


def test_topics_that_hold_the_same_metrics_are_one_watch():
    watches, _ = seen(series("node_load", host="a"), series("node_load", host="b"))

    assert [(watch.topics, watch.group.entities) for watch in watches] == [(("t0", "t1"), ("a", "b"))]


@pytest.mark.parametrize(
    ("interval", "step"),
    [(1, 1.0), (3, 5.0), (10, 10.0), (11, 10.0), (14, 15.0), (60, 60.0), (61, 60.0), (5000, 3600.0)],
)
def test_the_step_is_a_round_number_not_shorter_than_the_interval(interval, step):
    (watch,), _ = seen(series("load", step=interval, host="a"))

    assert watch.step_seconds == step


def test_what_only_grows_is_ignored_unless_nothing_else_is_there():
    (watch,), _ = seen([*series("up_time", values=[1, 2, 3, 4, 5], host="a"), *series("load", host="a")])
    (lonely,), _ = seen(series("up_time", values=[1, 2, 3, 4, 5], host="a"))

    assert watch.ignore == ("up_time",)
    assert (watch.group.n_series, watch.group.n_channels) == (1, 1)
    assert lonely.ignore == ()


def test_what_grows_in_one_topic_and_is_not_in_another_is_ignored_and_what_falls_in_one_is_not():
    growing = {"values": [1, 2, 3, 4, 5], "host": "a"}
    (watch,), _ = seen([*series("up_time", **growing), *series("used", **growing), *series("load", host="a")],
                       [*series("used", host="b"), *series("load", host="b")])  # fmt: skip

    assert watch.ignore == ("up_time",)


def test_lateness_covers_twice_what_was_seen_and_stays_below_a_window():
    late = [sample(at, "load", host="a") for at in (100, 110, 120, 160, 130, 140, 150, 170)]
    (watch,), _ = seen(late)
    (far,), _ = seen([*series("load", step=1, host="a"), sample(-1000, "load", host="a")])

    assert watch.lateness_seconds == 60.0  # 30 s behind
    assert far.lateness_seconds == 16.0  # half of 32 steps of 1 s


ODD = 'quo"te\\back\x7fé[1]*?'


@pytest.mark.parametrize("live", [True, False])
def test_the_suggestion_is_a_configuration_that_takes_what_was_seen(tmp_path, live):
    records = [
        *series("node_load", host=ODD),
        *series("node_memory.free", host="b"),
        *series(ODD, host="b"),
        *series("queue", service="s", step=60),
        *series("loose", colour="red"),
        *series("up_time", values=[1, 2, 3, 4, 5], host="b"),
    ]
    watches, table = seen(records)
    kafka = {**KAFKA, "security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "bob", "ssl_check_hostname": False,
             "sasl_password": {"from_env": "SECRET"}, "topics": ["old"], "start": "latest"}  # fmt: skip
    decode = {"max_label_bytes": 99, "mapped": {"my own": {"values": ["v"], "kinds": {"x": "delta"}}}}
    file = tmp_path / "mine.toml"

    file.write_text(
        toml_of(kafka, decode, {"t0": "native_sample", "a.b": "influx"}, watches, live=live), encoding="utf-8"
    )

    config = load_config(file, environ={"SECRET": "pw"})
    assert config.source.kafka.topics == ["t0", "a.b"]
    assert config.source.kafka.sasl_password == "pw"
    assert config.source.kafka.start == (
        7920.0 if live else "earliest"
    )  # (32 + 100) steps of 60 s, the longest there is
    assert config.decode.topics == {"t0": "native_sample", "a.b": "influx"}
    assert config.decode.mapped["my own"].kinds == {"x": "delta"}
    taken = set()
    for written, watch in zip(config.watch, watches, strict=True):
        rules = EntityTable(
            metrics=written.metrics,
            match=written.match,
            by=written.settings().entity_labels,
            ignore=written.ignore,
        )
        rules.update(table)
        mine = {number for number in range(len(table)) if rules.row_of[number] >= 0}
        assert len(mine) == watch.group.n_series
        taken |= mine
    assert {table[number].name for number in set(range(len(table))) - taken} == {"up_time"}


def test_a_long_list_is_broken_into_lines_that_fit():
    watches, _ = seen([one for k in range(20) for one in series(f"metric{k:02}_of_a_long_name", values=[1, 2, 3, 4, 5], host="a")]
                      + series("load", host="a"))  # fmt: skip

    text = toml_of(KAFKA, {}, {"t0": "native_sample"}, watches, live=True)

    assert max(map(len, text.splitlines())) <= 100
    assert len(tomllib.loads(text)["watch"][0]["ignore"]) == 20
