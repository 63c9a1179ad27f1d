from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitor.alerting.alert import Alert, ChannelShare
from monitor.storage.alert_history import AlertHistory
from monitor.testing import FakeClock

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}  # of this tree, wherever the command runs
WATCH = """
[[watch]]
name = "{0}"
by = ["entity"]
match = {{ entity = "{0}" }}
step_seconds = 1.0
window_length = 8
lateness_seconds = 0.0
"""


def barograph(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "monitor", *arguments], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    "command", ["run", "train", "demo", "decode", "topics", "dead-letters", "episodes", "record", "check-config", "healthcheck", "version"]
)
def test_every_command_shows_an_example(command):
    shown = barograph(command, "--help")

    assert shown.returncode == 0
    assert f"Example: barograph {command}" in " ".join(shown.stdout.split())


def test_the_shipped_configuration_is_good():
    checked = barograph("check-config")

    assert (checked.returncode, checked.stderr) == (0, "")
    assert "watches host, service" in checked.stdout


def test_every_error_of_a_configuration_is_shown_at_once_with_its_place(tmp_path):
    (tmp_path / "bad.toml").write_text(
        'data_dri = "x"\n[source]\nkind = "kafak"\n[[watch]]\nname = "h"\nstep_seconds = "fast"\nbudget = "some"\n'
    )

    checked = barograph("check-config", "--config", "bad.toml", cwd=tmp_path)

    assert checked.returncode == 2
    lines = checked.stderr.splitlines()
    assert len(lines) == 4
    assert any("data_dri: unknown key; the nearest known one is data_dir" in line for line in lines)
    assert any("source.kind: found 'kafak', expected 'host', 'kafka' or 'replay'" in line for line in lines)
    assert any("watch.h.step_seconds: found 'fast', expected" in line for line in lines)
    assert any("watch.h.budget: found 'some'" in line for line in lines)


@pytest.mark.parametrize("command", ["run", "train", "demo", "check-config"])
def test_a_missing_configuration_ends_in_one_line_and_code_2(command, tmp_path):
    ended = barograph(command, "--config", "none.toml", cwd=tmp_path)

    assert ended.returncode == 2
    assert ended.stderr.startswith("none.toml: no such file.")
    assert len(ended.stderr.splitlines()) == 1


def test_training_a_watch_that_does_not_exist_names_those_that_do():
    ended = barograph("train", "x.csv", "--watch", "hots")

    assert ended.returncode == 2
    assert "no watch is named hots; there are host, service" in ended.stderr


def test_training_without_files_says_how_to_name_them(tmp_path):
    (tmp_path / "config.toml").write_text('data_dir = "d"\n[[watch]]\nname = "h"\n')

    ended = barograph("train", cwd=tmp_path)

    assert ended.returncode == 1
    assert "set source.replay.paths, or name files on the command line" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_data_directory_that_cannot_be_used_stops_the_start(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "config.toml").write_text('data_dir = "file/below"\n[web]\nlisten = "127.0.0.1:0"\n[[watch]]\nname = "h"\n')

    ended = barograph("run", cwd=tmp_path)

    assert ended.returncode == 1
    assert "data_dir file/below cannot be used" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_watch_that_cannot_be_trained_does_not_keep_the_others_from_it(tmp_path):
    model = "[watch.model]\nhidden = 4\nlatent = 2\nepochs = 1\n"
    (tmp_path / "config.toml").write_text("".join(WATCH.format(name) + model for name in ("short", "long")))
    for name, n_steps in (("short", 50), ("long", 300)):
        rows = "".join(f"{1000 * step},{step % 7},{step % 5}\n" for step in range(n_steps))
        (tmp_path / f"{name}.csv").write_text(f"timestamp,a,b\n{rows}")

    ended = barograph("train", "short.csv", "long.csv", cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("barograph: watch short: the history has 50 steps of 1 s; it needs 116")
    assert "long" in ended.stdout
    assert (tmp_path / "data/bundles/long/champion").exists()
    assert not (tmp_path / "data/bundles/short/champion").exists()


def test_ctrl_c_ends_a_training_and_says_how_to_go_on(tmp_path):
    (tmp_path / "config.toml").write_text(WATCH.format("web1") + "[watch.model]\nepochs = 100000\npatience = 100000\n")
    rows = "".join(f"{1000 * step},{step % 7},{step % 5}\n" for step in range(300))
    (tmp_path / "web1.csv").write_text(f"timestamp,a,b\n{rows}")
    command = [sys.executable, "-m", "monitor", "train", "web1.csv"]
    process = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    under_way = tmp_path / "data/bundles/web1/.training"  # there behind the first epoch
    end = time.monotonic() + 60
    while not under_way.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)

    process.send_signal(signal.SIGINT)
    try:
        printed, notified = process.communicate(timeout=30)
    finally:
        process.kill()  # it would train for hours

    assert (process.returncode, printed) == (130, "")
    assert notified.splitlines()[-1] == "interrupted: `barograph train --resume` goes on behind the last whole epoch"
    assert under_way.exists()


