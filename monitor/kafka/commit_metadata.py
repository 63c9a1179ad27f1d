"""The text with a committed offset: up to which event time all was reported, and the topic's id; pure.

A daemon that has lost its checkpoint reads a window's length again. By this text it knows which of the steps
that it judges again were reported already, and does not notify about them a second time. By the id it knows
whether the offset is one of the topic that there is now.
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

    def read(self, name: str, text: str) -> str:
        """Keep what a partition's commit says, and give the topic's id in it; empty where it has none.

        The text of another version or program says nothing.
        """
        try:
            document = json.loads(text)
            if document["v"] != _VERSION:
                return ""
            if "wm" in document:
                self._reported_ms[name] = int(document["wm"])
            return str(document.get("id", ""))
        except (ValueError, KeyError, TypeError):
            return ""

    def text(self, time_ms: int | None, topic_id: str = "") -> str:
        """Write the text of a commit; what an earlier run reported stays reported.

        Parameters
        ----------
        time_ms : int or None
            The event time up to which this run has reported everything; None where it has reported nothing.
        topic_id : str
            The id of the topic that was read; empty where it is not known.
        """
        times_ms = [reported_ms for reported_ms in (time_ms, self.delivered_ms) if reported_ms is not None]
        return self._write({"wm": max(times_ms)} if times_ms else {}, topic_id)

    def start_text(self, topic_id: str = "") -> str:
        """Write the text of the first commit of a partition: nothing of it has been reported."""
        return self._write({}, topic_id)

    def leave_out(self) -> None:
        """Write empty texts from now on: the broker takes none of this length."""
        self._is_written = False

    def _write(self, reported: dict[str, int], topic_id: str) -> str:
        if not self._is_written:
            return ""
        document = {"v": _VERSION, **reported, **({"id": topic_id} if topic_id else {})}
        return json.dumps(document, separators=(",", ":"))
