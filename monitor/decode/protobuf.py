"""A reader of protobuf's wire format, for decoders that need a few fields of large messages.

It knows no message types: a decoder names the fields that it wants by their tags, unknown ones are
passed over. Every length is checked before it is used. What is not well-formed is `invalid_protobuf`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from monitor.decode.record import RejectedError

__all__ = ["BYTES", "FIXED32", "FIXED64", "VARINT", "Wanted", "as_int64", "cut_off", "field_tag", "fields", "fixed64s", "varint", "varints"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; 3 and 4 are groups, which proto3 has not
_MAX_TAG = (1 << 32) - 1  # field numbers have at most 29 bits


def field_tag(number: int, wire_type: int) -> int:
    """Give what stands before a field: its number and its wire type."""
    return number << 3 | wire_type


class Wanted:
    """The fields of a message that are read, by their tags; one of their numbers in another wire type is refused."""

    __slots__ = ("numbers", "tags")

    def __init__(self, *tags: int) -> None:
        self.tags = frozenset(tags)
        self.numbers = frozenset(tag >> 3 for tag in tags)


def cut_off() -> RejectedError:
    """Give the error for a message that ends before it should."""
    return RejectedError("invalid_protobuf", "a field reaches over the end of its message")


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of up to 64 bits; give it, unsigned, and the place behind it."""
    value = shift = 0
    try:
        while (byte := data[at]) > 0x7F:
            value |= (byte & 0x7F) << shift
            shift += 7
            at += 1
            if shift > 63:
                raise RejectedError("invalid_protobuf", "a number of more than ten bytes")
    except IndexError as error:
        raise cut_off() from error
    value |= byte << shift
    if value >> 64:
        raise RejectedError("invalid_protobuf", "a number of more than 64 bits")
    return value, at + 1


def as_int64(value: int) -> int:
    """Take an unsigned number of 64 bits as a signed one."""
    return value - (1 << 64) if value >> 63 else value


def fields(data: bytes, at: int, end: int, wanted: Wanted) -> Iterator[tuple[int, int, int]]:
    """Walk over the fields of a message that are wanted, in their order.

    Yields
    ------
    tuple
        The tag; then where the field's content begins and ends. For a number as varint: its
        value, unsigned, and the place behind it.

    Raises
    ------
    RejectedError
        `invalid_protobuf`, when the walk comes to a place that is not well-formed. The fields
        before it have been given.
    """
    tags, numbers = wanted.tags, wanted.numbers
    while at < end:
        tag = data[at]
        at += 1
        if tag > 0x7F:
            tag, at = varint(data, at - 1)
        wire_type = tag & 7
        if wire_type == BYTES:
            size, start = varint(data, at)
            stop = start + size
        elif wire_type == FIXED64:
            start, stop = at, at + 8
        elif wire_type == VARINT:
            start, stop = varint(data, at)
        elif wire_type == FIXED32:
            start, stop = at, at + 4
        else:
            raise RejectedError("invalid_protobuf", f"wire type {wire_type}, expected 0, 1, 2 or 5")
        if stop > end:
            raise cut_off()
        if tag in tags:
            yield tag, start, stop
        elif tag >> 3 in numbers or not 8 <= tag <= _MAX_TAG:
            raise RejectedError("invalid_protobuf", f"field {tag >> 3} has wire type {wire_type}, which is not its own")
        at = stop


def varints(data: bytes, at: int, end: int) -> list[int]:
    """Read numbers that are packed one behind the other."""
    found = []
    while at < end:
        value, at = varint(data, at)
        found.append(value)
    if at > end:
        raise cut_off()
    return found


def fixed64s(data: bytes, at: int, end: int) -> NDArray[np.uint64]:
    """Read words of 64 bits that are packed one behind the other."""
    if (end - at) % 8:
        raise RejectedError("invalid_protobuf", f"{end - at} bytes of packed words of 8")
    return np.frombuffer(data, "<u8", (end - at) // 8, at).astype(np.uint64, copy=False)
