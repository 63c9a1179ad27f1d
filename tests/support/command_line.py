"""Runs commands of this source tree as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}  # of this tree, wherever the command runs
WATCH = """
[source.replay]
time_unit = "ms"

[[watch]]
name = "{0}"
by = ["entity"]
match = {{ entity = "{0}" }}
step_seconds = 1.0
window_length = 8
lateness_seconds = 0.0
"""


def barograph(*arguments, cwd=ROOT, seconds=60):
    """Run one command to its end."""
    command = [sys.executable, "-m", "monitor", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=seconds)
