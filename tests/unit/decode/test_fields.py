"""Times, labels, values: what all formats check in the same way."""

import math

import pytest

from monitor.decode.fields import (
    any_time_ms,
    json_object,
    labels_from,
    lines_from,
    name_from,
    number_from,
    number_from_text,
    record_time_ms,
    rfc3339_ms,
    shown,
    time_ms_from,
)
from monitor.decode.record import Limits, Record, RejectedError

LIMITS = Limits(max_record_bytes=100, max_label_bytes=10)


def reason_of(call, *arguments):
    with pytest.raises(RejectedError) as raised:
        call(*arguments)
    return raised.value.reason


# Times


@pytest.mark.parametrize(
    ("time", "expected_ms"),
    [
        (1_700_000_000, 1_700_000_000_000),
        (1_700_000_000_123, 1_700_000_000_123),
        (1_700_000_000_123_999, 1_700_000_000_123),
        (1_700_000_000_123_400_000, 1_700_000_000_123),
        (99_999_999_999, 99_999_999_999_000),  # the last second before 1e11, in the year 5138
        (100_000_000_000, 100_000_000_000),  # 1973, in milliseconds
        (0, 0),
    ],
)
def test_a_time_without_a_unit_is_told_by_its_size(time, expected_ms):
    assert time_ms_from(time) == expected_ms
    assert time_ms_from(float(time)) == expected_ms


@pytest.mark.parametrize(("unit", "expected_ms"), [("s", 1_000_000), ("ms", 1000), ("us", 1), ("ns", 0)])
def test_a_named_unit_counts_whatever_the_size(unit, expected_ms):
    assert time_ms_from(1000, unit) == expected_ms
    assert time_ms_from(1000.0, unit) == expected_ms


def test_seconds_with_three_decimals_are_their_milliseconds_exactly():
    # The double nearest to 1795415745.863, times 1000, is 1795415745862.9999: only floored, it would be a
    # millisecond less.
    written = [f"1795415745.{ms:03}" for ms in range(1000)]

    assert [time_ms_from(float(text), "s") % 1000 for text in written] == list(range(1000))


def test_a_fraction_below_a_millisecond_is_floored():
    assert time_ms_from(1_700_000_000.9996, "s") == 1_700_000_000_999
    assert time_ms_from(1_700_000_000_123.9, "ms") == 1_700_000_000_123


@pytest.mark.parametrize(
    "time", [-1, -1e-9, 1e300, math.nan, math.inf, 10**30, True, None, "1700000000", [1], {}], ids=str
)
def test_what_is_no_time_before_the_year_9999_is_rejected(time):
    assert reason_of(time_ms_from, time) == "bad_time"


def test_the_last_time_is_the_last_before_the_year_9999():
    assert time_ms_from(253_370_764_800_000, "ms") == rfc3339_ms("9999-01-01T00:00:00Z")
    assert reason_of(time_ms_from, 253_370_764_800_001, "ms") == "bad_time"


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14t22:13:20z", 1_700_000_000_000),
        ("2023-11-14T22:13:20.5Z", 1_700_000_000_500),
        ("2023-11-14T22:13:20.123999999Z", 1_700_000_000_123),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000),
        ("2023-11-14T17:43:20.25-04:30", 1_700_000_000_250),
        ("2023-11-14 22:13:20", 1_700_000_000_000),  # no zone: UTC
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
    ],
)
def test_text_is_read_as_rfc_3339(text, expected_ms):
    assert any_time_ms(text) == rfc3339_ms(text) == expected_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "noon",
        "2023-11-14",
        "2023-02-29T00:00:00Z",
        "2023-13-01T00:00:00Z",
        "2023-11-14T24:00:00Z",
        "2023-11-14T22:13:20.Z",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "9999-06-01T00:00:00Z",
        "2023-11-14T22:13:20Z" + " " * 10**6,
        "٢٠٢٣-11-14T22:13:20Z",
    ],
    ids=lambda text: text[:25],
)
def test_text_that_is_no_time_is_rejected(text):
    assert reason_of(any_time_ms, text) == "bad_time"


