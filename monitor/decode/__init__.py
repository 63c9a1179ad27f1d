"""Wire formats: payload bytes in, columns out; one file a format.

Every decoder takes a batch of payloads and gives one `Decoded`. What cannot be read is counted
by its reason and passed over; the good samples around it are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.sample import Columns

__all__ = ["Decoded"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The samples of a batch of payloads, in their order, and how many payloads were rejected, by reason."""

    columns: Columns
    rejected: dict[str, int]
