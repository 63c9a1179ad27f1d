"""A record that could not be read, as it is kept: its own bytes, and headers that say where it lay and why."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["DEAD_LETTER_RESULTS", "DeadLetter", "excerpt", "headers_of", "read_dead_letter", "report"]

DEAD_LETTER_RESULTS = (
    "sent",
    "failed",
    "dropped",
    "withheld",
)  # withheld: their partition is in a wrong format, and held
_PREFIX = "barograph."
_DETAIL_CHARACTERS = 200
_EXCERPT_BYTES = 160  # two lines of a terminal
_UNKNOWN_OFFSET = -1
_UNKNOWN = "unknown"  # what a record in the topic that is none of ours is called
Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record: where it lay, when it was stamped (-1: not at all), its bytes as they came, and why it could not be read."""

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
    def place(self) -> str:
        """Where it lay, `topic[partition]@offset`."""
        return f"{self.topic}[{self.partition}]@{'?' if self.offset == _UNKNOWN_OFFSET else self.offset}"

    @property
    def n_bytes(self) -> int:
        """How much it holds."""
        return (
            len(self.value)
            + len(self.key or b"")
            + sum(len(name) + len(value) for name, value in self.headers)
        )


def headers_of(dead_letter: DeadLetter, version: str) -> list[tuple[str, bytes]]:
    """Give the headers to keep it with: its own, and ours behind them."""
    ours = {
        "topic": dead_letter.topic,
        "partition": dead_letter.partition,
        "offset": dead_letter.offset,
        "timestamp": dead_letter.time_ms,
        "reason": dead_letter.reason,
        "detail": dead_letter.detail[:_DETAIL_CHARACTERS],
        "version": version,
    }
    return [
        *dead_letter.headers,
        *((_PREFIX + name, str(value).encode("utf-8", "replace")) for name, value in ours.items()),
    ]


def read_dead_letter(
    value: bytes, headers: Headers, *, topic: str, partition: int, time_ms: int
) -> DeadLetter:
    """Read what `headers_of` wrote; of a record that is not ours topic, partition and time are its own, and the reason `unknown`."""
    ours = {
        name.removeprefix(_PREFIX): (text or b"").decode("utf-8", "replace")
        for name, text in headers
        if name.startswith(_PREFIX)
    }
    own = tuple((name, value) for name, value in headers if not name.startswith(_PREFIX))
    try:
        place = (ours["topic"], int(ours["partition"]), int(ours["offset"]))
        return DeadLetter(
            *place, int(ours["timestamp"]), ours["reason"], ours.get("detail", ""), value, headers=own
        )
    except (KeyError, ValueError):
        return DeadLetter(
            topic,
            partition,
            _UNKNOWN_OFFSET,
            time_ms,
            _UNKNOWN,
            "not written by Barograph",
            value,
            headers=own,
        )


def report(dead_letters: Iterable[DeadLetter], *, n_shown: int, reason: str = "") -> Iterator[str]:
    """Write how many there are, by reason and topic, and the newest of them: where, when, why, and how each begins.

    Parameters
    ----------
    reason : str
        Only those with it; all when empty.
    """
    counts: Counter[tuple[str, str]] = Counter()
    newest: list[tuple[int, int, int, DeadLetter]] = []  # a heap, by time, offset, and then as they came
    for number, dead_letter in enumerate(dead_letters):
        if not reason or dead_letter.reason == reason:
            counts[dead_letter.reason, dead_letter.topic] += 1
            heapq.heappush(newest, (dead_letter.time_ms, dead_letter.offset, number, dead_letter))
            if len(newest) > n_shown:
                heapq.heappop(newest)
    yield f"{counts.total()} dead letters" + (f" with reason {safe(reason)}" if reason else "")
    for (why, topic), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        yield f"{count:>9}  {safe(why)}  {safe(topic)}"
    if newest:
        yield f"the newest {len(newest)}:"
    for *_, dead_letter in sorted(newest):
        yield f"{safe(dead_letter.place)}  {_time(dead_letter.time_ms)}  {safe(dead_letter.reason)}  {safe(dead_letter.detail)}".rstrip()
        yield f"    {excerpt(dead_letter.value)}"


def excerpt(value: bytes) -> str:
    """Write how a record begins: text with escapes, else hexadecimal; nothing in it moves a terminal."""
    if not value:
        return "(empty)"
    text = _text(value[:_EXCERPT_BYTES])
    if text is not None:
        return safe(text) + (f"... ({len(value)} bytes)" if len(value) > _EXCERPT_BYTES else "")
    head = value[: _EXCERPT_BYTES // 2]
    return f"hex {head.hex()}{'...' if len(value) > len(head) else ''} ({len(value)} bytes)"


def safe(text: str) -> str:
    """Write text so that it stays on its line and commands nothing: all that cannot be seen is escaped."""
    return "".join(
        character
        if character.isprintable() and character != "\\"
        else character.encode("unicode_escape").decode()
        for character in text
    )


def _text(head: bytes) -> str | None:
    """Give a record's first bytes as text; None where they are none, or mostly control characters."""
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return None
        text = head[: error.start].decode()  # the cut went through a character
    n_controls = sum(not character.isprintable() and not character.isspace() for character in text)
    return text if n_controls <= len(text) // 10 else None


def _time(time_ms: int) -> str:
    try:
        return (
            datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
            if time_ms >= 0
            else "without a time"
        )
    except (ValueError, OverflowError, OSError):
        return f"time {time_ms} ms"
