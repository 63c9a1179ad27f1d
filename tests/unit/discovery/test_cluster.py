from __future__ import annotations

import json
import tomllib

import pytest

from monitor.config.decode import DecodeConfig
from monitor.config.explain import parse_config
from monitor.config.load import load_draft
from monitor.config.watch import WatchConfig
from monitor.decode.record import Record
from monitor.discovery.cluster import inspect, notes_of, suggestion_of, to_json, user_settings
from monitor.discovery.report import print_report
from monitor.errors import ConfigError, SourceError
from monitor.kafka.topic_reader import Bounds, Peek

NOW = 1_000_000.0
NOTHING: dict = {}  # committed


class ListReader:
    """A cluster of lists: by topic and partition the records, each at its index as its offset."""

    def __init__(self, records, *, committed=NOTHING, seconds=None, refuses=()):
        self._records = records
        self._committed = committed
        self._seconds = iter(seconds) if seconds is not None else None
        self._refuses = refuses
        self.n_read = 0

    def seconds_left(self):
        return 30.0 if self._seconds is None else next(self._seconds)

    def topics(self):
        return {name: tuple(range(len(partitions))) for name, partitions in self._records.items()}

    def committed(self, partitions):
        return self._committed

    def bounds(self, topic, partitions):
        if topic in self._refuses:
            raise SourceError(f"asked where {topic} begins: this user may not read it")
        return {number: Bounds(0, len(self._records[topic][number])) for number in partitions}

    def since(self, topic, bounds, since_ms):
        stamps = {number: [one.time_ms for one in self._records[topic][number]] for number in bounds}
        return {
            number: next((at for at, ms in enumerate(found) if ms >= since_ms), len(found))
            for number, found in stamps.items()
        }

    def read(self, topic, starts, bounds):
        for number, start in starts.items():
            records = self._records[topic][number][start:]
            self.n_read += len(records)
            yield Peek(number, records, 0, 0)


def line(age_seconds, host="h1", name="load", value=1.0):
    at_ms = round((NOW - age_seconds) * 1000)
    return Record(f"{name},host={host} v={value} {at_ms}000000".encode(), at_ms)


def report(records, *wanted, watches=(), n_newest=1000, decode=None, **reader):
    made = ListReader(records, **reader)
    return inspect(
        made,
        wanted,
        decode or DecodeConfig(),
        [WatchConfig(**one) for one in watches],
        now=NOW,
        n_newest=n_newest,
    ), made


def test_the_last_minute_is_read_where_something_came_in_it():
    seen, reader = report({"metrics": [[line(age) for age in range(600, 0, -10)], [line(300)]]})

    (topic,) = seen.topics
    assert (topic.read, topic.live, topic.n_records, reader.n_read) == ("last 60 s", True, 61, 6)
    assert list(notes_of(seen)) == []


def test_the_newest_records_are_read_where_nothing_is_that_new():
    seen, reader = report({"metrics": [[line(age) for age in range(9000, 4000, -10)]]}, n_newest=20)

    (topic,) = seen.topics
    assert (topic.read, topic.live, reader.n_read) == ("newest 20 a partition", False, 20)
    assert list(notes_of(seen)) == ["metrics: nothing came in the last 60 s"]


def test_the_newest_records_are_read_where_no_series_comes_twice_in_a_minute():
    seen, _ = report({"metrics": [[line(age) for age in (130, 70, 10)]]})

    (topic,) = seen.topics
    assert topic.read == "all there is"
    assert topic.survey.interval_seconds() == 60.0


def test_no_more_is_read_of_a_busy_minute_than_is_wanted():
    seen, reader = report({"metrics": [[line(59 - k / 100) for k in range(5000)]]}, n_newest=100)

    assert (seen.topics[0].read, reader.n_read) == ("last 60 s, newest 100 a partition", 100)


def test_lag_is_what_the_group_has_not_committed():
    seen, _ = report(
        {"a": [[line(k) for k in range(9, -1, -1)], [line(1)] * 4], "b": [[line(1)] * 3]},
        committed={("a", 0): 7},
    )

    assert [topic.lag for topic in seen.topics] == [
        7,
        None,
    ]  # 3 of the first partition, 4 of the second: never read


def test_a_lag_that_the_broker_does_not_tell_is_not_taken_as_none():
    seen, _ = report({"metrics": [[line(1)]]}, committed=None)

    assert (seen.topics[0].lag, seen.knows_lag) == (None, False)
    assert list(notes_of(seen)) == ["the lag is not known: the broker does not tell this user of the group"]


def test_internal_topics_are_hidden_unless_they_are_named():
    records = {"__consumer_offsets": [[]], "_schemas": [[]], "metrics": [[line(1)]]}

    assert [topic.name for topic in report(records)[0].topics] == ["metrics"]
    assert report(records)[0].n_internal == 2
    assert [topic.name for topic in report(records, "_schemas")[0].topics] == ["_schemas"]


def test_topics_are_chosen_by_name_or_pattern():
    records = {name: [[line(1)]] for name in ("cpu-eu", "cpu-us", "mem-eu")}
    seen, _ = report(records, "cpu-*")

    assert [topic.name for topic in seen.topics] == ["cpu-eu", "cpu-us"]
    assert seen.others == ["mem-eu"]


def test_a_topic_that_is_missing_is_told_with_what_may_be_meant():
    with pytest.raises(SourceError, match=r"no topic is named telegarf: did you mean telegraf\?"):
        report({"telegraf": [[line(1)]]}, "telegarf")
    seen, _ = report({"telegraf": [[line(1)]]}, "telegraf", "xyz")
    assert list(notes_of(seen)) == ["no topic is named xyz: there is no other"]


