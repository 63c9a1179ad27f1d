"""`[source.prometheus]`: how samples come from Prometheus, and how its HTTP API is reached."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from monitor.config.table import NotNegative, Positive, Table

__all__ = ["PrometheusConfig"]


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
