from __future__ import annotations

import numpy as np
import pytest

from monitor.detection.metric_rules import MetricRule, MetricRules
from monitor.detection.scored_step import Reason, ScoredStep

CHANNELS = ['cpu{mode="user"}', "memory"]


def step(actual, expected, error=(2.0, 2.0)):
    return ScoredStep(
        time_ms=0,
        reason=np.array([Reason.JUDGED], np.int8),
        surprise=np.array([5.0]),
        score=np.array([2.0]),
        channel_error=np.array([error]),
        elevated_since_ms=np.zeros((1, 2), np.int64),
        actual=np.array([actual], float),
        expected=np.array([expected], float),
    )


def vetoed(rules, scored):
    return bool(MetricRules(rules).below_min_deviation(scored, CHANNELS)[0])


def test_without_rules_nothing_is_vetoed():
    assert not vetoed([], step([1, 1], [1, 1]))


@pytest.mark.parametrize(
    ("direction", "actual", "expect_veto"),
    [("above", 0.5, True), ("above", 1.5, False), ("below", 0.5, False), ("both", 0.5, False)],
)
def test_only_the_stated_side_counts(direction, actual, expect_veto):
    rules = [MetricRule(name="cpu", direction=direction)]

    assert vetoed(rules, step([actual, 1], [1.0, 1.0], error=(2.0, 0.0))) == expect_veto


@pytest.mark.parametrize(("actual", "expect_veto"), [(1.4, True), (1.6, False)])
def test_a_deviation_must_be_as_large_as_the_absolute_minimum(actual, expect_veto):
    assert (
        vetoed([MetricRule(name="cpu", min_deviation=0.5)], step([actual, 1], [1.0, 1.0], error=(2.0, 0.0)))
        == expect_veto
    )


@pytest.mark.parametrize(("actual", "expect_veto"), [(10.5, True), (11.5, False)])
def test_a_deviation_must_be_as_large_as_the_share_of_the_expected_value(actual, expect_veto):
    assert (
        vetoed(
            [MetricRule(name="cpu", min_deviation_ratio=0.1)],
            step([actual, 1], [10.0, 1.0], error=(2.0, 0.0)),
        )
        == expect_veto
    )


def test_one_channel_that_matters_is_enough():
    assert not vetoed([MetricRule(name="cpu", min_deviation=100.0)], step([2, 2], [1.0, 1.0]))


def test_a_missing_value_vetoes_nothing():
    assert not vetoed(
        [MetricRule(name="*", min_deviation=100.0)], step([np.nan, 1], [1.0, 1.0], error=(2.0, 0.0))
    )


def test_the_first_rule_that_fits_counts():
    rules = [MetricRule(name="c*", min_deviation=100.0), MetricRule(name="cpu")]

    assert vetoed(rules, step([2, 1], [1.0, 1.0], error=(2.0, 0.0)))


@pytest.mark.parametrize(
    ("value", "expect_broken"), [(-0.1, True), (0.0, False), (1.0, False), (1.1, True), (np.nan, False)]
)
def test_a_value_outside_its_valid_range_is_broken(value, expect_broken):
    metric_rules = MetricRules([MetricRule(name="memory", valid_min=0.0, valid_max=1.0)])

    assert bool(metric_rules.out_of_range(step([5, value], [1.0, 1.0]), CHANNELS)[0]) == expect_broken


def test_the_valid_range_of_a_channel_is_that_of_the_first_rule_that_fits():
    rules = MetricRules([MetricRule(name="cpu", valid_max=1.0), MetricRule(name="*", valid_min=0.0)])

    low, high = rules.valid_range(CHANNELS)

    assert (low.tolist(), high.tolist()) == ([[-np.inf, 0.0]], [[1.0, np.inf]])


SERIES = ['cpu{host="a"}', 'memory{host="a"}', 'cpu{host="b"}']


def of_series(*values, expected=1.0):
    """Make a step of entities that are series of their own."""
    n = len(values)
    return ScoredStep(
        time_ms=0,
        reason=np.full(n, Reason.JUDGED, np.int8),
        surprise=np.full(n, 5.0),
        score=np.full(n, 2.0),
        channel_error=np.full((n, 1), 2.0),
        elevated_since_ms=np.zeros((n, 1), np.int64),
        actual=np.array(values, float)[:, None],
        expected=np.full((n, 1), expected),
    )


def test_where_each_series_is_an_entity_a_rule_is_for_the_series_of_its_metric():
    rules = MetricRules([MetricRule(name="cpu", min_deviation=3.0, valid_max=6.0)], by_series=True)

    names = rules.names_of(SERIES, ["value"])

    assert rules.below_min_deviation(of_series(3, 3, 5), names).tolist() == [True, False, False]
    assert rules.out_of_range(of_series(7, 7, 5), names).tolist() == [True, False, False]


def test_rules_hold_for_series_that_come_later_and_for_rows_that_are_numbered_anew():
    names = SERIES[:2]
    rules = MetricRules([MetricRule(name="cpu", valid_max=6.0)], by_series=True)
    first = rules.out_of_range(of_series(7, 7), names).tolist()
    names.append(SERIES[2])

    later = rules.out_of_range(of_series(7, 7, 7), names).tolist()
    before_its_first_step = rules.out_of_range(of_series(7, 7), names).tolist()
    anew = rules.out_of_range(of_series(7, 7, 7), names[::-1]).tolist()

    assert (first, later) == ([True, False], [True, False, True])
    assert before_its_first_step == [True, False]
    assert anew == [True, False, True]
    assert rules.out_of_range(of_series(7, 7, 7), SERIES[1:] + SERIES[:1]).tolist() == [False, True, True]


def test_the_same_rules_over_other_entities_leave_these_as_they_are():
    rules = MetricRules([MetricRule(name="cpu", valid_max=6.0)], by_series=True)
    rules.out_of_range(of_series(7, 7, 7), SERIES)

    other = rules.another().out_of_range(of_series(7), SERIES[1:2])

    assert other.tolist() == [False]
    assert rules.out_of_range(of_series(7, 7, 7), SERIES).tolist() == [True, False, True]


def test_what_is_possible_follows_from_the_rules_and_a_rate_is_never_below_zero():
    rules = MetricRules([MetricRule(name="cpu", valid_min=-5.0, valid_max=1.0)])
    is_rate = np.array([[False, True], [True, False]])

    possible = rules.value_range(CHANNELS, is_rate)

    expected = np.array([[-9.0, -9.0], [-9.0, -9.0]])
    assert possible.clip(expected).tolist() == [[-5.0, 0.0], [0.0, -9.0]]
    assert possible.clip(np.full((2, 2), 7.0)).tolist() == [[1.0, 7.0], [1.0, 7.0]]
    assert possible.is_outside(np.array([[-6.0, -1.0], [0.5, np.nan]])).tolist() == [
        [True, True],
        [False, False],
    ]
    assert possible.of_row(1).clip(np.array([-9.0, -9.0])).tolist() == [0.0, -9.0]
