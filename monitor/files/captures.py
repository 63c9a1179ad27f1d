"""Captures: files that hold the records of a topic, or the bodies of HTTP requests, one a line.

Each line is a JSON object with the payload as base64: in `value`, with a `topic` or `headers`, or in `body`,
with `headers`. Headers are a list of names and base64 values, as in Kafka, or an object of names and texts,
as in HTTP. Any other file is a single payload.
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
    """A record of a file.

    `topic` is the file's name if the record has none; `location` is what messages call the record: topic,
    partition and offset, or file and line.
    """

    topic: str
    record: Record
    location: str


class NoCaptureError(Exception):
    """Line `number`, counted from 1, is no record; `n_before` records come before it."""

    def __init__(self, number: int, n_before: int) -> None:
        super().__init__(number, n_before)
        self.number = number
        self.n_before = n_before


def read_capture(file: Path) -> list[Captured]:
    """Read the records of a file: one from each line, or the whole file as one.

    Raises
    ------
    SourceError
        If the file cannot be read.
    """
    content = file_bytes(file)
    try:
        captured = captured_lines(content.splitlines(), str(file))
    except NoCaptureError as error:
        # A truncated capture, or one edited by hand, becomes a single payload. Nobody expects that: say why.
        why = f" (read as one payload: line {error.number} is no record)" if error.n_before else ""
        return [Captured(str(file), Record(content), f"{file}{why}")]
    return captured or [Captured(str(file), Record(content), str(file))]


def file_bytes(file: Path) -> bytes:
    """Read a file, decompressed if its name ends in `.gz`.

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
    """Read the lines of a capture; empty lines are skipped.

    Raises
    ------
    NoCaptureError
        If a line is no record.
    """
    captured = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                captured.append(_captured(line, file, number))
            except ValueError as error:  # also orjson's and base64's errors
                raise NoCaptureError(number, len(captured)) from error
    return captured


def _captured(line: bytes, file: str, number: int) -> Captured:
    message = orjson.loads(line)
    if not isinstance(message, dict) or not {"topic", "headers"} & set(message):
        raise ValueError("no object with a topic or headers")
    topic = message.get("topic", file)
    time_ms = message.get("timestamp")
    if not isinstance(topic, str):
        raise ValueError("a topic that is no text")
    if not isinstance(time_ms, int) or isinstance(time_ms, bool):
        time_ms = -1
    payload = message["value"] if "value" in message else message.get("body", ...)
    partition = message.get("partition")
    offset = message.get("offset")
    has_offset = "topic" in message and isinstance(partition, int) and isinstance(offset, int)
    location = f"{topic}[{partition}]@{offset}" if has_offset else f"{file}:{number}"
    record = Record(_from_base64(payload), time_ms, _headers(message.get("headers")))
    return Captured(topic, record, location)


def _from_base64(value: object) -> bytes:
    """Read base64; null is a record without a value, and gives no bytes."""
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
    if isinstance(headers, list) and all(map(_is_header, headers)):
        return tuple((name, _from_base64(value)) for name, value in headers)
    raise ValueError("headers that are neither an object of texts nor pairs of a name and a value")


def _is_header(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)
