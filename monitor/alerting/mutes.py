"""What an operator asks the daemon for: to accept an episode as normal, or to mute an entity for a time.

A muted entity is judged as ever and its episodes are stored, but nobody is notified of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

__all__ = ["Mutes", "OperatorAction", "OperatorRequest", "RequestKind"]

RequestKind = Literal["accept", "mute", "unmute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRequest:
    """One request; times are real time, in seconds since the epoch.

    `id` is its own. `episode` is the identity of the one to accept; `until` is when a mute ends.
    """

    id: str
    kind: RequestKind
    watch: str
    entity: str
    who: str
    why: str
    asked_at: float
    episode: str = ""
    until: float | None = None

    @property
    def note(self) -> str:
        """Who asks, and why."""
        return f"{self.who}: {self.why}" if self.why else self.who


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """A request as the daemon has taken it: whether it was done, and the result in words."""

    request: OperatorRequest
    done: bool
    result: str


class Mutes:
    """Which entities are muted; time is passed in.

    Parameters
    ----------
    requests : iterable of OperatorRequest
        Those that were done before, oldest first.
    """

    def __init__(self, requests: Iterable[OperatorRequest] = ()) -> None:
        self._newest: dict[tuple[str, str], OperatorRequest] = {}
        for request in requests:
            self.apply(request)

    def apply(self, request: OperatorRequest) -> None:
        """Mute an entity, until another time where it is muted already; or end that."""
        key = (request.watch, request.entity)
        if request.kind == "mute":
            self._newest[key] = request
        elif request.kind == "unmute":
            self._newest.pop(key, None)

    def active(self, now: float) -> list[OperatorRequest]:
        """Give the mutes that have not ended, in the order of their entities; forget those that have."""
        self._newest = {
            key: request
            for key, request in self._newest.items()
            if request.until is not None and request.until > now
        }
        return [self._newest[key] for key in sorted(self._newest)]

    def muted(self, now: float) -> AbstractSet[tuple[str, str]]:
        """Give the muted entities, each with its watch."""
        return frozenset((request.watch, request.entity) for request in self.active(now))
