"""Log lines about what is judged: when a watch begins, and what a source that has ended came to."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from monitor.alerting.text import time_text
from monitor.detection.pipeline import Decision, Pipeline
from monitor.detection.report import WatchReport
from monitor.detection.view import WatchView
from monitor.sources.source import Batch

__all__ = ["JudgingLog"]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Total:
    """What became of a watch's samples, steps and windows since the start."""

    n_samples: int = 0
    n_steps: int = 0
    n_judged: int = 0  # windows
    n_opened: int = 0  # episodes
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, report: WatchReport) -> None:
        self.n_samples += report.n_samples
        self.n_steps += report.n_steps
        self.n_judged += report.n_scored
        self.skipped.update(late=report.n_late, refused=report.n_refused)
        self.skipped.update({f"window_{reason}": count for reason, count in report.not_judged.items()})

    def count_episode(self) -> None:
        self.n_opened += 1


class JudgingLog:
    """Logs when each watch judges for the first time, and totals when the source ends.

    Parameters
    ----------
    version_of : callable
        Gives the version of the model that judges a watch; None where the baselines judge alone.
    """

    def __init__(self, version_of: Callable[[str], str | None]) -> None:
        self._version_of = version_of
        self._n_samples = 0
        self._first_ms: int | None = None
        self._last_ms: int | None = None
        self._skipped: Counter[str] = Counter()
        self._totals: dict[str, _Total] = {}

    def count(self, batch: Batch, decision: Decision, pipeline: Pipeline) -> None:
        """Count a batch, and log the watches that begin with it to judge."""
        times = batch.columns.time_ms
        if len(times):
            self._n_samples += len(times)
            first_ms, last_ms = int(times.min()), int(times.max())
            self._first_ms = first_ms if self._first_ms is None else min(self._first_ms, first_ms)
            self._last_ms = last_ms if self._last_ms is None else max(self._last_ms, last_ms)
        for reason, count in (*decision.rejected.items(), *batch.n_bad):
            self._skipped[reason] += count
        for watch in pipeline.watches:
            report = decision.reports[watch.name]
            total = self._totals.setdefault(watch.name, _Total())
            if report.n_scored and not total.n_judged:
                self._log_begin(watch.view())
            total.add(report)
        for alert in decision.alerts:
            if alert.resolved_ms is None and not alert.amends:
                self._totals[alert.watch].count_episode()

    def _log_begin(self, view: WatchView) -> None:
        scored = view.last_scored
        log.info(
            "judging began watch=%s entities=%d of %d model=%s limit=%s",
            view.name,
            0 if scored is None else int(scored.judged.sum()),
            len(view.entities),
            self._version_of(view.name) or "none",
            "provisional" if view.limit is None or view.limit.provisional else "full",
        )

    def log_end(self) -> None:
        """Log what was read, judged, found and skipped in all."""
        span = "none"
        if self._first_ms is not None and self._last_ms is not None:
            span = f"{time_text(self._first_ms)} to {time_text(self._last_ms)}"
        log.info("replayed samples=%d time=%s skipped=%s", self._n_samples, span, _listed(self._skipped))
        for watch, total in self._totals.items():
            log.info(
                "replayed watch=%s samples=%d steps=%d windows_judged=%d episodes_opened=%d skipped=%s",
                watch,
                total.n_samples,
                total.n_steps,
                total.n_judged,
                total.n_opened,
                _listed(total.skipped),
            )


def _listed(counts: Mapping[str, int]) -> str:
    """Write counts by name, without zeros; "none" where there is nothing else."""
    return ",".join(f"{name}:{count}" for name, count in counts.items() if count) or "none"
