"""Which metrics of a Parquet file are counters, where the file says so: names do not always tell."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["COUNTERS_KEY", "counters_of"]

COUNTERS_KEY = b"barograph.counters"  # in the schema's metadata: a JSON list of names


def counters_of(file: Path) -> frozenset[str]:
    """Give the names of metrics that a file calls counters; none where it says nothing.

    Raises
    ------
    OSError, pyarrow.ArrowException
        If the file cannot be read.
    """
    if file.suffix != ".parquet":
        return frozenset()
    written = (pq.read_schema(file).metadata or {}).get(COUNTERS_KEY)
    if written is None:
        return frozenset()
    try:
        return frozenset(map(str, json.loads(written)))
    except (ValueError, TypeError) as error:
        raise pa.ArrowInvalid(f"its list of counters is damaged: {error}") from error
