"""The HTTP server: `/metrics`, `/-/healthy`, `/-/ready`. It serves what the loop has prepared.

An event loop in a thread of its own serves all clients, so that a silent or slow one delays no other.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from monitor.errors import MonitorError

__all__ = ["Health", "WebServer", "check_address"]

log = logging.getLogger(__name__)

_MAX_CONNECTIONS = 500
_KEEP_ALIVE_SECONDS = 75


@dataclass(slots=True)
class Health:
    """The state of the loop: written by its thread, read by others.

    `ticked_at` is the monotonic time of the loop's last turn; `ready` that the source is open and its last
    batch was processed.
    """

    ticked_at: float
    ready: bool = False

    def tick(self, monotonic: float, *, ready: bool) -> None:
        """Report that the loop has turned."""
        self.ticked_at = monotonic
        self.ready = ready


class WebServer:
    """Serves until it is closed.

    Parameters
    ----------
    listen : str
        `host:port`; port 0 takes a free one, `address` names it.
    exposition : callable
        Gives the text of a scrape, already rendered.
    stalled_after_seconds : float
        The loop counts as hung, and the daemon as unhealthy, when it has not turned for this time.
    routes : sequence of BaseRoute
        What else is served, beside its own paths.

    Raises
    ------
    MonitorError
        If the address cannot be listened on.
    """

    def __init__(
        self,
        listen: str,
        *,
        exposition: Callable[[], bytes],
        health: Health,
        monotonic: Callable[[], float],
        stalled_after_seconds: float = 60.0,
        routes: Sequence[BaseRoute] = (),
    ) -> None:
        self._exposition = exposition
        self._health = health
        self._monotonic = monotonic
        self._stalled_after = stalled_after_seconds
        self._socket = _listen(listen)
        self.address = "{}:{}".format(*self._socket.getsockname()[:2])
        all_routes = [
            Route("/", self._index),
            Route("/metrics", self._metrics),
            Route("/-/healthy", self._healthy),
            Route("/-/ready", self._ready),
            *routes,
        ]
        config = uvicorn.Config(
            Starlette(routes=all_routes),
            log_config=None,
            access_log=False,
            lifespan="off",
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="web", daemon=True
        )
        self._thread.start()
        log.info("web server started url=http://%s/metrics", self.address)

    def close(self) -> None:
        """Stop serving; open requests get a second to end."""
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._socket.close()

    async def _index(self, request: Request) -> Response:
        return PlainTextResponse("Barograph\n\n/metrics\n/-/healthy\n/-/ready\n")

    async def _metrics(self, request: Request) -> Response:
        return Response(self._exposition(), media_type=CONTENT_TYPE_LATEST)

    async def _healthy(self, request: Request) -> Response:
        idle = self._monotonic() - self._health.ticked_at
        if idle > self._stalled_after:
            return PlainTextResponse(f"the loop has not turned for {idle:.0f} s\n", status_code=503)
        return PlainTextResponse("healthy\n")

    async def _ready(self, request: Request) -> Response:
        if self._health.ready:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready: the source is not open\n", status_code=503)


def check_address(listen: str) -> None:
    """Check that an address can be listened on now, for a command whose server starts much later.

    Raises
    ------
    MonitorError
        If it cannot.
    """
    _listen(listen).close()


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    listener = None
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(128)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise MonitorError(
            f"cannot listen on {address}: {error.strerror or error}. Stop what uses it, or change web.listen."
        ) from error
    return listener
