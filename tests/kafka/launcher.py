"""Runs the daemon in child processes and kills them by SIGKILL, after some time or at a point in the plan.

    python -m tests.kafka.launcher PLAN.json

The plan holds `config` (as config.toml), `folder` (for what the daemon writes), and `lives`. Each life has
the `seconds` that it may last, and perhaps

- a `point`, at whose `nth` passing it dies;
- `frozen_seconds` in the middle of it (SIGSTOP, SIGCONT);
- `full_disk`: nothing that it writes can be synced;
- `hangs_at`: the number of the poll that never returns;
- `damaged`: how its checkpoint is damaged before it begins.

With `forgets` set, each life begins without the checkpoint of the life before. After them comes another life,
until stdin is closed: then SIGTERM, and this program ends with the daemon's exit code, plus 100 if a life
ended by itself. Each life is a fork, because loading PyTorch takes longer than most of them last.

The folder then holds `windows` and `alerts`, a JSON line each; `summaries`, the number of episodes in each;
`reached`, the points at which a life ended; and `log`.

Entities are mature from their calibration on: a young one would learn the faults that come again.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import pathlib
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

import pytest

from monitor.clock import SystemClock
from monitor.config.explain import parse_config
from monitor.daemon.build import build_daemon
from monitor.daemon.watchdog import EXIT_CODE, end_process
from monitor.detection.view import WatchObserver
from monitor.storage.checkpoint import FORMAT_VERSION, load_checkpoint
from tests.support.maturity import mature_from_the_start

STALLED_SECONDS = 5.0  # in a life that is to hang: long enough for a busy machine, where nothing else ends it
POINTS = (
    "outlets.before",
    "outlets.after",
    "checkpoint.before",
    "checkpoint.before_rename",
    "checkpoint.after_rename",
    "commit.before",
    "commit.after",
)


class Crash:
    """Ends the process at the nth passing of one point."""

    def __init__(self, point, nth, reached):
        self._point, self._n_left, self._reached = point, nth, reached

    def __call__(self, point):
        if point != self._point:
            return
        self._n_left -= 1
        if self._n_left == 0:
            with self._reached.open("a") as file:
                file.write(f"{point}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, name, call):
        """Give a function that passes `name.before` and `name.after`."""

        def wrapped(*arguments):
            self(f"{name}.before")
            result = call(*arguments)
            self(f"{name}.after")
            return result

        return wrapped


class FileOutlet:
    """Writes every alert, as it opens and as it resolves, and dies before or after it if planned."""

    def __init__(self, file, crash):
        self._file = file.open("a", buffering=1)
        self._summaries = file.with_name("summaries")
        self._write = crash.around("outlets", self._write_all)

    def deliver(self, alerts):
        if alerts:
            self._write(alerts)

    def send_summary(self, summary):
        with self._summaries.open("a") as file:
            file.write(f"{summary.n_episodes}\n")

    def _write_all(self, alerts):
        self._file.writelines(alert_line(alert) for alert in alerts)


def alert_line(alert):
    """Write an alert as a JSON line."""
    facts = {
        "identity": alert.identity,
        "reason": alert.reason,
        "revision": alert.revision,
        "amends": alert.amends,
        "since_ms": alert.since_ms,
        "resolved_ms": alert.resolved_ms,
        "score": round(alert.score, 6),
    }
    return json.dumps(facts) + "\n"


def live(plan, point=None, nth=1, hears=None, full_disk=False, hangs_at=None):
    """Be the daemon, until SIGTERM or the end that is planned."""
    folder = Path(plan["folder"])
    logging.basicConfig(
        filename=folder / "log", level=logging.INFO, format="%(asctime)s %(process)d %(name)s %(message)s"
    )
    logging.getLogger("kafka").setLevel(logging.WARNING)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if hears is not None:
        os.write(hears, b".")
    crash = Crash(point, nth, folder / "reached")
    config, guards = plan["config"], {}
    if hangs_at is not None:
        config, guards = {**config, "stalled_after_seconds": STALLED_SECONDS}, {"on_stalled": end_process}
    daemon = build_daemon(
        parse_config(config, origin="plan"),
        outlets=[FileOutlet(folder / "alerts", crash)],
        clock=SystemClock(),
        **guards,
    )
    (watch,) = daemon.loop.pipeline.watches
    windows = (folder / "windows").open("a", buffering=1)

    def write(scored):
        rows = [[None if math.isnan(value) else value for value in row] for row in scored.actual.tolist()]
        values = dict(zip(watch.entities.entities, rows, strict=False))
        windows.write(json.dumps({"time_ms": scored.time_ms, "values": values}) + "\n")

    watch.observe(WatchObserver(on_scored=write))
    daemon.loop.checkpoints.save = crash.around("checkpoint", daemon.loop.checkpoints.save)
    daemon.loop.source.commit = crash.around("commit", daemon.loop.source.commit)
    if hangs_at is not None:
        hang(daemon.loop.source, hangs_at, folder / "reached")
    replace = pathlib.Path.replace

    def replace_or_die(path, target):
        crash("checkpoint.before_rename")
        result = replace(path, target)
        crash("checkpoint.after_rename")
        return result

    pathlib.Path.replace = replace_or_die
    if full_disk:
        fill_disk(Path(config["data_dir"]) / "checkpoint" / "state")
    try:
        daemon.run(stop)
    finally:
        daemon.close()


def hang(source, nth, reached):
    """Let the source's nth poll never return."""
    poll, n_left = source.poll, nth

    def poll_or_hang(timeout_seconds):
        nonlocal n_left
        n_left -= 1
        if n_left == 0:
            with reached.open("a") as file:
                file.write("poll.hangs\n")
            threading.Event().wait()
        return poll(timeout_seconds)

    source.poll = poll_or_hang


