"""Log lines about what a watch lacks, at a limited rate: series that match it, and data of its entities."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

import numpy as np

from monitor.alerting.text import time_text
from monitor.clock import Clock
from monitor.derive.inputs import DerivedInputs, rules_without_series
from monitor.detection.pipeline import Decision, Pipeline
from monitor.detection.view import WatchView
from monitor.log_limit import RateLimit
from monitor.text import first_of, printable

__all__ = ["WatchLog"]

log = logging.getLogger(__name__)

_EVERY_SECONDS = 600.0  # between the first two log lines about a watch that nothing matches
_SAMPLES_SECONDS = 10.0  # from the first samples on: a source rarely brings all series in one batch
_COVERAGE_SECONDS = 60.0  # between the first two log lines of one kind about a watch's entities
_N_NAMED = 10  # entities in a log line; `barograph status --all` has all of them
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
        self._coverage_limit = RateLimit(clock.monotonic, every_seconds=_COVERAGE_SECONDS)
        self._logged: dict[str, set[str]] = {}  # by watch: the entities whose data was last logged as missing

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
            elif not is_fault and watch.entities.inputs is not None and watch.entities.entities:
                self._log_without_series(watch.name, watch.entities.inputs)

    def _log_without_series(self, watch: str, inputs: DerivedInputs) -> None:
        """Log each derived channel that the watch has no series for."""
        for rule in rules_without_series(inputs):
            if self._unmatched_limit.passes(f"{watch} {rule.name}") is not None:
                metric = rule.over or rule.of
                log.warning(
                    "watch %s: derived channel %s: no series named %s with the labels asked for; they must "
                    "also fit the watch's metrics, match and by", watch, rule.name, printable(metric),
                )  # fmt: skip

    def log_coverage(self, views: Iterable[WatchView]) -> None:
        """Log the entities that are no longer judged, those that are again, and those that are given up."""
        for view in views:
            logged = self._logged.setdefault(view.name, set())
            if logged or view.coverage.missing.any():
                self._log_changes(view, logged)

    def _log_changes(self, view: WatchView, logged: set[str]) -> None:
        """Log what has changed since `logged`, and note it there; what the rate holds back comes later."""
        coverage = view.coverage
        rows = coverage.longest_missing(len(coverage.missing)).tolist()
        missing = {view.entities[row]: row for row in rows}
        lost = [entity for entity in missing if entity not in logged]
        watch = printable(view.name)
        if lost and self._passes("lost", view):
            since_ms = int(coverage.since_ms[[missing[entity] for entity in lost]].min())
            log.warning(
                "no data for %s (%d of %d entities) watch=%s since=%s: their input has ended or has gaps",
                _names(lost), len(missing), np.count_nonzero(coverage.expected), watch, time_text(since_ms),
            )  # fmt: skip
            logged.update(lost)
        ended = sorted(logged - missing.keys())
        if not ended:
            return
        expected = {view.entities[row] for row in np.flatnonzero(coverage.expected).tolist()}
        back = [entity for entity in ended if entity in expected]
        gone = [entity for entity in ended if entity not in expected]
        if back and self._passes("back", view):
            log.info("data again for %s watch=%s: %d still without", _names(back), watch, len(missing))
            logged.difference_update(back)
        if gone and self._passes("gone", view):
            log.info("no longer expected: %s watch=%s: without data for too long", _names(gone), watch)
            logged.difference_update(gone)

    def _passes(self, event: str, view: WatchView) -> bool:
        return self._coverage_limit.passes(f"{event} {view.name}") is not None


def _names(entities: Collection[str]) -> str:
    """Write the first names, and how many more there are."""
    return printable(first_of(list(entities), _N_NAMED))