def test_a_number_written_as_text_is_a_time():
    assert any_time_ms("1700000000123456789") == 1_700_000_000_123
    assert any_time_ms("1700000000.25", "s") == 1_700_000_000_250


def test_a_record_may_have_no_time_to_stand_in():
    assert record_time_ms(Record(b"", 1_700_000_000_000)) == 1_700_000_000_000
    assert reason_of(record_time_ms, Record(b"")) == "bad_time"


# Labels, names


def test_labels_are_ordered_and_empty_ones_left_out():
    assert labels_from([("zone", "a"), ("host", "web1"), ("pod", "")], LIMITS) == (
        ("host", "web1"),
        ("zone", "a"),
    )


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([("", "x")], "bad_label"),
        ([("", "")], "bad_label"),
        ([("host", "a"), ("host", "b")], "duplicate_label"),
        ([("host", ""), ("host", "")], "duplicate_label"),
        ([("host", "w" * 11)], "label_too_long"),
        ([("h" * 11, "w")], "label_too_long"),
        ([("host", "ééé€€")], "label_too_long"),  # 12 bytes of 5 characters
        ([("host", 1)], "wrong_schema"),
        ([("host", None)], "wrong_schema"),
        ([(1, "web1")], "wrong_schema"),
    ],
)
def test_a_bad_label_is_rejected_under_its_reason(pairs, reason):
    assert reason_of(labels_from, pairs, LIMITS) == reason


def test_a_label_as_long_as_the_limit_is_kept():
    assert labels_from([("host", "é" * 5)], LIMITS) == (("host", "é" * 5),)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("", "wrong_schema"), (None, "wrong_schema"), (3, "wrong_schema"), ("n" * 11, "label_too_long")],
)
def test_a_bad_name_is_rejected_under_its_reason(name, reason):
    assert reason_of(name_from, name, LIMITS) == reason


# Values


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (0.5, 0.5),
        (True, 1.0),
        (False, 0.0),
        (2**70, 1180591620717411303424.0),
        (10**400, None),
        (math.inf, None),
        (None, None),
    ],
)
def test_numbers_and_truth_are_values_and_what_is_not_finite_is_a_gap(value, expected):
    number = number_from(value)

    assert (None if math.isnan(number) else number) == expected


def test_text_is_no_sample_and_a_list_is_bad():
    assert number_from("0.5") is None
    assert reason_of(number_from, [0.5]) == "wrong_schema"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1.5", 1.5), ("-2e3", -2000.0), ("1_000", None), ("٣", None), ("", None), ("0x10", None)],
)
def test_a_number_is_read_from_plain_text_only(text, expected):
    assert number_from_text(text) == expected


@pytest.mark.parametrize("text", ["NaN", "nan", "+Inf", "-inf", "1e999"])
def test_text_that_is_no_finite_number_is_a_gap(text):
    assert math.isnan(number_from_text(text))


# Payloads


def test_a_payload_as_large_as_the_limit_is_read_and_a_larger_one_not():
    assert json_object(b'{"a":"' + b"x" * 92 + b'"}', LIMITS) == {"a": "x" * 92}
    assert reason_of(json_object, b'{"a":"' + b"x" * 93 + b'"}', LIMITS) == "too_large"


def test_text_that_is_not_utf_8_costs_its_own_line_only():
    good, bad, last = lines_from(b"one\n\xff\ntwo", LIMITS)

    assert (good, last) == ("one", "two")
    assert bad.reason == "invalid_utf8"
    assert list(lines_from("café\ntwo".encode(), LIMITS)) == ["café\ntwo"]


def test_what_a_message_shows_of_a_value_is_short():
    nested = []
    for _ in range(5000):  # repr() of this would raise RecursionError
        nested = [nested]

    assert [shown(value) for value in (nested, {"a": 1}, None, True, 1.5, "a")] == [
        "a list",
        "an object",
        "null",
        "true",
        "1.5",
        "'a'",
    ]
    assert len(shown("x" * 10**6)) < 60
