"""Instruments of what lies on the disk: checkpoints, the step history, the alert history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from monitor.metrics.catalogue import Catalogue
from monitor.storage.step_history_reader import SKIPPED_REASONS

__all__ = ["StorageMetrics"]


class StorageMetrics:
    """What was written to the disk, and what could not be."""

    def __init__(self, catalogue: Catalogue, watches: Iterable[str]) -> None:
        self._last_checkpoint = catalogue.gauge(
            "barograph_last_checkpoint_timestamp_seconds",
            "When the last checkpoint was written, by this machine's clock.",
        )
        self._checkpoint_failures = catalogue.counter(
            "barograph_checkpoint_failures_total", "Checkpoints that could not be written or read."
        )
        self._history_bytes = catalogue.gauge("barograph_history_bytes", "Size of the step history.", "watch")
        self._history_failures = catalogue.counter(
            "barograph_history_failures_total",
            "Segments of the step history that could not be written; their steps are missing from it.",
            "watch",
        )
        self._history_skipped = catalogue.counter(
            "barograph_history_segments_skipped_total",
            "Segments that a training skipped, by reason: gone, unreadable, settings "
            "(made under other settings).",
            "watch",
            "reason",
        )
        self._alert_history_failures = catalogue.counter(
            "barograph_alert_history_failures_total",
            "Times that the alert history could not be written or read; notifications are sent all the same.",
        )
        for watch in watches:
            self._history_failures.labels(watch)
            for reason in SKIPPED_REASONS:
                self._history_skipped.labels(watch, reason)

    def checkpoint_saved(self, now: float) -> None:
        """Show when a checkpoint was written; `now` in seconds since the epoch."""
        self._last_checkpoint.set(now)

    def checkpoint_failed(self) -> None:
        """Count a checkpoint that could not be written or read."""
        self._checkpoint_failures.inc()

    def history_written(self, watch: str, n_bytes: int) -> None:
        """Show how large a step history is."""
        self._history_bytes.labels(watch).set(n_bytes)

    def history_failed(self, watch: str) -> None:
        """Count a segment that could not be written."""
        self._history_failures.labels(watch).inc()

    def history_skipped(self, watch: str, skipped: Mapping[str, int]) -> None:
        """Count the segments that a training skipped, by reason."""
        for reason, count in skipped.items():
            self._history_skipped.labels(watch, reason).inc(count)

    def alert_history_failed(self) -> None:
        """Count a failure of the alert history."""
        self._alert_history_failures.inc()
