from __future__ import annotations

import re

from command_line import WATCH, barograph


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
    assert any("source.kind: found 'kafak', expected 'host', 'kafka' or 'replay'" in line for line in lines)
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


def test_the_version_is_also_an_option_that_needs_no_command():
    shown = barograph("--version")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == barograph("version").stdout
