import numpy as np
import pytest
from backtests import FAULT_INCIDENT, HOSTILE, trained_side

from monitor.alerting.episodes import AlertPolicy
from monitor.backtest.simple_rule import PageBook, three_sigma_scores

POLICY = AlertPolicy(
    hold_seconds=0, close_score=0.75, close_seconds=1, rest_seconds=1, accept_after_seconds=99
)


def test_three_standard_deviations_are_a_score_of_one():
    scores = three_sigma_scores(
        np.array([[10.0, 0.0], [4.0, 5.0]]), np.full((2, 2), 4.0), np.full((2, 2), 2.0)
    )

    assert scores == pytest.approx([1.0, 1 / 6])


def test_a_constant_channel_and_a_gap_are_left_out():
    scores = three_sigma_scores(
        np.array([[5.0, np.nan, 7.0]]), np.full((1, 3), 4.0), np.array([[0.0, 1.0, 1.0]])
    )

    assert scores == pytest.approx([1.0])


def test_scores_become_pages_by_the_policy_of_the_watch():
    book = PageBook("w", POLICY)
    for second, score in enumerate([0, 2, 2, 0, 0, 0, 0, 2]):
        book.update(second * 1000, np.array([float(score)]))

    assert [(row, page.opened_ms, page.resolved_ms) for row, page in book.pages()] == [
        (0, 1000, 4000),
        (0, 7000, None),
    ]


def test_the_rule_finds_a_step_of_each_entity_in_a_replay():
    (run,) = trained_side().runs

    in_time = [
        page.entity
        for page in run.simple
        if FAULT_INCIDENT.start_ms < page.opened_ms <= FAULT_INCIDENT.end_ms
    ]

    assert sorted(set(in_time)) == sorted([HOSTILE, "web1"])
