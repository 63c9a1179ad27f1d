"""Mistakes of a user or a machine, through the real command line: one clear line or a count, no data lost.

Where each is tested:

- config missing, empty, unreadable, wrong key, type or combination: `test_a_wrong_configuration...`;
  each rule: config/test_load.py
- port in use: `test_a_port_in_use...`
- data directory not usable: `test_a_data_directory...`; the checkpoint's alone: test_resume.py
- disk full while saving: `test_a_full_disk...`; what else is saved: test_atomic_file.py, test_recorder.py,
  test_checkpoint.py
- missing model: `test_without_a_model...`, `test_what_is_refused...`
- bundle corrupt, truncated, bit-flipped: `test_a_damaged_champion...`, `test_what_is_refused...`;
  each file: test_bundle.py
- checkpoint corrupt, truncated, bit-flipped, of other settings: `test_a_damaged_checkpoint...`;
  test_resume.py, test_checkpoint.py
- replay: wrong columns, empty file, empty folder: `test_files_without_metrics...`;
  torn, ragged, no text: test_metric_files.py
- replay: unsorted, duplicate and future times, NaN, infinity, strings, 1e308:
  `test_every_good_sample_of_a_messy_file...`
- live: future times, late samples: test_pipeline.py, test_grid.py
- constant series, one that stops, one that begins midway, an entity that lacks a channel, counter reset:
  `test_odd_series...`
- clock jumps: test_clock_jumps.py, test_host.py, test_pipeline.py
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
START_MS = 1_700_000_000_000
N_STEPS = 300
NEEDED = 108  # steps before anything is judged: a window of 8 and 100
CONFIG = """
data_dir = "data"
checkpoint_seconds = 0.001
[source]
kind = "replay"
[source.replay]
paths = ["metrics"]
[web]
listen = "127.0.0.1:0"
[[watch]]
name = "w"
by = ["entity"]
step_seconds = 1.0
window_length = 8
lateness_seconds = 0.0
budget = "1/day"
[watch.model]
hidden = 4
latent = 2
epochs = 1
[watch.alert]
close_seconds = 5.0
rest_seconds = 5.0
"""


def command(*arguments, most_bytes=None):
    """Give the command line; with `most_bytes`, as on a disk on which no file can grow beyond that."""
    limit = ["prlimit", f"--fsize={most_bytes}"] if most_bytes else []
    return [*limit, sys.executable, "-m", "monitor", *map(str, arguments)]


def barograph(folder, *arguments, most_bytes=None):
    called = command(*arguments, most_bytes=most_bytes)
    return subprocess.run(called, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


def assert_refused(ended, line, *, code=1):
    """It ended in a line that matches, after nothing but log lines, and printed no result."""
    *before, last = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (code, ""), ended.stderr
    assert line in last
    assert "Traceback" not in ended.stderr
    return before


def wide(file, columns, *, first=0):
    """Write a wide file of one row a second; None is an empty cell."""
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(["timestamp", *columns])]
    lines += [
        ",".join([str(START_MS + 1000 * (first + at)), *("" if cell is None else str(cell) for cell in row)])
        for at, row in enumerate(rows)
    ]
    file.write_text("\n".join(lines) + "\n")


def noise(n_steps=N_STEPS, *, seed=0, level=100.0):
    return np.random.default_rng(seed).normal(level, 1, n_steps).tolist()


def content_of(folder):
    """Give every file below a folder, and its content; without locks, which only name their last holder."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.endswith("lock"))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.fixture
def place(tmp_path):
    """A folder with settings and one entity's metrics: 300 quiet steps but for a fault of 20."""
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "metrics").mkdir()
    values = np.array([noise(), noise(seed=1)])
    values[0, 200:220] += 50
    wide(tmp_path / "metrics" / "web1.csv", {"a": values[0].tolist(), "b": values[1].tolist()})
    return tmp_path


@pytest.fixture(scope="module")
def once_trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "config.toml").write_text(CONFIG)
    (folder / "metrics").mkdir()
    wide(folder / "metrics" / "web1.csv", {"a": noise(), "b": noise(seed=1)})
    trained = barograph(folder, "train")
    assert trained.returncode == 0, trained.stderr
    return folder


@pytest.fixture
def trained(once_trained, tmp_path):
    """A folder with two whole versions of a model: `champion` and, before it, `previous`."""
    folder = tmp_path / "place"
    shutil.copytree(once_trained, folder)
    bundles = folder / "data" / "bundles" / "w"
    (version,) = (entry.name for entry in bundles.iterdir() if entry.is_dir())
    shutil.copytree(bundles / version, bundles / "20990101T000000Z")
    (bundles / "previous").write_text(version + "\n")
    (bundles / "champion").write_text("20990101T000000Z\n")
    return folder


