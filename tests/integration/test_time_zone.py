"""The zone of the machine and its daylight-saving time have no say: event time is UTC throughout."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
# An hour before clocks in New York are set back, at 06:00 UTC: 05:59 UTC is 01:59 there, then comes 01:00.
START = datetime(2026, 11, 1, 5, 0, tzinfo=UTC)
N_STEPS = 180
CONFIG = """
[source]
kind = "replay"
[source.replay]
paths = ["metrics"]
time_column = "at"
time_unit = "iso"
[[watch]]
name = "w"
by = ["entity"]
step_seconds = 60.0
window_length = 8
lateness_seconds = 0.0
"""


def scored(folder, zone):
    ran = subprocess.run(
        [sys.executable, "-m", "monitor", "score", "metrics"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TZ": zone},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.parametrize(
    "zone", ["America/New_York", "Australia/Lord_Howe", "right/UTC"]
)  # hours, half hours, leap seconds
def test_scores_over_a_change_of_the_clocks_are_those_of_a_machine_in_utc(tmp_path, zone):
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "metrics").mkdir()
    values = np.random.default_rng(0).normal(100, 1, N_STEPS)
    times = [START + timedelta(minutes=at) for at in range(N_STEPS)]
    # As text without a zone, with one, and with an offset: all the same times.
    texts = [time.strftime("%Y-%m-%dT%H:%M:%S") for time in times[:60]]
    texts += [time.strftime("%Y-%m-%dT%H:%M:%SZ") for time in times[60:120]]
    texts += [(time + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S+02:00") for time in times[120:]]
    (tmp_path / "metrics" / "web1.csv").write_text(
        "\n".join(["at,load", *(f"{at},{value}" for at, value in zip(texts, values, strict=True))])
    )

    lines = scored(tmp_path, zone)

    assert lines == scored(tmp_path, "UTC")
    rows = [line.split(",") for line in lines]
    times_ms = [int(row[rows[0].index("time_ms")]) for row in rows[1:]]
    assert times_ms == [round(time.timestamp() * 1000) for time in times]
