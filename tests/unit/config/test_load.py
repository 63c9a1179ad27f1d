"""From the file, the environment and files of secrets to a configuration."""

from __future__ import annotations

import pytest

from monitor.config.load import load_config
from monitor.errors import ConfigError


def test_settings_from_the_command_line_are_laid_over_those_of_the_file(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(
        'data_dir = "here"\n[source.replay]\npaths = ["a.csv"]\ntime_unit = "s"\n[[watch]]\nname = "web"\n'
    )

    config = load_config(file, {"source": {"kind": "replay", "replay": {"paths": ["b.csv"]}}})

    assert (config.data_dir, config.source.kind) == ("here", "replay")
    assert (config.source.replay.paths, config.source.replay.time_unit) == (["b.csv"], "s")


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such file\. Name another one with --config"):
        load_config(tmp_path / "nowhere.toml")


def test_a_folder_for_a_file_is_told_as_such(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read: .*[Ii]s a directory"):
        load_config(tmp_path)


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


@pytest.fixture
def config(tmp_path):
    def load(text, environ=None, overrides=None):
        file = tmp_path / "config.toml"
        file.write_text(text + '\n[[watch]]\nname = "Host"\nbudget = "1/week"\n[watch.model]\nhidden = 8\n')
        return load_config(file, overrides, environ=environ)

    return load


def test_the_environment_lies_over_the_file(config):
    settings = config(
        'data_dir = "a"', {"BAROGRAPH_DATA_DIR": "b", "BAROGRAPH_WEB__MAX_EXPORTED_SERIES": "5", "OTHER": "x"}
    )

    assert settings.data_dir == "b"
    assert settings.web.max_exported_series == 5


def test_a_watch_is_meant_by_its_name_and_keeps_its_other_settings(config):
    watch = config(
        "", {"BAROGRAPH_WATCH__HOST__BUDGET": "2/day", "BAROGRAPH_WATCH__HOST__MODEL__LATENT": "3"}
    ).watch[0]

    assert (watch.budget, watch.model.latent, watch.model.hidden) == ("2/day", 3, 8)


def test_the_command_line_lies_over_the_environment(config):
    assert config("", {"BAROGRAPH_DATA_DIR": "b"}, {"data_dir": "c"}).data_dir == "c"


def test_a_wrong_name_in_the_environment_is_refused_like_one_in_the_file(config):
    with pytest.raises(ConfigError, match="data_dri: unknown key; the nearest known one is data_dir"):
        config("", {"BAROGRAPH_DATA_DRI": "b"})
    with pytest.raises(ConfigError, match="BAROGRAPH_WATCH__HOTS__BUDGET names no watch"):
        config("", {"BAROGRAPH_WATCH__HOTS__BUDGET": "1/day"})


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        (
            "",
            {"BAROGRAPH_WEB__LISTEN": "x"},
            "environment variable BAROGRAPH_WEB__LISTEN: web.listen: found 'x'",
        ),
        (
            "",
            {"BAROGRAPH_SOURC__KIND": "x"},
            "environment variable BAROGRAPH_SOURC__KIND: sourc: unknown key",
        ),
        (
            "",
            {"BAROGRAPH_WATCH__HOST__BUDGET": "some"},
            "environment variable BAROGRAPH_WATCH__HOST__BUDGET: watch.Host.budget: found 'some'",
        ),
        (
            "[web]\nmax_exported_series = 5",
            {"BAROGRAPH_WEB__LISTN": "x"},
            "environment variable BAROGRAPH_WEB__LISTN: web.listn: unknown key",
        ),
        ('[web]\nlisten = "x"', {"BAROGRAPH_WEB__MAX_EXPORTED_SERIES": "5"}, "{file}: web.listen: found 'x'"),
        (
            '[source.kafka]\ngroup_id = "g"',
            {"BAROGRAPH_SOURCE__KIND": "kafka"},
            "{file} and environment variable BAROGRAPH_SOURCE__KIND: source: kind is",
        ),
        (
            "",
            {"BAROGRAPH_SOURCE__KIND": "kafka"},
            "environment variable BAROGRAPH_SOURCE__KIND: source: kind is",
        ),
        (
            '[web]\nlisten = { from_env = "LISTEN" }',
            {"LISTEN": "y"},
            "environment variable LISTEN: web.listen: found 'y'",
        ),
    ],
)
def test_a_wrong_value_is_blamed_on_what_it_comes_from(config, tmp_path, text, environ, expected):
    with pytest.raises(ConfigError) as caught:
        config(text, environ)

    assert str(caught.value).startswith(expected.format(file=tmp_path / "config.toml"))
    assert len(str(caught.value).splitlines()) == 1


def test_a_wrong_value_of_the_command_line_is_blamed_on_that_and_of_a_secret_file_on_that(config, tmp_path):
    with pytest.raises(ConfigError, match=r"^command line: data_dir: found 3, expected"):
        config("", {"BAROGRAPH_DATA_DIR": "b"}, {"data_dir": 3})
    (tmp_path / "address").write_text("z\n")
    with pytest.raises(ConfigError, match=rf"^{tmp_path}/address: web.listen: found 'z'"):
        config(f'[web]\nlisten = {{ from_file = "{tmp_path}/address" }}')


def test_text_comes_from_a_file_or_the_environment_where_the_file_says_so(config, tmp_path):
    (tmp_path / "secret").write_text("from the file\n")

    assert config(f'data_dir = {{ from_file = "{tmp_path}/secret" }}').data_dir == "from the file"
    assert config('data_dir = { from_env = "PLACE" }', {"PLACE": "there"}).data_dir == "there"


def test_what_is_not_there_is_named_with_its_place(config):
    with pytest.raises(ConfigError, match="data_dir: the environment has no PLACE"):
        config('data_dir = { from_env = "PLACE" }')
    with pytest.raises(ConfigError, match="data_dir: cannot read /none, which from_file names"):
        config('data_dir = { from_file = "/none" }')
