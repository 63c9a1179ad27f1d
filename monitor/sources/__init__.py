"""Where samples come from: one file an outside system, all behind one Protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from monitor.sample import Columns

__all__ = ["Batch", "Source"]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll brought.

    `now_ms` is the source's event time: the machine's clock for a live source, how far it has
    come for a replayed one. `finished`: nothing will ever follow. `n_bad` counts records that
    could not be read, by reason.
    """

    columns: Columns
    now_ms: int
    finished: bool = False
    n_bad: tuple[tuple[str, int], ...] = ()


class Source(Protocol):
    """A stream of samples: live, from files, or from a list in tests."""

    def poll(self, timeout_seconds: float) -> Batch:
        """Give what has come, waiting up to `timeout_seconds` for something; may be empty."""
        ...

    def position_ms(self) -> int | None:
        """Give the event time up to which samples were handed out and need not come again; None for a live source."""
        ...

    def close(self) -> None:
        """Let go of what is held open."""
        ...
