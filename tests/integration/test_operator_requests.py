"""`barograph accept` and `mute` beside a running daemon: /metrics and the alert history show what they did.

Loop, clock, web server and both commands are the real ones. Files are replayed at full speed. Behind their
end the loop goes on, and the episodes are still open.
"""

from __future__ import annotations

import json
import threading
import time

import httpx
import numpy as np
import pytest
from scraped import of, scraped

from monitor.clock import SystemClock
from monitor.commands.main import app
from monitor.config.load import load_config
from monitor.daemon.build import build_daemon
from monitor.storage.alert_history import read_actions, read_episodes
from monitor.storage.data_dir import DataDir

START = 1_700_000_000
N_STEPS, FAULT_FROM = 260, 240
HOSTS = ("web1", "web2")

CONFIG = """
data_dir = "{folder}/data"
[source]
kind = "replay"
[source.replay]
paths = ["{folder}/samples.jsonl"]
speed = "max"
[web]
listen = "127.0.0.1:0"
[[watch]]
name = "hosts"
by = ["host"]
step_seconds = 1.0
window_length = 8
lateness_seconds = 0.0
"""


def samples():
    """Give two metrics of two hosts, which both have a fault at the end."""
    rng = np.random.default_rng(0)
    for step in range(N_STEPS):
        for host in HOSTS:
            for name, more in (("queue_depth", 40.0 * (step >= FAULT_FROM)), ("latency", 0.0)):
                value = 100.0 + more + rng.normal()
                yield {"name": name, "labels": {"host": host}, "time": START + step, "value": value}


class RunningDaemon:
    """The daemon in a thread of its own, and the commands beside it."""

    def __init__(self, folder):
        self._config_file = folder / "config.toml"
        self._config_file.write_text(CONFIG.format(folder=folder))
        (folder / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples()))
        config = load_config(self._config_file)
        self.episodes_file = DataDir(config.data_dir).episodes_file
        self._daemon = build_daemon(config, outlets=[], clock=SystemClock())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._daemon.run, args=(self._stop,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._daemon.close()

    def command(self, *arguments):
        app([*arguments, "--config", str(self._config_file)], standalone_mode=False)

    def shown(self, name, **labels):
        text = httpx.get(f"http://{self._daemon.address}/metrics").content
        return scraped(text).get(of(name, watch="hosts", **labels))

    def wait_for(self, what, condition):
        deadline = time.monotonic() + 60
        while not condition():
            assert self._thread.is_alive(), "the daemon has ended"
            assert time.monotonic() < deadline, f"waited 60 s in vain for {what}"
            time.sleep(0.02)


@pytest.fixture
def daemon(tmp_path):
    with RunningDaemon(tmp_path) as running:
        running.wait_for("both episodes", lambda: running.shown("barograph_episodes_open") == 2)
        yield running


def test_a_running_daemon_accepts_and_mutes_as_the_commands_ask(daemon):
    daemon.command("accept", "hosts/web1", "--why", "release")

    # The command returns once the alert history has it.
    (accepted,) = read_actions(daemon.episodes_file)
    assert (accepted.request.kind, accepted.request.entity, accepted.done) == ("accept", "web1", True)
    daemon.wait_for(
        "the end of web1's episode", lambda: daemon.shown("barograph_anomaly", entity="web1") == 0
    )
    reasons = {episode.entity: episode.reason for episode in read_episodes(daemon.episodes_file)}
    assert reasons == {"web1": "accepted by operator", "web2": None}

    daemon.command("mute", "hosts/web2", "--for", "2h", "--why", "disk is being replaced")

    _, muted = read_actions(daemon.episodes_file)
    assert (muted.request.kind, muted.request.why, muted.done) == ("mute", "disk is being replaced", True)
    daemon.wait_for("the mute on /metrics", lambda: daemon.shown("barograph_entities_muted") == 1)
    assert daemon.shown("barograph_anomaly", entity="web2") == 0
