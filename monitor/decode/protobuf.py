"""A reader of protobuf's wire format, for decoders that need a few fields of large messages.

It knows no message types: a decoder names the fields it wants by their tags, and unknown fields are skipped.
Every length is checked before it is used. Malformed data is rejected as `invalid_protobuf`.

References
----------
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from monitor.decode.record import RejectedError

__all__ = [
    "BYTES",
    "FIXED32",
    "FIXED64",
    "VARINT",
    "Wanted",
    "as_int64",
    "cut_off",
    "field_tag",
    "fields",
    "fixed64s",
    "varint",
    "varints",
]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; 3 and 4 are groups, which proto3 does not have
_MAX_TAG = (1 << 32) - 1  # field numbers have at most 29 bits


def field_tag(number: int, wire_type: int) -> int:
    """Give the tag that precedes a field: its number and its wire type."""
    return number << 3 | wire_type


class Wanted:
    """The fields of a message to read, by their tags; the same number with another wire type is rejected."""

    __slots__ = ("numbers", "tags")

    def __init__(self, *tags: int) -> None:
        self.tags = frozenset(tags)
        self.numbers = frozenset(tag >> 3 for tag in tags)


def cut_off() -> RejectedError:
    """Give the error for a message that ends too early."""
    return RejectedError("invalid_protobuf", "a field extends past the end of its message")


def varint(data: bytes, position: int) -> tuple[int, int]:
    """Read a number of up to 64 bits; give it, unsigned, and the position after it."""
    value = shift = 0
    try:
        while (byte := data[position]) > 0x7F:
            value |= (byte & 0x7F) << shift
            shift += 7
            position += 1
            if shift > 63:
                raise RejectedError("invalid_protobuf", "a number of more than ten bytes")
    except IndexError as error:
        raise cut_off() from error
    value |= byte << shift
    if value >> 64:
        raise RejectedError("invalid_protobuf", "a number of more than 64 bits")
    return value, position + 1


def as_int64(value: int) -> int:
    """Reinterpret an unsigned number of 64 bits as a signed one."""
    return value - (1 << 64) if value >> 63 else value


def fields(data: bytes, position: int, end: int, wanted: Wanted) -> Iterator[tuple[int, int, int]]:
    """Walk over the wanted fields of a message, in their order.

    Yields
    ------
    tuple
        The tag; then where the field's content begins and ends. For a varint: its value, unsigned, and the
        position after it.

    Raises
    ------
    RejectedError
        `invalid_protobuf`, when the walk reaches malformed data. The fields before it have been yielded.
    """
    tags, numbers = wanted.tags, wanted.numbers
    while position < end:
        tag = data[position]
        position += 1
        if tag > 0x7F:
            tag, position = varint(data, position - 1)
        wire_type = tag & 7
        if wire_type == BYTES:
            size, start = varint(data, position)
            stop = start + size
        elif wire_type == FIXED64:
            start, stop = position, position + 8
        elif wire_type == VARINT:
            start, stop = varint(data, position)
        elif wire_type == FIXED32:
            start, stop = position, position + 4
        else:
            raise RejectedError("invalid_protobuf", f"wire type {wire_type}, expected 0, 1, 2 or 5")
        if stop > end:
            raise cut_off()
        if tag in tags:
            yield tag, start, stop
        elif tag >> 3 in numbers or not 8 <= tag <= _MAX_TAG:
            raise RejectedError("invalid_protobuf", f"field {tag >> 3} has the wrong wire type {wire_type}")
        position = stop


def varints(data: bytes, position: int, end: int) -> list[int]:
    """Read packed varints."""
    values = []
    while position < end:
        value, position = varint(data, position)
        values.append(value)
    if position > end:
        raise cut_off()
    return values


def fixed64s(data: bytes, position: int, end: int) -> NDArray[np.uint64]:
    """Read packed words of 64 bits."""
    n_bytes = end - position
    if n_bytes % 8:
        raise RejectedError("invalid_protobuf", f"{n_bytes} bytes of packed words of 8")
    return np.frombuffer(data, "<u8", n_bytes // 8, position).astype(np.uint64, copy=False)