# Decoding payloads


def capture(folder, *payloads, topic="metrics"):
    """Write a dumped topic."""
    lines = [
        json.dumps(
            {"topic": topic, "partition": 0, "offset": offset, "timestamp": 1_700_000_000_000, "value": base64.b64encode(one).decode()}
        )
        for offset, one in enumerate(payloads)
    ]
    (folder / "dump.jsonl").write_text("\n".join(lines) + "\n")


@pytest.fixture
def with_episodes(tmp_path):
    (tmp_path / "config.toml").write_text(WATCH.format("host") + WATCH.format("web"))
    (tmp_path / "data").mkdir()
    history = AlertHistory(tmp_path / "data" / "episodes.sqlite", keep_seconds=1e9, max_episodes=1000, clock=FakeClock())
    history.record([Alert("host", "db1", 0, 1_700_000_000_000, 2.5, 3.0, False, (ChannelShare("load", 1.0, 8.0, 2.0, 0),))], True)
    ended = [Alert("web", f"web{at}", 0, at * 1000, 1.5, 3.0, False, (), at * 1000 + 60_000, "recovered") for at in range(60)]
    history.record(ended, False)
    yield tmp_path
    history.close()  # until then it is open, as a daemon has it


def test_episodes_are_listed_beside_a_running_daemon(with_episodes):
    listed = barograph("episodes", cwd=with_episodes)

    assert listed.returncode == 0
    assert listed.stderr == "the newest 50; --all shows what there is\n"
    assert "2023-11-14T22:13:20Z" in listed.stdout
    assert "load 100% actual 8 expected 2" in listed.stdout
    assert "60 s" in listed.stdout


def test_episodes_are_chosen_by_watch_and_time_and_written_as_json(with_episodes):
    of_host = barograph("episodes", "--watch", "host", "--json", cwd=with_episodes)
    late = barograph("episodes", "--watch", "web", "--since", "1970-01-01T00:01:58Z", "--all", "--json", cwd=with_episodes)

    (episode,) = (json.loads(line) for line in of_host.stdout.splitlines())
    assert (episode["identity"], episode["reason"], episode["notified"]) == ("host/db1/1700000000000", None, True)
    assert episode["told"] == episode["notified"]
    assert [json.loads(line)["entity"] for line in late.stdout.splitlines()] == ["web58", "web59"]


def test_episodes_of_a_watch_that_is_none_and_of_no_daemon_end_in_one_line(with_episodes):
    of_none = barograph("episodes", "--watch", "hots", cwd=with_episodes)
    (with_episodes / "config.toml").write_text('data_dir = "elsewhere"' + WATCH.format("host"))
    of_no_daemon = barograph("episodes", cwd=with_episodes)

    assert (of_none.returncode, of_none.stderr) == (2, "config.toml: no watch is named hots; there are host, web\n")
    assert of_no_daemon.returncode == 1
    assert of_no_daemon.stderr.startswith("barograph: elsewhere/episodes.sqlite: no alert history yet")


