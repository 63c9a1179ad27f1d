"""`[source.prometheus]`: how samples come from Prometheus, and how its HTTP API is reached."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from monitor.config.table import NotNegative, Positive, Table

__all__ = ["REQUESTS_OF_LOG", "PrometheusConfig", "is_loopback"]

REQUESTS_OF_LOG = (
    4  # of the largest size, that the log must have room for: one that never fits is never taken
)


class PrometheusConfig(Table):
    """`[source.prometheus]`: a server that is asked with PromQL, or that sends what it scrapes."""

    mode: Literal["remote_write", "query_range"] = "remote_write"
    url: str = "http://127.0.0.1:9090"
    username: str = ""
    password: str = ""
    bearer_token: str = ""
    tenant: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    timeout_seconds: Positive = 10.0
    lag_seconds: NotNegative = 30.0
    max_catch_up_seconds: Positive = 86400.0
    receive_username: str = ""
    receive_password: str = ""
    receive_bearer_token: str = ""
    allow_unauthenticated: bool = False
    idle_seconds: Positive = 60.0
    max_request_bytes: Annotated[int, Field(ge=1024)] = 16 << 20
    max_log_bytes: Annotated[int, Field(ge=16 << 20)] = 256 << 20

    @property
    def receives(self) -> bool:
        """Whether samples are sent to the daemon, not asked for."""
        return self.mode == "remote_write"

    @field_validator("url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            port_is_good = parts.port is None or parts.port > 0
        except ValueError:
            parts, port_is_good = urlsplit(""), False
        if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_good:
            raise ValueError('expected an address as in "http://prometheus:9090"')
        if parts.query or parts.fragment:
            raise ValueError("expected no query or fragment: only what comes before /api/v1")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _fits_together(self) -> PrometheusConfig:
        if "@" in urlsplit(self.url).netloc:  # here, where the value is not shown
            raise ValueError("url holds a name or password: set username and password instead")
        if self.bearer_token and (self.username or self.password):
            raise ValueError("bearer_token and username are both set, expected one way to log in")
        if self.password and not self.username:
            raise ValueError("password is set without username")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file belong together: one of them is empty")
        for key in ("username", "password", "bearer_token", "tenant"):
            # Not the text itself: it may be a secret.
            if any(ord(character) < 32 or ord(character) == 127 for character in getattr(self, key)):
                raise ValueError(f"{key} holds a line break or another control character")
        for key in ("bearer_token", "tenant"):
            if not getattr(self, key).isascii():
                raise ValueError(f"{key} holds a character that a header cannot: expected ASCII")
        return self

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> PrometheusConfig:
        if bool(self.receive_username) != bool(self.receive_password):
            missing = "receive_password" if self.receive_username else "receive_username"
            raise ValueError(f"{missing} is empty: basic authentication needs a user's name and a password")
        if ":" in self.receive_username:
            raise ValueError("receive_username has a colon, which basic authentication cannot send")
        return self

    @property
    def is_authenticated(self) -> bool:
        """Whether a sender must show a password or a token."""
        return bool(self.receive_username or self.receive_bearer_token)


def is_loopback(listen: str) -> bool:
    """Tell whether only this machine can reach an address `host:port`.

    Of names only localhost is known to be one.
    """
    host = listen.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
