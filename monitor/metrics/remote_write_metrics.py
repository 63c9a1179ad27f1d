"""Instruments of the receiver of remote write."""

from __future__ import annotations

from monitor.metrics.catalogue import Catalogue
from monitor.sources.source import ReceiverReport

__all__ = ["RemoteWriteMetrics"]

_STATUSES = (204, 400, 401, 408, 413, 415, 503)  # as the receiver answers


class RemoteWriteMetrics:
    """What was received, how it was answered, and what waits in the log."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._requests = catalogue.counter(
            "barograph_remote_write_requests_total",
            "Requests of remote write by the status of the answer: 204 is acknowledged and on disk, 400 not "
            "readable in whole or in part, 503 to be sent again.",
            "status",
        )
        self._samples = catalogue.counter(
            "barograph_remote_write_samples_total", "Samples received by remote write and acknowledged."
        )
        self._bytes = catalogue.counter(
            "barograph_remote_write_bytes_total", "Bytes of the requests acknowledged, compressed as sent."
        )
        self._log_failures = catalogue.counter(
            "barograph_remote_write_log_failures_total",
            "Requests that could not be written to the log on disk, or for which it was full: the sender "
            "must send them again.",
        )
        self._log_damaged = catalogue.counter(
            "barograph_remote_write_log_damaged_total",
            "Damaged places in the log on disk; what was acknowledged there is lost.",
        )
        self._log_bytes = catalogue.gauge(
            "barograph_remote_write_log_bytes",
            "Size of the log on disk; source.prometheus.max_log_bytes bounds it.",
        )
        self._unread = catalogue.gauge(
            "barograph_remote_write_unread_samples", "Samples in the log that were not processed yet."
        )
        for status in _STATUSES:
            self._requests.labels(str(status))

    def count(self, report: ReceiverReport) -> None:
        """Count what the receiver has done since its last report, and show where it stands."""
        for status, count in report.requests.items():
            self._requests.labels(str(status)).inc(count)
        self._samples.inc(report.n_samples)
        self._bytes.inc(report.n_bytes)
        self._log_failures.inc(report.n_log_failures)
        self._log_damaged.inc(report.n_log_damaged)
        self._log_bytes.set(report.n_log_bytes)
        self._unread.set(report.n_unread_samples)
