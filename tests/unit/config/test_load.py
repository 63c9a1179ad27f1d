"""config.toml to settings: what is read, and how an error reads."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from models.limits import Budget
from monitor.alerting.episodes import AlertPolicy
from monitor.config.explain import parse_config
from monitor.config.load import load_config
from monitor.config.schema import Config
from monitor.config.watch import WatchConfig
from monitor.decode.formats import FormatSettings
from monitor.decode.graphite import Template
from monitor.decode.mapped_json import JsonMapping
from monitor.decode.record import Limits
from monitor.errors import ConfigError

ROOT = Path(__file__).parents[3]


def parsed(*, watch=None, **tables):
    """Read a document with one watch, called web."""
    return parse_config({**tables, "watch": [{"name": "web", **(watch or {})}]}, place="config.toml")


def errors_of(document):
    """Give the lines that a document is refused with."""
    with pytest.raises(ConfigError) as caught:
        parse_config(document, place="config.toml")
    return str(caught.value).splitlines()


def error_of(**watch):
    """Give the only line that a setting of a watch is refused with."""
    (line,) = errors_of({"watch": [{"name": "web", **watch}]})
    return line


# The shipped file


def test_the_shipped_configuration_loads():
    config = load_config(ROOT / "config.toml")

    assert config.source.kind == "host"
    assert config.watch


def tables_of(model, place):
    """Give each table of the settings, by its heading: its keys."""
    keys = []
    for name, field in model.model_fields.items():
        below = (field.annotation, *getattr(field.annotation, "__args__", ()))
        tables = [one for one in below if isinstance(one, type(BaseModel))]
        if tables:
            yield from tables_of(tables[0], [*place, name])
        else:
            keys.append(name)
    yield ".".join(place), keys


def test_the_shipped_configuration_shows_every_key():
    shown, heading = {}, ""
    for line in (ROOT / "config.toml").read_text().splitlines():
        if table := re.match(r"#?\s*\[+([a-z_.]+)\]+", line):
            heading = re.sub(r"^decode\.mapped\..*", "decode.mapped", table[1])  # its tables have names of the user's
        elif key := re.match(r"#?\s*([a-z_]+) = ", line):
            shown.setdefault(heading, set()).add(key[1])

    missing = {heading: sorted(set(keys) - shown.get(heading, set())) for heading, keys in tables_of(Config, [])}

    assert {heading: keys for heading, keys in missing.items() if keys} == {}


# What is read


def test_a_watch_needs_a_name_only():
    watch = parsed().watch[0]

    assert (watch.name, watch.step_seconds, watch.budget, watch.by) == ("web", 60.0, "1/week", ["host"])


def test_a_whole_number_will_do_for_seconds():
    assert parsed(watch={"step_seconds": 10}).watch[0].step_ms == 10_000


def test_by_labels_or_each_series_on_its_own():
    assert parsed(watch={"by": ["host", "pod"]}).watch[0].settings().entity_labels == ("host", "pod")
    assert parsed(watch={"by": "series"}).watch[0].settings().entity_labels == ()


def test_the_policy_and_the_models_settings_are_what_was_written():
    watch = parsed(
        watch={"window_length": 16, "model": {"hidden": 32, "cell": "gru"}, "alert": {"hold_seconds": 5, "rest_seconds": 7}}
    ).watch[0]  # fmt: skip

    assert (watch.settings().model.window_length, watch.settings().model.hidden, watch.settings().model.cell) == (16, 32, "gru")
    assert watch.settings().alert == AlertPolicy(hold_seconds=5, rest_seconds=7)


def test_a_block_is_as_long_as_an_episode_and_its_rest_and_never_shorter_than_a_window():
    times = {"close_seconds": 100, "rest_seconds": 220}

    assert parsed(watch={"step_seconds": 10, "window_length": 8, "alert": times}).watch[0].settings().block_steps == 32
    assert parsed(watch={"step_seconds": 10, "window_length": 64, "alert": times}).watch[0].settings().block_steps == 64


@pytest.mark.parametrize("speed", ["max", 1, 0.5, 60.0])
def test_a_replay_is_as_fast_as_it_can_or_so_many_times_real_time(speed):
    assert parsed(source={"replay": {"speed": speed}}).source.replay.speed == speed


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("1/week", Budget(1.0, 604_800.0)),
        ("3/day", Budget(3.0, 86_400.0)),
        ("0.5/hour per entity", Budget(0.5, 3600.0, per_entity=True)),
        (" 2 / month ", Budget(2.0, 2_592_000.0)),
    ],
)
def test_a_budget_is_a_count_in_a_period(text, budget):
    assert Budget.parse(parsed(watch={"budget": text}).watch[0].budget) == budget


def test_what_decoders_are_built_with_is_what_was_written():
    decode = {
        "max_record_bytes": 100, "max_label_bytes": 10, "native_sample": {"time": "ts"}, "influx": {"precision": "s"},
        "telegraf_json": {"time_unit": "ms"}, "collectd": {"store_rates": False}, "graphite": {"templates": ["{host}.**"]},
        "mapped": {"mine": {"values": ["v"], "kinds": {"d": "delta"}}},
    }  # fmt: skip

    settings = parsed(decode=decode).decode.settings

    assert settings.limits == Limits(max_record_bytes=100, max_label_bytes=10)
    assert (settings.native_sample.time, settings.native_sample.name) == ("ts", "name")
    assert (settings.influx_precision, settings.telegraf_time_unit, settings.collectd_store_rates) == ("s", "ms", False)
    assert settings.graphite_templates == (Template(("{host}", "**")),)
    assert settings.mappings == {"mine": JsonMapping(name="{name}", values=("v",), kinds={"d": "delta"})}


def test_formats_are_auto_unless_named():
    assert parsed().decode.format == "auto"
    assert parsed().decode.settings == FormatSettings()
    assert parsed(decode={"topics": {"a-*": "influx"}}).decode.topics == {"a-*": "influx"}


def test_settings_from_the_command_line_are_laid_over_those_of_the_file(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('data_dir = "here"\n[source.replay]\npaths = ["a.csv"]\ntime_unit = "s"\n[[watch]]\nname = "web"\n')

    config = load_config(file, {"source": {"kind": "replay", "replay": {"paths": ["b.csv"]}}})

    assert (config.data_dir, config.source.kind) == ("here", "replay")
    assert (config.source.replay.paths, config.source.replay.time_unit) == (["b.csv"], "s")


# What is refused


def test_everything_wrong_is_told_at_once_each_with_its_place():
    lines = errors_of(
        {
            "data_dirr": "x",
            "web": {"listen": "9469"},
            "source": {"kind": "kafak"},
            "watch": [
                {"name": "web", "step_seconds": -1, "windw_length": 3, "model": {"epoch": 3}},
                {"name": "db", "alert": {"close_score": 2.0}},
            ],
        }
    )  # fmt: skip

    assert sorted(lines) == sorted(
        [
            "config.toml: data_dirr: unknown key; the nearest known one is data_dir",
            'config.toml: web.listen: found \'9469\': expected "host:port" with a port up to 65535, as in "127.0.0.1:9469"',
            "config.toml: source.kind: found 'kafak', expected 'host', 'kafka' or 'replay'",
            "config.toml: watch.web.step_seconds: found -1, expected greater than 0",
            "config.toml: watch.web.windw_length: unknown key; the nearest known one is window_length",
            "config.toml: watch.web.model.epoch: unknown key; the nearest known one is epochs",
            "config.toml: watch.db.alert.close_score: found 2.0, expected less than or equal to 1",
        ]
    )


@pytest.mark.parametrize(
    ("place", "document", "nearest"),
    [
        ("datadir", {"datadir": "x"}, "data_dir"),
        ("source.replay.path", {"source": {"replay": {"path": []}}}, "paths"),
        ("source.host.interval", {"source": {"host": {"interval": 1}}}, "interval_seconds"),
        ("web.port", {"web": {"port": 1}}, None),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_known_one(place, document, nearest):
    (line,) = errors_of({**document, "watch": [{"name": "web"}]})

    assert line.startswith(f"config.toml: {place}: unknown key; the nearest known one is {nearest or ''}")


@pytest.mark.parametrize(
    ("decode", "expected"),
    [
        ({"format": "inflx"}, 'decode: format: "inflx" is no format, expected one of auto, native_columns, '),
        ({"topics": {"a": "json"}}, 'decode: topics."a": "json" is no format, expected one of auto, '),
        ({"format": "mapped"}, 'decode: format: "mapped" needs to name one mapping: expected a [decode.mapped.<name>] table first'),
        ({"format": "mapped:x", "mapped": {"y": {}}}, 'decode: format: "mapped:x" is no format, expected one of auto, '),
        ({"format": "mapped", "mapped": {"x": {}, "y": {}}}, 'expected "mapped:x", "mapped:y"'),
        ({"graphite": {"templates": ["a.b"]}}, "decode.graphite.templates: found ['a.b']: \"a.b\" keeps no part of a path as its name"),
        ({"mapped": {"x": {"name": "{a"}}}, 'decode.mapped.x: name is "{a", expected {path}, {path?} or {*} in braces'),
        ({"mapped": {"x": {"valeus": []}}}, "decode.mapped.x.valeus: unknown key; the nearest known one is values"),
        ({"influx": {"precison": "s"}}, "decode.influx.precison: unknown key; the nearest known one is precision"),
        ({"max_record_bytes": 0}, "decode.max_record_bytes: found 0, expected greater than or equal to 1"),
    ],
)
def test_a_format_that_could_not_be_built_is_refused_at_the_start(decode, expected):
    (line,) = errors_of({"decode": decode, "watch": [{"name": "web"}]})

    assert expected in line


def test_a_watch_without_a_name_is_told_by_its_place_in_the_file():
    lines = errors_of({"watch": [{"name": "web"}, {"step_seconds": 10}]})

    assert lines == ["config.toml: watch[1].name: missing; expected a name for this watch"]


@pytest.mark.parametrize("document", [{}, {"watch": []}])
def test_a_file_without_a_watch_is_refused(document):
    (line,) = errors_of(document)

    assert line.startswith("config.toml: watch: ")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"step_seconds": "10"}, "config.toml: watch.web.step_seconds: found '10', expected number"),
        ({"step_seconds": float("inf")}, "config.toml: watch.web.step_seconds: found inf, expected a finite number"),
        ({"window_length": 4}, "config.toml: watch.web.window_length: found 4, expected greater than or equal to 8"),
        ({"window_length": 16.0}, "config.toml: watch.web.window_length: found 16.0, expected integer"),
        ({"gap_mode": "held"}, "config.toml: watch.web.gap_mode: found 'held', expected 'skip', 'hold', 'zero' or 'interpolate'"),
        ({"metrics": "cpu_*"}, "config.toml: watch.web.metrics: found 'cpu_*', expected list"),
        ({"model": {"seed": -1}}, "config.toml: watch.web.model.seed: found -1, expected greater than or equal to 0"),
    ],
)
def test_a_wrong_value_is_told_with_what_was_expected(settings, expected):
    assert error_of(**settings) == expected


def test_a_choice_of_types_is_one_error_that_names_both():
    (line,) = errors_of({"source": {"replay": {"speed": "fast"}}, "watch": [{"name": "web"}]})

    assert line.startswith("config.toml: source.replay.speed: found 'fast', expected ")
    assert "number" in line
    assert "'max'" in line


@pytest.mark.parametrize("by", [[], "host"])
def test_by_is_labels_or_series(by):
    assert error_of(by=by).startswith("config.toml: watch.web.by")


@pytest.mark.parametrize("text", ["1/fortnight", "often", "0/week", "-1/day", "1/week per host", ""])
def test_what_is_no_budget_is_told_with_one_that_is(text):
    line = error_of(budget=text)

    assert line.startswith(f"config.toml: watch.web.budget: found {text!r}: ")
    assert '"1/week"' in line


def test_a_lateness_of_a_whole_window_is_refused_with_the_reason_and_the_way_out():
    line = error_of(step_seconds=10, window_length=8, lateness_seconds=80)

    assert line == (
        "config.toml: watch.web: lateness_seconds is 80, expected less than one window (80 s): "
        "every alert would come a window late. Lower lateness_seconds or raise window_length"
    )
    assert parsed(watch={"step_seconds": 10, "window_length": 8, "lateness_seconds": 79.9}).watch


def test_more_steps_than_are_kept_cannot_be_judged_again():
    line = error_of(step_seconds=10, revision_seconds=1001)

    assert line.startswith("config.toml: watch.web: revision_seconds is 1001, expected at most 100 steps (1000 s): ")
    assert parsed(watch={"step_seconds": 10, "revision_seconds": 1000}).watch[0].settings().revision_steps == 100


@pytest.mark.parametrize(
    ("settings", "n_steps"),
    [({}, 5), ({"step_seconds": 7.0}, 30), ({"step_seconds": 7.0, "revision_seconds": 300.0}, 43), ({"revision_seconds": 0}, 0)],
)
def test_by_default_five_minutes_are_judged_again_or_thirty_steps(settings, n_steps):
    assert parsed(watch={"lateness_seconds": 0, **settings}).watch[0].settings().revision_steps == n_steps


@pytest.mark.parametrize("mode", ["hold", "zero", "interpolate"])
def test_filling_gaps_without_a_bound_of_a_step_is_refused(mode):
    line = error_of(gap_mode=mode, step_seconds=10, max_gap_seconds=9, lateness_seconds=0)

    assert line.startswith(f'config.toml: watch.web: gap_mode is "{mode}" with max_gap_seconds 9, expected at least one step (10 s)')


def test_a_step_below_a_millisecond_is_refused():
    assert "step_seconds is 0.0004, expected at least 0.001" in error_of(step_seconds=0.0004, lateness_seconds=0)


def test_two_watches_of_one_name_are_refused():
    (line,) = errors_of({"watch": [{"name": "web"}, {"name": "db"}, {"name": "web"}]})

    assert line == 'config.toml: the file: two watches are named "web": a name is the key of their models and metrics'


@pytest.mark.parametrize("name", ["", "../web", "web watch", ".", "web/db", "w" * 65])
def test_a_name_must_do_as_a_folders_name(name):
    (line,) = errors_of({"watch": [{"name": name}]})

    assert ".name: found " in line


@pytest.mark.parametrize("listen", ["9469", ":9469", "localhost", "localhost:", "localhost:http", "localhost:65536"])
def test_an_address_needs_a_host_and_a_port(listen):
    (line,) = errors_of({"web": {"listen": listen}, "watch": [{"name": "web"}]})

    assert line.startswith(f'config.toml: web.listen: found {listen!r}: expected "host:port"')


def test_a_table_where_a_list_of_tables_belongs_is_refused():
    (line,) = errors_of({"watch": {"name": "web"}})

    assert line.startswith("config.toml: watch: ")


# Files


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such file\. Name another one with --config"):
        load_config(tmp_path / "nowhere.toml")


def test_a_folder_for_a_file_is_told_as_such(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read: .*[Ii]s a directory"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["watch = [3]\n", "source = 3\n[[watch]]\nname = 'w'\n", "[[watch]]\nname = 'w'\nmodel = []\n"],
)
def test_a_value_where_a_table_belongs_is_one_line(tmp_path, text):
    file = tmp_path / "config.toml"
    file.write_text(text)

    with pytest.raises(ConfigError, match=r"config\.toml: (watch|source).*: found (3|\[\]), expected a table$"):
        load_config(file)


def test_a_number_where_the_watches_belong_is_one_line(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text("watch = 3\n")

    with pytest.raises(ConfigError, match=r"config\.toml: watch: found 3, expected list$"):
        load_config(file)


def test_what_is_no_toml_is_told_with_its_line(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('data_dir = "x"\nwatch = [\n')

    with pytest.raises(ConfigError, match=r"config\.toml: is not valid TOML: .*(line|end of document)"):
        load_config(file)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "config.toml"
    file.write_bytes(b"data_dir = \xff\xfe\n")

    with pytest.raises(ConfigError, match=r"config\.toml: cannot be read: "):
        load_config(file)


def test_each_line_begins_with_the_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("nothing = 1\n[[watch]]\nname = 3\n")

    with pytest.raises(ConfigError) as caught:
        load_config(file)

    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{file}: ") for line in lines)


def test_settings_cannot_be_changed_once_they_are_read():
    watch = parsed().watch[0]

    assert isinstance(watch, WatchConfig)
    with pytest.raises(ValueError, match="frozen"):
        watch.step_seconds = 1.0


# Retraining


def test_nothing_is_retrained_unless_it_is_asked_for():
    assert not parsed().watch[0].retrain.is_scheduled
    assert parsed(watch={"retrain": {"interval_seconds": 86400}}).watch[0].retrain.is_scheduled
    assert parsed(watch={"retrain": {"cron": "30 3 * * sun"}}).watch[0].retrain.is_scheduled


@pytest.mark.parametrize(
    ("interval", "reason"),
    [
        (-1, "found -1, expected greater than or equal to 0"),
        (float("inf"), "found inf, expected a finite number"),
        ("daily", "found 'daily', expected"),
        (9.9, "found 9.9: expected 0 (off) or at least 10 s: a training would not be over before the next"),
    ],
)
def test_a_wrong_interval_is_refused_with_its_place(interval, reason):
    assert error_of(retrain={"interval_seconds": interval}).startswith(f"config.toml: watch.web.retrain.interval_seconds: {reason}")


@pytest.mark.parametrize(
    ("cron", "reason"),
    [
        ("daily", "Wrong number of fields; got 1, expected 5"),
        ("0 25 * * *", "expected minute, hour, day, month and weekday in UTC"),
        ("x 3 * * *", "expected minute, hour, day, month and weekday in UTC"),
        ("0 3 * * 0", "expected days of the week by their names"),
        ("0 3 30 2 *", "expected a date that comes: this one never does"),
    ],
)
def test_a_wrong_cron_expression_is_refused_with_its_place(cron, reason):
    line = error_of(retrain={"cron": cron})

    assert line.startswith(f"config.toml: watch.web.retrain.cron: found {cron!r}: ")
    assert reason in line


def test_an_interval_and_a_cron_expression_together_are_refused():
    line = error_of(retrain={"interval_seconds": 60, "cron": "0 3 * * *"})

    assert line == 'config.toml: watch.web.retrain: interval_seconds is 60 and cron "0 3 * * *", expected one of the two'


def test_retraining_without_a_history_is_refused():
    (line,) = errors_of({"history": {"max_bytes": 0}, "watch": [{"name": "web", "retrain": {"interval_seconds": 60}}]})

    assert line.startswith("config.toml: the file: history.max_bytes is 0, but watch.web is retrained from its history")


# Kafka


def kafka_errors(**settings):
    return errors_of({"source": {"kind": "kafka", "kafka": {"topics": ["metrics"], **settings}}, "watch": [{"name": "web"}]})


@pytest.mark.parametrize("start", ["earliest", "latest", 3600, 0.5])
def test_a_new_group_starts_at_an_end_or_so_many_seconds_back(start):
    assert parsed(source={"kind": "kafka", "kafka": {"topics": ["metrics"], "start": start}}).source.kafka.start == start


def test_a_version_of_kafka_is_numbers_or_nothing():
    assert parsed(source={"kafka": {"api_version": "2.3"}}).source.kafka.api_version_numbers == (2, 3)
    assert parsed().source.kafka.api_version_numbers is None
    (line,) = kafka_errors(api_version="two")
    assert line.startswith("config.toml: source.kafka.api_version: found 'two': expected a version of Kafka as in \"2.3\"")


def test_kafka_without_a_topic_is_refused():
    (line,) = kafka_errors(topics=[])

    assert line == 'config.toml: source: kind is "kafka", but source.kafka.topics names no topic: there is nothing to read'


@pytest.mark.parametrize("topic", ["", "a b", "a/b", "x" * 250])
def test_what_cannot_name_a_topic_is_refused(topic):
    (line,) = kafka_errors(topics=["metrics", topic])

    assert line.startswith("config.toml: source.kafka.topics: ")
    assert "1 to 249 letters, digits, . _ and -" in line


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"security_protocol": "SASL_SSL"}, "a SASL protocol needs a mechanism"),
        ({"sasl_mechanism": "PLAIN", "sasl_username": "u", "sasl_password": "p"}, "and a mechanism a SASL protocol"),
        ({"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "u"}, "needs sasl_username and sasl_password"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}, "sasl_token_file is empty"),
        ({"start": "now"}, "found 'now', expected"),
        ({"start": 0}, "found 0, expected"),
    ],
)
def test_security_settings_that_do_not_fit_are_told(settings, expected):
    (line,) = kafka_errors(**settings)

    assert expected in line
