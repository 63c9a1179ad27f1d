"""Notices that another version was promoted or rolled back to, and prepares it in a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.bundle import Bundle
from models.errors import BundleError, ModelError
from monitor.daemon.served_watch import ServedWatch
from monitor.errors import MonitorError

__all__ = ["ChampionWatcher", "PreparedModel"]

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0  # real time between two polls of the champion pointers: each reads a small file


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A version that is to judge a watch, warmed up; or why it cannot: `bundle` is None then."""

    watch: str
    version: str
    bundle: Bundle | None
    reason: str = ""


def _start_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="prepare-model", daemon=True).start()


class ChampionWatcher:
    """Brings promoted versions to the loop; `poll` and `pop_ready` belong to the loop's thread.

    Parameters
    ----------
    watches : sequence of ServedWatch
        Read here, never changed.
    start : callable
        Runs a piece of work beside the loop; in a thread of its own in the daemon.
    """

    def __init__(
        self, watches: Sequence[ServedWatch], *, start: Callable[[Callable[[], None]], None] = _start_thread
    ) -> None:
        self._watches = {served.name: served for served in watches}
        self._start = start
        # A version that was the champion before was loaded at the start, or refused.
        self._tried: dict[str, str | None] = {name: self._champion(name) for name in self._watches}
        self._ready: queue.SimpleQueue[PreparedModel] = queue.SimpleQueue()
        self._polled_at = -_POLL_SECONDS

    def poll(self, monotonic: float) -> None:
        """Check, at most once a second, whether another version is the champion, and begin to prepare it."""
        if monotonic - self._polled_at < _POLL_SECONDS:
            return
        self._polled_at = monotonic
        for name, served in self._watches.items():
            version = self._champion(name)
            if version is None or version in (served.version, self._tried[name]):
                continue
            self._tried[name] = version  # once: a refused version is not tried again every second
            log.info("model promoted watch=%s version=%s: preparing it", name, version)
            self._start(self._preparing(served, version))

    def pop_ready(self) -> list[PreparedModel]:
        """Give the versions that are ready, without those that are no longer the champion."""
        ready = []
        while not self._ready.empty():
            prepared = self._ready.get()
            if self._champion(prepared.watch) == prepared.version:
                ready.append(prepared)
            else:
                self._tried[prepared.watch] = None
        return ready

    def _champion(self, name: str) -> str | None:
        try:
            return self._watches[name].loader.registry.champion()
        except BundleError as error:
            log.error("champion unknown watch=%s error=%s", name, error)
            return None

    def _preparing(self, served: ServedWatch, version: str) -> Callable[[], None]:
        """Give the work that prepares a version."""

        def prepare() -> None:
            try:
                prepared = PreparedModel(served.name, version, served.loader.load(version))
            except (ModelError, MonitorError) as error:
                prepared = PreparedModel(served.name, version, None, str(error))
            self._ready.put(prepared)

        return prepare
