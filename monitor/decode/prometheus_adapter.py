"""prometheus-kafka-adapter's JSON (and Avro-JSON): a message for each sample, the value as text.

    {"name": "up", "value": "1", "timestamp": "2023-11-14T22:13:20Z",
     "labels": {"__name__": "up", "job": "api"}}

The adapter truncates times to whole seconds: of two samples of a series in one second the grid keeps the
larger. A stale marker arrives as `NaN`, and is a gap like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.decode.batch import Gathered, gather
from monitor.decode.fields import (
    any_time_ms,
    identity,
    json_object,
    labels_from,
    name_from,
    number_from,
    number_from_text,
    shown,
)
from monitor.decode.record import DEFAULT_LIMITS, Decoded, Limits, Record, RejectedError
from monitor.sample import SeriesTable

__all__ = ["decode_prometheus_adapter"]


def decode_prometheus_adapter(
    records: Sequence[Record], table: SeriesTable, limits: Limits = DEFAULT_LIMITS
) -> Decoded:
    """Read the adapter's JSON. The metric's name is `name`, or else the label `__name__`."""
    known: dict[tuple[object, ...], int] = {}  # by the name and labels as this batch writes them

    def read(_: int, record: Record, gathered: Gathered) -> None:
        message = json_object(record.value, limits)
        time_ms = any_time_ms(message.get("timestamp"))
        value = _value(message)
        gathered.add(series_of(message.get("name"), message.get("labels", {})), time_ms, value)

    def series_of(name: object, labels: Any) -> int:
        key = identity(name, labels)
        number = known.get(key)
        if number is None:
            name = name_from(labels.get("__name__") if name is None else name, limits)
            other_labels = ((label, value) for label, value in labels.items() if label != "__name__")
            number = known[key] = table.intern(name, labels_from(other_labels, limits))
        return number

    return gather(records, read)


def _value(message: dict[str, object]) -> float:
    raw_value = message.get("value", "")
    value = number_from_text(raw_value) if isinstance(raw_value, str) else number_from(raw_value)
    if value is None:
        raise RejectedError("wrong_schema", f"value {shown(raw_value)} is no number")
    return value
