"""Settings from beside the file: the environment, and files that hold secrets."""

from __future__ import annotations

import pytest

from monitor.config.load import load_config
from monitor.errors import ConfigError


@pytest.fixture
def config(tmp_path):
    def load(text, environ=None, overrides=None):
        file = tmp_path / "config.toml"
        file.write_text(text + '\n[[watch]]\nname = "Host"\nbudget = "1/week"\n[watch.model]\nhidden = 8\n')
        return load_config(file, overrides, environ=environ)

    return load


def test_the_environment_lies_over_the_file(config):
    settings = config('data_dir = "a"', {"BAROGRAPH_DATA_DIR": "b", "BAROGRAPH_WEB__MAX_EXPORTED_SERIES": "5", "OTHER": "x"})

    assert settings.data_dir == "b"
    assert settings.web.max_exported_series == 5


def test_a_watch_is_meant_by_its_name_and_keeps_its_other_settings(config):
    watch = config("", {"BAROGRAPH_WATCH__HOST__BUDGET": "2/day", "BAROGRAPH_WATCH__HOST__MODEL__LATENT": "3"}).watch[0]

    assert (watch.budget, watch.model.latent, watch.model.hidden) == ("2/day", 3, 8)


def test_the_command_line_lies_over_the_environment(config):
    assert config("", {"BAROGRAPH_DATA_DIR": "b"}, {"data_dir": "c"}).data_dir == "c"


def test_a_wrong_name_in_the_environment_is_refused_like_one_in_the_file(config):
    with pytest.raises(ConfigError, match="data_dri: unknown key; the nearest known one is data_dir"):
        config("", {"BAROGRAPH_DATA_DRI": "b"})
    with pytest.raises(ConfigError, match="BAROGRAPH_WATCH__HOTS__BUDGET names no watch"):
        config("", {"BAROGRAPH_WATCH__HOTS__BUDGET": "1/day"})


def test_text_comes_from_a_file_or_the_environment_where_the_file_says_so(config, tmp_path):
    (tmp_path / "secret").write_text("from the file\n")

    assert config(f'data_dir = {{ from_file = "{tmp_path}/secret" }}').data_dir == "from the file"
    assert config('data_dir = { from_env = "PLACE" }', {"PLACE": "there"}).data_dir == "there"


def test_what_is_not_there_is_named_with_its_place(config):
    with pytest.raises(ConfigError, match="data_dir: the environment has no PLACE"):
        config('data_dir = { from_env = "PLACE" }')
    with pytest.raises(ConfigError, match="data_dir: cannot read /none, which from_file asks for"):
        config('data_dir = { from_file = "/none" }')
