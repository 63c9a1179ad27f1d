"""What one batch did to a watch, as numbers for its metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.alerting.corrections import RevisionKind
from monitor.alerting.episodes import Changes
from monitor.detection.scored_step import Reason, ScoredStep

__all__ = ["WatchReport", "count_step", "count_suppressed"]


@dataclass(slots=True)
class WatchReport:
    """What one batch did to a watch."""

    n_samples: int = 0
    n_late: int = 0  # dropped
    n_revised: int = 0  # late, and accepted for closed steps
    n_conflicting: int = 0  # of the accepted: another value than there was for the same series and time
    n_refused: int = 0  # of series that the watch has no room for
    n_forgotten: int = 0  # entities
    n_steps_back: int = 0  # by which the source's clock was set back
    n_steps: int = 0
    n_scored: int = 0
    n_repeated: int = 0  # steps that were judged again behind a restart, and not reported again
    n_over_limit: int = 0
    n_judged_again: int = 0  # windows
    revised: dict[RevisionKind, int] = field(default_factory=dict)  # alerts
    n_expected: int = 0  # entities that should be judged, and those that are
    n_judged: int = 0
    n_matching: int = 0  # series
    has_just_begun: bool = False  # the watch has not had the time to close a step
    not_judged: dict[str, int] = field(default_factory=dict)
    suppressed: dict[str, int] = field(default_factory=dict)


def count_step(scored: ScoredStep, changes: Changes, report: WatchReport) -> None:
    """Count one scored step."""
    report.n_steps += 1
    report.n_scored += int(scored.judged.sum())
    report.n_over_limit += int((scored.score[scored.judged] >= 1.0).sum())
    for reason in Reason:
        if reason is not Reason.JUDGED:
            name = reason.name.lower()
            report.not_judged[name] = report.not_judged.get(name, 0) + int((scored.reason == reason).sum())
    count_suppressed(changes, report)


def count_suppressed(changes: Changes, report: WatchReport) -> None:
    """Count over-limit scores that became no part of an episode."""
    for name, count in changes.suppressed.items():
        report.suppressed[name] = report.suppressed.get(name, 0) + count
