"""Log lines about what a watch lacks, at a limited rate: series that match it."""

from __future__ import annotations

import logging
from collections.abc import Collection

from monitor.clock import Clock
from monitor.detection.pipeline import Decision, Pipeline
from monitor.log_limit import RateLimit
from monitor.text import printable

__all__ = ["WatchLog"]

log = logging.getLogger(__name__)

_EVERY_SECONDS = 600.0  # between two log lines about a watch that nothing matches
_SAMPLES_SECONDS = 10.0  # from the first samples on: a source rarely brings all series in one batch
_NO_SAMPLES_SECONDS = 300.0  # from the start on: brokers may have to be found first


class WatchLog:
    """Logs what watches lack, in the loop's thread.

    Parameters
    ----------
    optional : collection of str
        The watches for which it is no fault that no series matches.
    """

    def __init__(self, clock: Clock, *, optional: Collection[str] = ()) -> None:
        self._clock = clock
        self._optional = optional
        self._unmatched_limit = RateLimit(clock.monotonic, every_seconds=_EVERY_SECONDS)
        self._unmatched_from = clock.monotonic() + _NO_SAMPLES_SECONDS

    def log_unmatched(self, decision: Decision, pipeline: Pipeline, *, has_samples: bool) -> None:
        """Log each watch that no series matches, with what there is instead.

        Parameters
        ----------
        has_samples : bool
            Whether the batch had samples, of whatever series.
        """
        now = self._clock.monotonic()
        if has_samples:
            self._unmatched_from = min(self._unmatched_from, now + _SAMPLES_SECONDS)
        if now < self._unmatched_from:
            return
        for watch in pipeline.watches:
            is_fault = not decision.reports[watch.name].n_matching and watch.name not in self._optional
            if is_fault and self._unmatched_limit.passes(watch.name) is not None:
                reason = printable(watch.entities.explain_no_match(pipeline.table))
                log.warning("watch %s: no matching series: %s", watch.name, reason)