def damage(file, how):
    """Spoil a checkpoint: cut it off, turn a bit, or let it be one that another version wrote."""
    whole = file.read_bytes()
    head = json.loads(whole[: whole.index(b"\n")])
    file.write_bytes(
        {
            "cut off": lambda: whole[: len(whole) // 2],
            "a bit turned": lambda: whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:],
            "newer": lambda: (
                json.dumps({**head, "format_version": FORMAT_VERSION + 1}).encode()
                + whole[whole.index(b"\n") :]
            ),
            # As version 1 wrote it, by hand: other arrays, no partitions, nothing undelivered.
            "older": lambda: (
                json.dumps(
                    {"format_version": 1, "sha256": "0" * 64, "about": {"watches": {}, "source": "{}"}}
                ).encode()
                + b"\n"
            ),
        }[how]()
    )


def fill_disk(checkpoint):
    """Fail every sync once there is a checkpoint with a position: without any, only warm-up would be lost."""
    fsync = os.fsync

    def sync_or_fail(file):
        kept = load_checkpoint(checkpoint)
        if kept is not None and kept.about["partitions"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(file)

    os.fsync = sync_or_fail


def fork(plan, **life):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        live(plan, **life)
        code = 0
    except BaseException:
        with (Path(plan["folder"]) / "log").open("a") as log:
            traceback.print_exc(file=log)
    os._exit(code)


def waited(pid, seconds):
    """Wait for a child to end; give how it did, or None."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)
    return None


def forget(plan):
    """Lose the checkpoint, where the plan says so."""
    if plan.get("forgets"):
        shutil.rmtree(Path(plan["config"]["data_dir"]) / "checkpoint", ignore_errors=True)


def main(plan):
    for life in plan["lives"]:
        forget(plan)
        if "damaged" in life:
            damage(Path(plan["config"]["data_dir"]) / "checkpoint" / "state", life["damaged"])
        hangs_at = life.get("hangs_at")
        pid = fork(
            plan,
            point=life.get("point"),
            nth=life.get("nth", 1),
            full_disk=life.get("full_disk", False),
            hangs_at=hangs_at,
        )
        if "frozen_seconds" in life and waited(pid, life["seconds"] / 2) is None:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(life["frozen_seconds"])
            os.kill(pid, signal.SIGCONT)
        status = waited(pid, life["seconds"])
        if status is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        elif os.WIFEXITED(status) and (hangs_at is None or os.WEXITSTATUS(status) != EXIT_CODE):
            return 100 + os.WEXITSTATUS(status)  # it ended by itself: the log says why
    forget(plan)
    heard, hears = os.pipe()
    pid = fork(plan, hears=hears)
    os.read(heard, 1)  # before that, SIGTERM would kill it instead of stopping it
    print("the last life", flush=True)
    sys.stdin.read()
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    mature_from_the_start(pytest.MonkeyPatch())
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text())))
