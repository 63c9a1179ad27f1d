"""How an error reads."""

from __future__ import annotations

import pytest
from parsed_config import error_of, errors_of

from monitor.config.load import load_config
from monitor.errors import ConfigError


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
            "config.toml: web.listen: found '9469': expected \"host:port\" with a port up to 65535, "
            'as in "127.0.0.1:9469"',
            "config.toml: source.kind: found 'kafak', expected 'host', 'kafka', 'prometheus' or 'replay'",
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


def test_a_watch_without_a_name_is_told_by_its_place_in_the_file():
    lines = errors_of({"watch": [{"name": "web"}, {"step_seconds": 10}]})

    assert lines == ["config.toml: watch[1].name: missing; expected a name for this watch"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"step_seconds": "10"}, "config.toml: watch.web.step_seconds: found '10', expected number"),
        (
            {"step_seconds": float("inf")},
            "config.toml: watch.web.step_seconds: found inf, expected a finite number",
        ),
        (
            {"window_length": 4},
            "config.toml: watch.web.window_length: found 4, expected greater than or equal to 8",
        ),
        ({"window_length": 16.0}, "config.toml: watch.web.window_length: found 16.0, expected integer"),
        (
            {"gap_mode": "held"},
            "config.toml: watch.web.gap_mode: found 'held', expected 'skip', 'hold', 'zero' or 'interpolate'",
        ),
        ({"metrics": "cpu_*"}, "config.toml: watch.web.metrics: found 'cpu_*', expected list"),
        (
            {"model": {"seed": -1}},
            "config.toml: watch.web.model.seed: found -1, expected greater than or equal to 0",
        ),
    ],
)
def test_a_wrong_value_is_told_with_what_was_expected(settings, expected):
    assert error_of(**settings) == expected


def test_a_choice_of_types_is_one_error_that_names_both():
    (line,) = errors_of({"source": {"replay": {"speed": "fast"}}, "watch": [{"name": "web"}]})

    assert line.startswith("config.toml: source.replay.speed: found 'fast', expected ")
    assert "number" in line
    assert "'max'" in line


def test_a_table_where_a_list_of_tables_belongs_is_refused():
    (line,) = errors_of({"watch": {"name": "web"}})

    assert line.startswith("config.toml: watch: ")


@pytest.mark.parametrize(
    "text",
    ["watch = [3]\n", "source = 3\n[[watch]]\nname = 'w'\n", "[[watch]]\nname = 'w'\nmodel = []\n"],
)
def test_a_value_where_a_table_belongs_is_one_line(tmp_path, text):
    file = tmp_path / "config.toml"
    file.write_text(text)

    with pytest.raises(
        ConfigError, match=r"config\.toml: (watch|source).*: found (3|\[\]), expected a table$"
    ):
        load_config(file)


def test_a_number_where_the_watches_belong_is_one_line(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text("watch = 3\n")

    with pytest.raises(ConfigError, match=r"config\.toml: watch: found 3, expected list$"):
        load_config(file)


def test_the_nearest_key_is_looked_for_in_the_table_of_the_wrong_one():
    lines = errors_of(
        {
            "decode": {"mapped": {"time": {"tme": "x"}}},
            "watch": [
                {"name": "web", "metric": [{"name": "a", "valid_mim": 1}], "retrain": {"intervall": 1}}
            ],
        }
    )

    assert sorted(lines) == [
        "config.toml: decode.mapped.time.tme: unknown key; the nearest known one is time",
        "config.toml: watch.web.metric.a.valid_mim: unknown key; the nearest known one is valid_min",
        "config.toml: watch.web.retrain.intervall: unknown key; the nearest known one is interval_seconds",
    ]
