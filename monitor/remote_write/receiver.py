"""The HTTP side: a request is authenticated, bounded, checked and on disk before it is acknowledged.

Whatever the daemon cannot take now is answered with 503 and `Retry-After`, never with 429: a sender must send
again after the former, and drops the samples after the latter unless it is configured otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from monitor.decode.record import Limits
from monitor.log_limit import RateLimit, times_before
from monitor.remote_write.authentication import Authentication
from monitor.remote_write.receiver_counts import ReceiverCounts
from monitor.remote_write.recent_requests import DecodedRequest
from monitor.remote_write.request_check import CheckedRequest, RefusedError, check_body, form_of
from monitor.remote_write.write_ahead_log import LogError, LoggedRequest

__all__ = ["PATH", "Receiver"]

log = logging.getLogger(__name__)

PATH = "/api/v1/write"  # Prometheus' own path, so that senders need not learn another one
_RETRY_AFTER = {"Retry-After": "5"}  # seconds: half of a checkpoint's interval frees the log
_CHECK_THREADS = 2  # a body of 16 MB takes seconds: a second one is checked beside it
_MAX_WAITING_BYTES = 64 << 20  # of all bodies that are being received or checked
_MAX_BODY_SECONDS = 30.0  # as long as Prometheus itself waits for an answer by default
_UNAUTHORIZED_TEXT = "the user's name and password, or the bearer token, are missing or wrong"
_NOT_STORED_TEXT = "the request cannot be stored now; send it again"
_CLIENT_CLOSED = 499  # as proxies count it: the sender hung up before it had sent everything


class Receiver:
    """Answers requests of remote write.

    Parameters
    ----------
    submit : callable
        Gives what is done once a request is on disk, as `LogWriter.submit` does.
    counts : ReceiverCounts
        Is told what happened.
    limits : Limits
        Of a message after decompression.
    max_request_bytes : int
        Of a body as it is sent.
    limit : RateLimit
        Of log lines.
    """

    def __init__(
        self,
        submit: Callable[[LoggedRequest, DecodedRequest], Future[None]],
        counts: ReceiverCounts,
        *,
        authentication: Authentication,
        limits: Limits,
        max_request_bytes: int,
        limit: RateLimit,
    ) -> None:
        self._submit = submit
        self._counts = counts
        self._authentication = authentication
        self._limits = limits
        self._max_request_bytes = max_request_bytes
        self._limit = limit
        self._threads = ThreadPoolExecutor(_CHECK_THREADS, thread_name_prefix="remote-write-check")
        self._n_waiting_bytes = 0  # belongs to the event loop
        self.route = Route(PATH, self.receive, methods=["POST"])

    def close(self) -> None:
        """End the threads; no request may come any more."""
        self._threads.shutdown(cancel_futures=True)

    async def receive(self, request: Request) -> Response:
        """Answer one request."""
        try:
            answer = await self._receive(request)
        except RefusedError as error:
            self._log(request, error)
            answer = PlainTextResponse(f"{error.text}\n", error.status, error.headers)
        except ClientDisconnect:
            answer = Response(status_code=_CLIENT_CLOSED)
        self._counts.count_request(answer.status_code)
        return answer

    async def _receive(self, request: Request) -> Response:
        if not self._authentication.accepts(request.headers.get("authorization")):
            headers = {"WWW-Authenticate": self._authentication.challenge}
            raise RefusedError(HTTPStatus.UNAUTHORIZED, _UNAUTHORIZED_TEXT, headers)
        form = form_of(request.headers)
        body = bytearray()
        try:
            await self._read(request, body)
            checked = await asyncio.get_running_loop().run_in_executor(
                self._threads, check_body, bytes(body), form, self._limits
            )
            if checked.logged is not None and checked.decoded is not None:
                await self._write(checked.logged, checked.decoded)
        finally:
            self._n_waiting_bytes -= len(body)
        self._counts.count_accepted(checked.n_samples + checked.n_histograms, len(body))
        written = _written(checked) if form.version == 2 else {}
        if checked.rejected:
            self._counts.count_rejected(checked.rejected)
            raise RefusedError(HTTPStatus.BAD_REQUEST, _partial_text(checked), written)
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=written)

    async def _read(self, request: Request, body: bytearray) -> None:
        """Read a body of a bounded size in a bounded time into `body`."""
        declared = request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > self._max_request_bytes:
            raise self._too_large()
        try:
            async with asyncio.timeout(_MAX_BODY_SECONDS):
                async for chunk in request.stream():
                    if len(body) + len(chunk) > self._max_request_bytes:
                        raise self._too_large()
                    if self._n_waiting_bytes + len(chunk) > _MAX_WAITING_BYTES:
                        text = f"{_MAX_WAITING_BYTES} bytes of other requests are being read; send it again"
                        raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, text, _RETRY_AFTER)
                    body += chunk
                    self._n_waiting_bytes += len(chunk)
        except TimeoutError as error:
            text = f"the body did not come within {_MAX_BODY_SECONDS:.0f} s"
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, text) from error

    async def _write(self, logged: LoggedRequest, decoded: DecodedRequest) -> None:
        try:
            await asyncio.wrap_future(self._submit(logged, decoded))
        except LogError as error:
            self._counts.count_log_failure()
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, _NOT_STORED_TEXT, _RETRY_AFTER, detail=str(error)
            ) from error

    def _too_large(self) -> RefusedError:
        return RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body is larger than {self._max_request_bytes} bytes: let the sender send smaller requests, "
            "or raise source.prometheus.max_request_bytes",
        )

    def _log(self, request: Request, error: RefusedError) -> None:
        n_suppressed = self._limit.passes(f"refused {error.status.value}")
        if n_suppressed is not None:
            sender = request.client.host if request.client else "unknown"
            log.warning(
                "request refused sender=%s status=%d %s%s",
                sender, error.status, error.detail or error.text, times_before(n_suppressed),
            )  # fmt: skip


def _written(checked: CheckedRequest) -> dict[str, str]:
    """Give the headers that 2.0 asks for. No exemplar is ever kept."""
    return {
        "X-Prometheus-Remote-Write-Samples-Written": str(checked.n_samples),
        "X-Prometheus-Remote-Write-Histograms-Written": str(checked.n_histograms),
        "X-Prometheus-Remote-Write-Exemplars-Written": "0",
    }


def _partial_text(checked: CheckedRequest) -> str:
    counts = ", ".join(f"{reason} {count}" for reason, count in sorted(checked.rejected.items()))
    n_written = checked.n_samples + checked.n_histograms
    return f"{n_written} samples written; not readable: {counts} ({'; '.join(checked.details)})"