def test_a_cluster_without_topics_says_so():
    with pytest.raises(SourceError, match="the cluster has no topic"):
        report({})


def test_a_topic_that_may_not_be_read_or_is_empty_does_not_hide_the_others():
    seen, _ = report({"closed": [[line(1)]], "empty": [[]], "metrics": [[line(1)]]}, refuses=["closed"])

    assert [topic.problem for topic in seen.topics] == [
        "asked where closed begins: this user may not read it",
        "empty",
        "",
    ]
    assert list(notes_of(seen)) == ["closed: asked where closed begins: this user may not read it"]


def test_what_there_was_no_time_for_is_told():
    seen, _ = report({"a": [[line(1)]], "b": [[line(1)]]}, seconds=[9, 9, 9, 0])

    assert seen.topics[0].survey is not None
    assert list(notes_of(seen)) == ["b: not read: the time was up (--timeout)"]


def test_a_configured_watch_is_shown_with_what_it_would_take():
    records = {
        "metrics": [
            [line(age, host, "cpu") for age in (20, 10) for host in ("h1", "h2")] + [line(5, "h1", "disk")]
        ]
    }
    seen, _ = report(
        records, watches=[{"name": "mine", "metrics": ["cpu_*"]}, {"name": "none", "metrics": ["x"]}]
    )

    assert [(watch.name, watch.group.n_series, watch.group.entities) for watch in seen.watches] == [
        ("mine", 2, ("h1", "h2")),
        ("none", 0, ()),
    ]


def test_series_and_entities_on_several_partitions_are_told_with_the_setting_that_keys_them():
    series = {"metrics": [[line(20), line(10)], [line(5)]]}
    entities = {
        "metrics": [[line(20, name="a"), line(10, name="a")], [line(20, name="b"), line(10, name="b")]]
    }

    (note,) = notes_of(report(series)[0])
    assert note.startswith("metrics: 1 of 1 series are on several partitions")
    assert note.endswith('Telegraf: routing_tag = "host" in [[outputs.kafka]]')
    (note,) = notes_of(report(entities)[0])
    assert note.startswith("metrics: 1 entities are on several partitions (h1)")


def test_records_that_cannot_be_read_are_told_with_a_reason():
    (note,) = notes_of(
        report(
            {"metrics": [[line(20), Record(b"\xff\x00", 1), line(10)]]}, decode=DecodeConfig(format="influx")
        )[0]
    )

    assert note.startswith("metrics: 1 parts could not be read, 2 samples could (invalid_utf8 1)")


def test_the_suggestion_is_a_good_configuration_for_what_was_seen():
    seen, _ = report(
        {
            "metrics": [[line(age) for age in (50, 40, 30, 20, 10)]],
            "noise": [[Record(b"\xff", 1)]],
            "empty": [[]],
        }
    )
    text = suggestion_of(seen, {"bootstrap_servers": ["b:9092"]}, {})

    config = parse_config(tomllib.loads(text), place="suggestion")
    assert config.source.kafka.bootstrap_servers == ["b:9092"]
    assert config.source.kafka.topics == ["metrics"]
    assert config.decode.topics == {"metrics": "influx"}
    assert [(watch.by, watch.step_seconds) for watch in config.watch] == [(["host"], 10.0)]


def test_nothing_seen_is_nothing_suggested():
    assert suggestion_of(report({"empty": [[]]})[0], {}, {}) == ""


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


def test_what_is_shown_fits_a_hundred_columns_and_holds_no_terminal_commands(capsys):
    evil = "h\x1b[31m" + "x" * 80
    records = {
        "a-topic-with-quite-a-long-name." * 2: [[line(age, "h" * 70) for age in (20, 10)]],
        "evil": [[line(20, evil), line(10, evil)]],
    }
    seen, _ = report(records, committed={}, watches=[{"name": "mine"}])

    print_report(
        seen, parse_config({"watch": [{"name": "w"}]}, place="x").source.kafka, suggestion_of(seen, {}, {})
    )

    shown = capsys.readouterr().out
    assert "suggested watches" in shown
    assert "your watches" in shown
    assert "\x1b" not in shown
    assert max(len(row.rstrip()) for row in shown.splitlines()) <= 100


def test_everything_can_be_had_as_json():
    seen, _ = report(
        {"metrics": [[line(20), line(10)]], "empty": [[]]},
        committed={("metrics", 0): 1},
        watches=[{"name": "mine"}],
    )

    facts = json.loads(json.dumps(to_json(seen, "x")))

    assert facts["topics"][0] == {
        "topic": "metrics", "partitions": 1, "records": 2, "lag": 1, "problem": "", "read": "last 60 s", "format": "influx",
        "records_read": 2, "keyed": 0, "samples": 2, "series": 1, "series_on_several_partitions": 0, "interval_seconds": 10.0,
        "rejected": {},
    }  # fmt: skip
    watch = {
        "by": ["host"],
        "series": 1,
        "channels": 1,
        "entities": ["h1"],
        "entities_on_several_partitions": [],
    }
    assert (facts["watches"], facts["suggested_watches"]) == (
        [{"name": "mine", **watch}],
        [{"name": "host", **watch}],
    )
    assert facts["suggestion"] == "x"


# Settings of somebody who does not know the topics yet


def test_a_draft_needs_neither_topics_nor_watches_nor_a_file(tmp_path):
    file = tmp_path / "draft.toml"
    file.write_text(
        '[source]\nkind = "kafka"\n[source.kafka]\nbootstrap_servers = ["b:1"]\nsasl_password = { from_env = "X" }\n'
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
