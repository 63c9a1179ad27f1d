import math

import numpy as np
import pytest

from models.limits import Budget, OwnLimits, PeakHistogram, limit_for_budget

DAY = 86400.0


def exponential_peaks(scale, *, block_seconds=600.0, n=100_000):
    """A histogram of the exact quantiles of an exponential distribution."""
    peaks = PeakHistogram(block_seconds)
    peaks.add(-scale * np.log1p(-(np.arange(n) + 0.5) / n))
    return peaks


def limit(peaks, text, *, n_entities=1):
    return limit_for_budget(peaks, Budget.parse(text), n_entities=n_entities)


@pytest.mark.parametrize(
    ("text", "count", "period_seconds", "per_entity"),
    [
        ("1/week", 1, 604800, False),
        ("3/day", 3, 86400, False),
        ("0.5/hour", 0.5, 3600, False),
        ("2/month", 2, 2592000, False),
        ("1/week per entity", 1, 604800, True),
        ("  10 / day  per  entity ", 10, 86400, True),
    ],
)
def test_a_budget_is_read_from_its_text(text, count, period_seconds, per_entity):
    assert Budget.parse(text) == Budget(count, period_seconds, per_entity)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "week",
        "/week",
        "1/",
        "1/year",
        "1/weeks",
        "one/day",
        "0/week",
        "0.0/day",
        "-1/day",
        "1/week per host",
        "1e3/day",
        "x/day",
    ],
)
def test_what_is_no_budget_is_refused_with_an_example_of_one(text):
    with pytest.raises(ValueError, match=r'is not a budget: write "1/week"'):
        Budget.parse(text)


def test_a_budget_is_for_all_entities_together_unless_it_is_per_entity():
    assert Budget.parse("7/week").rate_per_second(5) == pytest.approx(1 / DAY)
    assert Budget.parse("7/week per entity").rate_per_second(5) == pytest.approx(5 / DAY)


@pytest.mark.parametrize(
    ("text", "allowed_share"),
    [
        ("1/day", 1 / 144),  # 144 blocks of 600 s in a day
        ("1/week", 1 / 1008),
        ("1/month", 1 / 4320),
    ],
)
def test_the_limit_of_exponential_peaks_is_their_analytic_quantile(text, allowed_share):
    # P(peak > s) = exp(-s / scale), so the limit is scale * ln(1 / share), but for the width of a bin
    assert limit(exponential_peaks(0.4), text).value == pytest.approx(
        0.4 * math.log(1 / allowed_share), rel=0.09
    )


def test_the_limit_reaches_beyond_the_largest_peak_when_the_budget_asks_for_it():
    peaks = exponential_peaks(0.4, n=10_000)  # the largest is 0.4 * ln 20000 = 3.96
    # a month has 4320 blocks
    assert limit(peaks, "0.1/month").value == pytest.approx(0.4 * math.log(43200), rel=0.09)


def test_the_limit_grows_as_the_budget_shrinks():
    peaks = exponential_peaks(0.5)

    values = [limit(peaks, text).value for text in ("1/hour", "2/day", "1/day", "1/week", "1/month")]

    assert values == sorted(values)
    assert len(set(values)) == 5


def test_entities_that_share_a_budget_get_a_higher_limit_and_those_with_their_own_do_not():
    peaks = exponential_peaks(0.5)

    shared = limit(peaks, "1/day", n_entities=10).value
    assert shared == pytest.approx(limit(peaks, "0.1/day", n_entities=1).value)
    assert limit(peaks, "1/day per entity", n_entities=10).value == pytest.approx(limit(peaks, "1/day").value)
    assert shared > limit(peaks, "1/day").value


def test_a_budget_larger_than_the_number_of_blocks_does_not_push_the_limit_below_the_median_peak():
    peaks = exponential_peaks(4.0)

    assert limit(peaks, "1000000/hour").value == pytest.approx(4 * math.log(2), abs=0.05)


def test_no_limit_lies_where_surprise_is_a_share_of_the_ordinary():
    assert limit(exponential_peaks(0.1), "1000000/hour").value == pytest.approx(1.7)  # -log10 of 2 %


def test_ten_thousand_equal_peaks_outweigh_the_six_it_started_with_and_leave_room_below_the_limit():
    peaks = PeakHistogram(600.0)
    peaks.add(np.full(10_000, 1.0))

    assert 1.05 < limit(peaks, "1/week").value < 3.0


def test_there_is_a_limit_before_the_first_block_and_it_is_provisional():
    first = limit(PeakHistogram(600.0), "1/week")

    assert 2 < first.value < 10
    assert first.provisional


@pytest.mark.parametrize(
    ("n_blocks", "n_entities", "provisional"),
    [(23, 1, True), (24, 1, False), (24, 2, True), (47, 2, True), (48, 2, False)],
)
def test_the_limit_is_provisional_until_every_entity_was_watched_for_one_period(
    n_blocks, n_entities, provisional
):
    peaks = PeakHistogram(3600.0)
    peaks.add(np.ones(n_blocks))

    assert limit(peaks, "1/day", n_entities=n_entities).provisional is provisional


def test_a_few_hundred_real_peaks_outweigh_those_it_started_with():
    low = PeakHistogram(600.0)
    low.add(np.random.default_rng(0).uniform(1.2, 1.6, 500))

    assert 1.75 < limit(low, "1/day").value < 2.2  # the highest of the ones it starts with is 3.0
    assert limit(low, "1/day").value < limit(PeakHistogram(600.0), "1/day").value - 1


