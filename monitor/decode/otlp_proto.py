"""OpenTelemetry metrics in protobuf: the fields of a request that samples are made of.

Senders write fields in any order, the Collector backwards: the name of a metric behind its points.
A resource, a metric or a point that cannot be read is rejected alone, as its length is known.
Reasons of rejection: `too_large`, `invalid_protobuf`, `wrong_schema`, `bad_time`, `too_deep`, and
those of labels and text in `fields.py`.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Hashable, Sequence
from functools import partial

from monitor.decode.fields import check_size, text_from
from monitor.decode.otlp_points import MAX_DEPTH, Attribute, Metric, Points, Resource, attribute_text, kind_of_counts, kind_of_sum, too_deep
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

# Points: the time is in the same field of all, attributes and flags are not.
_TIME = field_tag(3, FIXED64)
_ATTRIBUTES_1, _ATTRIBUTES_7, _ATTRIBUTES_9 = field_tag(1, BYTES), field_tag(7, BYTES), field_tag(9, BYTES)
_FLAGS_8, _FLAGS_10 = field_tag(8, VARINT), field_tag(10, VARINT)
_AS_DOUBLE, _AS_INT = field_tag(4, FIXED64), field_tag(6, FIXED64)
_NUMBER = Wanted(_TIME, _AS_DOUBLE, _AS_INT, _ATTRIBUTES_7, _FLAGS_8)
_COUNT, _TOTAL = field_tag(4, FIXED64), field_tag(5, FIXED64)
_COUNTS, _COUNT_OF_BUCKET = field_tag(6, BYTES), field_tag(6, FIXED64)  # packed, or one by one
_BOUNDS, _BOUND = field_tag(7, BYTES), field_tag(7, FIXED64)
_HISTOGRAM_POINT = Wanted(_TIME, _COUNT, _TOTAL, _COUNTS, _COUNT_OF_BUCKET, _BOUNDS, _BOUND, _ATTRIBUTES_9, _FLAGS_10)
_EXPONENTIAL_POINT = Wanted(_TIME, _COUNT, _TOTAL, _ATTRIBUTES_1, _FLAGS_10)
_QUANTILE_VALUE = field_tag(6, BYTES)
_SUMMARY_POINT = Wanted(_TIME, _COUNT, _TOTAL, _QUANTILE_VALUE, _ATTRIBUTES_7, _FLAGS_8)
_QUANTILE, _VALUE_AT = field_tag(1, FIXED64), field_tag(2, FIXED64)
_QUANTILE_FIELDS = Wanted(_QUANTILE, _VALUE_AT)

_KEY, _VALUE = field_tag(1, BYTES), field_tag(2, BYTES)
_KEY_VALUE = Wanted(_KEY, _VALUE)
_STRING, _BOOL, _INT, _REAL = field_tag(1, BYTES), field_tag(2, VARINT), field_tag(3, VARINT), field_tag(4, FIXED64)
_ARRAY, _KEY_VALUES, _RAW = field_tag(5, BYTES), field_tag(6, BYTES), field_tag(7, BYTES)
_ANY_VALUE = Wanted(_STRING, _BOOL, _INT, _REAL, _ARRAY, _KEY_VALUES, _RAW)

_Take = Callable[[bytes, int, int], None]  # reads one message, by where its content begins and ends


def decode_otlp_proto(records: Sequence[Record], table: SeriesTable, limits: Limits = DEFAULT_LIMITS) -> Decoded:
    """Read export requests; an empty one holds no sample."""
    reader = _Reader(Points(table, limits, _read_attributes))
    for index, record in enumerate(records):
        try:
            check_size(record.value, limits)
            reader.read(index, record)
        except RejectedError as error:
            reader.points.gathered.reject(index, error)
    return reader.points.gathered.decoded()


class _Reader:
    """Walks down from requests to points."""

    def __init__(self, points: Points) -> None:
        self.points = points
        self._index = 0

    def read(self, index: int, record: Record) -> None:
        """Read one request."""
        self._index = index
        self.points.begin(record)
        data = record.value
        self._each(data, 0, len(data), _FIRST_ALONE, self._resource_metrics)

    def _each(self, data: bytes, at: int, end: int, wanted: Wanted, take: _Take) -> None:
        """Hand on the messages in a message; those that cannot be read are rejected alone."""
        for _, start, stop in fields(data, at, end, wanted):
            try:
                take(data, start, stop)
            except RejectedError as error:
                self.points.gathered.reject(self._index, error)

    def _resource_metrics(self, data: bytes, at: int, end: int) -> None:
        attributes: list[bytes] = []
        for _, start, stop in fields(data, at, end, _FIRST_ALONE):
            attributes += [data[first:last] for _, first, last in fields(data, start, stop, _FIRST_ALONE)]
        resource = self.points.resource(tuple(attributes))
        metric = partial(self._metric, resource)
        self._each(data, at, end, _SECOND_ALONE, lambda data, start, stop: self._each(data, start, stop, _SECOND_ALONE, metric))

    def _metric(self, resource: Resource, data: bytes, at: int, end: int) -> None:
        name = b""
        for _, start, stop in fields(data, at, end, _NAME_ALONE):
            name = data[start:stop]
        metric = self.points.metric(resource, text_from(name))
        for tag, start, stop in fields(data, at, end, _DATA):
            temporality = is_monotonic = 0
            if tag not in (_GAUGE, _SUMMARY):
                for one, value, _ in fields(data, start, stop, _AGGREGATION):
                    if one == _TEMPORALITY:
                        temporality = value
                    else:
                        is_monotonic = value
            take: _Take
            if tag == _GAUGE:
                take = partial(self._number, metric, Kind.GAUGE)
            elif tag == _SUM:
                take = partial(self._number, metric, kind_of_sum(temporality, is_monotonic=bool(is_monotonic)))
            elif tag == _SUMMARY:
                take = partial(self._summary, metric)
            else:
                wanted = _HISTOGRAM_POINT if tag == _HISTOGRAM else _EXPONENTIAL_POINT
                take = partial(self._histogram, metric, kind_of_counts(temporality), wanted)
            self._each(data, start, stop, _POINTS, take)

    def _number(self, metric: Metric, kind: Kind, data: bytes, at: int, end: int) -> None:
        attributes: list[bytes] = []
        time_ns = flags = 0
        value: float | None = None
        for tag, start, stop in fields(data, at, end, _NUMBER):
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
        if value is None and not flags & 1:
            raise RejectedError("wrong_schema", "a point without a value")
        self.points.number(metric, kind, tuple(attributes), time_ns, flags, value)

    def _histogram(self, metric: Metric, kind: Kind, wanted: Wanted, data: bytes, at: int, end: int) -> None:
        attributes: list[bytes] = []
        time_ns = flags = count = 0
        total: float | None = None
        counts: list[int] = []
        bounds: list[float] = []
        for tag, start, stop in fields(data, at, end, wanted):
            if tag in (_ATTRIBUTES_9, _ATTRIBUTES_1):
                attributes.append(data[start:stop])
            elif tag == _TIME:
                time_ns = int.from_bytes(data[start:stop], "little")
            elif tag == _COUNT:
                count = int.from_bytes(data[start:stop], "little")
            elif tag == _TOTAL:
                (total,) = _DOUBLE.unpack_from(data, start)
            elif tag in (_COUNTS, _COUNT_OF_BUCKET):
                counts += fixed64s(data, start, stop).tolist()
            elif tag in (_BOUNDS, _BOUND):
                bounds += fixed64s(data, start, stop).view("f8").tolist()
            else:
                flags = start
        self.points.histogram(metric, kind, tuple(attributes), time_ns, flags, count, total, tuple(bounds), counts)

    def _summary(self, metric: Metric, data: bytes, at: int, end: int) -> None:
        attributes: list[bytes] = []
        time_ns = flags = count = 0
        total = 0.0
        quantiles: dict[float, float | None] = {}
        for tag, start, stop in fields(data, at, end, _SUMMARY_POINT):
            if tag == _ATTRIBUTES_7:
                attributes.append(data[start:stop])
            elif tag == _TIME:
                time_ns = int.from_bytes(data[start:stop], "little")
            elif tag == _COUNT:
                count = int.from_bytes(data[start:stop], "little")
            elif tag == _TOTAL:
                (total,) = _DOUBLE.unpack_from(data, start)
            elif tag == _QUANTILE_VALUE:
                found = dict.fromkeys((_QUANTILE, _VALUE_AT), 0.0)
                for one, first, _ in fields(data, start, stop, _QUANTILE_FIELDS):
                    (found[one],) = _DOUBLE.unpack_from(data, first)
                quantiles[found[_QUANTILE]] = found[_VALUE_AT]
            else:
                flags = start
        self.points.summary(metric, tuple(attributes), time_ns, flags, count, total, quantiles)


def _read_attributes(written: Hashable) -> list[tuple[str, str]]:
    assert isinstance(written, tuple)
    pairs = (_key_value(message, 0, len(message), 0) for message in written)
    return [(key, attribute_text(value)) for key, value in pairs]


def _key_value(data: bytes, at: int, end: int, depth: int) -> tuple[str, Attribute]:
    key = b""
    value: Attribute = None
    for tag, start, stop in fields(data, at, end, _KEY_VALUE):
        if tag == _KEY:
            key = data[start:stop]
        else:
            value = _any_value(data, start, stop, depth + 1)
    return text_from(key), value


def _any_value(data: bytes, at: int, end: int, depth: int) -> Attribute:
    if depth > MAX_DEPTH:
        raise too_deep()
    value: Attribute = None
    for tag, start, stop in fields(data, at, end, _ANY_VALUE):
        if tag == _STRING:
            value = text_from(data[start:stop])
        elif tag == _BOOL:
            value = bool(start)
        elif tag == _INT:
            value = as_int64(start)
        elif tag == _REAL:
            value = float(_DOUBLE.unpack_from(data, start)[0])
        elif tag == _ARRAY:
            value = [_any_value(data, first, last, depth + 1) for _, first, last in fields(data, start, stop, _FIRST_ALONE)]
        elif tag == _KEY_VALUES:
            value = dict(_key_value(data, first, last, depth) for _, first, last in fields(data, start, stop, _FIRST_ALONE))
        else:
            value = base64.b64encode(data[start:stop]).decode()  # as OTLP's JSON has it
    return value
