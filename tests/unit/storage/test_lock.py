from __future__ import annotations

import os
import subprocess
import sys

import pytest

from monitor.errors import LockedError, MonitorError
from monitor.storage.lock import hold

NOON = 1767268800.0  # 2026-01-01 12:00:00 UTC
ABOUT = {"what": "data_dir d", "way_out": "Stop it.", "now": NOON}

HOLDER = """
import sys
from pathlib import Path
from monitor.storage.lock import hold
lock = hold(Path(sys.argv[1]), what="w", way_out="o", now=1767268800.0)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_told_who_holds_it_and_since_when(tmp_path):
    held = hold(tmp_path / "deep" / "lock", **ABOUT)

    with pytest.raises(
        LockedError,
        match=rf"data_dir d is in use by process {os.getpid()} on .+ since 2026-01-01 12:00:00Z\. Stop it\.",
    ):
        hold(tmp_path / "deep" / "lock", **ABOUT)
    held.release()


def test_what_is_let_go_of_can_be_held_again_and_letting_go_twice_does_no_harm(tmp_path):
    held = hold(tmp_path / "lock", **ABOUT)
    held.release()
    held.release()

    hold(tmp_path / "lock", **ABOUT).release()


def test_a_holder_that_is_killed_holds_nothing(tmp_path, source_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=source_path,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match=f"process {holder.pid} "):
            hold(tmp_path / "lock", **ABOUT)
    finally:
        holder.kill()
        holder.communicate()

    hold(tmp_path / "lock", **ABOUT).release()


def test_a_holder_that_has_not_said_who_it_is_still_holds(tmp_path):
    held = hold(tmp_path / "lock", **ABOUT)
    (tmp_path / "lock").write_text("")

    with pytest.raises(LockedError, match="in use by another process"):
        hold(tmp_path / "lock", **ABOUT)
    held.release()


def test_a_place_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(MonitorError, match=r"cannot lock .*Choose a folder that can be written"):
        hold(tmp_path / "file" / "lock", **ABOUT)
