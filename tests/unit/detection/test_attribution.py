"""Which channels an alert names, and by which values."""

from dataclasses import replace

import numpy as np
import pytest
from waves import waves

from models.detector import Detector
from models.fit_detector import fit_detector
from models.settings import ModelSettings
from monitor.alerting.alert import Alert
from monitor.detection.attribution import at_peak, explain, is_higher
from monitor.detection.metric_rules import ValueRange
from monitor.detection.scored_step import Reason, ScoredStep

W = 4
NEWEST_MS = 100_000  # of steps of a second


def anything(n_channels):
    return ValueRange(np.full((1, n_channels), -np.inf), np.full((1, n_channels), np.inf))


def step(error, *, past=None, actual=None, score=2.0, reason=Reason.JUDGED, elevated_ms=0):
    n = len(error)
    return ScoredStep(
        NEWEST_MS,
        reason=np.array([reason], np.int8),
        surprise=np.array([6.0]),
        score=np.array([score]),
        channel_error=np.array([error], float),
        elevated_since_ms=np.full((1, n), elevated_ms),
        actual=np.array([actual or range(n)], float),
        expected=np.zeros((1, n)),
        past=None if past is None else np.array(past, float)[:, None],
    )


def detector(n_channels, *, mean=0.0):
    """Give the baselines of an entity, which expect a mean of each channel; the scaling changes nothing."""
    baselines = Detector(
        ModelSettings(window_length=W),
        n_rows=1,
        resolution=np.full(n_channels, 0.1),
        step_seconds=1.0,
        block_steps=10,
    )
    baselines.gaussian.mean[:] = mean
    return baselines


def explained(scored, channels, *, valid=None, of=None):
    return explain(scored, [0], channels, valid or anything(len(channels)), of)[0]


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


# Shares


def test_shares_are_of_the_squared_error_and_the_largest_comes_first():
    shares = explained(step([1, 3]), ["load", "queue"])

    assert [(share.channel, share.share) for share in shares] == [("queue", 0.9), ("load", 0.1)]


def test_at_most_five_channels_are_named_and_equal_ones_in_their_order():
    shares = explained(step([1] * 8), [f"c{number}" for number in range(8)])

    assert [share.channel for share in shares] == ["c0", "c1", "c2", "c3", "c4"]
    assert sum(share.share for share in shares) == pytest.approx(5 / 8)


def test_without_any_error_all_shares_are_zero():
    assert [share.share for share in explained(step([0, 0]), ["a", "b"])] == [0.0, 0.0]


# Values


def values_of(past, **options):
    (share,) = explained(step([2], past=[[value] for value in past], **options), ["load"], of=detector(1))
    return share.actual, share.expected, share.since_ms, share.at_ms


def test_the_values_are_those_of_the_step_that_was_furthest_off_not_of_the_newest():
    assert values_of([0, 7, 1, 0.5]) == (7.0, 0.0, 0, 98_000)


def test_what_still_deviates_says_since_when():
    assert values_of([0, 5, 7, 6]) == (7.0, 0.0, 98_000, 99_000)


def test_a_single_step_has_not_lasted():
    assert values_of([0, 1, 0, 7]) == (7.0, 0.0, 0, 100_000)


def test_what_has_turned_to_the_other_side_lasts_from_there_only():
    assert values_of([0, 5, -7, -6]) == (-7.0, 0.0, 99_000, 99_000)


def test_a_gap_does_not_end_what_lasts():
    assert values_of([0, 7, np.nan, 6]) == (7.0, 0.0, 98_000, 98_000)


def test_what_fills_the_window_has_lasted_since_its_error_rose():
    assert values_of([7, 7, 7, 7], elevated_ms=50_000) == (7.0, 0.0, 50_000, 100_000)


def test_of_values_beyond_what_is_scaled_the_largest_is_shown():
    assert values_of([0, 30, 50, 40])[0] == 50.0


