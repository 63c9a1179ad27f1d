"""What every source does, and what a poll returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from monitor.sample import Columns
from monitor.sources.position import Position

__all__ = ["Batch", "ReceiverReport", "Source", "SourceReport"]


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What a source with topics and partitions did since its last batch, and its present state.

    Parameters
    ----------
    n_records, n_bytes, n_lost : mapping
        Counts by topic.
    commits : mapping
        Number of commits by result: done, failed.
    errors : mapping
        Number of errors by the reaction: retried, rebuilt.
    lag : mapping
        By topic and partition of those that are read: records left to read.
    lag_seconds : mapping
        Time between the newest event time and now; 0 if nothing is left to read.
    newest_seconds : mapping
        That newest event time, in seconds since the epoch.
    wrong_format : mapping
        Whether the partition's records are in a format other than the expected one.
    dead_letters : mapping
        Number of dead letters by result.
    n_recreated : mapping
        How often each topic was found to be deleted and made again.
    n_queued, n_queued_bytes : int
        Records that were fetched and not returned yet. While there are any, the source is `paused` and
        fetches no more.
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
    n_recreated: Mapping[str, int] = field(default_factory=dict)
    n_queued: int = 0
    n_queued_bytes: int = 0
    paused: bool = False


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """What a source that is sent requests did since its last batch, and its present state.

    Parameters
    ----------
    requests : mapping
        Number of answers by HTTP status.
    n_samples, n_bytes : int
        Samples that were acknowledged, and the bytes of their requests.
    n_log_failures, n_log_damaged : int
        Requests that could not be written to the log, and damaged places found in it.
    n_log_bytes, n_unread_samples : int
        Size of the log, and samples in it that were not processed yet.
    """

    requests: Mapping[int, int] = field(default_factory=dict)
    n_samples: int = 0
    n_bytes: int = 0
    n_log_failures: int = 0
    n_log_damaged: int = 0
    n_log_bytes: int = 0
    n_unread_samples: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What a poll returns.

    Parameters
    ----------
    now_ms : int
        The source's event time: this machine's clock for a live source, the progress of a replay.
    finished : bool
        No sample will ever follow.
    n_bad : tuple
        How many records could not be read, by reason.
    complete_ms : int, optional
        Of a source with partitions: the event time up to which all of them have been read. None: the newest
        sample decides.
    delivered_ms : int, optional
        An earlier run notified everything up to this complete time.
    ready : bool
        The source is open.
    """

    columns: Columns
    now_ms: int
    finished: bool = False
    n_bad: tuple[tuple[str, int], ...] = ()
    complete_ms: int | None = None
    delivered_ms: int | None = None
    ready: bool = True
    report: SourceReport | ReceiverReport | None = None


class Source(Protocol):
    """A stream of samples: from this machine, from Kafka, from files, or from a list in tests."""

    def poll(self, timeout_seconds: float) -> Batch:
        """Give what has arrived, after waiting at most `timeout_seconds` for something; may be empty."""
        ...

    def position(self) -> Position:
        """Give how far samples were returned: a source built with it continues after the last of them."""
        ...

    def commit(self, position: Position) -> None:
        """Acknowledge that everything up to a position has been processed and stored.

        Called every few seconds, also with the same position again.
        """
        ...

    def close(self) -> None:
        """Release connections and files."""
        ...
