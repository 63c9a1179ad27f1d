"""`barograph dead-letters`: reads the newest dead letters from their topic, and reports them."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from monitor.errors import SourceError
from monitor.kafka.dead_letter import DeadLetter, read_dead_letter
from monitor.kafka.topic_reader import Reader
from monitor.text import excerpt, printable

__all__ = ["read_dead_letters", "report"]


def read_dead_letters(reader: Reader, topic: str, *, n_newest: int) -> Iterator[DeadLetter]:
    """Read so many of the newest dead letters of each partition, those of one partition in their order.

    Raises
    ------
    SourceError
        If the topic does not exist, or the cluster does not answer within the reader's time.
    """
    partitions = reader.topics().get(topic)
    if not partitions:
        raise SourceError(
            f"there is no topic {topic}, which source.kafka.dead_letter_topic names: "
            "make it, and the daemon sends dead letters to it"
        )
    bounds = reader.bounds(topic, partitions)
    starts = {number: max(bound.first, bound.end - n_newest) for number, bound in bounds.items()}
    for peek in reader.read(topic, starts, bounds):
        for record in peek.records:
            yield read_dead_letter(
                record.value, record.headers, topic=topic, partition=peek.partition, time_ms=record.time_ms
            )


def report(dead_letters: Iterable[DeadLetter], *, n_shown: int, reason: str = "") -> Iterator[str]:
    """Write a report: counts by reason and topic, then the newest dead letters and how each begins.

    Parameters
    ----------
    reason : str
        Only dead letters with this reason; all when empty.
    """
    counts: Counter[tuple[str, str]] = Counter()
    newest: list[tuple[int, int, int, DeadLetter]] = []  # a heap, by time, offset, and order of arrival
    for number, dead_letter in enumerate(dead_letters):
        if reason and dead_letter.reason != reason:
            continue
        counts[dead_letter.reason, dead_letter.topic] += 1
        heapq.heappush(newest, (dead_letter.time_ms, dead_letter.offset, number, dead_letter))
        if len(newest) > n_shown:
            heapq.heappop(newest)
    yield f"{counts.total()} dead letters" + (f" with reason {_escape(reason)}" if reason else "")
    for (count_reason, topic), count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        yield f"{count:>9}  {_escape(count_reason)}  {_escape(topic)}"
    if newest:
        yield f"the newest {len(newest)}:"
    for *_, dead_letter in sorted(newest):
        position, detail = _escape(dead_letter.position), _escape(dead_letter.detail)
        yield f"{position}  {_time(dead_letter.time_ms)}  {_escape(dead_letter.reason)}  {detail}".rstrip()
        yield f"    {excerpt(dead_letter.value)}"


def _escape(text: str) -> str:
    return printable(text, reversible=True)


def _time(time_ms: int) -> str:
    if time_ms < 0:
        return "without a time"
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"time {time_ms} ms"
