"""OpenTelemetry metrics in OTLP's JSON: names in lowerCamelCase, integers of 64 bits as text or as numbers.

What is unknown is passed over. A resource, a metric or a point that cannot be read is rejected
alone. Reasons of rejection: `too_large`, `invalid_json`, `wrong_schema`, `bad_time`, `too_deep`,
and those of labels in `fields.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import orjson

from monitor.decode.fields import json_object, shown
from monitor.decode.otlp_points import MAX_DEPTH, Attribute, Metric, Points, Resource, attribute_text, kind_of_counts, kind_of_sum, too_deep
from monitor.decode.record import DEFAULT_LIMITS, Decoded, Limits, Record, RejectedError
from monitor.sample import Kind, SeriesTable

__all__ = ["decode_otlp_json"]

_INTEGER = re.compile(r"-?[0-9]{1,20}")
_REAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_INT64 = (-(1 << 63), (1 << 63) - 1)
_UINT64 = (0, (1 << 64) - 1)

_Take = Callable[[dict[str, Any]], None]  # reads one object


def decode_otlp_json(records: Sequence[Record], table: SeriesTable, limits: Limits = DEFAULT_LIMITS) -> Decoded:
    """Read export requests; an empty one holds no sample."""
    reader = _Reader(Points(table, limits, _read_attributes))
    for index, record in enumerate(records):
        try:
            reader.read(index, record, json_object(record.value, limits))
        except RejectedError as error:
            reader.points.gathered.reject(index, error)
    return reader.points.gathered.decoded()


class _Reader:
    """Walks down from requests to points."""

    def __init__(self, points: Points) -> None:
        self.points = points
        self._index = 0

    def read(self, index: int, record: Record, message: dict[str, Any]) -> None:
        """Read one request."""
        if message and "resourceMetrics" not in message:
            raise RejectedError("wrong_schema", 'no "resourceMetrics"')
        self._index = index
        self.points.begin(record)
        self._each(message, "resourceMetrics", self._resource_metrics)

    def _each(self, message: dict[str, Any], key: str, take: _Take) -> None:
        """Hand on the objects in a list; those that cannot be read are rejected alone."""
        for one in _list(message, key):
            try:
                take(_checked_object(one, key))
            except RejectedError as error:
                self.points.gathered.reject(self._index, error)

    def _resource_metrics(self, message: dict[str, Any]) -> None:
        resource = self.points.resource(_written(_object(message, "resource")))
        metric = partial(self._metric, resource)
        self._each(message, "scopeMetrics", lambda scope: self._each(scope, "metrics", metric))

    def _metric(self, resource: Resource, message: dict[str, Any]) -> None:
        metric = self.points.metric(resource, message.get("name"))
        for form in ("gauge", "sum", "histogram", "exponentialHistogram", "summary"):
            if message.get(form) is None:
                continue
            data = _object(message, form)
            temporality = _count(data, "aggregationTemporality")
            take: _Take
            if form == "gauge":
                take = partial(self._number, metric, Kind.GAUGE)
            elif form == "sum":
                take = partial(self._number, metric, kind_of_sum(temporality, is_monotonic=_truth(data, "isMonotonic")))
            elif form == "summary":
                take = partial(self._summary, metric)
            else:
                take = partial(self._histogram, metric, kind_of_counts(temporality))
            self._each(data, "dataPoints", take)

    def _number(self, metric: Metric, kind: Kind, point: dict[str, Any]) -> None:
        flags = _count(point, "flags")
        value: float | None = None
        if "asDouble" in point:
            value = _real(point, "asDouble")
        elif point.get("asInt") is not None:
            value = float(_integer(point["asInt"], "asInt", _INT64))
        elif "asInt" not in point and not flags & 1:
            raise RejectedError("wrong_schema", "a point without a value")
        self.points.number(metric, kind, _written(point), _time_ns(point), flags, value)

    def _histogram(self, metric: Metric, kind: Kind, point: dict[str, Any]) -> None:
        bounds = tuple(_real({"bound": bound}, "bound") for bound in _list(point, "explicitBounds"))
        counts = [_integer(count, "bucketCounts", _UINT64) for count in _list(point, "bucketCounts")]
        self.points.histogram(
            metric,
            kind,
            _written(point),
            _time_ns(point),
            _count(point, "flags"),
            _count(point, "count"),
            _real(point, "sum"),
            tuple(math.nan if bound is None else bound for bound in bounds),
            counts,
        )

    def _summary(self, metric: Metric, point: dict[str, Any]) -> None:
        quantiles: dict[float, float | None] = {}
        for one in _list(point, "quantileValues"):
            found = {"quantile": 0.0, "value": 0.0, **_checked_object(one, "quantileValues")}
            quantile = _real(found, "quantile")
            if quantile is None:
                raise RejectedError("wrong_schema", "quantile is null, expected a number")
            quantiles[quantile] = _real(found, "value")
        total = _real(point, "sum")
        self.points.summary(
            metric,
            _written(point),
            _time_ns(point),
            _count(point, "flags"),
            _count(point, "count"),
            0.0 if total is None else total,
            quantiles,
        )


def _checked_object(value: object, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RejectedError("wrong_schema", f"{key} holds {shown(value)}, expected an object")
    return value


def _object(message: dict[str, Any], key: str) -> dict[str, Any]:
    value = message.get(key)
    return {} if value is None else _checked_object(value, key)


def _list(message: dict[str, Any], key: str) -> list[Any]:
    value = message.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise RejectedError("wrong_schema", f"{key} is {shown(value)}, expected a list")
    return value


def _text(message: dict[str, Any], key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str):
        raise RejectedError("wrong_schema", f"{key} is {shown(value)}, expected text")
    return value


def _truth(message: dict[str, Any], key: str) -> bool:
    value = message.get(key)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise RejectedError("wrong_schema", f"{key} is {shown(value)}, expected true or false")


def _integer(value: object, key: str, bounds: tuple[int, int], *, reason: str = "wrong_schema") -> int:
    """Read an integer, which may be written as text, or as a number with a point or an exponent."""
    number: int | None = None
    if (isinstance(value, str) and _INTEGER.fullmatch(value)) or (
        isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    ):
        number = int(value)
    if number is None or not bounds[0] <= number <= bounds[1]:
        raise RejectedError(reason, f"{key} is {shown(value)}, expected an integer of 64 bits")
    return number


def _count(message: dict[str, Any], key: str) -> int:
    value = message.get(key)
    return 0 if value is None else _integer(value, key, _UINT64)


def _time_ns(point: dict[str, Any]) -> int:
    value = point.get("timeUnixNano")
    return 0 if value is None else _integer(value, "timeUnixNano", _UINT64, reason="bad_time")


def _real(message: dict[str, Any], key: str) -> float | None:
    """Read a number, which may be written as text; None where there is none."""
    value = message.get(key)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and (value in _NOT_FINITE or _REAL.fullmatch(value)):
        return _NOT_FINITE[value] if value in _NOT_FINITE else float(value)
    raise RejectedError("wrong_schema", f"{key} is {shown(value)}, expected a number")


def _written(message: dict[str, Any]) -> bytes:
    """Give a message's attributes as bytes again: a key that equal attributes share."""
    try:
        return orjson.dumps(_list(message, "attributes"))
    except orjson.JSONEncodeError as error:  # it writes less deep than it reads
        raise too_deep() from error


def _read_attributes(written: Hashable) -> list[tuple[str, str]]:
    assert isinstance(written, bytes)
    pairs = (_key_value(one, 0) for one in orjson.loads(written))
    return [(key, attribute_text(value)) for key, value in pairs]


def _key_value(message: object, depth: int) -> tuple[str, Attribute]:
    pair = _checked_object(message, "attributes")
    return _text({"key": "", **pair}, "key"), _any_value(_object(pair, "value"), depth + 1)


def _any_value(value: dict[str, Any], depth: int) -> Attribute:
    if depth > MAX_DEPTH:
        raise too_deep()
    for key, found in value.items():
        if found is None:
            continue
        read: Attribute
        match key:
            case "stringValue" | "bytesValue":
                read = _text(value, key)
            case "boolValue":
                read = _truth(value, key)
            case "intValue":
                read = _integer(found, key, _INT64)
            case "doubleValue":
                read = _real(value, key)
            case "arrayValue":
                values = _list(_checked_object(found, key), "values")
                read = [_any_value(_checked_object(one, "values"), depth + 1) for one in values]
            case "kvlistValue":
                read = dict(_key_value(one, depth) for one in _list(_checked_object(found, key), "values"))
            case _:
                continue
        return read
    return None
