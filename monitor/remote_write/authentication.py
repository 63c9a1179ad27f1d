"""Who may send: basic authentication and bearer tokens, compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field

__all__ = ["Authentication"]


@dataclass(frozen=True, slots=True)
class Authentication:
    """What a sender must show: the password or the token, whichever is set; nothing where neither is.

    The secrets are left out of the representation, so that no log or traceback shows them.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    bearer_token: str = field(default="", repr=False)

    @property
    def challenge(self) -> str:
        """The header `WWW-Authenticate` of a refusal."""
        schemes = [
            *(['Basic realm="barograph", charset="UTF-8"'] if self.username else []),
            *(['Bearer realm="barograph"'] if self.bearer_token else []),
        ]
        return ", ".join(schemes)

    def accepts(self, header: str | None) -> bool:
        """Tell whether the header `Authorization` of a request is right."""
        if not (self.username or self.bearer_token):
            return True
        scheme, _, credentials = (header or "").strip().partition(" ")
        credentials = credentials.strip()
        if scheme.lower() == "basic" and self.username:
            return _same(_decoded(credentials), f"{self.username}:{self.password}".encode())
        if scheme.lower() == "bearer" and self.bearer_token:
            # HTTP's headers are read as Latin-1, whatever their bytes mean.
            return _same(credentials.encode("latin-1", "replace"), self.bearer_token.encode())
        return False


def _same(shown: bytes, expected: bytes) -> bool:
    return hmac.compare_digest(shown, expected)


def _decoded(credentials: str) -> bytes:
    try:
        return base64.b64decode(credentials, validate=True)
    except (binascii.Error, ValueError):
        return b""
