from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from monitor.errors import MonitorError
from monitor.web.server import Health, WebServer, check_address


@pytest.fixture
def health():
    return Health(ticked_at=0.0)


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def server(health, now):
    text = [b"one 1\n"]
    server = WebServer("127.0.0.1:0", exposition=lambda: text[0], health=health, monotonic=lambda: now[0])
    yield server
    server.close()


def get(server, path):
    try:
        with urllib.request.urlopen(f"http://{server.address}{path}", timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_metrics_are_what_was_rendered(server):
    assert get(server, "/metrics") == (200, b"one 1\n")


def test_an_unknown_path_is_not_found(server):
    assert get(server, "/metric")[0] == 404


def test_what_is_handed_in_is_served_beside_its_own_paths(health):
    route = Route("/more", lambda request: PlainTextResponse("more\n"))
    server = WebServer(
        "127.0.0.1:0", exposition=lambda: b"one 1\n", health=health, monotonic=lambda: 0.0, routes=[route]
    )
    try:
        assert get(server, "/more") == (200, b"more\n")
        assert get(server, "/metrics") == (200, b"one 1\n")
    finally:
        server.close()


def test_ready_only_after_the_first_batch(server, health):
    assert get(server, "/-/ready")[0] == 503

    health.ready = True

    assert get(server, "/-/ready") == (200, b"ready\n")


def test_a_loop_that_no_longer_turns_is_unhealthy_and_says_for_how_long(server, health, now):
    now[0] = 59.0
    assert get(server, "/-/healthy") == (200, b"healthy\n")

    now[0] = 61.0
    assert get(server, "/-/healthy") == (503, b"the loop has not turned for 61 s\n")

    health.ticked_at = 60.0
    assert get(server, "/-/healthy")[0] == 200


def test_silent_and_half_spoken_peers_hold_nobody_up(server):
    host, port = server.address.split(":")
    peers = [socket.create_connection((host, int(port)), timeout=5) for _ in range(100)]
    try:
        for peer in peers[50:]:
            peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: x")

        assert get(server, "/metrics")[0] == 200
    finally:
        for peer in peers:
            peer.close()


def test_a_port_in_use_is_one_clear_line(server, health):
    with pytest.raises(MonitorError, match=rf"cannot listen on {server.address}: .* change web.listen"):
        WebServer(server.address, exposition=lambda: b"", health=health, monotonic=lambda: 0.0)


def test_closing_frees_the_port(health):
    first = WebServer("127.0.0.1:0", exposition=lambda: b"", health=health, monotonic=lambda: 0.0)
    address = first.address
    first.close()

    second = WebServer(address, exposition=lambda: b"again\n", health=health, monotonic=lambda: 0.0)
    try:
        assert get(second, "/metrics") == (200, b"again\n")
    finally:
        second.close()


def test_an_address_that_was_checked_is_free_again_and_one_in_use_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "{}:{}".format(*taken.getsockname())
        with pytest.raises(MonitorError, match=f"cannot listen on {address}: Address already in use"):
            check_address(address)

    check_address(address)
    check_address(address)
