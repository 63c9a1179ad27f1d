"""A record that could not be read, as a message: its own bytes, and headers that say where it was and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["DEAD_LETTER_RESULTS", "DeadLetter", "dead_letter_headers", "read_dead_letter"]

# What becomes of one; `withheld`: its partition is in a wrong format, and held.
DEAD_LETTER_RESULTS = ("sent", "failed", "dropped", "withheld")
_PREFIX = "barograph."
_DETAIL_CHARACTERS = 200
_UNKNOWN_OFFSET = -1
_UNKNOWN_REASON = "unknown"  # of a record in the topic that this program did not write
Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be read.

    `time_ms` is the record's timestamp, -1 where it has none; `value`, `key` and `headers` are its own,
    unchanged.
    """

    topic: str
    partition: int
    offset: int
    time_ms: int
    reason: str
    detail: str
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def position(self) -> str:
        """Where it was, `topic[partition]@offset`."""
        return f"{self.topic}[{self.partition}]@{'?' if self.offset == _UNKNOWN_OFFSET else self.offset}"

    @property
    def n_bytes(self) -> int:
        """Size of the value, the key and the headers."""
        header_bytes = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.value) + len(self.key or b"") + header_bytes


def dead_letter_headers(dead_letter: DeadLetter, version: str) -> list[tuple[str, bytes]]:
    """Give the headers to send a dead letter with: the record's own, followed by those of this program."""
    origin = {
        "topic": dead_letter.topic,
        "partition": dead_letter.partition,
        "offset": dead_letter.offset,
        "timestamp": dead_letter.time_ms,
        "reason": dead_letter.reason,
        "detail": dead_letter.detail[:_DETAIL_CHARACTERS],
        "version": version,
    }
    added = [(_PREFIX + name, str(value).encode("utf-8", "replace")) for name, value in origin.items()]
    return [*dead_letter.headers, *added]


def read_dead_letter(
    value: bytes, headers: Headers, *, topic: str, partition: int, time_ms: int
) -> DeadLetter:
    """Read what `dead_letter_headers` wrote.

    A record that this program did not write keeps the topic, partition and timestamp under which it was
    found, and its reason is `unknown`.
    """
    origin = {
        name.removeprefix(_PREFIX): (text or b"").decode("utf-8", "replace")
        for name, text in headers
        if name.startswith(_PREFIX)
    }
    own_headers = tuple((name, text) for name, text in headers if not name.startswith(_PREFIX))
    try:
        return DeadLetter(
            origin["topic"],
            int(origin["partition"]),
            int(origin["offset"]),
            int(origin["timestamp"]),
            origin["reason"],
            origin.get("detail", ""),
            value,
            headers=own_headers,
        )
    except (KeyError, ValueError):
        return DeadLetter(
            topic,
            partition,
            _UNKNOWN_OFFSET,
            time_ms,
            _UNKNOWN_REASON,
            "not written by Barograph",
            value,
            headers=own_headers,
        )
