from __future__ import annotations

import csv

import pytest
from command_line import WATCH, barograph
from forecasters import forecaster

from models.registry import Registry


def rows_in(file):
    with file.open() as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def folder(tmp_path):
    """Give a folder with settings, a file of 40 steps, and a function that makes a model the champion."""
    (tmp_path / "config.toml").write_text(WATCH.format("web1"))
    rows = "".join(f"{1000 * step},{100 + step % 2}\n" for step in range(40))
    (tmp_path / "web1.csv").write_text(f"timestamp,load\n{rows}")

    def promote(bundle):
        registry = Registry(tmp_path / "data" / "bundles" / "web1")
        registry.promote(registry.save(bundle, now=0.0))

    return tmp_path, promote


def test_a_forecast_shows_its_rivals_answers_and_writes_rows_and_a_picture(folder):
    path, promote = folder
    promote(forecaster(1.0, half_width=0.5))

    options = ("-o", "f.csv", "--picture", "f.png", "--until", "load=105.5", "--steps", "9")
    ended = barograph("forecast", "web1.csv", *options, cwd=path)

    assert ended.returncode == 0, ended.stderr
    assert "web1: mean absolute scaled error of forecasts" in ended.stdout
    assert "in 5 s (at 1970-01-01T00:00:44Z" in ended.stdout  # 101 at 39 s, and one more a second
    rows = rows_in(path / "f.csv")
    assert len(rows) == 40 + 9
    assert (rows[-1]["load.actual"], float(rows[-1]["load.forecast"])) == ("", pytest.approx(110.0))
    assert (path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_without_other_wishes_ten_horizons_are_forecast(folder):
    path, promote = folder
    promote(forecaster(1.0))

    barograph("forecast", "web1.csv", "-o", "f.csv", cwd=path)

    assert len(rows_in(path / "f.csv")) == 40 + 10 * 3


def test_without_a_model_it_says_what_to_set_and_run(folder):
    path, _ = folder

    ended = barograph("forecast", "web1.csv", cwd=path)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "read as table (web1.csv)\n"
        "barograph: watch web1 has no model to forecast with. "
        'Set head = "joint" in its [watch.model], and run `barograph train --watch web1`.\n'
    )


@pytest.mark.parametrize(
    ("options", "code", "error"),
    [
        (("--until", "lod=5"), 2, "--until lod: no channel has that name; there are load"),
        (
            ("-o", "f.txt"),
            1,
            "barograph: cannot write forecasts to f.txt: the name must end in .csv",
        ),
        (("--picture", "none/f.png"), 1, "barograph: cannot write none/f.png: No such file or directory"),
    ],
)
def test_a_wrong_option_ends_in_one_line(folder, options, code, error):
    path, promote = folder
    promote(forecaster(1.0))

    ended = barograph("forecast", "web1.csv", *options, cwd=path)

    assert ended.returncode == code
    assert ended.stderr.splitlines()[-1].startswith(error)
    assert "Traceback" not in ended.stderr
