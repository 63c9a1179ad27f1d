"""The numbers of one batch."""

import numpy as np
from stage_settings import alert_policy

from monitor.alerting.episodes import EpisodeBook
from monitor.detection.report import WatchReport, count_step
from monitor.detection.scored_step import Reason, ScoredStep


def counted(report, reasons, scores, *, book):
    n = len(scores)
    cells = np.zeros((n, 1))
    scored = ScoredStep(
        1000,
        reason=np.array(reasons, np.int8),
        surprise=np.array(scores),
        score=np.array(scores),
        channel_error=cells,
        elevated_since_ms=np.zeros((n, 1), np.int64),
        actual=cells,
        expected=cells,
    )
    vetoed = np.zeros(n, bool)
    vetoed[0] = True
    count_step(
        scored, book.update(1000, np.where(scored.judged, scored.score, np.nan), vetoed=vetoed), report
    )


def test_steps_and_reasons_add_up_over_a_batch():
    report, book = WatchReport(), EpisodeBook(alert_policy())

    counted(report, [Reason.JUDGED, Reason.JUDGED, Reason.GAP], [1.5, 0.5, np.nan], book=book)
    counted(report, [Reason.JUDGED, Reason.STALE, Reason.WARMING], [2.5, np.nan, np.nan], book=book)

    assert (report.n_steps, report.n_scored, report.n_over_limit) == (2, 3, 2)
    assert report.not_judged == {"warming": 1, "gap": 1, "stale": 1}


def test_scores_that_become_no_part_of_an_episode_are_counted_by_reason():
    report = WatchReport()

    counted(report, [Reason.JUDGED], [1.5], book=EpisodeBook(alert_policy()))

    assert report.suppressed == {"policy": 1, "rest": 0, "hold": 0, "return": 0}