def champion_of(folder):
    return (
        folder
        / "data"
        / "bundles"
        / "w"
        / (folder / "data" / "bundles" / "w" / "champion").read_text().strip()
    )


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-20])


# Settings


def shipped_with(text):
    return lambda file: file.write_text(CONFIG + text)


@pytest.mark.parametrize(
    ("write", "line"),
    [
        (
            lambda file: file.write_text(""),
            "config.toml: watch: missing; expected at least one [[watch]] table",
        ),
        (lambda file: file.mkdir(), "config.toml: cannot be read: [Errno 21] Is a directory"),
        (
            lambda file: file.write_bytes(b'data_dir = "\xff"\n'),
            "config.toml: cannot be read: 'utf-8' codec can't decode byte 0xff",
        ),
        (lambda file: file.write_text("watch = [\n"), "config.toml: is not valid TOML: "),
        (
            shipped_with("close_secnds = 3\n"),
            "config.toml: watch.w.alert.close_secnds: unknown key; the nearest known one is close_seconds",
        ),
        (
            shipped_with('hold_seconds = "2"\n'),
            "config.toml: watch.w.alert.hold_seconds: found '2', expected number",
        ),
        (lambda file: file.write_text("watch = 3\n"), "config.toml: watch: found 3, expected list"),
        (
            lambda file: file.write_text(CONFIG.replace("lateness_seconds = 0.0", "lateness_seconds = 60.0")),
            "config.toml: watch.w: lateness_seconds is 60, expected less than one window (8 s)",
        ),
    ],
    ids=[
        "empty",
        "a folder",
        "not UTF-8",
        "no TOML",
        "unknown key",
        "wrong type",
        "no table",
        "impossible combination",
    ],
)
def test_a_wrong_configuration_stops_the_start_with_one_line(tmp_path, write, line):
    write(tmp_path / "config.toml")

    assert assert_refused(barograph(tmp_path, "run"), line, code=2) == []


