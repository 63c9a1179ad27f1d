"""Asks a running daemon for its health, as a container engine does every few seconds."""

from __future__ import annotations

import http.client

from monitor.errors import MonitorError

__all__ = ["check_health"]

# Where to ask a server that listens on every address of the machine.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- asked, not listened on
_MAX_ANSWER_BYTES = 1000


def check_health(listen: str, *, timeout_seconds: float = 5.0) -> str:
    """Ask the daemon that listens on `host:port` of this machine, and give its answer.

    Raises
    ------
    MonitorError
        If it does not answer in time, or is not healthy.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if port == "0":
        raise MonitorError(
            f"web.listen is {listen}, which takes a free port at each start: the port is not known here. "
            "Name a port."
        )
    connection = http.client.HTTPConnection(_LOOPBACK.get(host, host), int(port), timeout=timeout_seconds)
    try:
        connection.request("GET", "/-/healthy")
        answer = connection.getresponse()
        text = answer.read(_MAX_ANSWER_BYTES).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        raise MonitorError(
            f"no daemon answers at {listen}: {error}. Is it running, with the same web.listen?"
        ) from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise MonitorError(f"the daemon at {listen} is not healthy: {text}")
    return text
