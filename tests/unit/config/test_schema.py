from __future__ import annotations

import re
from pathlib import Path

import pytest
from parsed_config import errors_of, parsed
from pydantic import BaseModel

from monitor.config.load import load_config
from monitor.config.schema import Config

ROOT = Path(__file__).parents[3]


def tables_of(model, place):
    """Give each table of the settings, by its heading: its keys."""
    keys = []
    for name, field in model.model_fields.items():
        below = (field.annotation, *getattr(field.annotation, "__args__", ()))
        tables = [table for table in below if isinstance(table, type(BaseModel))]
        if tables:
            yield from tables_of(tables[0], [*place, name])
        else:
            keys.append(name)
    yield ".".join(place), keys


def test_the_shipped_configuration_loads():
    config = load_config(ROOT / "config.toml")

    assert config.source.kind == "host"
    assert [(watch.name, watch.optional) for watch in config.watch] == [("host", False), ("service", True)]


def test_the_shipped_configuration_shows_every_key():
    shown, heading = {}, ""
    for line in (ROOT / "config.toml").read_text().splitlines():
        if table := re.match(r"#?\s*\[+([a-z_.]+)\]+", line):
            heading = re.sub(
                r"^decode\.mapped\..*", "decode.mapped", table[1]
            )  # its tables have names of the user's
        elif key := re.match(r"#?\s*([a-z_]+) = ", line):
            shown.setdefault(heading, set()).add(key[1])

    missing = {
        heading: sorted(set(keys) - shown.get(heading, set())) for heading, keys in tables_of(Config, [])
    }

    assert {heading: keys for heading, keys in missing.items() if keys} == {}


@pytest.mark.parametrize("speed", ["max", 1, 0.5, 60.0])
def test_a_replay_is_as_fast_as_it_can_or_so_many_times_real_time(speed):
    assert parsed(source={"replay": {"speed": speed}}).source.replay.speed == speed


@pytest.mark.parametrize("document", [{}, {"watch": []}])
def test_a_file_without_a_watch_is_refused(document):
    (line,) = errors_of(document)

    assert line.startswith("config.toml: watch: ")


def test_two_watches_of_one_name_are_refused():
    (line,) = errors_of({"watch": [{"name": "web"}, {"name": "db"}, {"name": "web"}]})

    assert (
        line
        == 'config.toml: the file: two watches are named "web": a name is the key of their models and metrics'
    )


@pytest.mark.parametrize(
    "listen", ["9469", ":9469", "localhost", "localhost:", "localhost:http", "localhost:65536"]
)
def test_an_address_needs_a_host_and_a_port(listen):
    (line,) = errors_of({"web": {"listen": listen}, "watch": [{"name": "web"}]})

    assert line.startswith(f'config.toml: web.listen: found {listen!r}: expected "host:port"')


def test_retraining_without_a_history_is_refused():
    (line,) = errors_of(
        {"history": {"max_bytes": 0}, "watch": [{"name": "web", "retrain": {"interval_seconds": 60}}]}
    )

    assert line.startswith(
        "config.toml: the file: history.max_bytes is 0, but watch.web is retrained from its history"
    )


def test_kafka_without_a_topic_is_refused():
    (line,) = errors_of({"source": {"kind": "kafka"}, "watch": [{"name": "web"}]})

    assert line.startswith('config.toml: source: kind is "kafka", but source.kafka.topics names no topic')


def test_the_cap_of_exported_series_is_a_number_or_automatic():
    assert parsed().web.max_exported_series == "auto"
    assert parsed(web={"max_exported_series": 0}).web.max_exported_series == 0
    (line,) = errors_of({"web": {"max_exported_series": -1}, "watch": [{"name": "web"}]})

    assert line.startswith("config.toml: web.max_exported_series: found -1, expected ")
    assert "'auto'" in line


def test_asking_prometheus_without_a_query_is_refused():
    source = {"kind": "prometheus", "prometheus": {"mode": "query_range"}}
    (line,) = errors_of({"source": source, "watch": [{"name": "web"}]})

    assert line.startswith(
        'config.toml: the file: source.prometheus.mode is "query_range", but no watch has a `query`'
    )
    assert parsed(source=source, watch={"query": "up"}).watch[0].query == "up"


def test_waiting_for_an_answer_must_not_look_like_a_loop_that_hangs():
    source = {"kind": "prometheus", "prometheus": {"mode": "query_range", "timeout_seconds": 20.0}}
    (line,) = errors_of({"source": source, "watch": [{"name": "web", "query": "up"}]})

    assert (
        "stalled_after_seconds is 60, expected at least four times source.prometheus.timeout_seconds" in line
    )


@pytest.mark.parametrize("pattern", ["%H:%M:%S", "%d.%m. %H:%M"])
def test_a_pattern_of_times_without_a_year_is_refused(pattern):
    (line,) = errors_of({"source": {"replay": {"time_unit": pattern}}, "watch": [{"name": "web"}]})

    assert "source.replay.time_unit" in line
    assert "expected a pattern with the year" in line
    assert parsed(source={"replay": {"time_unit": f"%y {pattern}"}}).source.replay.time_unit


def test_a_time_unit_that_is_none_is_refused():
    (line,) = errors_of({"source": {"replay": {"time_unit": "minutes"}}, "watch": [{"name": "web"}]})

    assert 'expected "auto", "s"' in line
