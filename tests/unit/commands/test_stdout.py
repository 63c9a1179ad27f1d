"""A stdout that cannot be written to: a full disk is one line, whatever the command."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, ROOT, WATCH

LINE = (
    "barograph: cannot write to stdout: No space left on device. What is there is not complete: make room, "
    "or send it elsewhere, and run the command again.\n"
)


def to_full_disk(*arguments, cwd=ROOT):
    command = [sys.executable, "-m", "monitor", *map(str, arguments)]
    with Path("/dev/full").open("w") as full:
        return subprocess.run(
            command, cwd=cwd, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )


@pytest.fixture
def measured(tmp_path):
    """Give a folder with a configuration and 200 samples."""
    (tmp_path / "config.toml").write_text(WATCH.format("web1"))
    rows = "".join(f"{1_700_000_000 + k},{k % 7}\n" for k in range(200))
    (tmp_path / "web1.csv").write_text("timestamp,load\n" + rows)
    return tmp_path


def test_scores_for_a_full_disk_are_one_clear_line(measured):
    ran = to_full_disk("score", "web1.csv", cwd=measured)

    assert ran.returncode == 1
    assert ran.stderr.endswith(LINE)
    assert "Traceback" not in ran.stderr
    assert "wrote" not in ran.stderr


@pytest.mark.parametrize(
    "command",
    [["version"], ["--help"], ["check-config"], ["models", "list"], ["decode", "--json", "a.jsonl"]],
    ids=" ".join,
)
def test_whatever_else_is_printed_to_a_full_disk_is_that_line(measured, command):
    value = base64.b64encode(b"load v=1 1700000000000000000\n").decode()
    (measured / "a.jsonl").write_text(json.dumps({"topic": "t", "value": value}) + "\n")

    ran = to_full_disk(*command, cwd=measured)

    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False)
    assert ran.stderr.endswith(LINE)


def test_a_reader_that_has_seen_enough_is_no_error_to_speak_of(measured):
    command = [sys.executable, "-m", "monitor", "score", "web1.csv"]
    with subprocess.Popen(
        command, cwd=measured, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        errors = process.stderr.read()

    assert "Traceback" not in errors
    assert "cannot write" not in errors
