"""Counts what the receiver does, in several threads, until the loop collects it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Counted", "ReceiverCounts"]


@dataclass(slots=True)
class Counted:
    """Counts since the last collection: requests by status, what could not be read by reason."""

    requests: Counter[int] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    n_samples: int = 0
    n_bytes: int = 0
    n_log_failures: int = 0

    def accept(self, n_samples: int, n_bytes: int) -> None:
        """Add a request that was acknowledged, with its size as it was sent."""
        self.n_samples += n_samples
        self.n_bytes += n_bytes

    def fail(self) -> None:
        """Add a request that could not be written to the log."""
        self.n_log_failures += 1


class ReceiverCounts:
    """The counts that several threads add to and the loop collects."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted = Counted()

    def count_request(self, status: int) -> None:
        """Count an answer."""
        with self._lock:
            self._counted.requests[status] += 1

    def count_accepted(self, n_samples: int, n_bytes: int) -> None:
        """Count a request that is on disk."""
        with self._lock:
            self._counted.accept(n_samples, n_bytes)

    def count_rejected(self, rejected: Mapping[str, int]) -> None:
        """Count what could not be read of a request."""
        with self._lock:
            self._counted.rejected.update(rejected)

    def count_log_failure(self) -> None:
        """Count a request that could not be written to the log."""
        with self._lock:
            self._counted.fail()

    def collect(self) -> Counted:
        """Give the counts since the last time."""
        with self._lock:
            counted, self._counted = self._counted, Counted()
        return counted
