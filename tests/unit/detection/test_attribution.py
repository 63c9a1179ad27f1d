"""Which channels an alert names."""

import numpy as np
import pytest

from monitor.alerting.alert import Alert
from monitor.detection.attribution import at_peak, top_channels
from monitor.detection.scored_step import Reason, ScoredStep


def step(error, *, score=2.0):
    n = len(error)
    return ScoredStep(
        5000,
        reason=np.array([Reason.JUDGED], np.int8),
        surprise=np.array([6.0]),
        score=np.array([score]),
        channel_error=np.array([error], float),
        elevated_since_ms=np.arange(n, dtype=np.int64)[None, :],
        actual=np.arange(n, dtype=float)[None, :],
        expected=np.zeros((1, n)),
    )


def alert(score):
    return Alert(
        watch="w",
        entity="web1",
        since_ms=1000,
        opened_ms=2000,
        score=score,
        limit=3.0,
        provisional=False,
        channels=(),
    )


def test_shares_are_of_the_squared_error_and_the_largest_comes_first():
    shares = top_channels(step([1, 3]), 0, ["load", "queue"])

    assert [(share.channel, share.share) for share in shares] == [("queue", 0.9), ("load", 0.1)]
    assert (shares[0].actual, shares[0].expected, shares[0].since_ms) == (1.0, 0.0, 1)


def test_at_most_five_channels_are_named_and_equal_ones_in_their_order():
    shares = top_channels(step([1] * 8), 0, [f"c{number}" for number in range(8)])

    assert [share.channel for share in shares] == ["c0", "c1", "c2", "c3", "c4"]
    assert sum(share.share for share in shares) == pytest.approx(5 / 8)


def test_without_any_error_all_shares_are_zero():
    assert [share.share for share in top_channels(step([0, 0]), 0, ["a", "b"])] == [0.0, 0.0]


@pytest.mark.parametrize("score", [1.0, 2.0, np.nan])
def test_an_alert_stays_as_it_is_at_a_step_that_is_not_its_highest(score):
    opened = alert(2.0)

    assert at_peak(opened, step([1, 3], score=score), 0, ["load", "queue"]) is opened


def test_at_its_highest_score_an_alert_takes_over_score_and_channels():
    peak = at_peak(alert(2.0), step([1, 3], score=4.0), 0, ["load", "queue"])

    assert (peak.score, peak.channels[0].channel, peak.opened_ms) == (4.0, "queue", 2000)
