"""A daemon that is sent remote write, killed again and again: nothing acknowledged is lost or counted twice.

The sender does as Prometheus does: a request that was not acknowledged is sent again until it is.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from maturity import mature_from_the_start
from protobuf_writer import sample, series_1, snappy
from write_requests import HEADERS_1

from tests.kafka.harness import WATCH, check, lives_of, undisturbed_alerts, wait_for_end
from tests.kafka.verifiable import Workload, verify_alerts, verify_windows

ROOT = Path(__file__).parents[2]
RECORDS_OF_REQUEST = 4
RETRY_SECONDS = 0.02


@pytest.fixture(autouse=True)
def _mature(monkeypatch):
    mature_from_the_start(monkeypatch)  # as in the daemon's process


class Sender:
    """Sends a workload at a pace, in a thread of its own, until it must send the rest at once."""

    def __init__(self, address, workload, *, records_per_second):
        self._address = address
        self._seconds = RECORDS_OF_REQUEST / records_per_second
        self._records = iter([*workload.records(), *workload.tail()])
        self._hurry = threading.Event()
        self.n_sent_again = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def finish(self):
        self._hurry.set()
        self._thread.join()

    def _run(self):
        begun = time.monotonic()
        for number in itertools.count():
            records = list(itertools.islice(self._records, RECORDS_OF_REQUEST))
            if not records:
                return
            self._hurry.wait(max(0.0, begun + number * self._seconds - time.monotonic()))
            body = snappy(b"".join(series_of(json.loads(payload)) for _, payload in records))
            while not self._is_acknowledged(body):
                self.n_sent_again += 1
                threading.Event().wait(RETRY_SECONDS)  # a sender's pause, not one of the test

    def _is_acknowledged(self, body):
        connection = http.client.HTTPConnection(self._address, timeout=10)
        try:
            connection.request("POST", "/api/v1/write", body, HEADERS_1)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        assert status in (204, 503), status
        return status == 204


def series_of(record):
    """Write a record of the workload as series."""
    (time_ms,) = record["time_ms"]
    return b"".join(
        series_1({"__name__": name, **record["labels"]}, sample(values[0], time_ms))
        for name, values in record["metrics"].items()
    )


def run_through_kills(folder, workload, lives, *, records_per_second, **plan):
    """Send a workload while the daemon is killed; give what it wrote, and how many requests were repeated."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    config = {
        "data_dir": str(folder / "data"),
        "checkpoint_seconds": 0.3,
        "alerts": {"max_alert_age_seconds": 0},  # a workload's times lie years back
        "web": {"listen": address},
        "source": {"kind": "prometheus", "prometheus": {"idle_seconds": 3600.0}},
        "watch": [WATCH],
    }
    plan = {"config": config, "folder": str(folder), "lives": lives, **plan}
    (folder / "plan.json").write_text(json.dumps(plan))
    sender = Sender(address, workload, records_per_second=records_per_second)
    launcher = subprocess.Popen(
        [sys.executable, "-m", "tests.kafka.launcher", folder / "plan.json"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        said = launcher.stdout.readline()
        assert said == "the last life\n", (launcher.wait(), (folder / "log").read_text()[-3000:])
        sender.finish()
        wait_for_end(folder, workload)
    finally:
        launcher.stdin.close()
        code = launcher.wait(timeout=60)
        launcher.stdout.close()
    assert code == 0, (code, (folder / "log").read_text()[-3000:])
    names = ("windows", "alerts", "reached")
    written = [(folder / name).read_text().splitlines() if (folder / name).exists() else [] for name in names]
    return *written, sender.n_sent_again


def test_nothing_acknowledged_is_lost_wrong_or_sent_as_new_by_fourteen_kills(tmp_path):
    workload, lives = Workload(n_steps=700), lives_of(14, seed=1)

    windows, alerts, reached, n_sent_again = run_through_kills(
        tmp_path, workload, lives, records_per_second=130
    )

    check(workload, windows, alerts, reached, lives)
    assert n_sent_again > 14
    assert list((tmp_path / "data/remote_write").glob("*.log"))


def test_a_checkpoint_that_cannot_be_saved_costs_no_sample_of_the_log(tmp_path):
    """Its files are needed by the checkpoint before it: only one that is on disk lets them be deleted."""
    workload = Workload(n_steps=450)
    lives = [{"seconds": 4.0}, {"seconds": 5.0, "full_disk": True}, {"seconds": 3.0}]

    windows, alerts, _, _ = run_through_kills(tmp_path, workload, lives, records_per_second=150)

    verdict = verify_windows(windows, workload)
    assert verdict.faultless, verdict
    # Alerts that were sent behind the last checkpoint are sent again: nothing else remembers them.
    verdict = verify_alerts(alerts, undisturbed_alerts(workload, windows))
    assert (verdict.missing, verdict.wrong, verdict.unexpected) == ([], [], [])
    assert "checkpoint failed" in (tmp_path / "log").read_text()


def test_a_run_that_nothing_disturbs_repeats_nothing(tmp_path):
    workload = Workload(n_steps=200)

    windows, _, _, _ = run_through_kills(tmp_path, workload, [], records_per_second=10_000)

    verdict = verify_windows(windows, workload)
    assert (verdict.faultless, verdict.repeated) == (True, 0), verdict
