"""Where samples come from: one file an outside system, all behind one Protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from monitor.sample import Columns
from monitor.sources.position import Position

__all__ = ["Batch", "Source", "SourceReport"]


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What a source with topics and partitions did since its last batch, and where it stands.

    `commits` by result (done, failed), `errors` by what was done about them (retried, rebuilt), `dead_letters` (dead ones)
    by result. By topic and partition, of those that are read: `lag` in records, and `lag_seconds` between the newest event
    time and now, 0 where nothing is left to read; `newest_seconds`, that event time; `wrong_format`. `n_queued` records
    were fetched and not handed out yet; while there are any, the source is `paused` and fetches no more.
    """

    n_records: Mapping[str, int] = field(default_factory=dict)
    n_bytes: Mapping[str, int] = field(default_factory=dict)
    n_lost: Mapping[str, int] = field(default_factory=dict)
    commits: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    n_rebalances: int = 0
    lag: Mapping[tuple[str, int], int] = field(default_factory=dict)
    lag_seconds: Mapping[tuple[str, int], float] = field(default_factory=dict)
    newest_seconds: Mapping[tuple[str, int], float] = field(default_factory=dict)
    wrong_format: Mapping[tuple[str, int], bool] = field(default_factory=dict)
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    n_queued: int = 0
    n_queued_bytes: int = 0
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll brought.

    `now_ms` is the source's event time: the machine's clock for a live source, how far it has
    come for a replayed one. `finished`: nothing will ever follow. `n_bad` counts records that
    could not be read, by reason.

    `complete_ms`, of a source with partitions, is the event time up to which all of them have been
    read; None: the newest sample speaks for all. `delivered_ms`: an earlier run reported everything
    up to this complete time. `ready`: the source is open.
    """

    columns: Columns
    now_ms: int
    finished: bool = False
    n_bad: tuple[tuple[str, int], ...] = ()
    complete_ms: int | None = None
    delivered_ms: int | None = None
    ready: bool = True
    report: SourceReport | None = None


class Source(Protocol):
    """A stream of samples: live, from Kafka, from files, or from a list in tests."""

    def poll(self, timeout_seconds: float) -> Batch:
        """Give what has come, waiting up to `timeout_seconds` for something; may be empty."""
        ...

    def position(self) -> Position:
        """Give how far samples were handed out: a source built with it goes on behind the last of them."""
        ...

    def commit(self, position: Position) -> None:
        """Take note that everything up to a position has been dealt with, and kept.

        Called every few seconds, also with the same position again.
        """
        ...

    def close(self) -> None:
        """Let go of what is held open."""
        ...
