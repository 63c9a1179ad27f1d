from __future__ import annotations

import base64
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from command_line import ENVIRONMENT, barograph
from fake_prometheus import FakePrometheus, Fault

from monitor.config.watch import WatchConfig
from monitor.storage.lock import hold
from monitor.training.from_history import read_history

CONFIG = """
[source.prometheus]
url = "{url}"
username = "ann"
password = {{ from_file = "password" }}

[[watch]]
name = "node"
metrics = ["node_*"]
query = '{{job="node"}}'
window_length = 8
"""
QUERY = ("--query", '{job="node"}')


@pytest.fixture
def server():
    fake = FakePrometheus()
    now_ms = round(time.time() * 1000)
    times = range(now_ms - 6 * 3_600_000, now_ms, 60_000)
    fake.add("node_load", [(t, t / 1e9) for t in times], job="node", host="a")
    fake.add("node_x_count", [(t, float(n)) for n, t in enumerate(times)], job="node", host="a")
    yield fake
    fake.close()


@pytest.fixture
def folder(tmp_path, server):
    (tmp_path / "password").write_text("s3cret\n")
    (tmp_path / "config.toml").write_text(CONFIG.format(url=server.url))
    return tmp_path


def backfill(folder, *options):
    return barograph("backfill", *options, cwd=folder)


def test_raw_samples_go_to_a_file_that_the_same_command_continues(folder, server):
    first = backfill(folder, "--prometheus", server.url, *QUERY, "--days", 1, "-o", "out.parquet")
    again = backfill(folder, "--prometheus", server.url, *QUERY, "--days", 1, "-o", "out.parquet")

    assert (first.returncode, first.stdout, again.returncode) == (0, "", 0), first.stderr + again.stderr
    assert "out.parquet ends at" in again.stderr
    assert "counters by type or convention: node_x_count." in first.stderr
    frame = pd.read_parquet(folder / "out.parquet")
    assert list(frame.columns) == ["time", "name", "value", "host", "job"]
    assert 700 < len(frame) <= 720
    assert not frame.duplicated(["time", "name"]).any()


def test_the_history_is_one_that_a_training_reads(folder):
    ended = backfill(folder, "--days", 1)

    assert ended.returncode == 0, ended.stderr
    (n_rows,) = re.findall(r"watch node: wrote (\d+) rows", ended.stderr)
    assert 350 <= int(n_rows) <= 360  # the newest steps may lack a sample
    settings = WatchConfig(name="node", metrics=["node_*"], window_length=8).settings()
    history = read_history(folder / "data" / "history" / "node", settings, channels=()).history
    assert history.entities == ("a",)
    assert 355 <= len(history.values) <= 361
    assert backfill(folder, "--days", 1).returncode == 0  # to be repeated safely


def test_credentials_of_the_settings_go_to_their_server_and_to_no_other(folder, server):
    other = FakePrometheus()
    try:
        backfill(folder, *QUERY, "-o", "a.parquet")
        backfill(folder, *QUERY, "-o", "b.parquet", "--prometheus", other.url)
        token = folder / "token"
        token.write_text("t0ken\n")
        backfill(folder, *QUERY, "-o", "c.parquet", "--bearer-token-file", token)
    finally:
        other.close()

    sent = {headers.get("Authorization") for _, _, headers in server.requests}
    assert sent == {f"Basic {base64.b64encode(b'ann:s3cret').decode()}", "Bearer t0ken"}
    assert {headers.get("Authorization") for _, _, headers in other.requests} == {None}


def test_a_data_dir_in_use_is_left_alone(folder):
    lock = hold(folder / "data" / "lock", what="x", way_out="y", now=0.0)
    try:
        ended = backfill(folder, "--days", 1)
    finally:
        lock.release()

    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith("barograph: data_dir data is in use by process")
    assert not (folder / "data" / "history").exists()


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ((*QUERY, "--prometheus", "prom:9090"), 2, "command line: source.prometheus.url: found 'prom:9090'"),
        ((*QUERY, "--password-file", "none"), 2, "--password-file: cannot read none: No such file"),
        ((*QUERY, "--start", "2100-01-01"), 2, "nothing lies between"),
        ((*QUERY, "--watch", "x"), 2, "no watch is named x"),
        (("--query", "sum("), 1, "parse error"),
        (("--query", '{job="none"}', "-o", "x.parquet"), 1, "no sample from"),
        (("--query", '{job="none"}'), 1, "no series belongs to any watch"),
        (("--query", 'sum({job="node"})', "-o", "x.parquet"), 1, "the result has no metric name"),
        ((*QUERY, "-o", "x.csv"), 1, "must end in .parquet"),
    ],
)
def test_what_is_wrong_is_a_line_that_says_so(folder, options, code, text):
    ended = backfill(folder, "--days", 1, *options)

    assert ended.returncode == code
    assert text in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_server_that_refuses_the_login_ends_it_with_one_line_and_no_secret(folder, server):
    server.broken = Fault(401)

    ended = backfill(folder, "--days", 1)

    assert ended.returncode == 1
    assert "It wants other credentials" in ended.stderr
    assert "s3cret" not in ended.stderr


def test_ctrl_c_ends_the_waiting_for_a_server_that_is_away(folder, server):
    server.broken = Fault(503, Retry_After="200")
    command = [sys.executable, "-m", "monitor", "backfill", "--days", "1"]
    process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    with process:
        assert "trying again in 200.0 s" in process.stderr.readline()
        process.send_signal(signal.SIGINT)

        assert process.wait(timeout=30) == 1
        assert "stopped before the end. Repeat the command to continue" in process.stderr.read()


def test_a_long_expression_is_cut_where_it_is_shown(folder):
    long = f'sum({{job="node",{"x" * 300}=""}})'

    ended = backfill(folder, "--query", long, "--days", 0.01, "-o", "out.parquet")

    (line,) = [line for line in ended.stderr.splitlines() if "is an expression" in line]
    assert line.startswith('sum({job="node",xxx')
    assert len(line) < 200


def test_a_configuration_that_the_daemon_polls_with_can_be_filled(folder):
    text = (folder / "config.toml").read_text()
    live = '[source]\nkind = "prometheus"\n\n[source.prometheus]\nmode = "query_range"'
    (folder / "config.toml").write_text(text.replace("[source.prometheus]", live))

    filled = backfill(folder, "--days", 0.1)

    assert filled.returncode == 0, filled.stderr
