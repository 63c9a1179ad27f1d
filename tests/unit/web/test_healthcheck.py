from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.errors import MonitorError
from monitor.web.healthcheck import check_health
from monitor.web.server import Health, WebServer

ROOT = Path(__file__).parents[3]


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def server(now):
    server = WebServer(
        "127.0.0.1:0", exposition=lambda: b"", health=Health(ticked_at=0.0), monotonic=lambda: now[0]
    )
    yield server
    server.close()


def test_a_daemon_that_turns_is_healthy(server):
    assert check_health(server.address) == "healthy"


def test_a_daemon_that_listens_everywhere_is_asked_on_loopback(server):
    assert check_health(server.address.replace("127.0.0.1", "0.0.0.0")) == "healthy"


def test_a_daemon_that_hangs_is_not_healthy_and_its_word_is_passed_on(server, now):
    now[0] = 90.0

    with pytest.raises(MonitorError, match=r"is not healthy: the loop has not turned for 90 s"):
        check_health(server.address)


def test_where_nobody_listens_there_is_no_health():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

    with pytest.raises(MonitorError, match=rf"no daemon answers at {address}: .* Is it running"):
        check_health(address)


def test_a_daemon_that_says_nothing_is_given_up_on():
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(MonitorError, match="no daemon answers"),
    ):
        check_health(f"127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.1)


def test_a_free_port_cannot_be_asked():
    with pytest.raises(MonitorError, match=r"web.listen is 127.0.0.1:0, .* Name a port"):
        check_health("127.0.0.1:0")


def test_the_command_answers_by_its_exit_code(server, tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(f'[web]\nlisten = "{server.address}"\n[[watch]]\nname = "w"\n')
    command = [sys.executable, "-m", "monitor", "healthcheck", "--config", str(config)]

    healthy = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    server.close()
    gone = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert (healthy.returncode, healthy.stdout) == (0, "healthy\n")
    assert gone.returncode == 1
    assert gone.stderr.startswith("barograph: no daemon answers at ")
