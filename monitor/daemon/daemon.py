"""The service: started, run and stopped in order; `monitor.daemon.build` puts it together."""

from __future__ import annotations

import threading
from collections.abc import Callable

from monitor.daemon.loop import Loop
from monitor.daemon.watchdog import Watchdog
from monitor.storage.alert_history import AlertHistory
from monitor.storage.lock import Lock
from monitor.web.server import WebServer

__all__ = ["Daemon"]


class Daemon:
    """The whole service; its web server answers already, its loop turns in `run`.

    Parameters
    ----------
    lock : Lock
        Of the data directory; released by `close`.
    alert_history : AlertHistory, optional
        Closed by `close`; None where no state is kept.
    on_stalled : callable, optional
        Called in a thread of its own when the loop hangs; without it no watchdog runs.
    stalled_after_seconds : float
        Real time without a turn after which the loop counts as hung.
    """

    def __init__(
        self,
        loop: Loop,
        web: WebServer,
        lock: Lock,
        *,
        alert_history: AlertHistory | None,
        on_stalled: Callable[[], None] | None,
        stalled_after_seconds: float,
    ) -> None:
        self.loop = loop
        self._web = web
        self._lock = lock
        self._alert_history = alert_history
        self._on_stalled = on_stalled
        self._stalled_after_seconds = stalled_after_seconds
        self._watchdog: Watchdog | None = None

    @property
    def address(self) -> str:
        """Where the web server listens, `host:port`."""
        return self._web.address

    def run(self, stop: threading.Event, *, exit_at_end: bool = False) -> None:
        """Run until `stop` is set, or until the source ends where that is asked for."""
        if self.loop.retraining is not None:
            self.loop.retraining.start()
        if self._on_stalled is not None:
            self._watchdog = Watchdog(
                lambda: self.loop.health.ticked_at,
                self.loop.clock,
                stalled_after_seconds=self._stalled_after_seconds,
                on_stalled=self._on_stalled,
            )
        self.loop.run(stop, exit_at_end=exit_at_end)

    def close(self) -> None:
        """Stop what was started, in the reverse order."""
        if self.loop.retraining is not None:
            self.loop.retraining.close()
        self._web.close()
        self.loop.source.close()
        if self._alert_history is not None:
            self._alert_history.close()
        self._lock.release()
        if self._watchdog is not None:
            self._watchdog.close()  # last: it also ends a process that hangs while it stops