def test_blocks_are_counted_without_the_peaks_it_started_with():
    peaks = PeakHistogram(600.0)
    assert peaks.n_blocks == 0

    peaks.add(np.array([0.1, 2.0, 1e6]))  # beyond its range counts too
    assert peaks.n_blocks == 3


def test_a_tail_heavier_than_a_calibrated_surprise_can_have_is_not_believed():
    # Surprise is -log10 of a probability: its own tail falls by e in 1 / ln 10.
    # Its quantiles at 50 and 80 % would make that 2.2.
    peaks = PeakHistogram(600.0)
    peaks.add(np.tile([1.0, 1.0, 1.0, 3.0, 3.0], 2000))

    assert limit(peaks, "0.1/month").value == pytest.approx(1 + math.log(43200 / 2) / math.log(10), abs=0.05)


def test_peaks_of_one_height_that_came_more_often_than_the_budget_allows_lie_below_the_limit():
    peaks = PeakHistogram(600.0)
    peaks.add(np.repeat([1.0, 6.0], [1400, 40]))  # ten days: four of 6 a day

    assert limit(peaks, "3/day").value == pytest.approx(6.05)
    assert limit(peaks, "5/day").value < 3


def test_what_a_share_of_the_peaks_exceeds_leaves_out_those_it_started_with():
    peaks = PeakHistogram(600.0)
    assert peaks.exceeded_by(0.01) == 0

    peaks.add(np.repeat([1.0, 2.5], [95, 5]))
    assert peaks.exceeded_by(0.05) == pytest.approx(1.05)
    assert peaks.exceeded_by(0.04) == pytest.approx(2.55)
    assert peaks.exceeded_by(1.0) == 0


def test_a_short_calibration_counts_as_a_hundred_blocks_but_is_no_longer_a_history_for_it():
    short, long = PeakHistogram(600.0), PeakHistogram(600.0)
    short.start(np.array([0.2, 0.4, 0.6, 0.8]))
    long.start(np.tile([0.2, 0.4, 0.6, 0.8], 25))

    assert limit(short, "1/day").value == limit(long, "1/day").value
    assert (short.n_blocks, long.n_blocks) == (4, 100)


def test_a_calibration_longer_than_a_hundred_blocks_counts_as_it_is():
    started, added = PeakHistogram(600.0), PeakHistogram(600.0)
    peaks = np.random.default_rng(1).exponential(0.4, 1000)
    started.start(peaks)
    added.add(peaks)

    np.testing.assert_array_equal(started.counts, added.counts)
    assert started.n_blocks == added.n_blocks == 1000


def test_a_calibration_without_a_whole_block_changes_nothing():
    peaks = PeakHistogram(600.0)
    peaks.start(np.empty(0))

    assert peaks.n_blocks == 0
    assert limit(peaks, "1/day") == limit(PeakHistogram(600.0), "1/day")


def test_memory_does_not_grow_with_the_number_of_peaks():
    few, many = exponential_peaks(0.5, n=10), exponential_peaks(0.5, n=200_000)

    assert few.counts.nbytes == many.counts.nbytes < 8192


def test_a_quantile_is_that_of_the_peaks():
    peaks = exponential_peaks(0.8)

    assert peaks.quantile(0.5) == pytest.approx(0.8 * math.log(2), abs=0.05)
    assert peaks.quantile(0.99) == pytest.approx(0.8 * math.log(100), abs=0.05)


# A limit for each row.

BUDGET = Budget.parse("1/day")


def known():
    peaks = PeakHistogram(600.0)
    peaks.start(np.linspace(1.0, 3.0, 50))
    return peaks


def alone(n_entities, *more):
    peaks = known()
    for each in more:
        peaks.add(np.array([each]))
    return limit_for_budget(peaks, BUDGET, n_entities=n_entities).value


def test_a_row_without_peaks_of_its_own_has_the_limit_of_the_start():
    limits = OwnLimits(known(), BUDGET, n_entities=5, n_rows=2)
    limits.grow(3)

    assert limits.values.tolist() == [alone(5)] * 3


def test_what_a_row_shows_changes_its_own_limit_only():
    limits = OwnLimits(known(), BUDGET, n_entities=5, n_rows=3)

    for peak in (9.0, 8.0, 7.5):
        limits.add(np.array([0, 2]), np.array([peak, 1.0]))

    assert limits.values[0] == alone(5, 9.0, 8.0, 7.5)
    assert limits.values[1] == alone(5)
    assert limits.values[2] == alone(5, 1.0, 1.0, 1.0)
    assert len(set(limits.values)) == 3


def test_a_calibration_counts_as_that_of_the_row_alone():
    of_calibration = np.linspace(4.0, 6.0, 10)
    peaks = known()
    peaks.start(of_calibration)
    limits = OwnLimits(known(), BUDGET, n_entities=1, n_rows=2)

    limits.start(1, of_calibration)

    assert limits.values[1] == limit_for_budget(peaks, BUDGET, n_entities=1).value
    assert limits.values[0] == alone(1) < limits.values[1]


def test_the_peaks_of_the_start_are_left_as_they_are():
    peaks = known()
    before = peaks.counts.copy()

    OwnLimits(peaks, BUDGET, n_entities=1, n_rows=1).add(np.array([0]), np.array([9.0]))

    assert peaks.counts == pytest.approx(before)
