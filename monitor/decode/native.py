"""Barograph's own JSON: columnar batches, the fast path, and single samples with configurable field names.

A columnar batch holds the metrics of one set of labels, sampled at the same times:

    {"labels": {"host": "web1"}, "time_ms": [1700000000000, 1700000010000],
     "metrics": {"cpu_busy_ratio": [0.31, 0.35], "requests_total": [104, null]}}

A single sample:

    {"name": "cpu_busy_ratio", "labels": {"host": "web1"}, "time": 1700000000, "value": 0.31}

`null` is a gap. Reasons of rejection: `invalid_json`, `wrong_schema`, `bad_time`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from monitor.decode import Decoded
from monitor.sample import Columns, Labels, SeriesTable, concatenate, labels_of

__all__ = ["SampleFields", "decode_native_columns", "decode_native_samples", "is_columnar"]

_MS_PER_UNIT = {"s": 1000.0, "ms": 1.0}
_MAX_TIME_MS = 253_402_300_800_000  # the year 10000
_MISSING = object()


class _RejectedError(Exception):
    """A payload cannot be read, for the reason that is its only argument."""


@dataclass(frozen=True, slots=True)
class SampleFields:
    """What the fields of a single-sample message are called, and the unit of its time."""

    name: str = "name"
    labels: str = "labels"
    time: str = "time"
    value: str = "value"
    time_unit: Literal["s", "ms"] = "s"


def decode_native_columns(payloads: Iterable[bytes], table: SeriesTable) -> Decoded:
    """Read columnar batches; of a rejected one nothing is taken."""
    parts: list[Columns] = []
    rejected: dict[str, int] = {}
    for payload in payloads:
        try:
            parts += _columns_of(payload, table)
        except _RejectedError as error:
            rejected[error.args[0]] = rejected.get(error.args[0], 0) + 1
    return Decoded(concatenate(parts), rejected)


def decode_native_samples(payloads: Iterable[bytes], table: SeriesTable, fields: SampleFields = SampleFields()) -> Decoded:
    """Read single-sample messages."""
    numbers: list[int] = []
    times: list[float] = []
    values: list[float] = []
    rejected: dict[str, int] = {}
    known: dict[tuple[object, ...], int] = {}  # series as this batch writes them: labels are sorted once each
    ms_per_unit = _MS_PER_UNIT[fields.time_unit]
    for payload in payloads:
        try:
            message = _object(payload)
            time_ms = _time_ms(message.get(fields.time), ms_per_unit)
            value = _value(message.get(fields.value, _MISSING))
            number = _series_of(message.get(fields.name), message.get(fields.labels, {}), table, known)
        except _RejectedError as error:
            rejected[error.args[0]] = rejected.get(error.args[0], 0) + 1
            continue
        numbers.append(number)
        times.append(time_ms)
        values.append(value)
    columns = Columns(np.array(numbers, np.int32), np.rint(np.array(times, np.float64)).astype(np.int64), np.array(values, np.float64))
    return Decoded(columns, rejected)


def is_columnar(payload: bytes) -> bool:
    """Tell a columnar batch from a single sample."""
    try:
        return "metrics" in _object(payload)
    except _RejectedError:
        return False


def _columns_of(payload: bytes, table: SeriesTable) -> list[Columns]:
    message = _object(payload)
    labels = _labels(message.get("labels", {}))
    metrics = message.get("metrics")
    if not isinstance(metrics, dict) or not metrics:
        raise _RejectedError("wrong_schema")
    time_ms = _numbers(message.get("time_ms"), kinds="iuf")
    if not np.isfinite(time_ms).all() or (np.abs(time_ms) > _MAX_TIME_MS).any():
        raise _RejectedError("bad_time")
    times = np.rint(time_ms).astype(np.int64)
    columns = {name: _numbers(values) for name, values in metrics.items()}
    if any(len(value) != len(times) for value in columns.values()):
        raise _RejectedError("wrong_schema")
    return [Columns(np.full(len(times), table.intern(name, labels), np.int32), times, value) for name, value in columns.items()]


def _series_of(name: object, labels: object, table: SeriesTable, known: dict[tuple[object, ...], int]) -> int:
    if not isinstance(labels, dict):
        raise _RejectedError("wrong_schema")
    key = (name, *labels.items())
    try:
        number = known.get(key)
    except TypeError as error:  # a label value that is a list or an object
        raise _RejectedError("wrong_schema") from error
    if number is None:
        if not isinstance(name, str) or not name:
            raise _RejectedError("wrong_schema")
        number = known[key] = table.intern(name, _labels(labels))
    return number


def _object(payload: bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise _RejectedError("invalid_json") from error
    if not isinstance(message, dict):
        raise _RejectedError("wrong_schema")
    return message


def _labels(labels: object) -> Labels:
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise _RejectedError("wrong_schema")
    return labels_of(labels)


def _time_ms(time: object, ms_per_unit: float) -> float:
    if not isinstance(time, int | float) or isinstance(time, bool) or abs(time * ms_per_unit) > _MAX_TIME_MS:
        raise _RejectedError("bad_time")
    return time * ms_per_unit


def _value(value: object) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, int | float):  # true and false are 1 and 0
        raise _RejectedError("wrong_schema")
    return float(value)


def _numbers(values: object, *, kinds: str = "iufb") -> NDArray[np.float64]:
    if not isinstance(values, list):
        raise _RejectedError("wrong_schema")
    try:
        numbers = np.array(values)
        if numbers.dtype == object and not any(isinstance(value, str) for value in values):
            numbers = np.array(values, np.float64)  # None becomes NaN
    except (TypeError, ValueError, OverflowError) as error:
        raise _RejectedError("wrong_schema") from error
    if numbers.ndim != 1 or numbers.dtype.kind not in kinds:
        raise _RejectedError("wrong_schema")
    return numbers.astype(np.float64)
