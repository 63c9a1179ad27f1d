"""Which model serves: notices that another version was promoted, and prepares it beside the loop, to be handed over between two steps."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from models.bundle import Bundle
from models.errors import BundleError, ModelError
from models.registry import Registry
from monitor.config.watch import WatchConfig
from monitor.errors import MonitorError
from monitor.storage.step_history import History
from monitor.training.warm_up import warm_up

__all__ = ["ChampionWatcher", "PreparedModel"]

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0  # real time between two looks at the champions' pointers: each reads a small file


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A version that is to serve, with tails that are current; or why it cannot: `bundle` is None then."""

    watch: WatchConfig
    version: str
    bundle: Bundle | None
    reason: str = ""


def _in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="prepare-model", daemon=True).start()


class ChampionWatcher:
    """The way of a promoted version into the loop; `poll` and `pop_ready` belong to the loop's thread.

    Parameters
    ----------
    history_since : callable
        Gives the steps that have been kept of a watch since an event time in ms, with a model's
        channels first; None where there are none.
    serving : mapping
        The version that judges each watch now; the caller keeps it up to date.
    start : callable
        Does a piece of work beside the loop; a thread of its own in the daemon.
    """

    def __init__(
        self,
        watches: Sequence[WatchConfig],
        *,
        registry: Callable[[WatchConfig], Registry],
        history_since: Callable[[WatchConfig, Bundle], History | None],
        serving: Mapping[str, str | None],
        start: Callable[[Callable[[], None]], None] = _in_a_thread,
    ) -> None:
        self._watches = {watch.name: watch for watch in watches}
        self._registries = {name: registry(watch) for name, watch in self._watches.items()}
        self._history_since = history_since
        self._serving = serving
        self._start = start
        # What was promoted before was loaded at the start, or refused.
        self._tried: dict[str, str | None] = {name: self._champion(name) for name in self._watches}
        self._ready: queue.SimpleQueue[PreparedModel] = queue.SimpleQueue()
        self._polled_at = -_POLL_SECONDS

    def poll(self, monotonic: float) -> None:
        """See, at most once a second, whether another version was promoted, and begin to prepare it."""
        if monotonic - self._polled_at < _POLL_SECONDS:
            return
        self._polled_at = monotonic
        for name, watch in self._watches.items():
            version = self._champion(name)
            if version is None or version in (self._serving[name], self._tried[name]):
                continue
            self._tried[name] = version  # once: what was refused is not tried again every second
            log.info("model promoted watch=%s version=%s: preparing it", name, version)
            self._start(lambda watch=watch, version=version: self._ready.put(self._prepared(watch, version)))  # type: ignore[misc]

    def pop_ready(self) -> list[PreparedModel]:
        """Give what has become ready, but for versions that are no longer to serve."""
        ready = []
        while not self._ready.empty():
            prepared = self._ready.get()
            if self._champion(prepared.watch.name) == prepared.version:
                ready.append(prepared)
            else:
                self._tried[prepared.watch.name] = None
        return ready

    def _champion(self, name: str) -> str | None:
        try:
            return self._registries[name].champion()
        except BundleError as error:
            log.error("champion unknown watch=%s error=%s", name, error)
            return None

    def _prepared(self, watch: WatchConfig, version: str) -> PreparedModel:
        try:
            bundle = self._registries[watch.name].load(version)
            return PreparedModel(watch, version, warm_up(watch, bundle, self._history_since(watch, bundle)))
        except (ModelError, MonitorError) as error:
            return PreparedModel(watch, version, None, str(error))
