"""A writer of protobuf, and of the few messages that tests need: payloads of our own making.

Field numbers are those of the protocols' specifications. What is None is left out, as proto3
leaves out what is zero; tests that need other bytes join them from `field` themselves.
"""

from __future__ import annotations

import struct

import cramjam

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
STALE_BITS = 0x7FF0000000000002  # Prometheus' mark of a series' end
NAN_BITS = 0x7FF8000000000001  # its ordinary NaN


def varint(value):
    """Write a number in as few bytes as it needs; a negative one as its 64 bits."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, wire_type, content):
    """Write one field: a number for a varint, raw bytes for everything else."""
    head = varint(number << 3 | wire_type)
    if wire_type == VARINT:
        return head + varint(content)
    return head + (varint(len(content)) if wire_type == BYTES else b"") + content


def text(number, value):
    return field(number, BYTES, value.encode() if isinstance(value, str) else value)


def double(number, value):
    """Write a double; an int stands for its 64 bits."""
    return field(
        number, FIXED64, struct.pack("<Q", value) if isinstance(value, int) else struct.pack("<d", value)
    )


def integer(number, value):
    return field(number, VARINT, value)


def fixed64(number, value):
    return field(number, FIXED64, struct.pack("<Q", value & (1 << 64) - 1))


def message(number, *parts):
    return field(number, BYTES, b"".join(parts))


def snappy(payload):
    """Compress as one snappy block."""
    return bytes(cramjam.snappy.compress_raw(payload))


# Remote write


def label(name, value):
    return message(1, text(1, name), text(2, value))


def sample(value, time_ms):
    """Write a sample of a series; zero is left out, as proto3 has it."""
    return message(2, double(1, value) if value != 0 else b"", integer(2, time_ms) if time_ms else b"")


def histogram(number, time_ms, *, count=None, float_count=None, total=None, hint=None):
    """Write a native histogram, a little of its buckets with it."""
    parts = [
        integer(1, count) if count is not None else b"",
        double(2, float_count) if float_count is not None else b"",
        double(3, total) if total is not None else b"",
        integer(4, 6),  # the schema
        double(5, 1e-128),  # width of the zero bucket
        message(11, integer(1, 2), integer(2, 1)),  # a span of buckets
        field(12, BYTES, varint(2)),  # their counts
        integer(14, hint) if hint is not None else b"",
        integer(15, time_ms),
    ]
    return message(number, *parts)


def series_1(labels, *points):
    """Write a series of remote write 1.0; `labels` is a dict, or pairs where one is to stand twice."""
    pairs = labels.items() if isinstance(labels, dict) else labels
    return message(1, *(label(name, value) for name, value in pairs), *points)


def metadata_1(name, metric_type):
    """Write a metric's metadata, which 1.0 sends beside the series."""
    return message(3, integer(1, metric_type), text(2, name), text(4, "Help."))


def request_2(*series, first=("",)):
    """Write a request of remote write 2.0; each series is labels, points, and the metric's type or None."""
    symbols = list(first)

    def reference(word):
        if word not in symbols:
            symbols.append(word)
        return varint(symbols.index(word))

    written = []
    for labels, points, metric_type in series:
        references = b"".join(reference(word) for pair in labels.items() for word in pair)
        kind = message(5, integer(1, metric_type), integer(3, 0)) if metric_type is not None else b""
        written.append(message(5, field(1, BYTES, references), *points, kind))
    return b"".join(text(4, symbol) for symbol in symbols) + b"".join(written)


# OTLP


def any_value(value):
    """Write an attribute's value."""
    if isinstance(value, bool):
        return integer(2, value)
    if isinstance(value, int):
        return integer(3, value)
    if isinstance(value, float):
        return double(4, value)
    if isinstance(value, bytes):
        return field(7, BYTES, value)
    if isinstance(value, list):
        return message(5, *(message(1, any_value(item)) for item in value))
    if isinstance(value, dict):
        return message(
            6, *(message(1, text(1, key), message(2, any_value(item))) for key, item in value.items())
        )
    return text(1, value)


def attributes(number, values):
    pairs = values.items() if isinstance(values, dict) else values
    return b"".join(message(number, text(1, key), message(2, any_value(value))) for key, value in pairs)


def number_point(time_ns, *, real=None, whole=None, labels=(), flags=None):
    """Write a point of a gauge or a sum."""
    parts = [
        attributes(7, labels),
        fixed64(2, 1),
        fixed64(3, time_ns) if time_ns else b"",
        double(4, real) if real is not None else b"",
        fixed64(6, whole) if whole is not None else b"",
        integer(8, flags) if flags is not None else b"",
    ]
    return message(1, *parts)


def gauge(name, *points):
    return message(2, text(1, name), text(3, "1"), message(5, *points))


def total(name, *points, temporality=2, monotonic=True):
    """Write a sum."""
    return message(
        2, text(1, name), message(7, *points, integer(2, temporality), integer(3, 1) if monotonic else b"")
    )


def histogram_point(time_ns, count, *, sum_=None, bounds=(), counts=(), labels=(), flags=None, packed=True):
    words = [struct.pack("<Q", count_of_bucket) for count_of_bucket in counts]
    reals = [struct.pack("<d", bound) for bound in bounds]
    if packed:
        buckets = [
            field(6, BYTES, b"".join(words)) if words else b"",
            field(7, BYTES, b"".join(reals)) if reals else b"",
        ]
    else:
        buckets = [field(6, FIXED64, word) for word in words] + [field(7, FIXED64, word) for word in reals]
    parts = [
        fixed64(3, time_ns),
        fixed64(4, count) if count else b"",
        double(5, sum_) if sum_ is not None else b"",
        *buckets,
        attributes(9, labels),
        integer(10, flags) if flags is not None else b"",
        double(11, 0.5),  # the least value
    ]
    return message(1, *parts)


def histogram_metric(name, *points, temporality=2):
    return message(2, text(1, name), message(9, *points, integer(2, temporality)))


def exponential_point(time_ns, count, *, sum_=None, labels=(), flags=None):
    parts = [
        attributes(1, labels),
        fixed64(3, time_ns),
        fixed64(4, count),
        double(5, sum_) if sum_ is not None else b"",
        integer(6, 6),  # the scale
        fixed64(7, 0),
        message(8, integer(1, 1), field(2, BYTES, varint(count))),
        integer(10, flags) if flags is not None else b"",
    ]
    return message(1, *parts)


def exponential_metric(name, *points, temporality=2):
    return message(2, text(1, name), message(10, *points, integer(2, temporality)))


def summary_metric(name, time_ns, count, sum_, quantiles, labels=()):
    values = [message(6, double(1, quantile), double(2, value)) for quantile, value in quantiles.items()]
    return message(
        2,
        text(1, name),
        message(
            11,
            message(
                1, attributes(7, labels), fixed64(3, time_ns), fixed64(4, count), double(5, sum_), *values
            ),
        ),
    )


def resource_metrics(labels, *metrics):
    """Write the metrics of one resource, under one scope."""
    return message(
        1,
        message(1, attributes(1, labels)),
        message(2, message(1, text(1, "scope"), text(2, "1.0")), *metrics),
    )
