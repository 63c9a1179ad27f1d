"""Which step of connecting to a broker fails, and what is said about it, over sockets on this machine."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import pytest

from monitor.config.kafka import KafkaConfig
from monitor.kafka.connection_check import listens, why_unreachable


@pytest.fixture
def serve():
    """Start servers that give each connection an answer, and close it; give their addresses."""
    with contextlib.ExitStack() as stack:

        def start(answer):
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            thread = threading.Thread(target=_accept, args=(server, answer))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown, socket.SHUT_RDWR)
            host, port = server.getsockname()
            return f"{host}:{port}"

        yield start


def _accept(server, answer):
    with contextlib.suppress(OSError):
        while True:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                if connection.recv(1000):
                    connection.sendall(answer)


def offer(*mechanisms):
    """Write the answer of a broker to a SaslHandshake."""
    names = b"".join(struct.pack(">h", len(name)) + name.encode() for name in mechanisms)
    body = struct.pack(">ihi", 1, 0, len(mechanisms)) + names
    return struct.pack(">i", len(body)) + body


@pytest.fixture
def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def why(*servers, **settings):
    return why_unreachable(KafkaConfig(bootstrap_servers=list(servers), topics=["m"], **settings))


def test_a_port_at_which_nothing_listens_is_named(closed_port):
    server = f"127.0.0.1:{closed_port}"

    assert not listens(server)
    assert why(server) == f"{server}: connection refused. Is the broker up, and is this its address?"


def test_a_host_that_does_not_exist_is_named(monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror("not known")

    monkeypatch.setattr("monitor.kafka.connection_check.socket.create_connection", fail)

    assert (
        why("nowhere:9092")
        == "nowhere:9092: no such host. Check the name, or give another one with --servers"
    )


@pytest.mark.parametrize("server", ["broker", "broker:http", "broker:99999", ":9092"])
def test_what_is_no_address_is_told_with_how_one_looks(server):
    assert not listens("broker")
    assert why(server) == f"{server}: is not host:port, as in broker1:9092"


def test_every_server_is_tried(closed_port):
    assert why(f"127.0.0.1:{closed_port}", "broker").count(";") == 1


def test_a_server_of_another_kind_is_told_from_a_broker(serve):
    server = serve(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    assert listens(server)
    assert "not as a Kafka broker does" in why(serve(b""))


def test_a_broker_that_asks_for_a_login_is_told_with_its_mechanisms(serve):
    cause = why(serve(offer("PLAIN", "SCRAM-SHA-256")))

    assert cause.endswith(
        'it asks who you are, by PLAIN, SCRAM-SHA-256: set security_protocol = "SASL_PLAINTEXT", '
        "sasl_mechanism and its keys in [source.kafka]"
    )


def login(mechanism, **settings):
    return {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": mechanism, **settings}


PASSWORD = {"sasl_username": "bob", "sasl_password": "secret"}


@pytest.mark.parametrize(
    ("offered", "settings", "expected"),
    [
        ((), login("PLAIN", **PASSWORD), 'it asks for no login, and sasl_mechanism is "PLAIN"'),
        (
            ("PLAIN",),
            login("SCRAM-SHA-256", **PASSWORD),
            'it does not take sasl_mechanism = "SCRAM-SHA-256", but PLAIN',
        ),
        (("PLAIN",), login("PLAIN", **PASSWORD), 'it refused the user "bob" by PLAIN: check sasl_username'),
        (
            ("OAUTHBEARER",),
            login("OAUTHBEARER", sasl_token_file="t"),
            "it refused the token in t: has it expired",
        ),
    ],
    ids=str,
)
def test_a_login_that_fails_is_told_with_what_to_check(serve, offered, settings, expected):
    cause = why(serve(offer(*offered)), **settings)

    assert expected in cause
    assert "secret" not in cause


def test_a_broker_without_tls_is_told(serve):
    cause = why(serve(offer()), security_protocol="SSL")

    assert "no TLS with it" in cause
    assert cause.endswith('as security_protocol = "SSL" asks for: is this its port for TLS?')
