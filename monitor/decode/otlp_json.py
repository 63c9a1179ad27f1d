"""OpenTelemetry metrics in OTLP's JSON: names in lowerCamelCase, integers of 64 bits as text or as numbers.

Unknown fields are skipped. A resource, a metric or a point that cannot be read is rejected alone. Reasons
of rejection: `too_large`, `invalid_json`, `wrong_schema`, `bad_time`, `too_deep`, and those of labels in
`fields.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from typing import Any

import orjson

from monitor.decode.fields import json_object, shown
from monitor.decode.otlp_points import (
    NO_RECORDED_VALUE,
    Aggregate,
    Attribute,
    Form,
    Metric,
    Points,
    Resource,
    check_depth,
    kind_of,
    missing_value,
    too_deep,
)
from monitor.decode.record import DEFAULT_LIMITS, Decoded, Limits, Record, RejectedError
from monitor.sample import Kind, SeriesTable

__all__ = ["decode_otlp_json"]

_INTEGER = re.compile(r"-?[0-9]{1,20}")
_REAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_INT64 = (-(1 << 63), (1 << 63) - 1)
_UINT64 = (0, (1 << 64) - 1)

_ReadObject = Callable[[dict[str, Any]], None]
_ReadPoint = Callable[[Metric, Kind, dict[str, Any]], None]


def decode_otlp_json(
    records: Sequence[Record], table: SeriesTable, limits: Limits = DEFAULT_LIMITS
) -> Decoded:
    """Read export requests; an empty one holds no sample."""
    points = Points(table, limits, _read_attributes)
    reader = _Reader(points)
    return points.decode(records, lambda record: reader.read(json_object(record.value, limits)))


class _Reader:
    """Walks down from requests to points."""

    def __init__(self, points: Points) -> None:
        self._points = points
        self._readers: dict[Form, _ReadPoint] = {
            "gauge": self._number,
            "sum": self._number,
            "histogram": self._histogram,
            "exponentialHistogram": self._histogram,
            "summary": self._summary,
        }

    def read(self, message: dict[str, Any]) -> None:
        """Read one request."""
        if message and "resourceMetrics" not in message:
            raise RejectedError("wrong_schema", 'no "resourceMetrics"')
        self._each(message, "resourceMetrics", self._resource_metrics)

    def _each(self, message: dict[str, Any], key: str, read: _ReadObject) -> None:
        """Read the objects of a list; those that cannot be read are rejected alone."""
        for value in _list(message, key):
            try:
                read(_checked_object(value, key))
            except RejectedError as error:
                self._points.reject(error)

    def _resource_metrics(self, message: dict[str, Any]) -> None:
        resource = self._points.resource(_raw_attributes(_object(message, "resource")))
        read_metric = partial(self._metric, resource)
        self._each(message, "scopeMetrics", lambda scope: self._each(scope, "metrics", read_metric))

    def _metric(self, resource: Resource, message: dict[str, Any]) -> None:
        metric = self._points.metric(resource, message.get("name"))
        for form, read_point in self._readers.items():
            value = message.get(form)
            if value is None:
                continue
            data = _checked_object(value, form)
            temporality = _count(data, "aggregationTemporality")
            is_monotonic = form == "sum" and _flag(data, "isMonotonic")
            kind = kind_of(form, temporality, is_monotonic=is_monotonic)
            self._each(data, "dataPoints", partial(read_point, metric, kind))

    def _number(self, metric: Metric, kind: Kind, point: dict[str, Any]) -> None:
        flags = _count(point, "flags")
        value: float | None = None
        if "asDouble" in point:
            value = _real(point, "asDouble")
        elif point.get("asInt") is not None:
            value = float(_integer(point["asInt"], "asInt", _INT64))
        elif "asInt" not in point and not flags & NO_RECORDED_VALUE:
            raise missing_value()
        self._points.number(metric, kind, _raw_attributes(point), _time_ns(point), flags, value)

    def _histogram(self, metric: Metric, kind: Kind, point: dict[str, Any]) -> None:
        bounds = tuple(_bound(bound) for bound in _list(point, "explicitBounds"))
        counts = [_integer(count, "bucketCounts", _UINT64) for count in _list(point, "bucketCounts")]
        self._points.histogram(metric, kind, _aggregate(point), bounds, counts)

    def _summary(self, metric: Metric, kind: Kind, point: dict[str, Any]) -> None:
        quantiles: dict[float, float | None] = {}
        for value in _list(point, "quantileValues"):
            pair = {"quantile": 0.0, "value": 0.0, **_checked_object(value, "quantileValues")}
            quantile = _real(pair, "quantile")
            if quantile is None:
                raise RejectedError("wrong_schema", "quantile is null, expected a number")
            quantiles[quantile] = _real(pair, "value")
        self._points.summary(metric, kind, _aggregate(point), quantiles)


def _aggregate(point: dict[str, Any]) -> Aggregate:
    return Aggregate(
        _raw_attributes(point),
        _time_ns(point),
        _count(point, "flags"),
        _count(point, "count"),
        _real(point, "sum"),
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


def _flag(message: dict[str, Any], key: str) -> bool:
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


def _bound(value: object) -> float:
    """Read the bound of a bucket; null is NaN, which is rejected where bounds are compared."""
    bound = _real({"bound": value}, "bound")
    return math.nan if bound is None else bound


def _raw_attributes(message: dict[str, Any]) -> bytes:
    """Give a message's attributes as bytes again: a key that equal attributes share."""
    try:
        return orjson.dumps(_list(message, "attributes"))
    except orjson.JSONEncodeError as error:  # orjson writes fewer levels than it reads
        raise too_deep() from error


def _read_attributes(raw: Hashable) -> Iterator[tuple[str, Attribute]]:
    assert isinstance(raw, bytes)
    return (_key_value(message, 0) for message in orjson.loads(raw))


def _key_value(message: object, depth: int) -> tuple[str, Attribute]:
    pair = _checked_object(message, "attributes")
    return _text({"key": "", **pair}, "key"), _any_value(_object(pair, "value"), depth + 1)


def _any_value(message: dict[str, Any], depth: int) -> Attribute:
    """Read an attribute's value: the first field of a known name that is not null."""
    check_depth(depth)
    for key, value in message.items():
        if value is None:
            continue
        attribute: Attribute
        match key:
            case "stringValue" | "bytesValue":
                attribute = _text(message, key)
            case "boolValue":
                attribute = _flag(message, key)
            case "intValue":
                attribute = _integer(value, key, _INT64)
            case "doubleValue":
                attribute = _real(message, key)
            case "arrayValue":
                items = _list(_checked_object(value, key), "values")
                attribute = [_any_value(_checked_object(item, "values"), depth + 1) for item in items]
            case "kvlistValue":
                items = _list(_checked_object(value, key), "values")
                attribute = dict(_key_value(item, depth) for item in items)
            case _:
                continue
        return attribute
    return None
