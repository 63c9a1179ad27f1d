"""The past of real Prometheus servers, read back: the samples that were put in, and the same after a kill."""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from monitor.config.watch import WatchConfig
from monitor.storage.step_history import list_segments
from monitor.training.from_history import read_history

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
HOUR_MS = 3_600_000
N_HOSTS, N_HOURS = 4, 36
STEP_SECONDS = 15
QUERY = '{job="node"}'
RATE = ("--requests-per-second", "100")
CONFIG = """
[[watch]]
name = "node"
metrics = ["node_*"]
by = ["instance"]
step_seconds = 60.0
window_length = 16
query = '{job="node"}'
"""
LINE = re.compile(r'(\w+)\{job="node",instance="(\w+)"\} (\S+) (\S+)')


def write_samples(file):
    """Write two series of each host as OpenMetrics; one host has a gap of an hour, another a restart."""
    rng = np.random.default_rng(0)
    start = (round(time.time()) - N_HOURS * 3600) // 60 * 60
    lines = ["# TYPE node_load gauge"]
    times = range(start, start + (N_HOURS - 1) * 3600, STEP_SECONDS)
    for host in range(N_HOSTS):
        for t in times:
            if host != 1 or not start + 7200 < t < start + 10800:
                value = math.sin(t / 7200) + rng.normal()
                lines.append(f'node_load{{job="node",instance="h{host}"}} {value!r} {t}.{host}37')
    lines.append("# TYPE node_reqs counter")
    for host in range(N_HOSTS):
        count = 0
        for t in times:
            count = 0 if host == 2 and t == start + 36000 else count + int(rng.integers(0, 100))
            lines.append(f'node_reqs_total{{job="node",instance="h{host}"}} {count} {t}.{host}37')
    file.write_text("\n".join([*lines, "# EOF"]) + "\n")


def truth_of(file):
    found = map(LINE.match, file.read_text().splitlines())
    return {(match[1], match[2], round(float(match[4]) * 1000)): float(match[3]) for match in found if match}


@pytest.fixture(scope="module")
def blocks(tool, tmp_path_factory):
    """Make blocks of a server's storage from samples; give their folder and the samples."""
    folder = tmp_path_factory.mktemp("blocks")
    write_samples(folder / "samples.om")
    promtool = tool("promtool", "prometheus")
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "samples.om", "tsdb"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "tsdb", truth_of(folder / "samples.om")


@pytest.fixture(scope="module", params=["prometheus", "prometheus3"])
def prometheus(request, tool, servers, blocks, free_port):
    """Start a server of version 2 or 3 over the blocks, which allows few samples in a query; give its url."""
    program = tool(request.param, "prometheus")
    folder = servers.folder(request.param)
    shutil.copytree(blocks[0], folder / "tsdb")
    (folder / "prometheus.yml").write_text("global: {}\n")
    url = f"http://127.0.0.1:{free_port()}"
    command = [program, "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--log.level=warn"]
    limits = ["--storage.tsdb.retention.time=90d", "--query.max-samples=20000"]
    servers.process(
        [*command, *limits, f"--web.listen-address={url.removeprefix('http://')}"],
        folder / "prometheus.log",
        cwd=folder,
    )
    servers.wait_for("Prometheus", lambda: httpx.get(f"{url}/-/ready").status_code == 200, seconds=60)
    return url


def command_of(url, *options):
    return [sys.executable, "-m", "monitor", "backfill", "--prometheus", url, "--days", "4", *RATE, *options]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def backfill(folder, url, *options):
    ended = subprocess.run(
        command_of(url, *options), cwd=folder, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    return ended


def history_of(folder):
    settings = WatchConfig(
        name="node", metrics=["node_*"], by=["instance"], step_seconds=60.0, window_length=16
    ).settings()
    return read_history(folder / "data" / "history" / "node", settings, channels=()).history


def folder_with_config(folder):
    (folder / "config.toml").write_text(CONFIG)
    return folder


def test_a_file_holds_the_samples_that_were_put_in(prometheus, blocks, tmp_path):
    backfill(tmp_path, prometheus, "--query", QUERY, "-o", "out.parquet")

    frame = pd.read_parquet(tmp_path / "out.parquet")
    keys = list(zip(frame["name"], frame["instance"], frame["time"], strict=True))
    assert len(keys) == len(set(keys))
    found = dict(zip(keys, frame["value"], strict=True))
    truth = blocks[1]
    assert found.keys() == truth.keys()
    np.testing.assert_allclose([found[key] for key in truth], list(truth.values()), rtol=1e-12, atol=1e-12)


def test_the_history_has_the_last_value_of_each_step_and_counters_as_rates(prometheus, blocks, tmp_path):
    backfill(folder_with_config(tmp_path), prometheus)

    history = history_of(tmp_path)
    expected = {}
    for (name, host, time_ms), value in sorted(blocks[1].items(), key=lambda sample: sample[0][2]):
        if name == "node_load":
            expected[host, time_ms // 60_000] = value
    steps = history.step_numbers(60_000)
    loads = history.values[:, :, history.channels.index('node_load{job="node"}')]
    found = {
        (history.entities[row], int(steps[t, row])): loads[t, row]
        for t, row in np.argwhere(~np.isnan(loads)).tolist()
    }
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(
        [found[key] for key in expected], list(expected.values()), rtol=1e-12, atol=1e-12
    )
    rates = history.values[:, :, history.channels.index('node_reqs_total{job="node"}')]
    assert pytest.approx(np.nanmean(rates), rel=0.02) == 49.5 / STEP_SECONDS
    assert np.nanmin(rates) >= 0


@pytest.mark.parametrize("n_segments", [1, 4])
def test_a_killed_backfill_resumes_to_the_same_history(prometheus, tmp_path, n_segments, servers):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        folder_with_config(tmp_path / name)
    end = str(round(time.time() * 1000))
    backfill(tmp_path / "whole", prometheus, "--end", end)
    history = tmp_path / "killed" / "data" / "history" / "node"

    slowly = command_of(prometheus, "--end", end, "--requests-per-second", "20")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(slowly, cwd=tmp_path / "killed", env=environment(), stderr=log)
        servers.wait_for("segments", lambda: len(list_segments(history)) >= n_segments, seconds=60)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert n_segments <= len(list_segments(history))
    backfill(tmp_path / "killed", prometheus, "--end", end)

    whole, resumed = history_of(tmp_path / "whole"), history_of(tmp_path / "killed")
    assert (resumed.entities, resumed.channels) == (whole.entities, whole.channels)
    np.testing.assert_array_equal(resumed.values, whole.values)
    np.testing.assert_array_equal(resumed.step_numbers(60_000), whole.step_numbers(60_000))


def test_an_expression_is_evaluated_at_the_steps(prometheus, tmp_path):
    named = 'label_replace(sum by (job) (rate(node_reqs_total[5m])), "__name__", "reqs_rate", "", "")'
    ended = backfill(tmp_path, prometheus, "--query", named, "--step", "60", "-o", "out.parquet")

    frame = pd.read_parquet(tmp_path / "out.parquet")
    assert "is an expression" in ended.stderr
    assert set(frame["name"]) == {"reqs_rate"}
    assert (frame["time"] % 60_000 == 0).all()
    assert frame["value"].iloc[10:-10].mean() == pytest.approx(N_HOSTS * 49.5 / STEP_SECONDS, rel=0.02)
