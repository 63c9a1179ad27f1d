import base64
import socket
import subprocess

import pytest
from fake_prometheus import Fault, api_error

from monitor.config.prometheus import PrometheusConfig
from monitor.errors import ConfigError
from monitor.prometheus.errors import AccessError, QueryRefusedError, RangeTooLargeError, UnavailableError
from monitor.prometheus.http import Connection, connection_of

PAGE = "<html><body>Log in</body></html>"
GOOD = {"query": "up", "time": "1.000"}


def ask(client, url, **settings):
    return client(url, **settings).json("query", GOOD, post=True)


def test_an_answer_gives_its_data(client, server):
    assert ask(client, server.url) == {"resultType": "vector", "result": []}


def test_basic_and_bearer_credentials_and_the_tenant_are_sent_as_headers(client, server):
    ask(client, server.url, username="ann", password="sécret", tenant="team-a")
    ask(client, server.url, bearer_token="token")

    (_, _, basic), (_, _, bearer) = server.requests
    assert base64.b64decode(basic["Authorization"].removeprefix("Basic ")).decode() == "ann:sécret"
    assert basic["X-Scope-OrgID"] == "team-a"
    assert bearer["Authorization"] == "Bearer token"
    assert "X-Scope-OrgID" not in bearer


@pytest.mark.parametrize(
    ("fault", "expected", "text"),
    [
        (Fault(401), AccessError, "answers 401. It wants other credentials"),
        (Fault(403, "no org id"), AccessError, "answers 403: no org id. These credentials"),
        (Fault(404, PAGE), AccessError, "answers 404 to /api/v1, not as Prometheus does"),
        (
            Fault(302, Location="https://sso/login?token=1"),
            AccessError,
            "to https://sso/login: set",
        ),
        (Fault(200, PAGE, Content_Type="text/html"), AccessError, "answers with a page"),
        (Fault(200, "[1]"), AccessError, "answers with other JSON"),
        (Fault(405, ""), AccessError, "answers 405 to /api/v1"),
        (Fault(502, PAGE), UnavailableError, "answers 502$"),
        (Fault(500, "oops"), UnavailableError, "answers 500: oops"),
        (Fault(200, '{"status":"success","data":{"resu'), UnavailableError, "cut off or damaged"),
        (Fault(200, '{"status":"succ', cut_off=True), UnavailableError, "cannot read from"),
        (Fault(drops=True), UnavailableError, "cannot read from"),
        (api_error(400, "bad_data", '1:3: parse error: "x" exceeds'), QueryRefusedError, "parse error"),
        (api_error(422, "execution", "many-to-many matching not allowed"), QueryRefusedError, "many-to-many"),
        (
            api_error(422, "execution", "query processing would load too many samples into memory"),
            RangeTooLargeError,
            "too many samples",
        ),
        (
            api_error(400, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries"),
            RangeTooLargeError,
            "maximum resolution",
        ),
        (
            api_error(422, "422", "the number of matching timeseries exceeds -search.maxUniqueTimeseries"),
            RangeTooLargeError,
            "maxUnique",
        ),
        (Fault(413, PAGE), RangeTooLargeError, "answers 413$"),
    ],
)
def test_each_failure_is_of_the_class_that_says_what_to_do(client, server, fault, expected, text):
    server.faults.append(fault)

    with pytest.raises(expected, match=text) as raised:
        ask(client, server.url)

    assert type(raised.value) is expected
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "fault", [api_error(503, "timeout", "query timed out"), Fault(504, PAGE), Fault(408)]
)
def test_a_server_that_runs_out_of_time_could_answer_less(client, server, fault):
    server.faults.append(fault)

    with pytest.raises(UnavailableError) as raised:
        ask(client, server.url)

    assert raised.value.is_timeout


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_says_how_long_to_wait(client, server, status):
    server.faults.append(Fault(status, Retry_After="9"))

    with pytest.raises(UnavailableError) as raised:
        ask(client, server.url)

    assert (raised.value.retry_after, raised.value.is_timeout) == (9.0, False)


def test_a_server_that_is_silent_is_given_up_after_the_timeout(client):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        with pytest.raises(UnavailableError, match=r"did not answer within 0.1 s") as raised:
            ask(client, url, timeout_seconds=0.1)

    assert raised.value.is_timeout


def test_a_port_where_nobody_listens_may_be_served_later(client):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"

    with pytest.raises(UnavailableError, match="cannot read from"):
        ask(client, url)


def test_an_answer_is_not_read_without_end(client, server, monkeypatch):
    monkeypatch.setattr("monitor.prometheus.http._MAX_BYTES", 1000)
    server.faults.append(Fault(200, "x" * 5000))

    with pytest.raises(RangeTooLargeError, match="is larger than"):
        ask(client, server.url)


def test_requests_keep_the_distance_that_is_set(client, server, clock):
    limited = client(server.url, min_interval_seconds=2.0)
    for _ in range(3):
        limited.json("query", GOOD, post=True)

    assert clock.monotonic() == 4.0


def test_lines_come_one_by_one_also_the_last_without_an_end(client, server):
    server.faults.append(Fault(200, "a\nb\n\nc"))

    assert list(client(server.url).lines("export", {})) == [b"a", b"b", b"c"]


def test_no_secret_is_shown(client, server):
    connection = Connection(url=server.url, username="ann", password="s3cret", bearer_token="t0ken")

    assert "s3cret" not in repr(connection)
    assert "t0ken" not in repr(connection)


def test_a_connection_is_made_from_the_settings():
    settings = PrometheusConfig(url="https://prom/x/", tenant="a", timeout_seconds=3.0)

    assert connection_of(settings) == Connection(url="https://prom/x", tenant="a", timeout_seconds=3.0)


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Make an authority's certificate for 127.0.0.1, which signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subject = ["-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *subject, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return str(cert), str(key)


def test_a_certificate_of_an_unknown_authority_is_refused_and_a_known_one_accepted(
    client, serve, certificates
):
    server = serve(certificate=certificates)

    with pytest.raises(AccessError, match=r"no TLS connection to .* self-signed certificate. Set ca_file"):
        ask(client, server.url)
    assert ask(client, server.url, ca_file=certificates[0])["result"] == []


def test_a_client_certificate_is_loaded(client, serve, certificates):
    server = serve(certificate=certificates)
    cert, key = certificates

    assert ask(client, server.url, ca_file=cert, cert_file=cert, key_file=key)["result"] == []


def test_tls_spoken_to_a_server_without_it_is_a_wrong_setting(client, server):
    with pytest.raises(AccessError, match="no TLS connection"):
        ask(client, server.url.replace("http:", "https:"))


def test_a_file_of_certificates_that_cannot_be_used_stops_the_start(client, tmp_path):
    with pytest.raises(ConfigError, match=r"ca_file: cannot use .*none.pem: No such file"):
        client("https://127.0.0.1:1", ca_file=str(tmp_path / "none.pem"))
    with pytest.raises(ConfigError, match="cert_file, key_file: cannot use"):
        client("https://127.0.0.1:1", cert_file=str(tmp_path / "a"), key_file=str(tmp_path / "b"))
