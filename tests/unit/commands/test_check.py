from __future__ import annotations

import json
import re

import numpy as np
from command_line import WATCH, barograph

from monitor.storage.checkpoint import Checkpoint, save_checkpoint


def test_the_shipped_configuration_is_good():
    checked = barograph("check-config")

    assert (checked.returncode, checked.stderr) == (0, "")
    assert "watches host, service" in checked.stdout


def test_every_error_of_a_configuration_is_shown_at_once_with_its_place(tmp_path):
    (tmp_path / "bad.toml").write_text(
        'data_dri = "x"\n[source]\nkind = "kafak"\n'
        '[[watch]]\nname = "h"\nstep_seconds = "fast"\nbudget = "some"\n'
    )

    checked = barograph("check-config", "--config", "bad.toml", cwd=tmp_path)

    assert checked.returncode == 2
    lines = checked.stderr.splitlines()
    assert len(lines) == 4
    assert any("data_dri: unknown key; the nearest known one is data_dir" in line for line in lines)
    assert any(
        "source.kind: found 'kafak', expected 'host', 'kafka', 'prometheus' or 'replay'" in line
        for line in lines
    )
    assert any("watch.h.step_seconds: found 'fast', expected" in line for line in lines)
    assert any("watch.h.budget: found 'some'" in line for line in lines)


def test_no_daemon_to_ask_is_a_failure_in_one_line(tmp_path):
    (tmp_path / "config.toml").write_text('[web]\nlisten = "127.0.0.1:1"\n' + WATCH.format("host"))

    ended = barograph("healthcheck", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("barograph: ")
    assert len(ended.stderr.splitlines()) == 1


def test_the_version_of_the_program_and_of_python_is_shown():
    assert re.fullmatch(r"barograph \S+, Python 3\.\d+\.\S+\n", barograph("version").stdout)


# The status


def saved(folder, missing):
    """Save a checkpoint of two hosts, both expected."""
    about = {"watches": {"host": {"entities": ["web1", "web2"], "open_alerts": {}}}}
    arrays = {
        "host/coverage/judged_ms": np.array([1000, 1_700_000_000_000]),
        "host/coverage/expected": np.array([True, True]),
        "host/coverage/missing": np.array(missing),
    }
    save_checkpoint(Checkpoint(arrays, about), folder / "data" / "checkpoint" / "state")


def test_the_status_names_the_entities_without_data(tmp_path):
    (tmp_path / "config.toml").write_text(WATCH.format("host"))
    saved(tmp_path, [False, True])

    shown = barograph("status", cwd=tmp_path)
    written = barograph("status", "--json", cwd=tmp_path)

    assert shown.returncode == 0
    assert "1 of 2" in shown.stdout
    assert re.search(r"web2 +. 2023-11-14T22:13:20Z", shown.stdout)
    assert re.fullmatch(r"saved at \d{4}-\S+Z\n", shown.stderr)
    assert json.loads(written.stdout) == {
        "watch": "host",
        "n_entities": 2,
        "n_open": 0,
        "n_expected": 2,
        "missing": [["web2", 1_700_000_000_000]],
    }


def test_the_status_of_no_daemon_says_what_to_do(tmp_path):
    (tmp_path / "config.toml").write_text(WATCH.format("host"))

    ended = barograph("status", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "barograph: data/checkpoint/state: no checkpoint yet. `barograph run` saves one every "
        "checkpoint_seconds; is data_dir the daemon's own?\n"
    )


def test_the_version_is_also_an_option_that_needs_no_command():
    shown = barograph("--version")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == barograph("version").stdout
