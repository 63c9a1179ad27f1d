"""`[source.prometheus]`: samples from Prometheus, sent to the daemon by remote write."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, model_validator

from monitor.config.table import Positive, Table

__all__ = ["REQUESTS_OF_LOG", "PrometheusConfig", "is_loopback"]

REQUESTS_OF_LOG = (
    4  # of the largest size, that the log must have room for: one that never fits is never taken
)


class PrometheusConfig(Table):
    """`[source.prometheus]`: the receiver of remote write, at `/api/v1/write` of `web.listen`."""

    mode: Literal["remote_write"] = "remote_write"
    receive_username: str = ""
    receive_password: str = ""
    receive_bearer_token: str = ""
    allow_unauthenticated: bool = False
    idle_seconds: Positive = 60.0
    max_request_bytes: Annotated[int, Field(ge=1024)] = 16 << 20
    max_log_bytes: Annotated[int, Field(ge=16 << 20)] = 256 << 20

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