def test_decoding_to_json_writes_samples_and_nothing_else_to_stdout(tmp_path):
    capture(tmp_path, b"cpu,host=a idle=1.5,busy=2i 1700000000000000000\n", b"no line", b"mem,host=\xc3\xa9 used=3 1700000000000000000\n")

    ended = barograph("decode", "--json", "dump.jsonl", cwd=tmp_path)

    assert ended.returncode == 0
    assert [json.loads(line) for line in ended.stdout.splitlines()] == [
        {"name": "cpu_idle", "labels": {"host": "a"}, "time_ms": 1_700_000_000_000, "value": 1.5},
        {"name": "cpu_busy", "labels": {"host": "a"}, "time_ms": 1_700_000_000_000, "value": 2.0},
        {"name": "mem_used", "labels": {"host": "é"}, "time_ms": 1_700_000_000_000, "value": 3.0},
    ]
    assert "metrics: read as influx" in ended.stderr
    assert "metrics[0]@1: invalid_line: " in ended.stderr
    assert "3 records: 3 samples of 3 series, 0 gaps, 0 stale markers; rejected: invalid_line 1" in ended.stderr


def test_decoding_shows_a_table(tmp_path):
    (tmp_path / "one.txt").write_text("web1.load 0.5 1700000000\n")

    ended = barograph("decode", "--format", "graphite", "one.txt", cwd=tmp_path)

    assert ended.returncode == 0
    assert "web1.load" in ended.stdout
    assert "2023-11-14T22:13:20.000Z" in ended.stdout


def test_files_without_a_topic_are_told_apart_by_auto(tmp_path):
    (tmp_path / "a").write_text("web1.load 0.5 1700000000\n")
    (tmp_path / "b").write_text("load v=0.5 1700000000000000000\n")

    ended = barograph("decode", "--json", "a", "b", cwd=tmp_path)

    assert (ended.returncode, len(ended.stdout.splitlines())) == (0, 2)
    assert ended.stderr.startswith("a: read as graphite\nb: read as influx\n")


def test_a_configuration_brings_mappings_and_formats_of_topics(tmp_path):
    capture(tmp_path, b'{"m": "load", "v": 2, "t": 1700000000}')
    (tmp_path / "c.toml").write_text(
        '[decode.topics]\n"met*" = "mapped:own"\n[decode.mapped.own]\nname = "{m}"\nvalues = ["v"]\ntime = "t"\n[[watch]]\nname = "w"\n'
    )

    ended = barograph("decode", "--json", "--config", "c.toml", "dump.jsonl", cwd=tmp_path)

    assert [json.loads(line)["name"] for line in ended.stdout.splitlines()] == ["load"]


def test_when_no_record_can_be_read_the_exit_code_says_so(tmp_path):
    capture(tmp_path, b"{", b"no line")

    ended = barograph("decode", "--format", "influx", "--json", "dump.jsonl", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines()[-1] == "barograph: none of 2 records could be read: the lines above say why"


def test_an_empty_record_that_is_valid_counts_as_read(tmp_path):
    capture(tmp_path, b"\x00")

    assert barograph("decode", "--format", "remote_write", "--json", "dump.jsonl", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("name", ["protobuf", "mapped", "mapped:own"])
def test_a_format_that_is_none_is_a_usage_error_in_one_line(tmp_path, name):
    ended = barograph("decode", "--format", name, "dump.jsonl", cwd=tmp_path)

    assert ended.returncode == 2
    assert ended.stderr.startswith(f'--format "{name}" ')
    assert len(ended.stderr.splitlines()) == 1


def test_a_file_that_is_not_there_ends_in_one_line(tmp_path):
    ended = barograph("decode", "nowhere.jsonl", cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr.startswith("barograph: cannot read nowhere.jsonl: ")
    assert len(ended.stderr.splitlines()) == 1


# Topics


def test_looking_at_a_broker_that_is_away_ends_in_one_line_that_says_so():
    ended = barograph("topics", "--servers", "127.0.0.1:1", "--timeout", "1")

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "barograph: 127.0.0.1:1: connection refused. Is the broker up, and is this its address?\n"


def test_a_suggestion_never_overwrites_a_file(tmp_path):
    (tmp_path / "mine.toml").write_text("precious")

    ended = barograph("topics", "--servers", "127.0.0.1:1", "-o", str(tmp_path / "mine.toml"))

    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert "is there already, and stays as it is" in ended.stderr
    assert (tmp_path / "mine.toml").read_text() == "precious"
