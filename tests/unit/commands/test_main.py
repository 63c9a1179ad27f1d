from __future__ import annotations

import pytest
from command_line import WATCH, barograph


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "train",
        "retrain",
        "quickstart",
        "init",
        "backfill",
        "score",
        "forecast",
        "demo",
        "decode",
        "topics",
        "dead-letters",
        "episodes",
        "accept",
        "mute",
        "unmute",
        "record",
        "check-config",
        "healthcheck",
        "status",
        "version",
    ],
)
def test_every_command_shows_an_example(command):
    shown = barograph(command, "--help")

    assert shown.returncode == 0
    assert f"Example: barograph {command}" in " ".join(shown.stdout.split())


@pytest.mark.parametrize("command", ["run", "train", "demo", "check-config"])
def test_a_missing_configuration_ends_in_one_line_and_code_2(command, tmp_path):
    ended = barograph(command, "--config", "none.toml", cwd=tmp_path)

    assert ended.returncode == 2
    assert ended.stderr.startswith("none.toml: no such file.")
    assert len(ended.stderr.splitlines()) == 1


def test_a_training_on_the_history_is_still_a_training_with_a_hint_at_its_new_name(tmp_path):
    (tmp_path / "config.toml").write_text(WATCH.format("host"))

    ended = barograph("train", "--history", "--until", "never", cwd=tmp_path)

    assert ended.returncode == 2
    hint, error = ended.stderr.splitlines()
    assert hint == "`barograph train --history` is now `barograph retrain`; the old form will go in 0.3"
    assert error.startswith("--until: found 'never', expected an ISO time")
