"""Where everything lies; the names are what earlier versions wrote."""

from __future__ import annotations

import os

import pytest

from monitor.errors import MonitorError
from monitor.storage.data_dir import DataDir


def test_everything_has_its_place(tmp_path):
    data_dir = DataDir(str(tmp_path))

    places = {
        data_dir.lock_file: "lock",
        data_dir.checkpoint_file: "checkpoint/state",
        data_dir.episodes_file: "episodes.sqlite",
        data_dir.requests_folder: "requests",
        data_dir.registry("host").folder: "bundles/host",
        data_dir.history_folder("host"): "history/host",
        data_dir.result_file("host"): "training/host.json",
    }

    assert {path.relative_to(tmp_path).as_posix() for path in places} == set(places.values())
    assert all(path == tmp_path / name for path, name in places.items())


def test_preparing_makes_the_folder_and_nothing_in_it(tmp_path):
    DataDir(tmp_path / "deep" / "data").prepare()

    assert os.listdir(tmp_path / "deep" / "data") == []


def test_a_folder_that_cannot_be_made_says_which_and_what_to_do(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(
        MonitorError, match=r"data_dir .*file/below cannot be used: Not a directory\. Set data_dir"
    ):
        DataDir(tmp_path / "file" / "below").prepare()
