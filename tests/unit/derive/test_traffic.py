"""Ratios with a learned traffic floor."""

import numpy as np
import pytest

from monitor.derive.traffic import Traffic

ROW, CHANNEL = np.array([0]), np.array([0])


def shrunk(traffic, hits, total, step_seconds=60.0):
    return traffic.shrunk(ROW, CHANNEL, np.array([hits]), np.array([total]), step_seconds)[0]


def learned(hits=10.0, total=1000.0, n_steps=100, step_seconds=1.0):
    traffic = Traffic(1, channels=1)
    for _ in range(n_steps):
        shrunk(traffic, hits, total, step_seconds)
    return traffic


def test_a_share_counts_as_much_as_there_is_traffic():
    few, many = shrunk(learned(), 1.0, 5.0), shrunk(learned(), 1000.0, 5000.0)

    # b = 1000 and p = 0.01: (1 + 10) / (5 + 1000), (1000 + 10) / (5000 + 1000)
    assert few == pytest.approx(11 / 1005, rel=1e-3)
    assert many == pytest.approx(1010 / 6000, rel=1e-3)


def test_without_traffic_or_before_a_hundred_steps_of_it_there_is_no_ratio():
    assert np.isnan(shrunk(learned(), np.nan, np.nan))
    assert np.isnan(shrunk(learned(), 0.0, 0.0))
    assert np.isnan(shrunk(learned(n_steps=99), 1.0, 5.0))


def test_where_there_are_requests_and_no_errors_there_were_none():
    assert shrunk(learned(), np.nan, 1000.0) == pytest.approx(10 / 2000, rel=1e-3)


def test_steps_without_traffic_teach_nothing():
    traffic = learned()
    for _ in range(1000):
        shrunk(traffic, 0.0, 0.0)

    assert shrunk(traffic, 1.0, 5.0) == pytest.approx(11 / 1005, rel=1e-3)


def test_what_was_usual_fades_within_weeks():
    traffic = learned(n_steps=168, step_seconds=3600.0)  # a week
    for _ in range(3 * 168):
        shrunk(traffic, 50.0, 1000.0, step_seconds=3600.0)

    # e^-3 of what was, against what came after it
    weight = (1 - np.exp(-1)) * np.exp(-3) / (1 - np.exp(-4))
    usual = (weight * 10 + (1 - weight) * 50) / 1000
    assert shrunk(traffic, 1.0, 5.0) == pytest.approx((1 + 1000 * usual) / 1005, rel=1e-2)
