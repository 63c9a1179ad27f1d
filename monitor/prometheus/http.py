"""One HTTP request to a Prometheus server: credentials, TLS, a deadline, and what each failure means.

Everything that knows httpx is here. It checks no certificate by itself and follows no redirect: credentials
would go to a server that nobody has named. A request is made once; who asks decides whether to ask again.
"""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, NoReturn

import httpx
import orjson

from monitor.clock import Clock
from monitor.config.prometheus import PrometheusConfig
from monitor.errors import ConfigError
from monitor.prometheus.errors import (
    AccessError,
    ApiError,
    QueryRefusedError,
    RangeTooLargeError,
    UnavailableError,
)
from monitor.prometheus.retry import retry_after_seconds

__all__ = ["Connection", "HttpClient", "connection_of"]

_MAX_BYTES = 256 << 20  # of an answer, decompressed: more than that takes gigabytes as objects
_MAX_ERROR_BYTES = 65536
_MAX_SHOWN = 300  # characters of a server's own error text
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_TIMEOUTS = frozenset({408, 504})
# What Prometheus, Thanos, Mimir and VictoriaMetrics say where a query would read or give too much.
_TOO_LARGE = re.compile(
    r"too many|too large|too long|exceed|maximum|larger than|more than .* (samples|series|points)"
    r"|limit of|limit \(|-search\.max|err-mimir-max|err-mimir-tenant-max",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How a server is reached. Texts are empty where there is none; files are in PEM form.

    Parameters
    ----------
    url : str
        What comes before `/api/v1`.
    tenant : str
        Value of the header `X-Scope-OrgID`, by which Mimir, Cortex and Thanos tell tenants apart.
    timeout_seconds : float
        For a whole answer.
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    bearer_token: str = field(default="", repr=False)
    tenant: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    timeout_seconds: float = 20.0


def connection_of(config: PrometheusConfig) -> Connection:
    """Give the connection that the settings describe."""
    keys = ("url", "username", "password", "bearer_token", "tenant", "ca_file", "cert_file", "key_file")
    return Connection(**{key: getattr(config, key) for key in keys}, timeout_seconds=config.timeout_seconds)


class HttpClient:
    """Connections to one server, which are kept open between requests.

    Parameters
    ----------
    min_interval_seconds : float
        Real time between the starts of two requests, at least: the server has other users.

    Raises
    ------
    ConfigError
        If a file of certificates cannot be read.
    """

    def __init__(self, connection: Connection, clock: Clock, *, min_interval_seconds: float = 0.0) -> None:
        self.url = connection.url.rstrip("/")
        self._clock = clock
        self._timeout_seconds = connection.timeout_seconds
        self._min_interval_seconds = min_interval_seconds
        self._asked_at: float | None = None
        headers = {"User-Agent": f"barograph/{version('barograph')}", "Accept": "application/json"}
        if connection.bearer_token:
            headers["Authorization"] = f"Bearer {connection.bearer_token}"
        if connection.tenant:
            headers["X-Scope-OrgID"] = connection.tenant
        self._client = httpx.Client(
            headers=headers,
            auth=(connection.username, connection.password) if connection.username else None,
            verify=_tls_context(connection),
            timeout=connection.timeout_seconds,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close all connections; a second call does nothing."""
        self._client.close()

    def json(self, path: str, parameters: Mapping[str, str], *, post: bool = False) -> Any:
        """Ask for a path below `/api/v1`, and give the `data` of the answer.

        Raises
        ------
        ApiError
            Of the class that says what to do.
        """
        with self._answer(path, parameters, post=post) as answer:
            body = b"".join(self._body(answer, _MAX_BYTES))
            is_page = "html" in answer.headers.get("content-type", "")
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            if is_page or body.lstrip()[:1] == b"<":
                raise self._no_prometheus("answers with a page") from error
            raise UnavailableError(
                f"{self.url} sent an answer that is cut off or damaged: {error}"
            ) from error
        if not isinstance(document, dict) or "data" not in document:
            raise self._no_prometheus("answers with other JSON")
        return document["data"]

    def lines(self, path: str, parameters: Mapping[str, str]) -> Iterator[bytes]:
        """Ask for a path below `/api/v1` that answers with a line for each series; give the lines.

        Raises
        ------
        ApiError
            As `json` does; also after some lines have come, which are then to be dropped.
        """
        with self._answer(path, parameters) as answer:
            rest = b""
            for part in self._body(answer, _MAX_BYTES):
                *lines, rest = (rest + part).split(b"\n")
                yield from filter(None, lines)
            if rest:
                yield rest

    @contextmanager
    def _answer(
        self, path: str, parameters: Mapping[str, str], *, post: bool = False
    ) -> Iterator[httpx.Response]:
        """Open an answer of status 200; everything else is an error."""
        self._wait_for_turn()
        url = f"{self.url}/api/v1/{path}"
        request = (
            self._client.build_request("POST", url, data=dict(parameters))
            if post
            else self._client.build_request("GET", url, params=dict(parameters))
        )
        try:
            answer = self._client.send(request, stream=True)
            try:
                if answer.status_code != 200:
                    self._raise_for(answer)
                yield answer
            finally:
                answer.close()
        except httpx.HTTPError as error:
            raise self._transport_error(error) from error

    def _wait_for_turn(self) -> None:
        if self._min_interval_seconds and self._asked_at is not None:
            due_seconds = self._asked_at + self._min_interval_seconds - self._clock.monotonic()
            if due_seconds > 0:
                self._clock.wait(threading.Event(), due_seconds)
        self._asked_at = self._clock.monotonic()

    def _body(self, answer: httpx.Response, max_bytes: int) -> Iterable[bytes]:
        """Read an answer; httpx bounds each read, and this the whole."""
        deadline = self._clock.monotonic() + self._timeout_seconds
        n_bytes = 0
        for part in answer.iter_bytes():
            n_bytes += len(part)
            if n_bytes > max_bytes:
                raise RangeTooLargeError(f"the answer of {self.url} is larger than {max_bytes >> 20} MiB")
            if self._clock.monotonic() > deadline:
                raise UnavailableError(
                    f"{self.url} took longer than {self._timeout_seconds:g} s for an answer. "
                    "Raise timeout_seconds if that is usual.",
                    is_timeout=True,
                )
            yield part

    def _raise_for(self, answer: httpx.Response) -> NoReturn:
        """Raise what a status other than 200 means."""
        status = answer.status_code
        if 300 <= status < 400:
            raise AccessError(
                f"{self.url} redirects to {_without_query(answer.headers.get('location', 'nowhere'))}: "
                "set the address to where it leads, without /api/v1 and what follows"
            )
        kind, text = self._error_of(answer)
        found = f"{self.url} answers {status}{f': {text}' if text else ''}"
        if status == 401:
            raise AccessError(f"{found}. It wants other credentials: set username and password, or a token")
        if status == 403:
            raise AccessError(f"{found}. These credentials (or this tenant) may not read here")
        if status == 413 or (status in (400, 422, 500) and _is_too_large(text)):
            raise RangeTooLargeError(found)
        if kind == "timeout":
            raise UnavailableError(found, is_timeout=True)
        if status in (400, 422) and kind:
            raise QueryRefusedError(found)
        if status in _RETRIED:
            wait = retry_after_seconds(answer.headers.get("retry-after"), self._clock.now())
            raise UnavailableError(found, retry_after=wait, is_timeout=status in _TIMEOUTS)
        raise self._no_prometheus(f"answers {status} to /api/v1")

    def _error_of(self, answer: httpx.Response) -> tuple[str, str]:
        """Give the type and text of an error in Prometheus' form; a page's text is left out."""
        body = b""
        for part in self._body(answer, _MAX_BYTES):
            body += part
            if len(body) >= _MAX_ERROR_BYTES:
                break
        try:
            document = orjson.loads(body)
            return str(document["errorType"]), _shortened(str(document["error"]))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            is_text = not body.lstrip().startswith(b"<")
            return "", _shortened(body.decode("utf-8", "replace")) if is_text else ""

    def _no_prometheus(self, what: str) -> AccessError:
        return AccessError(
            f"{self.url} {what}, not as Prometheus does. Set the address to what comes before /api/v1"
        )

    def _transport_error(self, error: httpx.HTTPError) -> ApiError:
        """Say what a failed connection means: a wrong certificate stays wrong, anything else may pass."""
        tls = _tls_error(error)
        if tls is not None:
            reason = getattr(tls, "verify_message", "") or tls.reason or str(tls)
            return AccessError(
                f"no TLS connection to {self.url}: {reason}. Set ca_file to the authority that signed its "
                "certificate, use the name in that, and set cert_file and key_file where it asks for them"
            )
        if isinstance(error, httpx.TimeoutException):
            is_connecting = isinstance(error, httpx.ConnectTimeout)
            return UnavailableError(
                f"{self.url} did not answer within {self._timeout_seconds:g} s", is_timeout=not is_connecting
            )
        return UnavailableError(f"cannot read from {self.url}: {str(error) or type(error).__name__}")


def _tls_context(connection: Connection) -> ssl.SSLContext:
    """Make a context that checks certificates, by the system's authorities where no file is named."""
    try:
        context = ssl.create_default_context(cafile=connection.ca_file or None)
    except OSError as error:
        raise ConfigError(f"ca_file: cannot use {connection.ca_file}: {error.strerror or error}") from error
    if connection.cert_file:
        try:
            context.load_cert_chain(connection.cert_file, connection.key_file or None, password=_no_password)
        except OSError as error:
            raise ConfigError(
                f"cert_file, key_file: cannot use {connection.cert_file} with {connection.key_file}: "
                f"{error.strerror or error}"
            ) from error
    return context


def _no_password() -> str:
    """Give no password: OpenSSL would ask at the terminal for that of a locked key."""
    return ""


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """Find the TLS error behind a library's own."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _is_too_large(text: str) -> bool:
    """Tell whether an error says that too much was asked for, not that the query is wrong."""
    return "parse error" not in text and _TOO_LARGE.search(text) is not None


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_SHOWN else f"{line[: _MAX_SHOWN - 3]}..."


def _without_query(location: str) -> str:
    return location.partition("?")[0]
