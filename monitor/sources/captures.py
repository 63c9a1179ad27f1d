"""Captures: files that hold the records of a topic, or the bodies of HTTP requests, one a line.

Every line is a JSON object with the payload as base64, in `value` beside a `topic` or `headers`, or in
`body` beside `headers`. Headers are a list of names and base64 values, as Kafka has them, or an
object of names and texts, as HTTP has them. Any other file is one payload as it is.
"""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from monitor.decode.record import Record
from monitor.errors import SourceError

__all__ = ["Captured", "NoCaptureError", "captured_lines", "file_bytes", "read_capture"]


@dataclass(frozen=True, slots=True)
class Captured:
    """One record of a file: its topic, in whose stead the file stands where there is none, and the place that messages name."""

    topic: str
    record: Record
    place: str


class NoCaptureError(Exception):
    """A line is no record; `number` says which, counted from 1, and `n_before` how many records stand before it."""

    def __init__(self, number: int, n_before: int) -> None:
        super().__init__(number, n_before)
        self.number = number
        self.n_before = n_before


def read_capture(file: Path) -> list[Captured]:
    """Read the records of a file: those that its lines hold, or itself as one.

    Raises
    ------
    SourceError
        If the file cannot be read.
    """
    content = file_bytes(file)
    try:
        captured = captured_lines(content.splitlines(), str(file))
    except NoCaptureError as error:
        # A capture that was torn off, or mended by hand, is one payload now, which nobody will expect.
        why = f" (taken as one payload: line {error.number} is no record)" if error.n_before else ""
        return [Captured(str(file), Record(content), f"{file}{why}")]
    return captured or [Captured(str(file), Record(content), str(file))]


def file_bytes(file: Path) -> bytes:
    """Read a file, decompressed where its name ends in `.gz`.

    Raises
    ------
    SourceError
        If the file cannot be read.
    """
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
            return opened.read()
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"cannot read {file}: {' '.join(str(error).split())}") from error


def captured_lines(lines: Iterable[bytes], file: str) -> list[Captured]:
    """Read the lines of a capture; empty ones are passed over.

    Raises
    ------
    NoCaptureError
        If one of them is no record.
    """
    captured = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                captured.append(_captured(line, file, number))
            except ValueError as error:  # orjson's and base64's are such as well
                raise NoCaptureError(number, len(captured)) from error
    return captured


def _captured(line: bytes, file: str, number: int) -> Captured:
    message = orjson.loads(line)
    if not isinstance(message, dict) or not {"topic", "headers"} & set(message):
        raise ValueError("no object with a topic or headers")
    topic, time_ms = message.get("topic", file), message.get("timestamp")
    if not isinstance(topic, str):
        raise ValueError("a topic that is no text")
    if not isinstance(time_ms, int) or isinstance(time_ms, bool):
        time_ms = -1
    payload = message["value"] if "value" in message else message.get("body", ...)
    partition, offset = message.get("partition"), message.get("offset")
    has_place = "topic" in message and isinstance(partition, int) and isinstance(offset, int)
    place = f"{topic}[{partition}]@{offset}" if has_place else f"{file}:{number}"
    return Captured(topic, Record(_from_base64(payload), time_ms, _headers(message.get("headers"))), place)


def _from_base64(value: object) -> bytes:
    """Read base64; null, a record without a value, is nothing."""
    if value is None:
        return b""
    if not isinstance(value, str):
        raise ValueError("no base64")
    return base64.b64decode(value, validate=True)


def _headers(headers: object) -> tuple[tuple[str, bytes], ...]:
    if headers is None:
        return ()
    if isinstance(headers, dict) and all(isinstance(value, str) for value in headers.values()):
        return tuple((name, value.encode()) for name, value in headers.items())
    if isinstance(headers, list) and all(
        isinstance(one, list) and len(one) == 2 and isinstance(one[0], str) for one in headers
    ):
        return tuple((name, _from_base64(value)) for name, value in headers)
    raise ValueError("headers that are neither an object of texts nor pairs of a name and a value")
