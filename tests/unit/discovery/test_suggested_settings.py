"""The suggested settings are a good configuration, and hold no secret."""

from __future__ import annotations

import tomllib

import pytest
from listed_cluster import line, report_on
from native_topics import series, suggest

from monitor.config.explain import parse_config
from monitor.config.load import load_config, load_draft
from monitor.decode.record import Record
from monitor.detection.entities import EntityTable
from monitor.discovery.suggested_settings import suggestion_of, toml_of, user_settings
from monitor.errors import ConfigError

KAFKA = {"bootstrap_servers": ["127.0.0.1:9092"]}
ODD = 'quo"te\\back\x7fé[1]*?'


def test_the_suggestion_is_a_good_configuration_for_what_was_seen():
    seen = report_on(
        {
            "metrics": [[line(age) for age in (50, 40, 30, 20, 10)]],
            "noise": [[Record(b"\xff", 1)]],
            "empty": [[]],
        }
    )
    text = suggestion_of(seen, {"bootstrap_servers": ["b:9092"]}, {})

    config = parse_config(tomllib.loads(text), origin="suggestion")
    assert config.source.kafka.bootstrap_servers == ["b:9092"]
    assert config.source.kafka.topics == ["metrics"]
    assert config.decode.topics == {"metrics": "influx"}
    assert [(watch.by, watch.step_seconds) for watch in config.watch] == [(["host"], 10.0)]


def test_nothing_seen_is_nothing_suggested():
    assert suggestion_of(report_on({"empty": [[]]}), {}, {}) == ""


def test_no_secret_is_copied_and_a_reference_stays_one():
    written = {
        "source": {"kafka": {"sasl_password": "geheim", "ssl_password": {"from_file": "f"}}},
        "decode": {"format": "influx"},
    }

    kafka, decode = user_settings(written, {"bootstrap_servers": ["b:1"]})

    assert kafka == {
        "sasl_password": {"from_env": "KAFKA_SASL_PASSWORD"},
        "ssl_password": {"from_file": "f"},
        "bootstrap_servers": ["b:1"],
    }
    assert decode == {"format": "influx"}


@pytest.mark.parametrize("is_live", [True, False])
def test_the_suggestion_is_a_configuration_that_takes_what_was_seen(tmp_path, is_live):
    records = [
        *series("node_load", host=ODD),
        *series("node_memory.free", host="b"),
        *series(ODD, host="b"),
        *series("queue", service="s", step=60),
        *series("loose", colour="red"),
        *series("up_time", values=[1, 2, 3, 4, 5], host="b"),
    ]
    watches, table = suggest(records)
    kafka = {
        **KAFKA,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_username": "bob",
        "ssl_check_hostname": False,
        "sasl_password": {"from_env": "SECRET"},
        "topics": ["old"],
        "start": "latest",
    }
    decode = {"max_label_bytes": 99, "mapped": {"my own": {"values": ["v"], "kinds": {"x": "delta"}}}}
    file = tmp_path / "mine.toml"

    file.write_text(
        toml_of(kafka, decode, {"t0": "native_sample", "a.b": "influx"}, watches, is_live=is_live),
        encoding="utf-8",
    )

    config = load_config(file, environ={"SECRET": "pw"})
    assert config.source.kafka.topics == ["t0", "a.b"]
    assert config.source.kafka.sasl_password == "pw"
    # (32 + 100) steps of 60 s, the longest there is
    assert config.source.kafka.start == (7920.0 if is_live else "earliest")
    assert config.decode.topics == {"t0": "native_sample", "a.b": "influx"}
    assert config.decode.mapped["my own"].kinds == {"x": "delta"}
    judged = set()
    for written, watch in zip(config.watch, watches, strict=True):
        rules = EntityTable(
            metrics=written.metrics,
            match=written.match,
            by=written.settings().entity_labels,
            ignore=written.ignore,
        )
        rules.update(table)
        numbers = {number for number in range(len(table)) if rules.row_of[number] >= 0}
        assert len(numbers) == watch.group.n_series
        judged |= numbers
    assert {table[number].name for number in set(range(len(table))) - judged} == {"up_time"}


def test_counters_are_named_and_those_that_the_format_knows_are_counted():
    records = series("jobs_done", n=12, values=[3 * k for k in range(12)], host="a")
    for name in ("load", "a_total", "b_total", "c_total", "d_total"):
        records += series(name, host="a")
    watches, _ = suggest(records)

    text = toml_of(KAFKA, {}, {"t0": "native_sample"}, watches, is_live=True)

    assert tomllib.loads(text)["watch"][0]["counters"] == ["jobs_done"]
    assert "# judged as rates a second: 4 known counters (a_total, b_total, c_total, ...)\n" in text
    assert "# these rise and never fall, but for resets: judged as rates a second, too\n" in text


def test_a_long_list_is_broken_into_lines_that_fit():
    records = series("load", host="a")
    for k in range(20):
        records += series(f"metric{k:02}_of_a_long_name", values=[1, 2, 3, 4, 5], host="a")
    watches, _ = suggest(records)

    text = toml_of(KAFKA, {}, {"t0": "native_sample"}, watches, is_live=True)

    assert max(map(len, text.splitlines())) <= 100
    assert len(tomllib.loads(text)["watch"][0]["ignore"]) == 20


def test_a_draft_needs_neither_topics_nor_watches_nor_a_file(tmp_path):
    file = tmp_path / "draft.toml"
    file.write_text(
        '[source]\nkind = "kafka"\n[source.kafka]\nbootstrap_servers = ["b:1"]\n'
        'sasl_password = { from_env = "X" }\n'
    )

    config, written = load_draft(file, environ={"X": "pw", "BAROGRAPH_SOURCE__KAFKA__GROUP_ID": "g"})
    bare, nothing = load_draft(None, {"source": {"kafka": {"bootstrap_servers": ["c:1"]}}}, environ={})

    assert (config.source.kafka.bootstrap_servers, config.source.kafka.sasl_password, config.watch) == (
        ["b:1"],
        "pw",
        [],
    )
    assert config.source.kafka.group_id == "g"
    assert written["source"]["kafka"]["sasl_password"] == {"from_env": "X"}
    assert (bare.source.kafka.bootstrap_servers, bare.watch, nothing) == (["c:1"], [], {})


def test_what_is_wrong_in_a_draft_is_still_an_error(tmp_path):
    file = tmp_path / "draft.toml"
    file.write_text('[source.kafka]\nbootstrap_server = "b:1"\n')

    with pytest.raises(ConfigError, match="unknown key; the nearest known one is bootstrap_servers"):
        load_draft(file, environ={})
