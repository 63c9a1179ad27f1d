"""Barograph's own JSON: columnar batches, the fast path, and single samples with configurable field names.

A columnar batch holds the metrics of one set of labels, sampled at the same times:

    {"labels": {"host": "web1"}, "time_ms": [1700000000000, 1700000010000],
     "metrics": {"cpu_busy_ratio": [0.31, 0.35], "requests_total": [104, null]}}

A single sample:

    {"name": "cpu_busy_ratio", "labels": {"host": "web1"}, "time": 1700000000, "value": 0.31}

`null` is a gap. A value that is text is no value: whoever writes this format means a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.decode.batch import Gathered, Rejections, gather
from monitor.decode.fields import (
    TimeUnit,
    identity,
    json_object,
    labels_from,
    name_from,
    number_from,
    shown,
    time_ms_from,
)
from monitor.decode.record import (
    DEFAULT_LIMITS,
    MAX_TIME_MS,
    MIN_TIME_MS,
    Decoded,
    Limits,
    Record,
    RejectedError,
)
from monitor.sample import Columns, Labels, SeriesTable, concatenate

__all__ = ["SampleFields", "decode_native_columns", "decode_native_samples", "is_columnar"]

_NO_LIMITS = Limits(max_record_bytes=1 << 62)


@dataclass(frozen=True, slots=True)
class SampleFields:
    """Names of the fields of a single-sample message, and the unit of its time."""

    name: str = "name"
    labels: str = "labels"
    time: str = "time"
    value: str = "value"
    time_unit: TimeUnit = "auto"


def decode_native_columns(
    records: Sequence[Record], table: SeriesTable, limits: Limits = DEFAULT_LIMITS
) -> Decoded:
    """Read columnar batches; a bad batch is rejected as a whole."""
    parts: list[Columns] = []
    rejections = Rejections()
    for index, record in enumerate(records):
        try:
            parts.append(_columns_of(record.value, table, limits))
        except RejectedError as error:
            rejections.add(index, error)
    return Decoded(concatenate(parts), tuple(rejections))


def decode_native_samples(
    records: Sequence[Record],
    table: SeriesTable,
    limits: Limits = DEFAULT_LIMITS,
    fields: SampleFields = SampleFields(),
) -> Decoded:
    """Read single-sample messages."""
    known: dict[tuple[object, ...], int] = {}  # by name and labels as this batch writes them
    name_key, labels_key, unit = fields.name, fields.labels, fields.time_unit
    time_key, value_key = fields.time, fields.value

    def read(_: int, record: Record, gathered: Gathered) -> None:
        message = json_object(record.value, limits)
        time_ms = time_ms_from(message.get(time_key), unit)
        if value_key not in message:
            raise RejectedError("wrong_schema", f'no field "{value_key}"')
        value = number_from(message[value_key])
        if value is None:
            raise RejectedError("wrong_schema", f"value {shown(message[value_key])}, expected a number")
        name, labels = message.get(name_key), message.get(labels_key, {})
        key = identity(name, labels)
        number = known.get(key)
        if number is None:
            number = known[key] = table.intern(name_from(name, limits), labels_from(labels.items(), limits))
        gathered.add(number, time_ms, value)

    return gather(records, read)


def is_columnar(payload: bytes) -> bool:
    """Tell a columnar batch from a single sample."""
    try:
        return "metrics" in json_object(payload, _NO_LIMITS)
    except RejectedError:
        return False


def _columns_of(payload: bytes, table: SeriesTable, limits: Limits) -> Columns:
    message = json_object(payload, limits)
    labels = _labels(message.get("labels", {}), limits)
    metrics = message.get("metrics")
    if not isinstance(metrics, dict) or not metrics:
        raise RejectedError(
            "wrong_schema", f"metrics is {shown(metrics)}, expected an object with a list for each metric"
        )
    time_ms = _numbers("time_ms", message.get("time_ms"), kinds="iuf")
    if not ((time_ms >= MIN_TIME_MS) & (time_ms <= MAX_TIME_MS)).all():  # NaN is neither
        raise RejectedError(
            "bad_time", "time_ms holds a time that is not between the years 1970 and 9999, in ms"
        )
    times = np.floor(time_ms).astype(np.int64)
    names = [name_from(name, limits) for name in metrics]
    value = _rows(metrics, len(times))
    numbers = np.array([table.intern(name, labels) for name in names], np.int32)
    return Columns(np.repeat(numbers, len(times)), np.tile(times, len(names)), value.ravel())


def _rows(metrics: dict[str, Any], n_times: int) -> NDArray[np.float64]:
    """Give the values of all metrics, shape (n_metrics, n_times)."""
    try:
        rows = np.array(list(metrics.values()))  # in one go if all are numbers
    except ValueError:  # of different lengths
        rows = np.empty(0)
    if rows.shape == (len(metrics), n_times) and rows.dtype.kind in "iuf":
        return rows.astype(np.float64)
    columns = {name: _numbers(name, values) for name, values in metrics.items()}
    for name, values in columns.items():
        if len(values) != n_times:
            raise RejectedError("wrong_schema", f"{shown(name)} has {len(values)} values for {n_times} times")
    return np.array(list(columns.values()))


def _labels(labels: object, limits: Limits) -> Labels:
    if not isinstance(labels, dict):
        raise RejectedError("wrong_schema", f"labels are {shown(labels)}, expected an object")
    return labels_from(labels.items(), limits)


def _numbers(name: str, values: object, *, kinds: str = "iufb") -> NDArray[np.float64]:
    if not isinstance(values, list):
        raise RejectedError("wrong_schema", f"{shown(name)} is {shown(values)}, expected a list")
    try:
        numbers = np.array(values)
        if numbers.dtype == object and not any(isinstance(value, str) for value in values):
            numbers = np.array(values, np.float64)  # None becomes NaN
    except (TypeError, ValueError, OverflowError) as error:
        raise RejectedError("wrong_schema", f"{shown(name)} holds what is no number") from error
    if numbers.ndim != 1 or numbers.dtype.kind not in kinds:
        raise RejectedError("wrong_schema", f"{shown(name)} holds what is no number")
    return numbers.astype(np.float64)
