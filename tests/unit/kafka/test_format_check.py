"""When bad records become a wrong format, by hand arithmetic: ten in a row, or over half of the newest."""

from __future__ import annotations

import itertools

import pytest

from monitor.kafka.format_check import FormatChange, FormatCheck


def format_check(*, run=10, ratio=0.5):
    return FormatCheck(run=run, ratio=ratio)


def record(check, pattern, *, first=0, name="m/0"):
    """Record some records, written as text: `x` cannot be read, `.` can."""
    return check.record(
        name, range(first, first + len(pattern)), [index for index, mark in enumerate(pattern) if mark == "x"]
    )


def test_bad_records_among_good_ones_are_dead_letters_and_no_more():
    check = format_check()

    checked = record(check, "..x.xx...x")

    assert checked.dead_letters == (2, 4, 5, 9)
    assert checked.changes == ()
    assert check.held_offset("m/0") is None


def test_a_run_of_bad_records_is_a_wrong_format_from_its_first_one_on():
    check = format_check()

    checked = record(check, "." * 50 + "x" * 30)

    assert checked.changes == (FormatChange(True, first_offset=50, offset=59, n_bad=10),)
    assert check.held_offset("m/0") == 50
    assert checked.dead_letters == tuple(range(50, 60))  # and none after the record that revealed it


def test_one_bad_record_less_is_none():
    check = format_check()

    assert record(check, "." * 50 + "x" * 9 + ".").changes == ()


def test_a_larger_share_of_the_newest_is_one_from_the_first_bad_one_on():
    check = format_check()

    checked = record(check, "..xx.xx.xx.x.x")  # 1 of 3, 2 of 4, ... the tenth makes it 6 of 10

    assert checked.changes == (FormatChange(True, first_offset=2, offset=9, n_bad=6),)
    assert checked.dead_letters == (2, 3, 5, 6, 8, 9)


def test_half_of_them_is_none():
    assert record(format_check(), ".x" * 200).changes == ()


def test_a_share_of_the_newest_thousand_counts_however_many_were_good_before():
    check = format_check()
    record(check, "." * 100_000)

    assert record(check, "x.xx." * 166, first=100_000).changes == ()  # 498 of 830
    (change,) = record(
        check, "x.xx.x.", first=100_830
    ).changes  # 499, 499, 500, 501: more than half of a thousand
    assert change == FormatChange(True, first_offset=100_000, offset=100_833, n_bad=501)


@pytest.mark.parametrize("n_at_once", [1, 3, 7, 1000])
def test_how_the_records_come_does_not_change_which_one_tells(n_at_once):
    pattern = "." * 23 + "x.xx.x" * 20
    check, changes, dead_letters = format_check(), [], []

    for first in range(0, len(pattern), n_at_once):
        checked = record(check, pattern[first : first + n_at_once], first=first)
        changes += checked.changes
        dead_letters += [first + index for index in checked.dead_letters]

    bad = list(itertools.accumulate(mark == "x" for mark in pattern))
    expected = next(index for index, n_bad in enumerate(bad) if n_bad > 0.5 * (index + 1))
    assert changes == [FormatChange(True, first_offset=23, offset=expected, n_bad=bad[expected])]
    assert dead_letters == [index for index, mark in enumerate(pattern[: expected + 1]) if mark == "x"]


def test_it_is_over_when_most_of_the_newest_can_be_read_again():
    check = format_check()
    record(check, "x" * 100)

    assert record(check, ".x" * 40, first=100).changes == ()  # half of them: neither here nor there
    assert record(check, "." * 4, first=180).changes == ()  # 3 of the newest 10: a quarter of 10 is 2.5
    assert check.held_offset("m/0") == 0
    assert record(check, "..", first=184).changes == (
        FormatChange(False, first_offset=0, offset=185, n_bad=140),
    )
    assert check.held_offset("m/0") is None


def test_behind_its_end_a_bad_record_is_a_dead_letter_again():
    check = format_check()
    assert record(check, "x" * 50).dead_letters == tuple(range(10))
    assert record(check, "x" * 50, first=50).dead_letters == ()
    record(check, "." * 20, first=100)

    checked = record(check, "x.", first=120)

    assert (checked.dead_letters, checked.changes) == ((0,), ())


def test_each_partition_is_by_itself():
    check = format_check()
    record(check, "x" * 20, name="m/0")

    assert record(check, "x" * 9, name="m/1").changes == ()
    assert (check.held_offset("m/0"), check.held_offset("m/1")) == (0, None)


def test_a_partition_that_is_read_from_another_place_begins_anew():
    check = format_check()
    record(check, "x" * 20)

    check.forget("m/0")

    assert check.held_offset("m/0") is None
    assert record(check, "x" * 9, first=500).changes == ()


def test_offsets_may_have_gaps():
    check = format_check(run=3, ratio=1.0)

    checked = check.record("m/0", [5, 9, 20, 21, 40], [1, 2, 3, 4])

    assert checked.changes == (FormatChange(True, first_offset=9, offset=21, n_bad=3),)


def test_a_ratio_of_one_leaves_the_run_alone():
    check = format_check(ratio=1.0)

    assert record(check, "xxxxxxxxx." * 100).changes == ()
