"""Quantiles of classic histograms; tests/e2e/test_derived_channels.py compares them with Prometheus' own."""

import math

import numpy as np
import pytest

from monitor.derive.quantile import histogram_quantile

BOUNDS = np.array([1.0, 2.0, 4.0, math.inf])


def quantile(q, counts, bounds=BOUNDS):
    return histogram_quantile(q, np.asarray(bounds, float), np.asarray(counts, float))


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        (0.05, 0.5),  # half of the first bucket's ten, which begins at 0
        (0.5, 1 + (50 - 10) / 50),
        (0.7, 2 + 2 * (70 - 60) / 25),
        (0.99, 4.0),  # in the bucket up to infinity: the bound before it
    ],
)
def test_a_quantile_lies_within_its_bucket_in_proportion(q, expected):
    assert quantile(q, [10, 60, 85, 100]) == pytest.approx(expected)


def test_without_the_bucket_up_to_infinity_without_another_or_without_observations_there_is_none():
    assert math.isnan(quantile(0.5, [1, 2, 3, math.nan]))
    assert math.isnan(quantile(0.5, [math.nan, math.nan, math.nan, 3]))
    assert math.isnan(quantile(0.5, [0, 0, 0, 0]))


def test_a_first_bucket_that_is_not_above_zero_gives_its_bound():
    assert quantile(0.5, [10, 12, 14], [-1.0, 1.0, math.inf]) == -1.0


def test_counts_that_fall_are_raised_to_the_one_before():
    assert quantile(0.5, [10, 60, 50, 100]) == quantile(0.5, [10, 60, 60, 100])


def test_a_missing_bucket_is_left_out():
    expected = quantile(0.5, [10, 80, 100], [1.0, 4.0, math.inf])

    assert quantile(0.5, [10, math.nan, 80, 100]) == expected == pytest.approx(1 + 3 * 40 / 70)


def test_a_missing_first_bucket_makes_the_next_one_the_first():
    assert quantile(0.5, [math.nan, 60, 85, 100]) == pytest.approx(2 * 50 / 60)


def test_histograms_of_fewer_buckets_are_padded_behind():
    bounds = np.array([[1.0, 2.0, math.inf, math.nan], BOUNDS])
    counts = np.array([[[10.0, 20.0, 20.0, 7.0], [10.0, 60.0, 85.0, 100.0]]])

    assert histogram_quantile(0.5, bounds, counts).tolist() == [[1.0, 1.8]]
