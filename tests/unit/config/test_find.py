from __future__ import annotations

from pathlib import Path

import pytest

from monitor.config.find import PLACES, find_config
from monitor.config.load import load_config

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("there", "found"), [("abc", "a"), ("bc", "b"), ("c", "c"), ("", "c")])
def test_the_first_place_with_a_file_is_used_and_the_last_where_there_is_none(tmp_path, there, found):
    for name in there:
        (tmp_path / name).touch()

    assert find_config([tmp_path / name for name in "abc"]) == tmp_path / found


def test_the_working_directory_comes_first_then_the_system_then_the_package():
    assert PLACES[:2] == (Path("config.toml"), Path("/etc/barograph/config.toml"))
    assert PLACES[2].parent == ROOT / "monitor/config"


def test_the_packaged_configuration_is_the_shipped_one_and_good():
    assert PLACES[2].read_bytes() == (ROOT / "config.toml").read_bytes()
    assert [watch.name for watch in load_config(PLACES[2]).watch] == ["host", "service"]