def test_a_port_in_use_stops_the_start(place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (place / "config.toml").write_text(CONFIG.replace("127.0.0.1:0", address))

        ended = barograph(place, "run", "--exit")

    assert_refused(
        ended,
        f"barograph: cannot listen on {address}: Address already in use. "
        "Stop what uses it, or change web.listen.",
    )


@pytest.mark.parametrize("subcommand", [["run", "--exit"], ["train"]], ids=["run", "train"])
def test_a_data_directory_under_a_file_stops_the_start(place, subcommand):
    (place / "data").write_text("something of mine")
    (place / "config.toml").write_text(CONFIG.replace('"data"', '"data/below"'))

    before = assert_refused(
        barograph(place, *subcommand), "barograph: data_dir data/below cannot be used: Not a directory."
    )

    assert before == []
    assert (place / "data").read_text() == "something of mine"


# A full disk


def test_a_full_disk_while_a_bundle_is_saved_leaves_the_champion_that_was_there(trained):
    before = content_of(trained / "data")

    # Enough for the state of the training (some 15 kB), too little for the bundle's picture (over 40 kB).
    ended = barograph(trained, "train", most_bytes=30_000)

    assert_refused(ended, "File too large. Nothing was changed.")
    after = content_of(trained / "data")
    kept = after.pop("bundles/w/.training")  # what `train --resume` goes on from
    assert kept
    assert after == before


def test_a_full_disk_while_a_checkpoint_is_saved_costs_no_alert(place):
    ended = barograph(place, "run", "--exit", most_bytes=4096)

    assert (ended.returncode, ended.stdout) == (0, "")
    assert (
        "checkpoint failed error=cannot write the checkpoint data/checkpoint/state: File too large. "
        "The previous one stays." in ended.stderr
    )
    assert "episode opened watch=w entity=web1" in ended.stderr
    assert "episode resolved watch=w entity=web1" in ended.stderr
    assert "Traceback" not in ended.stderr
    # What is small enough was written, whole; of what was not, nothing is left.
    assert "alert history not kept file=data/episodes.sqlite" in ended.stderr
    assert {name for name in content_of(place / "data") if not name.startswith("episodes.sqlite")} == {
        "history/w/spans.json"
    }


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
def test_a_full_disk_while_scores_are_written_leaves_those_that_were_there(place, name):
    (place / name).write_text("the scores of yesterday")
    before = content_of(place)

    ended = barograph(place, "score", "metrics", "-o", name, most_bytes=4096)

    assert_refused(ended, f"barograph: cannot write scores to {name}: ")
    assert content_of(place) == before


def test_a_full_disk_ends_a_recording_that_can_be_gone_on_with(tmp_path):
    ended = barograph(
        tmp_path,
        "record",
        "host.csv",
        "--step",
        "0.1",
        "--duration",
        "60",
        "--host",
        "demo",
        most_bytes=20_000,
    )

    assert_refused(
        ended,
        "barograph: cannot write to host.csv: File too large. What was recorded before is in it: make room",
    )
    again = barograph(tmp_path, "record", "host.csv", "--step", "0.1", "--duration", "0.35", "--host", "demo")
    assert again.returncode == 0, again.stderr
    rows = list(csv.DictReader(io.StringIO((tmp_path / "host.csv").read_text())))
    moments = sorted({int(row["time"]) for row in rows})
    assert all(
        math.isfinite(float(row["value"])) and row["host"] == "demo" and None not in row for row in rows
    )
    assert len(moments) >= 4
    assert all(moment % 100 == 0 for moment in moments)


# Models and state


def test_without_a_model_the_baselines_judge_and_it_is_said(place):
    ended = barograph(place, "run", "--exit")

    assert (ended.returncode, ended.stdout) == (0, "")
    assert "no model watch=w: the baselines judge alone until `barograph train` has made one" in ended.stderr
    assert "episode opened watch=w entity=web1" in ended.stderr


@pytest.mark.parametrize(
    ("damage", "name"),
    [(flip_a_bit, "weights.safetensors"), (truncate, "state.safetensors"), (os.remove, "bundle.json")],
)
def test_a_damaged_champion_is_refused_and_the_version_before_it_serves(trained, damage, name):
    damage(champion_of(trained) / name)

    ended = barograph(trained, "run", "--exit")

    assert ended.returncode == 0
    refused = next(
        line for line in ended.stderr.splitlines() if "model refused watch=w version=20990101T000000Z" in line
    )
    assert name in refused
    assert (
        f"model loaded watch=w version={(trained / 'data/bundles/w/previous').read_text().strip()}"
        in ended.stderr
    )
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("damage", [flip_a_bit, truncate])
def test_a_damaged_checkpoint_is_refused_and_a_whole_one_takes_its_place(place, damage):
    assert barograph(place, "run", "--exit").returncode == 0
    state = place / "data" / "checkpoint" / "state"
    whole = state.read_bytes()
    damage(state)

    ended = barograph(place, "run", "--exit")

    assert ended.returncode == 0
    assert "checkpoint refused error=the checkpoint data/checkpoint/state " in ended.stderr
    assert "; every watch warms up again" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert state.read_bytes() == whole


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
    return found


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError:
        return ""


def done(text):
    """Give a scrape once the replay has ended and a checkpoint has failed behind it."""
    failures = re.search(r"^barograph_checkpoint_failures_total (\S+)$", text, re.MULTILINE)
    closed = f'barograph_steps_closed_total{{watch="w"}} {float(N_STEPS)}'
    return (
        text if closed in text and float(failures[1]) >= 2 else ""
    )  # one could not be read, one not written


def test_what_is_refused_is_counted_while_the_daemon_is_ready_and_judges(trained):
    for version in ("champion", "previous"):
        pointed = (trained / "data/bundles/w" / version).read_text().strip()
        flip_a_bit(trained / "data/bundles/w" / pointed / "weights.safetensors")
    (trained / "data/checkpoint").mkdir()
    (trained / "data/checkpoint/state").write_bytes(b"not a checkpoint\n")

    process = subprocess.Popen(
        command("run", most_bytes=4096), cwd=trained, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    try:
        url = (
            next(line for line in process.stderr if "web server started" in line)
            .rpartition("url=")[2]
            .strip()
        )
        wait_for(lambda: get(url.replace("/metrics", "/-/ready")))
        text = wait_for(lambda: done(get(url)))
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=30)

    assert 'barograph_model_load_failures_total{watch="w"} 2.0' in text
    assert 'barograph_model_loaded{watch="w"} 0.0' in text
    assert f'barograph_windows_scored_total{{watch="w"}} {float(N_STEPS - NEEDED)}' in text
    assert (process.returncode, "Traceback" in rest) == (0, False)


# Files


@pytest.mark.parametrize(
    ("write", "named", "line"),
    [
        (
            lambda folder: (folder / "labels.csv").write_text("kind,start_ms\ncpu_hog,1\n"),
            "mine/labels.csv",
            'barograph: mine/labels.csv has no column "timestamp", nor another that is called like a time. '
            "It has: kind, start_ms. "
            "Set source.replay.time_column",
        ),
        (
            lambda folder: (folder / "web1.csv").write_text(""),
            "mine/web1.csv",
            "barograph: cannot read mine/web1.csv: there is no text in it",
        ),
        (lambda folder: None, "mine", "barograph: nothing to replay at mine: expected .parquet, .csv"),
    ],
    ids=["wrong columns", "empty file", "empty folder"],
)
def test_files_without_metrics_end_in_one_line(place, write, named, line):
    (place / "mine").mkdir()
    write(place / "mine")

    assert assert_refused(barograph(place, "score", named), line) == []


def scored(folder, *arguments):
    """Score files; give the rows of each entity by the number of its step."""
    ended = barograph(folder, "score", *arguments)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Warning" not in ended.stderr
    rows: dict[str, dict[int, dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(ended.stdout)):
        rows.setdefault(row["entity"], {})[(int(row["time_ms"]) - START_MS) // 1000] = row
    return rows, ended.stderr


def test_every_good_sample_of_a_messy_file_is_scored_and_the_others_are_gaps_and_counted(place):
    values = dict(enumerate(noise()))
    cells = {step: repr(value) for step, value in values.items()}
    bad = {120: "", 121: "inf", 122: "down", 123: "1e308", 124: "-1e308"}
    lines = [f"{START_MS + 1000 * step},{bad.get(step, cell)}" for step, cell in cells.items()]
    lines += [
        f"{START_MS + 1000 * step},{values[step] - 50!r}" for step in (130, 131)
    ]  # again, and smaller: the larger stands
    lines += ["noon,1", "1e300,1", f"{START_MS * 2},100"]  # no time, no time there is, and the year 2077
    np.random.default_rng(1).shuffle(lines)
    (place / "messy.csv").write_text("\n".join(["timestamp,cpu", *lines]) + "\n")

    rows, notified = scored(place, "messy.csv")

    assert "could not be read: bad_time 2, bad_value 1" in notified
    of_step = rows["messy"]
    assert {
        step: float(row["cpu.actual"])
        for step, row in of_step.items()
        if 0 <= step < N_STEPS and row["cpu.actual"]
    } == {step: value for step, value in values.items() if step not in bad}
    assert [of_step[step]["reason"] for step in bad] == ["gap"] * len(bad)
    judged = [
        *range(NEEDED, 120),
        *range(128, N_STEPS),
    ]  # behind the gap, half of a window of 8 must be there again
    assert all(math.isfinite(float(of_step[step]["score"])) for step in judged)
    assert {step for step in of_step if of_step[step]["cpu.actual"]} - set(range(N_STEPS)) == {
        START_MS // 1000
    }


def test_odd_series_beside_each_other_are_each_judged_or_given_a_reason(place):
    folder = place / "odd"
    folder.mkdir()
    counter = (1000 + 5 * np.arange(N_STEPS)).tolist()
    wide(folder / "plain.csv", {"a": noise(), "b": noise(seed=1), "c_total": counter})
    wide(folder / "constant.csv", {"a": [7.0] * N_STEPS, "b": [0.0] * N_STEPS, "c_total": [3] * N_STEPS})
    wide(folder / "stops.csv", {"a": noise(200, seed=2), "b": noise(200, seed=3), "c_total": counter[:200]})
    wide(
        folder / "begins.csv",
        {"a": noise(150, seed=4), "b": noise(150, seed=5), "c_total": counter[:150]},
        first=150,
    )
    wide(folder / "lacks.csv", {"a": noise(seed=6)})
    wide(
        folder / "resets.csv",
        {"a": noise(seed=7), "b": noise(seed=8), "c_total": [*counter[:250], *counter[:50]]},
    )

    rows, _ = scored(place, "odd")

    def reasons(entity, steps):
        return {rows[entity][step]["reason"] for step in steps}

    assert set(rows) == {"plain", "constant", "stops", "begins", "lacks", "resets"}
    assert all(len(of_entity) == N_STEPS for of_entity in rows.values())
    for entity in ("plain", "constant", "lacks", "resets"):
        assert reasons(entity, range(NEEDED)) == {"warming"}
        assert reasons(entity, range(NEEDED, N_STEPS)) == {""}
    assert all(
        math.isfinite(float(row["score"]))
        for of_entity in rows.values()
        for row in of_entity.values()
        if row["reason"] == ""
    )
    assert {rows["constant"][step]["verdict"] for step in range(NEEDED, N_STEPS)} == {"normal"}
    assert reasons("stops", range(NEEDED, 200)) == {""}
    assert reasons("stops", range(200, N_STEPS)) == {"gap"}
    assert reasons("begins", range(150 + NEEDED)) == {"warming"}
    assert reasons("begins", range(150 + NEEDED, N_STEPS)) == {""}
    assert {row["b.actual"] for row in rows["lacks"].values()} == {""}
    assert {rows["resets"][step]["c_total.actual"] for step in range(1, N_STEPS) if step != 250} == {"5.0"}
    assert rows["resets"][250]["c_total.actual"] == "1000.0"  # began again at 1000, one second after
