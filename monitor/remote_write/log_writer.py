"""Writes requests to the log in a thread of its own: those that wait share one write and one sync."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from monitor.remote_write.recent_requests import DecodedRequest
from monitor.remote_write.write_ahead_log import LogError, LoggedRequest

__all__ = ["LogWriter"]

_MOST_BYTES = 4 << 20  # of one write: a disk does that in well under a second
_CLOSE_SECONDS = 5.0


class _Waiting(NamedTuple):
    request: LoggedRequest
    decoded: DecodedRequest
    written: Future[None]


class LogWriter:
    """Appends requests; the thread starts with the first.

    Parameters
    ----------
    append : callable
        Writes requests to disk, as `WriteAheadLog.append` does.
    on_written : callable
        Given, in the writer's thread, what was written: the offset behind each request, and its samples.
    """

    def __init__(
        self,
        append: Callable[[Sequence[LoggedRequest]], Sequence[int]],
        on_written: Callable[[Sequence[tuple[int, DecodedRequest]]], None],
    ) -> None:
        self._append = append
        self._on_written = on_written
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # of the two below
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def submit(self, request: LoggedRequest, decoded: DecodedRequest) -> Future[None]:
        """Give what is done once the request is on disk, or fails with `LogError`."""
        written: Future[None] = Future()
        written.set_running_or_notify_cancel()  # a sender that hangs up cannot take it back
        with self._lock:
            if self._is_closed:
                written.set_exception(LogError("the daemon is stopping"))
                return written
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="remote-write-log", daemon=True)
                self._thread.start()
            self._waiting.put(_Waiting(request, decoded, written))
        return written

    def close(self) -> None:
        """Write what waits, and stop."""
        with self._lock:
            self._is_closed = True
            thread = self._thread
        if thread is not None:
            self._waiting.put(None)
            thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        first = self._waiting.get()
        while first is not None:
            group, first = self._group(first)
            self._write(group)
            first = first or self._waiting.get()

    def _group(self, first: _Waiting) -> tuple[list[_Waiting], _Waiting | None]:
        """Give what waits already, up to a size; and the request behind it that was too much."""
        group, n_bytes = [first], len(first.request.body)
        while not self._waiting.empty():
            following = self._waiting.get()
            if following is None:
                self._waiting.put(None)
                break
            n_bytes += len(following.request.body)
            if n_bytes > _MOST_BYTES:
                return group, following
            group.append(following)
        return group, None

    def _write(self, group: Sequence[_Waiting]) -> None:
        try:
            ends = self._append([waiting.request for waiting in group])
            self._on_written([(end, waiting.decoded) for end, waiting in zip(ends, group, strict=True)])
        except Exception as error:  # whoever waits for it raises it
            for waiting in group:
                waiting.written.set_exception(error)
        else:
            for waiting in group:
                waiting.written.set_result(None)
