"""JSON in files: a whole document, or a document on each line; where it breaks off, the place is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from monitor.errors import SourceError
from monitor.files.layout import Reading

__all__ = ["Documents", "documents_of", "first_document"]


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents of a file: one, or one from each line."""

    found: list[Any]
    is_lines: bool


def first_document(content: bytes) -> Any:
    """Give the first line of JSON lines; None where the first line is no object on its own."""
    start = content.lstrip()
    line, _, rest = start.partition(b"\n")
    if not line.startswith((b"{", b"[")) or not rest.strip():
        return None
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return document


def documents_of(content: bytes, reading: Reading) -> Documents:
    """Parse a file.

    Of a file of lines, a line that cannot be parsed is counted as `invalid_json`.

    Raises
    ------
    SourceError
        If a whole document cannot be parsed; with line, column and byte.
    """
    if first_document(content) is not None:
        found = []
        n_bad = 0
        for line in content.splitlines():
            try:
                if line.strip():
                    found.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                n_bad += 1
        reading.tally.count_bad("invalid_json", n_bad)
        return Documents(found, is_lines=True)
    try:
        return Documents([orjson.loads(content)], is_lines=False)
    except orjson.JSONDecodeError as error:
        n_bytes = len(error.doc[: error.pos].encode())
        is_end = n_bytes >= len(content.rstrip())
        what = "the JSON breaks off" if is_end else "the JSON is damaged"
        raise SourceError(
            f"cannot read {reading.file}: {what} at line {error.lineno}, column {error.colno} "
            f"(byte {n_bytes} of {len(content)}): {error.msg}. Save the file again."
        ) from error
