"""A daemon that receives remote write, built from a configuration."""

from __future__ import annotations

import threading

import httpx
import pytest
from protobuf_writer import snappy
from write_requests import HEADERS_1, message_1

from monitor.config.explain import parse_config
from monitor.daemon.build import build_daemon
from monitor.daemon.prometheus_build import build_receiver
from monitor.errors import MonitorError
from monitor.sample import SeriesTable
from monitor.storage.data_dir import DataDir
from monitor.testing import FakeClock


def config(folder, **prometheus):
    return parse_config(
        {
            "data_dir": str(folder),
            "source": {"kind": "prometheus", "prometheus": prometheus},
            "web": {"listen": "127.0.0.1:0"},
            "watch": [{"name": "w", "by": ["host"]}],
        },
        origin="test",
    )


def test_a_daemon_answers_and_what_it_acknowledged_is_read_by_its_loop(tmp_path):
    daemon = build_daemon(config(tmp_path), outlets=[], clock=FakeClock(1_700_000_100.0))
    try:
        url = f"http://{daemon.address}/api/v1/write"
        answer = httpx.post(url, content=snappy(message_1([1.0, 2.0], host="a")), headers=HEADERS_1)

        assert answer.status_code == 204
        assert len(daemon.loop.source.poll(0.0).columns) == 2
        assert list(DataDir(tmp_path).remote_write_folder.glob("*.log"))
    finally:
        daemon.close()


def test_a_stopped_daemon_has_read_and_deletes_nothing_it_needs(tmp_path):
    """What comes after the last checkpoint, before the port closes, is in the log of the next start."""
    first = build_daemon(config(tmp_path), outlets=[], clock=FakeClock(1_700_000_100.0))
    url = f"http://{first.address}/api/v1/write"
    stop = threading.Event()
    stop.set()
    first.run(stop)
    assert httpx.post(url, content=snappy(message_1([7.0])), headers=HEADERS_1).status_code == 204
    first.close()

    second = build_daemon(config(tmp_path), outlets=[], clock=FakeClock(1_700_000_200.0))
    try:
        assert second.loop.source.poll(0.0).columns.value.tolist() == [7.0]
    finally:
        second.close()


def test_the_settings_reach_the_receiver(tmp_path):
    settings = config(tmp_path, receive_bearer_token="t", max_request_bytes=2000)
    daemon = build_daemon(settings, outlets=[], clock=FakeClock(0.0))
    try:
        url = f"http://{daemon.address}/api/v1/write"
        assert httpx.post(url, content=b"", headers=HEADERS_1).status_code == 401
        headers = {**HEADERS_1, "Authorization": "Bearer t"}
        assert httpx.post(url, content=bytes(3000), headers=headers).status_code == 413
    finally:
        daemon.close()


def test_a_log_that_cannot_be_used_ends_the_start_with_one_line(tmp_path):
    (tmp_path / "remote_write").touch()

    with pytest.raises(MonitorError, match="the log of received requests"):
        build_receiver(config(tmp_path), SeriesTable(), FakeClock(0.0), resumed=None)
