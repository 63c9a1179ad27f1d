"""OpenTelemetry metrics in protobuf: the fields of a request that samples are made of.

Senders write fields in any order; the Collector writes them backwards, so that a metric's name comes after
its points. A resource, a metric or a point that cannot be read is rejected alone, as its length is known.
Reasons of rejection: `too_large`, `invalid_protobuf`, `wrong_schema`, `bad_time`, `too_deep`, and those of
labels and text in `fields.py`.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from monitor.decode.fields import check_size, text_from
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
)
from monitor.decode.protobuf import BYTES, FIXED64, VARINT, Wanted, as_int64, field_tag, fields, fixed64s
from monitor.decode.record import DEFAULT_LIMITS, Decoded, Limits, Record, RejectedError
from monitor.sample import Kind, SeriesTable

__all__ = ["decode_otlp_proto"]

_DOUBLE = struct.Struct("<d")
_SIGNED = struct.Struct("<q")

# Messages within messages: a request, a resource's metrics, a scope's metrics.
_FIRST, _SECOND = field_tag(1, BYTES), field_tag(2, BYTES)
_FIRST_ALONE, _SECOND_ALONE = Wanted(_FIRST), Wanted(_SECOND)

_NAME = field_tag(1, BYTES)
_GAUGE, _SUM, _HISTOGRAM, _EXPONENTIAL, _SUMMARY = (field_tag(number, BYTES) for number in (5, 7, 9, 10, 11))
_NAME_ALONE = Wanted(_NAME)
_DATA = Wanted(_GAUGE, _SUM, _HISTOGRAM, _EXPONENTIAL, _SUMMARY)
_POINT = field_tag(1, BYTES)
_POINTS = Wanted(_POINT)
_TEMPORALITY, _IS_MONOTONIC = field_tag(2, VARINT), field_tag(3, VARINT)
_AGGREGATION = Wanted(_TEMPORALITY, _IS_MONOTONIC)


class _PointFields(NamedTuple):
    """The fields of a histogram's or a summary's point, and the tag that its attributes have."""

    wanted: Wanted
    attributes: int


# Points: the time, the count and the sum are in the same fields of all, attributes and flags are not.
_TIME = field_tag(3, FIXED64)
_FLAGS_8, _FLAGS_10 = field_tag(8, VARINT), field_tag(10, VARINT)
_ATTRIBUTES_1, _ATTRIBUTES_7, _ATTRIBUTES_9 = (field_tag(number, BYTES) for number in (1, 7, 9))
_AS_DOUBLE, _AS_INT = field_tag(4, FIXED64), field_tag(6, FIXED64)
_NUMBER = Wanted(_TIME, _AS_DOUBLE, _AS_INT, _ATTRIBUTES_7, _FLAGS_8)
_COUNT, _TOTAL = field_tag(4, FIXED64), field_tag(5, FIXED64)
_COUNTS, _COUNT_OF_BUCKET = field_tag(6, BYTES), field_tag(6, FIXED64)  # packed, or each on its own
_BOUNDS, _BOUND = field_tag(7, BYTES), field_tag(7, FIXED64)
_BUCKETS = (_COUNTS, _COUNT_OF_BUCKET, _BOUNDS, _BOUND)
_HISTOGRAM_POINT = _PointFields(
    Wanted(_TIME, _COUNT, _TOTAL, *_BUCKETS, _ATTRIBUTES_9, _FLAGS_10), _ATTRIBUTES_9
)
_EXPONENTIAL_POINT = _PointFields(Wanted(_TIME, _COUNT, _TOTAL, _ATTRIBUTES_1, _FLAGS_10), _ATTRIBUTES_1)
_QUANTILE_VALUE = field_tag(6, BYTES)
_SUMMARY_POINT = _PointFields(
    Wanted(_TIME, _COUNT, _TOTAL, _QUANTILE_VALUE, _ATTRIBUTES_7, _FLAGS_8), _ATTRIBUTES_7
)
_QUANTILE, _VALUE_AT_QUANTILE = field_tag(1, FIXED64), field_tag(2, FIXED64)
_QUANTILE_FIELDS = Wanted(_QUANTILE, _VALUE_AT_QUANTILE)

_KEY, _VALUE = field_tag(1, BYTES), field_tag(2, BYTES)
_KEY_VALUE = Wanted(_KEY, _VALUE)
_STRING, _ARRAY, _KEY_VALUES, _RAW = (field_tag(number, BYTES) for number in (1, 5, 6, 7))
_BOOL, _INT, _REAL = field_tag(2, VARINT), field_tag(3, VARINT), field_tag(4, FIXED64)
_ANY_VALUE = Wanted(_STRING, _BOOL, _INT, _REAL, _ARRAY, _KEY_VALUES, _RAW)

_Field = tuple[int, int, int]  # tag, and where the content begins and ends
_ReadMessage = Callable[[bytes, int, int], None]  # of the data from a position to another
_ReadPoint = Callable[[Metric, Kind, bytes, int, int], None]


def decode_otlp_proto(
    records: Sequence[Record], table: SeriesTable, limits: Limits = DEFAULT_LIMITS
) -> Decoded:
    """Read export requests; an empty one holds no sample."""
    points = Points(table, limits, _read_attributes)
    reader = _Reader(points)

    def read(record: Record) -> None:
        check_size(record.value, limits)
        reader.read(record.value)

    return points.decode(records, read)


class _Reader:
    """Walks down from requests to points."""

    def __init__(self, points: Points) -> None:
        self._points = points
        self._forms: dict[int, tuple[Form, _ReadPoint]] = {
            _GAUGE: ("gauge", self._number),
            _SUM: ("sum", self._number),
            _HISTOGRAM: ("histogram", partial(self._histogram, _HISTOGRAM_POINT)),
            _EXPONENTIAL: ("exponentialHistogram", partial(self._histogram, _EXPONENTIAL_POINT)),
            _SUMMARY: ("summary", self._summary),
        }

    def read(self, data: bytes) -> None:
        """Read one request."""
        self._each(data, 0, len(data), _FIRST_ALONE, self._resource_metrics)

    def _each(self, data: bytes, begin: int, end: int, wanted: Wanted, read: _ReadMessage) -> None:
        """Read the messages in a message; those that cannot be read are rejected alone."""
        for _, start, stop in fields(data, begin, end, wanted):
            try:
                read(data, start, stop)
            except RejectedError as error:
                self._points.reject(error)

    def _resource_metrics(self, data: bytes, begin: int, end: int) -> None:
        attributes: list[bytes] = []
        for _, start, stop in fields(data, begin, end, _FIRST_ALONE):
            attributes += _contents(data, start, stop)
        resource = self._points.resource(tuple(attributes))
        read_metric = partial(self._metric, resource)

        def read_scope(data: bytes, start: int, stop: int) -> None:
            self._each(data, start, stop, _SECOND_ALONE, read_metric)

        self._each(data, begin, end, _SECOND_ALONE, read_scope)

    def _metric(self, resource: Resource, data: bytes, begin: int, end: int) -> None:
        name = b""
        for _, start, stop in fields(data, begin, end, _NAME_ALONE):
            name = data[start:stop]
        metric = self._points.metric(resource, text_from(name))
        for tag, start, stop in fields(data, begin, end, _DATA):
            form, read_point = self._forms[tag]
            temporality = is_monotonic = 0
            if tag not in (_GAUGE, _SUMMARY):
                for aggregation_tag, value, _ in fields(data, start, stop, _AGGREGATION):
                    if aggregation_tag == _TEMPORALITY:
                        temporality = value
                    else:
                        is_monotonic = value
            kind = kind_of(form, temporality, is_monotonic=bool(is_monotonic))
            self._each(data, start, stop, _POINTS, partial(read_point, metric, kind))

    def _number(self, metric: Metric, kind: Kind, data: bytes, begin: int, end: int) -> None:
        attributes: list[bytes] = []
        time_ns = flags = 0
        value: float | None = None
        for tag, start, stop in fields(data, begin, end, _NUMBER):
            if tag == _ATTRIBUTES_7:
                attributes.append(data[start:stop])
            elif tag == _TIME:
                time_ns = int.from_bytes(data[start:stop], "little")
            elif tag == _AS_DOUBLE:
                (value,) = _DOUBLE.unpack_from(data, start)
            elif tag == _AS_INT:
                value = float(_SIGNED.unpack_from(data, start)[0])
            else:
                flags = start
        if value is None and not flags & NO_RECORDED_VALUE:
            raise missing_value()
        self._points.number(metric, kind, tuple(attributes), time_ns, flags, value)

    def _histogram(
        self, point_fields: _PointFields, metric: Metric, kind: Kind, data: bytes, begin: int, end: int
    ) -> None:
        point, buckets = _aggregate(data, begin, end, point_fields)
        counts: list[int] = []
        bounds: list[float] = []
        for tag, start, stop in buckets:
            words = fixed64s(data, start, stop)
            if tag in (_COUNTS, _COUNT_OF_BUCKET):
                counts += words.tolist()
            else:
                bounds += words.view("f8").tolist()
        self._points.histogram(metric, kind, point, tuple(bounds), counts)

    def _summary(self, metric: Metric, kind: Kind, data: bytes, begin: int, end: int) -> None:
        point, quantile_values = _aggregate(data, begin, end, _SUMMARY_POINT)
        quantiles: dict[float, float | None] = {}
        for _, start, stop in quantile_values:
            pair = {_QUANTILE: 0.0, _VALUE_AT_QUANTILE: 0.0}
            for tag, position, _ in fields(data, start, stop, _QUANTILE_FIELDS):
                (pair[tag],) = _DOUBLE.unpack_from(data, position)
            quantiles[pair[_QUANTILE]] = pair[_VALUE_AT_QUANTILE]
        self._points.summary(metric, kind, point, quantiles)


def _aggregate(
    data: bytes, begin: int, end: int, point_fields: _PointFields
) -> tuple[Aggregate, list[_Field]]:
    """Read what points of histograms and summaries share; give it, and the fields that are left to read."""
    attributes: list[bytes] = []
    time_ns = flags = count = 0
    total: float | None = None
    others: list[_Field] = []
    for tag, start, stop in fields(data, begin, end, point_fields.wanted):
        if tag == point_fields.attributes:
            attributes.append(data[start:stop])
        elif tag == _TIME:
            time_ns = int.from_bytes(data[start:stop], "little")
        elif tag == _COUNT:
            count = int.from_bytes(data[start:stop], "little")
        elif tag == _TOTAL:
            (total,) = _DOUBLE.unpack_from(data, start)
        elif tag in (_FLAGS_8, _FLAGS_10):
            flags = start
        else:
            others.append((tag, start, stop))
    return Aggregate(tuple(attributes), time_ns, flags, count, total), others


def _contents(data: bytes, begin: int, end: int) -> list[bytes]:
    """Give the messages in field 1 of a message."""
    return [data[start:stop] for _, start, stop in fields(data, begin, end, _FIRST_ALONE)]


def _read_attributes(raw: Hashable) -> Iterator[tuple[str, Attribute]]:
    assert isinstance(raw, tuple)
    return (_key_value(message, 0, len(message), 0) for message in raw)


def _key_value(data: bytes, begin: int, end: int, depth: int) -> tuple[str, Attribute]:
    key = b""
    value: Attribute = None
    for tag, start, stop in fields(data, begin, end, _KEY_VALUE):
        if tag == _KEY:
            key = data[start:stop]
        else:
            value = _any_value(data, start, stop, depth + 1)
    return text_from(key), value


def _any_value(data: bytes, begin: int, end: int, depth: int) -> Attribute:
    """Read an attribute's value: the last of its fields, as protobuf has it for a `oneof`."""
    check_depth(depth)
    value: Attribute = None
    for tag, start, stop in fields(data, begin, end, _ANY_VALUE):
        if tag == _STRING:
            value = text_from(data[start:stop])
        elif tag == _BOOL:
            value = bool(start)
        elif tag == _INT:
            value = as_int64(start)
        elif tag == _REAL:
            value = float(_DOUBLE.unpack_from(data, start)[0])
        elif tag == _ARRAY:
            items = fields(data, start, stop, _FIRST_ALONE)
            value = [_any_value(data, first, last, depth + 1) for _, first, last in items]
        elif tag == _KEY_VALUES:
            items = fields(data, start, stop, _FIRST_ALONE)
            value = dict(_key_value(data, first, last, depth) for _, first, last in items)
        else:
            value = base64.b64encode(data[start:stop]).decode()  # as OTLP's JSON writes bytes
    return value