def test_only_the_newest_window_counts():
    assert values_of([99, 0, 7, 0, 0])[0] == 7.0


def test_a_network_is_asked_what_it_rebuilds():
    settings = ModelSettings(window_length=8, hidden=4, latent=2, epochs=2, memory_windows=16)
    history = waves(300)
    fitted = fit_detector(
        history, settings, resolution=np.full(3, 0.01), step_seconds=1.0, block_steps=10
    ).detector
    past = history[-9:].copy()
    past[-3, 0, 0] = 150.0  # a single value, and not the newest; the channel swings between 40 and 60
    scored = replace(step([5, 0.1, 0.1]), past=past, actual=past[-1], expected=past[-1])

    first = explained(scored, ["a", "b", "c"], of=fitted)[0]

    assert (first.channel, first.actual, first.since_ms, first.at_ms) == ("a", 150.0, 0, 98_000)
    assert 20 < first.expected < 80


def test_no_value_outside_the_valid_range_is_expected():
    low = ValueRange(np.zeros((1, 1)), np.full((1, 1), np.inf))
    (share,) = explained(
        step([2], past=[[5], [6], [7], [6]]), ["sent_total"], valid=low, of=detector(1, mean=-0.5)
    )

    assert (share.actual, share.expected) == (7.0, 0.0)


# A value out of range, and the time of day


def test_a_value_out_of_range_is_named_beside_nothing_else():
    valid = ValueRange(np.full((1, 2), -np.inf), np.array([[np.inf, 100.0]]))
    scored = step([3, 0], actual=[5, 120], score=1.0, reason=Reason.GAP)

    shares = explained(scored, ["load", "used_percent"], valid=valid)

    assert [(share.channel, share.share, share.actual) for share in shares] == [
        ("used_percent", 1.0, 120.0),
        ("load", 0.0, 5.0),
    ]


def test_a_job_that_does_not_come_is_shown_beside_the_height_that_is_usual_then():
    baselines = detector(1, mean=10.0)
    season = baselines.season
    season.limit[:] = 7.0
    season.bound[:, :, 1, 0] = 31.0  # three spreads of 3 below the usual 40
    season.spread[:, :, 1, 0] = 3.0
    season.extreme[:, :, 0, 1:] = 10.0  # the highest of the last hour and a half
    season.n_measured[:] = 1800  # half an hour

    scored = step([2], past=[[10], [10], [10], [10]], score=1.0)  # (31 - 10) / 3 over a limit of 7
    (share,) = explained(scored, ["jobs"], of=baselines)

    assert (share.actual, share.expected, share.of_season) == (10.0, 40.0, True)
    assert (share.share, share.since_ms, share.at_ms) == (1.0, 0, NEWEST_MS)


def test_the_time_of_day_is_no_reason_where_the_window_has_the_higher_score():
    baselines = detector(1)
    baselines.season.limit[:] = 6.0
    baselines.season.bound[:, :, 0] = 1.0

    (share,) = explained(step([2], past=[[7], [7], [7], [7]], score=1.5), ["jobs"], of=baselines)

    assert (share.actual, share.expected, share.of_season) == (7.0, 0.0, False)


# The highest score


@pytest.mark.parametrize("score", [1.0, 2.0, np.nan])
def test_an_alert_stays_as_it_is_at_a_step_that_is_not_its_highest(score):
    opened = alert(2.0)

    assert not is_higher(opened, step([1, 3], score=score), 0)
    assert at_peak(opened, step([1, 3], score=score), 0, {}) is opened


def test_at_its_highest_score_an_alert_takes_over_score_and_channels():
    higher = step([1, 3], score=4.0)
    channels = {0: explained(higher, ["load", "queue"])}

    peak = at_peak(alert(2.0), higher, 0, channels)

    assert is_higher(alert(2.0), higher, 0)
    assert (peak.score, peak.channels[0].channel, peak.opened_ms) == (4.0, "queue", 2000)
