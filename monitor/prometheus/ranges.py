"""Stretches of event time: how a long one is split, halved and aligned. Pure.

All times are milliseconds since the epoch. A `TimeRange` holds its start and not its end, so that two that
meet share no sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["ChunkLength", "TimeRange", "grid_points", "halves", "merged", "point_ranges", "subtract"]


@dataclass(frozen=True, slots=True, order=True)
class TimeRange:
    """Event time [from_ms, to_ms)."""

    from_ms: int
    to_ms: int

    @property
    def length_ms(self) -> int:
        """How long it is."""
        return self.to_ms - self.from_ms


def halves(span: TimeRange, step_ms: int) -> tuple[TimeRange, TimeRange] | None:
    """Split a range in the middle, at a multiple of a step; None where no such multiple is inside."""
    middle = (span.from_ms + span.to_ms) // 2 // step_ms * step_ms
    if middle <= span.from_ms:
        middle += step_ms
    if middle >= span.to_ms:
        return None
    return TimeRange(span.from_ms, middle), TimeRange(middle, span.to_ms)


def grid_points(span: TimeRange, step_ms: int) -> tuple[int, int] | None:
    """Give the first and the last multiple of a step in a range; None where there is none."""
    first = -(-span.from_ms // step_ms) * step_ms
    last = (span.to_ms - 1) // step_ms * step_ms
    return (first, last) if first <= last else None


def point_ranges(first_ms: int, last_ms: int, step_ms: int, max_points: int) -> Iterator[tuple[int, int]]:
    """Split the points from the first to the last into runs of at most `max_points`; give their two ends."""
    while first_ms <= last_ms:
        end_ms = min(last_ms, first_ms + (max_points - 1) * step_ms)
        yield first_ms, end_ms
        first_ms = end_ms + step_ms


def merged(spans: Iterable[TimeRange], *, tolerance_ms: int = 0) -> list[TimeRange]:
    """Join ranges that overlap, meet, or lie at most `tolerance_ms` apart; in order of time."""
    joined: list[TimeRange] = []
    for span in sorted(spans):
        if joined and span.from_ms <= joined[-1].to_ms + tolerance_ms:
            joined[-1] = TimeRange(joined[-1].from_ms, max(joined[-1].to_ms, span.to_ms))
        else:
            joined.append(span)
    return joined


def subtract(span: TimeRange, taken: Iterable[TimeRange]) -> list[TimeRange]:
    """Give what is left of a range without others, in order of time."""
    left = []
    from_ms = span.from_ms
    for other in merged(taken):
        if other.from_ms >= span.to_ms:
            break
        if other.from_ms > from_ms:
            left.append(TimeRange(from_ms, other.from_ms))
        from_ms = max(from_ms, other.to_ms)
    if from_ms < span.to_ms:
        left.append(TimeRange(from_ms, span.to_ms))
    return left


class ChunkLength:
    """How much time to ask for at once, from how many samples the last stretches had.

    Parameters
    ----------
    length_ms, longest_ms : int
        The first stretch, and the longest one.
    most_samples : int
        Of one stretch; it bounds the memory that a chunk takes.
    """

    def __init__(self, length_ms: int, *, longest_ms: int, most_samples: int) -> None:
        self.length_ms = length_ms
        self._longest_ms = longest_ms
        self._most_samples = most_samples
        self._refused_ms = longest_ms  # what the server has last refused to give at once

    def record(self, span: TimeRange, n_samples: int, *, shortest_ms: int) -> None:
        """Learn from a stretch that has been read. The next is twice as long at most.

        Parameters
        ----------
        shortest_ms : int
            The shortest part in which the server gave it.
        """
        if shortest_ms < span.length_ms:
            self._refused_ms = shortest_ms
        else:
            self._refused_ms = min(self._longest_ms, self._refused_ms * 9 // 8 + 1)  # it may have been busy
        fitting_ms = span.length_ms * self._most_samples // max(n_samples, 1)
        self.length_ms = max(1000, min(2 * self.length_ms, fitting_ms, self._refused_ms))
