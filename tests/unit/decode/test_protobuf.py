"""Protobuf's wire format: what is walked over, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protobuf_writer import BYTES, FIXED32, FIXED64, VARINT, double, field, integer, text
from protobuf_writer import varint as written

from monitor.decode.protobuf import Wanted, as_int64, field_tag, fields, fixed64s, varint, varints
from monitor.decode.record import RejectedError


def walk(data, *tags, at=0, end=None):
    return list(fields(data, at, len(data) if end is None else end, Wanted(*tags)))


def refusal(data, *tags):
    with pytest.raises(RejectedError) as caught:
        walk(data, *tags)
    assert caught.value.reason == "invalid_protobuf"
    return caught.value.detail


# Examples of the encoding guide: 150 in field 1, "testing" in field 2.
NUMBER = bytes.fromhex("089601")
TEXT = bytes.fromhex("120774657374696e67")


def test_fields_come_in_their_order_with_the_place_of_their_content():
    data = NUMBER + TEXT

    found = walk(data, field_tag(1, VARINT), field_tag(2, BYTES))

    assert found == [(0x08, 150, 3), (0x12, 5, 12)]
    assert data[5:12] == b"testing"


def test_what_is_not_wanted_is_passed_over_in_every_wire_type():
    others = (
        integer(3, 7)
        + double(4, 0.5)
        + text(5, "x" * 300)
        + field(6, FIXED32, b"abcd")
        + integer(536_870_911, 1)
    )

    assert walk(others + NUMBER + others, field_tag(1, VARINT)) == [(0x08, 150, len(others) + 3)]


def test_a_walk_stays_within_its_bounds():
    data = TEXT + NUMBER + TEXT

    assert walk(data, field_tag(1, VARINT), at=len(TEXT), end=len(TEXT) + 3) == [(0x08, 150, len(TEXT) + 3)]


@pytest.mark.parametrize("n_bytes", range(1, 9))
def test_a_message_that_is_cut_off_is_refused(n_bytes):
    assert "past the end of its message" in refusal(TEXT[:-n_bytes], field_tag(2, BYTES))


@pytest.mark.parametrize(
    "data", [field(1, FIXED64, b"1234567"), field(1, FIXED32, b"123"), b"\x08", b"\x08\x96", b"\x80", b"\x0a"]
)
def test_a_field_that_is_cut_off_is_refused_also_where_nobody_wants_it(data):
    assert "past the end of its message" in refusal(data)


def test_a_length_that_reaches_from_an_inner_message_into_the_outer_one_is_refused():
    inner = b"\x12\x05abc"

    with pytest.raises(RejectedError, match="past the end"):
        walk(inner + b"de", field_tag(2, BYTES), end=len(inner))


def test_a_length_that_promises_gigabytes_is_refused():
    assert "past the end of its message" in refusal(b"\x0a" + written(1 << 62) + b"abc")


@pytest.mark.parametrize("wire_type", [3, 4, 6, 7])
def test_groups_and_wire_types_that_are_none_are_refused(wire_type):
    assert f"wire type {wire_type}, expected 0, 1, 2 or 5" in refusal(bytes([1 << 3 | wire_type]) + b"\x00")


def test_a_wanted_field_in_another_wire_type_is_refused():
    assert refusal(integer(2, 5), field_tag(2, BYTES)) == "field 2 has the wrong wire type 0"


def test_a_field_may_be_wanted_in_two_wire_types():
    assert [
        tag for tag, _, _ in walk(integer(1, 5) + text(1, "a"), field_tag(1, VARINT), field_tag(1, BYTES))
    ] == [0x08, 0x0A]


@pytest.mark.parametrize("tag", [VARINT, BYTES, 1 << 32 | VARINT])
def test_field_numbers_that_cannot_be_are_refused(tag):
    assert "wire type" in refusal(written(tag) + b"\x00")


def test_fields_before_a_bad_place_have_been_given():
    walked = fields(NUMBER + b"\xff", 0, 4, Wanted(field_tag(1, VARINT)))

    assert next(walked) == (0x08, 150, 3)
    with pytest.raises(RejectedError):
        next(walked)


@given(value=st.integers(0, (1 << 64) - 1))
def test_a_number_is_read_as_it_was_written(value):
    data = written(value)

    assert varint(b"\xff" + data + b"\xff", 1) == (value, 1 + len(data))


@given(value=st.integers(-(1 << 63), (1 << 63) - 1))
def test_a_signed_number_is_read_from_its_64_bits(value):
    assert as_int64(varint(written(value), 0)[0]) == value


def test_a_number_may_have_more_bytes_than_it_needs_but_no_more_than_ten():
    assert varint(b"\x81" + b"\x80" * 8 + b"\x00", 0) == (1, 10)
    with pytest.raises(RejectedError, match="more than ten bytes"):
        varint(b"\x81" + b"\x80" * 9 + b"\x00", 0)


def test_a_number_of_more_than_64_bits_is_refused():
    assert varint(b"\xff" * 9 + b"\x01", 0) == ((1 << 64) - 1, 10)
    with pytest.raises(RejectedError, match="more than 64 bits"):
        varint(b"\xff" * 9 + b"\x02", 0)


def test_packed_numbers_are_read_and_must_end_where_they_should():
    data = written(1) + written(300) + written(0)

    assert varints(data, 0, len(data)) == [1, 300, 0]
    assert varints(data, 1, 3) == [300]
    with pytest.raises(RejectedError, match="past the end"):
        varints(data, 0, 2)


def test_packed_words_are_read_and_must_be_whole():
    data = b"x" + (5).to_bytes(8, "little") + ((1 << 64) - 1).to_bytes(8, "little")

    assert fixed64s(data, 1, 17).tolist() == [5, (1 << 64) - 1]
    assert fixed64s(data, 17, 17).tolist() == []
    with pytest.raises(RejectedError, match="15 bytes of packed words"):
        fixed64s(data, 1, 16)


@given(data=st.binary(max_size=60))
def test_any_bytes_are_walked_over_or_refused(data):
    found, reasons = [], set()
    try:
        found = walk(data, field_tag(1, VARINT), field_tag(2, BYTES))
    except RejectedError as error:
        reasons.add(error.reason)

    assert reasons <= {"invalid_protobuf"}
    assert all(stop <= len(data) for _, _, stop in found)
