from __future__ import annotations

import signal
import subprocess
import sys
import time

from command_line import ENVIRONMENT, WATCH, barograph


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


def test_a_watch_that_cannot_be_trained_does_not_keep_the_others_from_it(tmp_path):
    model = "[watch.model]\nhidden = 4\nlatent = 2\nepochs = 1\n"
    (tmp_path / "config.toml").write_text("".join(WATCH.format(name) + model for name in ("short", "long")))
    for name, n_steps in (("short", 50), ("long", 300)):
        rows = "".join(f"{1000 * step},{step % 7},{step % 5}\n" for step in range(n_steps))
        (tmp_path / f"{name}.csv").write_text(f"timestamp,a,b\n{rows}")

    ended = barograph("train", "short.csv", "long.csv", cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(
        "barograph: watch short: the history has 50 steps of 1 s; it needs 116"
    )
    assert "long" in ended.stdout
    assert (tmp_path / "data/bundles/long/champion").exists()
    assert not (tmp_path / "data/bundles/short/champion").exists()


def test_ctrl_c_ends_a_training_and_says_how_to_go_on(tmp_path):
    (tmp_path / "config.toml").write_text(
        WATCH.format("web1") + "[watch.model]\nepochs = 100000\npatience = 100000\n"
    )
    rows = "".join(f"{1000 * step},{step % 7},{step % 5}\n" for step in range(300))
    (tmp_path / "web1.csv").write_text(f"timestamp,a,b\n{rows}")
    command = [sys.executable, "-m", "monitor", "train", "web1.csv"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
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
    assert (
        notified.splitlines()[-1]
        == "interrupted: `barograph train --resume` resumes after the last complete epoch"
    )
    assert under_way.exists()
