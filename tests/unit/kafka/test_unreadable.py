"""What breaks the client at one offset is tried so often, then its end is searched for, and it is passed."""

from __future__ import annotations

import pytest
from fake_kafka import M0, M1

from monitor.kafka.unreadable import Passed, ReadNext, UnreadableStretches


def passed_of(damaged, end):
    """Read a log until damage is passed; give what is passed, the offsets tried, and the next one."""
    stretches = UnreadableStretches(2)
    offset = damaged.start
    tried = []
    while True:
        assert len(tried) < 200
        tried.append(offset)
        following = stretches.fail(M0, offset, end) if offset in damaged else stretches.succeed(M0, offset)
        offset = following.offset
        if following.passed is not None:
            return following.passed, tried, offset


def test_an_offset_is_tried_again_as_often_as_clients_may_be_built_anew():
    stretches = UnreadableStretches(2)

    assert [stretches.fail(M0, 7, 100) for _ in range(3)] == [ReadNext(7, 7), ReadNext(7, 7), ReadNext(8, 7)]


def test_a_single_damaged_record_is_passed_and_no_other():
    passed, tried, offset = passed_of(range(7, 8), 100)

    assert (passed, tried, offset) == (Passed(7, 8), [7, 7, 7, 8], 8)


def test_the_end_of_a_batch_is_found_with_few_tries_and_nothing_behind_it_is_passed():
    passed, tried, offset = passed_of(range(7, 20), 1000)

    # 1, 3, 7 and 15 behind the first; records come from 22, and the halves between 14 and 22 are 18, 20, 19.
    assert tried == [7, 7, 7, 8, 10, 14, 22, 18, 20, 19]
    assert (passed, offset) == (Passed(7, 20), 20)


@pytest.mark.parametrize("n_damaged", [1, 2, 3, 4, 5, 63, 64, 65, 500])
@pytest.mark.parametrize("n_behind", [0, 1, 2, 1000])
def test_exactly_what_is_damaged_is_passed_also_where_the_log_ends(n_damaged, n_behind):
    damaged = range(40, 40 + n_damaged)

    passed, tried, offset = passed_of(damaged, damaged.stop + n_behind)

    assert passed == Passed(40, damaged.stop)
    assert offset == damaged.stop
    assert len(tried) <= 3 + 20  # twice the binary logarithm of 500, and two


def test_where_the_end_of_the_log_is_not_known_nothing_behind_it_is_tried():
    passed, tried, _ = passed_of(range(7, 10), None)

    assert tried == [7, 7, 7, 8, 9, 10]
    assert passed == Passed(7, 10)


def test_what_can_be_read_in_the_end_is_not_passed_and_counts_anew():
    stretches = UnreadableStretches(2)
    stretches.fail(M0, 7, 100)
    stretches.fail(M0, 7, 100)

    assert stretches.succeed(M0, 7) is None
    assert [stretches.fail(M0, 7, 100).offset for _ in range(3)] == [7, 7, 8]


def test_other_partitions_and_other_offsets_are_counted_by_themselves():
    stretches = UnreadableStretches(1)
    stretches.fail(M0, 7, 100)

    assert stretches.fail(M1, 7, 100) == ReadNext(7, 7)
    assert stretches.fail(M0, 50, 100) == ReadNext(50, 50)
    assert stretches.succeed(M1, 0) is None


def test_a_partition_that_is_read_from_elsewhere_meanwhile_is_searched_no_further():
    stretches = UnreadableStretches(1)
    stretches.fail(M0, 7, 100)
    assert stretches.fail(M0, 7, 100) == ReadNext(8, 7)

    assert stretches.succeed(M0, 0) is None
    assert stretches.succeed(M0, 8) is None
