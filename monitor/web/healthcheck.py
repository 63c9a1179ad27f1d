"""The daemon's health as seen from outside: what a container's engine asks for every few seconds."""

from __future__ import annotations

import http.client

from monitor.errors import MonitorError

__all__ = ["check_health"]

# Where a server answers that listens on every address of the machine.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- read, not listened on
_MAX_ANSWER_BYTES = 1000


def check_health(listen: str, *, timeout_seconds: float = 5.0) -> str:
    """Ask the daemon that listens on `host:port` of this machine, and give its answer.

    Raises
    ------
    MonitorError
        If it does not answer in time, or says that it is not healthy.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if port == "0":
        raise MonitorError(f"web.listen is {listen}, which takes a free port at each start: nobody can know where to ask. Name a port.")
    connection = http.client.HTTPConnection(_LOOPBACK.get(host, host), int(port), timeout=timeout_seconds)
    try:
        connection.request("GET", "/-/healthy")
        answer = connection.getresponse()
        text = answer.read(_MAX_ANSWER_BYTES).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        raise MonitorError(f"no daemon answers at {listen}: {error}. Is it running, with this very web.listen?") from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise MonitorError(f"the daemon at {listen} is not healthy: {text}")
    return text
