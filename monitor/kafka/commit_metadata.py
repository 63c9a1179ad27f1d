"""The text that goes with a committed offset: up to which event time everything has been reported; pure.

A daemon that has lost its checkpoint reads a window's length again. By this text it knows which of the steps
that it judges again were reported already, and does not notify about them a second time.
"""

from __future__ import annotations

import json

__all__ = ["CommitMetadata"]

_VERSION = 1  # of the text


class CommitMetadata:
    """Reads and writes the text, and keeps what the commits of an earlier run said."""

    def __init__(self) -> None:
        self._reported_ms: dict[str, int] = {}  # by partition: up to where an earlier run has reported
        self._is_written = True

    @property
    def delivered_ms(self) -> int | None:
        """The event time up to which an earlier run has reported: the oldest in the partitions' commits."""
        return min(self._reported_ms.values(), default=None)

    def read(self, name: str, text: str) -> None:
        """Keep what a partition's commit says; the text of another version or program says nothing."""
        try:
            document = json.loads(text)
            if document["v"] == _VERSION:
                self._reported_ms[name] = int(document["wm"])
        except (ValueError, KeyError, TypeError):
            return

    def text(self, time_ms: int | None) -> str:
        """Write the text of a commit; what an earlier run reported stays reported.

        Parameters
        ----------
        time_ms : int or None
            The event time up to which this run has reported everything; None where it has reported nothing.
        """
        times_ms = [reported_ms for reported_ms in (time_ms, self.delivered_ms) if reported_ms is not None]
        return self._write({"v": _VERSION, "wm": max(times_ms)} if times_ms else {"v": _VERSION})

    def start_text(self) -> str:
        """Write the text of the first commit of a partition: nothing of it has been reported."""
        return self._write({"v": _VERSION})

    def leave_out(self) -> None:
        """Write empty texts from now on: the broker takes none of this length."""
        self._is_written = False

    def _write(self, document: dict[str, int]) -> str:
        return json.dumps(document, separators=(",", ":")) if self._is_written else ""
