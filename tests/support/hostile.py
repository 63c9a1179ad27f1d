"""Payloads for every format, well-formed and hostile, and ways to turn the former into the latter.

A seed is a payload that its format reads without a rejection. Formats whose payloads are
compressed are changed inside too.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import cramjam
from protobuf_writer import (
    BYTES,
    attributes,
    double,
    exponential_metric,
    exponential_point,
    field,
    fixed64,
    gauge,
    histogram,
    histogram_metric,
    histogram_point,
    integer,
    label,
    message,
    metadata_1,
    number_point,
    request_2,
    resource_metrics,
    sample,
    series_1,
    snappy,
    summary_metric,
    text,
    total,
    varint,
)

from monitor.decode.collectd import decode_collectd_json
from monitor.decode.graphite import Template, decode_graphite
from monitor.decode.influx import decode_influx
from monitor.decode.mapped_json import JsonMapping, decode_mapped
from monitor.decode.native import decode_native_columns, decode_native_samples
from monitor.decode.otlp_json import decode_otlp_json
from monitor.decode.otlp_proto import decode_otlp_proto
from monitor.decode.prometheus_adapter import decode_prometheus_adapter
from monitor.decode.record import Decoder
from monitor.decode.remote_write import decode_remote_write
from monitor.decode.telegraf import decode_telegraf_json

SECONDS = 1_700_000_000
MS = SECONDS * 1000
NS = MS * 1_000_000
HEADERS_2 = (("Content-Type", b"application/x-protobuf;proto=io.prometheus.write.v2.Request"),)


class Format(NamedTuple):
    """A decoder, payloads that it reads, the headers of their records, and whether snappy compresses them."""

    decode: Decoder
    seeds: list[bytes]
    headers: tuple[tuple[str, bytes], ...] = ()
    is_compressed: bool = False


def written(*messages):
    return [json.dumps(message).encode() for message in messages]


def collectd_list(**changed):
    return {
        "values": [1.5, None],
        "dstypes": ["derive", "derive"],
        "dsnames": ["read", "write"],
        "time": SECONDS + 0.123,
        "interval": 2.0,
        "host": "web1",
        "plugin": "disk",
        "plugin_instance": "sda",
        "type": "disk_octets",
        "type_instance": "",
        **changed,
    }


def otlp_json():
    labels = [
        {"key": "host", "value": {"stringValue": "web1"}},
        {"key": "code", "value": {"intValue": "200"}},
        {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": True}, {"doubleValue": 0.5}]}}},
    ]
    point = {"attributes": labels, "timeUnixNano": str(NS)}
    metrics = [
        {"name": "mem", "gauge": {"dataPoints": [{**point, "asDouble": 0.5}, {**point, "asInt": "7"}]}},
        {
            "name": "requests",
            "sum": {
                "dataPoints": [{**point, "asInt": "7"}],
                "aggregationTemporality": 1,
                "isMonotonic": True,
            },
        },
        {
            "name": "latency",
            "histogram": {
                "dataPoints": [
                    {
                        **point,
                        "count": "6",
                        "sum": 3.5,
                        "bucketCounts": ["1", "2", "3"],
                        "explicitBounds": [0.1, 1],
                    }
                ],
                "aggregationTemporality": 2,
            },
        },
        {
            "name": "size",
            "exponentialHistogram": {
                "dataPoints": [{**point, "count": "6", "sum": 3.5}],
                "aggregationTemporality": 2,
            },
        },
        {
            "name": "old",
            "summary": {
                "dataPoints": [
                    {**point, "count": "6", "sum": 3, "quantileValues": [{"quantile": 0.5, "value": 1}]}
                ]
            },
        },
    ]
    return {
        "resourceMetrics": [{"resource": {"attributes": labels[:1]}, "scopeMetrics": [{"metrics": metrics}]}]
    }


def otlp_proto():
    labels = {"host": "web1", "code": 200, "ok": True, "list": [1.5, {"a": b"\x00"}]}
    return resource_metrics(
        {"service.name": "api"},
        gauge("mem", number_point(NS, real=0.5, labels=labels), number_point(NS, whole=7, flags=1)),
        total("requests", number_point(NS, whole=7, labels=labels), temporality=1),
        histogram_metric(
            "latency", histogram_point(NS, 6, sum_=3.5, bounds=(0.1, 1.0), counts=(1, 2, 3), labels=labels)
        ),
        exponential_metric("size", exponential_point(NS, 6, sum_=3.5, labels=labels)),
        summary_metric("old", NS, 6, 3.5, {0.5: 1.0}, labels),
    )


UP = {"__name__": "up", "instance": "web1:9100", "job": "node"}
WRITE_1 = (
    metadata_1("up", 2)
    + series_1(UP, sample(1.0, MS), sample(0.0, MS + 15_000))
    + series_1({"__name__": "load", "café": 'a"b\\c'}, sample(0.25, MS), histogram(4, MS, count=3, total=1.5))
)
WRITE_2 = request_2(
    (UP, [sample(1.0, MS), sample(0.0, MS + 15_000)], 2),
    ({"__name__": "latency", "job": "node"}, [histogram(3, MS, float_count=3.0, total=1.5)], 3),
)
MAPPING = JsonMapping(
    name="{metric?}_{*}",
    values=("fields.*", "value"),
    labels=("tags.*", "host=at.host"),
    each="",
    time="time",
    time_unit="auto",
)

FORMATS = {
    "native_columns": Format(
        decode_native_columns,
        written(
            {
                "labels": {"host": "web1"},
                "time_ms": [MS, MS + 1000],
                "metrics": {"load": [0.5, None], "requests_total": [104, 107]},
            }
        ),
    ),
    "native_sample": Format(
        decode_native_samples,
        written({"name": "load", "labels": {"host": "web1"}, "time": SECONDS, "value": 0.5}),
    ),
    "influx": Format(
        decode_influx,
        [
            (
                f'cpu,cpu=cpu0,host=web\\ 1 usage_idle=97.1,n=7i,u=8u,on=t,said="a \\"b\\" c" {NS}\n'
                f"mem used=1 {NS}\n"
            ).encode(),
            f"weather,café=a\\,b\\=c temp=-1.5e3,wet=false {NS}".encode(),
        ],
    ),
    "telegraf_json": Format(
        decode_telegraf_json,
        written(
            {
                "fields": {"usage_idle": 97.1, "on": True, "said": "x"},
                "name": "cpu",
                "tags": {"host": "web1"},
                "timestamp": SECONDS,
            },
            {
                "metrics": [
                    {"fields": {"a": 1}, "name": "m", "tags": {}, "timestamp": MS},
                    {"fields": {"b": 2}, "name": "m", "tags": {}, "timestamp": MS},
                ]
            },
        ),
    ),
    "prometheus_adapter": Format(
        decode_prometheus_adapter,
        written(
            {
                "value": "1.5",
                "timestamp": "2023-11-14T22:13:20Z",
                "name": "up",
                "labels": {"__name__": "up", "job": "api"},
            }
        ),
    ),
    "collectd_json": Format(
        decode_collectd_json,
        written([collectd_list()], [collectd_list(values=[7], dstypes=["gauge"], dsnames=["value"])]),
    ),
    "graphite": Format(
        partial(decode_graphite, templates=(Template.parse("{host}.**"),)),
        [f"web1.cpu-0.idle 97.1 {SECONDS}\r\nweb1.load 0.5 {SECONDS}\r\n".encode()],
    ),
    "mapped": Format(
        partial(decode_mapped, mapping=MAPPING),
        written(
            {
                "metric": "m",
                "fields": {"a": 1.5, "b": 2},
                "tags": {"x": "y"},
                "at": {"host": "web1"},
                "time": "2023-11-14T22:13:20.5Z",
            }
        ),
    ),
    "remote_write": Format(decode_remote_write, [snappy(WRITE_1), snappy(b"")], is_compressed=True),
    "remote_write_2": Format(decode_remote_write, [snappy(WRITE_2)], HEADERS_2, is_compressed=True),
    "otlp_json": Format(decode_otlp_json, written(otlp_json())),
    "otlp_proto": Format(decode_otlp_proto, [otlp_proto()]),
}

# What is put into payloads that are changed at random.
TEXTS = (
    '" , = : ; { } [ ] {} [] null true NaN Infinity -Infinity 1e999 -1 0 1e-400 0x10 1_000 253402300799000'
)
WORDS = [
    *TEXTS.encode().split(),
    *(
        word.encode()
        for word in (
            "",
            " ",
            "\\",
            "\n",
            "\r\n",
            "\\ud800",
            "\\u0000",
            '"": ""',
            "\u0661\u200b",
            "\ufeff",
            "\x00",
        )
    ),
    *(digit * times for digit in (b"9", b"\\", b'"') for times in (19, 40, 400)),
    b"[" * 2000,
    b'{"a":' * 600,
]
BYTES_OF_NO_TEXT = [
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xed\xa0\x80",
    b"\xff" * 11,
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\x12\x00",
    b"\x0b",
    b"\x0c",
    b"\x09" * 9,
]
TOKENS = [*WORDS, *BYTES_OF_NO_TEXT, *map(varint, (1 << 31, (1 << 63) - 1, (1 << 64) - 1))]
MAX_BYTES = 64 << 10  # of a changed payload: duplication must not make them grow for ever
NUMBER = re.compile(rb"[0-9]+")


def changed(payload: bytes, other: bytes, rng: random.Random) -> bytes:
    """Damage a payload in one to four ways; `other` is what it may be spliced with."""
    for _ in range(rng.randint(1, 4)):
        at, end = sorted((rng.randint(0, len(payload)), rng.randint(0, len(payload))))
        match rng.randrange(9):
            case 0 if payload:  # a bit
                place = rng.randrange(len(payload))
                payload = (
                    payload[:place] + bytes([payload[place] ^ 1 << rng.randrange(8)]) + payload[place + 1 :]
                )
            case 1:  # cut off
                payload = rng.choice((payload[:at], payload[at:]))
            case 2:  # a part less
                payload = payload[:at] + payload[end:]
            case 3:  # a part twice
                payload = payload[:end] + payload[at:end] * rng.choice((1, 1, 1, 50)) + payload[end:]
            case 4:  # a part of another
                payload = payload[:at] + other[rng.randint(0, len(other)) :]
            case 5 if numbers := list(NUMBER.finditer(payload)):  # a number
                number = rng.choice(numbers)
                payload = payload[: number.start()] + rng.choice(TOKENS) + payload[number.end() :]
            case 6:  # noise
                payload = payload[:at] + rng.randbytes(rng.randint(1, 8)) + payload[at + rng.randint(0, 8) :]
            case 7:  # garbage behind it
                payload += rng.choice((rng.choice(TOKENS), rng.randbytes(rng.randint(1, 30)), other))
            case _:
                payload = payload[:at] + rng.choice(TOKENS) + payload[at + rng.randint(0, 4) :]
        payload = payload[:MAX_BYTES]
    return payload


def damaged(form: Format, rng: random.Random) -> bytes:
    """Give a damaged payload of a format; of a compressed one the inside or the outside is."""
    payload, other = rng.choice(form.seeds), rng.choice(form.seeds)
    if form.is_compressed and rng.random() < 0.8:
        return snappy(
            changed(*(bytes(cramjam.snappy.decompress_raw(block)) for block in (payload, other)), rng)
        )
    return changed(payload, other, rng)


def noise(rng: random.Random) -> bytes:
    """Give bytes that are no format's: random ones, or tokens in a row."""
    if rng.random() < 0.5:
        return rng.randbytes(rng.randint(0, 200))
    return b"".join(rng.choice(TOKENS) for _ in range(rng.randint(1, 12)))


# Everything that the formats' specifications forbid or leave open: one example each, in all formats that can
# hold it.

MEGABYTE = 1 << 20
TIMES = [
    b"-1",
    b"-9223372036854775808",
    b"253402300799",
    b"253402300799999999",
    b"9223372036854775807",
    b"18446744073709551616",
    b"9" * 400,
    b"1e308",
]


def nasty_texts(payload: bytes) -> Iterator[bytes]:
    """Damage a payload of text on purpose."""
    for word in (
        b"x" * MEGABYTE,
        b"\\ud800",
        b"\xed\xa0\x80",
        b"",
        b"\x00",
        b"\\" * 1001,
        b'\\"' * 1001,
        b"," * 1001,
        b"=" * 1001,
    ):
        yield payload.replace(b"web1", word)
    for name in (b"", b"x" * MEGABYTE, b"job"):
        yield payload.replace(b'"host"', b'"%s"' % name).replace(b"host=", b"%s=" % name)
    for time in TIMES:
        yield re.sub(rb"17000000[0-9]+", time, payload)
        yield re.sub(rb"\b[0-9]+(\.[0-9]+)?\b", time, payload)
    yield re.sub(rb'"(web1|x|y)"', b"[" * 100_000 + b"]" * 100_000, payload)
    yield re.sub(rb'"(web1|x|y)"', b'{"a":' * 100_000 + b"1" + b"}" * 100_000, payload)
    yield from (
        payload + b"garbage",
        payload + payload,
        payload + b"\x00",
        payload[:-1],
        b"\xef\xbb\xbf" + payload,
        payload.decode().encode("utf-16"),
    )
    yield payload * (MEGABYTE // len(payload))
    yield b"[" + payload + (b"," + payload) * (MEGABYTE // len(payload)) + b"]"
    for fragment in (
        b"[",
        b'"',
        b"\\",
        b"\n",
        b" ",
        b",",
        b"=",
        b"a,",
        b"a=1,",
        b'a="',
        b"a b\n",
        b"a 1 1\n",
        b"9",
        b"a 1",
    ):
        yield fragment * (MEGABYTE // len(fragment))


def nested(levels: int) -> bytes:
    """Write an attribute's value within values."""
    value = text(1, "x")
    for _ in range(levels):
        value = message(5, message(1, value))
    return value


def nasty_writes() -> Iterator[bytes]:
    """Give malformed requests of remote write, for both versions, which must not confuse them."""
    good = series_1(UP, sample(1.0, MS))
    bad_labels: list[object] = [
        {"__name__": "a", "b": "x" * MEGABYTE},
        {"__name__": "x" * MEGABYTE},
        {"__name__": "a", "x" * MEGABYTE: "b"},
        {"__name__": "a", "": "b"},
        [("__name__", "a"), ("b", "c"), ("b", "c")],
        {"__name__": b"\xed\xa0\x80"},
        {},
        {"__name__": ""},
        {"__name__": "a"} | {f"a{number}": "b" for number in range(50_000)},
    ]
    yield from (snappy(good + series_1(labels, sample(1.0, MS))) for labels in bad_labels)
    for time_ms in (-1, -(1 << 63), (1 << 63) - 1, 253_402_300_799_000, 1 << 62):
        yield snappy(series_1(UP, sample(1.0, time_ms), histogram(4, time_ms, count=(1 << 64) - 1)))
    for part in (
        b"\x0a\x00",
        b"\x22\x00",
        b"\x2a\x00",
        b"\x0a\x01\x12",
        b"\x2a\x02\x12\x00",
        message(1, label("a", "b")),
        good,
        message(5, field(1, BYTES, b"\x00")),
    ):
        yield snappy(part * (MEGABYTE // len(part)))
    yield snappy(message(1, *([label("__name__", "a")] + [message(2)] * (MEGABYTE // 2))))
    yield snappy(message(5, field(1, BYTES, bytes(MEGABYTE)), sample(1.0, MS)))
    yield snappy(text(4, "") + message(5, *(integer(1, 0) for _ in range(MEGABYTE // 2)), sample(1.0, MS)))
    yield snappy(series_1(UP, *(sample(1.0, MS + at) for at in range(MEGABYTE // 18))))
    yield snappy(series_1(UP, histogram(4, MS, count=1) * (MEGABYTE // 60)))
    yield from (
        snappy(good) + b"garbage",
        snappy(good + b"garbage"),
        snappy(good[:-1]),
        snappy(good)[:-1],
        good,
        snappy(bytes(MEGABYTE)),
    )
    yield from (
        varint(size) + snappy(good)[1:] for size in (1 << 24, 1 << 30, 1 << 31, 1 << 32, (1 << 64) - 1, 0, 1)
    )
    yield from (varint(size) for size in (0, 1, 1 << 24, 1 << 31, (1 << 64) - 1))


def nasty_otlp() -> Iterator[bytes]:
    """Write requests of OTLP that are wrong on purpose."""
    good = resource_metrics({}, gauge("m", number_point(NS, real=1.0)))

    def with_labels(labels: object) -> bytes:
        return resource_metrics(labels, gauge("m", number_point(NS, real=1.0))) + resource_metrics(
            {}, gauge("m", number_point(NS, real=1.0, labels=labels))
        )

    bad_labels: list[object] = [
        {"a": "x" * MEGABYTE},
        {"x" * MEGABYTE: "a"},
        {"": "a"},
        [("a", "b"), ("a", "b")],
        {"a": b"\xff" * MEGABYTE},
        {"a": [1] * (MEGABYTE // 4)},
        {b"\xed\xa0\x80": "a"},
        {f"a{number}": "b" for number in range(50_000)},
        {"a": {"": 1}},
    ]
    yield from map(with_labels, bad_labels)
    for levels in (15, 16, 17, 2000):
        attribute = message(7, text(1, "a"), message(2, nested(levels)))
        yield resource_metrics({}, gauge("m", message(1, attribute, fixed64(3, NS), double(4, 1.0))))
    yield from (
        resource_metrics({}, gauge("m", number_point(time_ns, whole=-(1 << 63))))
        for time_ns in (0, 1, 1 << 63, (1 << 64) - 1)
    )
    many = range(20_000)
    yield resource_metrics(
        {},
        histogram_metric(
            "h", histogram_point(NS, 1, sum_=1.0, bounds=tuple(map(float, many)), counts=(1, *many))
        ),
    )
    yield resource_metrics(
        {}, histogram_metric("h", histogram_point(NS, 1, sum_=1.0, bounds=(0.0,) * 20_000, counts=(1, *many)))
    )
    yield resource_metrics({}, summary_metric("s", NS, 1, 1.0, {float(number): 1.0 for number in many}))
    # Many attributes times many buckets: what would grow as their product.
    wide = {f"a{number}": "b" for number in range(5000)}
    yield resource_metrics(
        wide, histogram_metric("h", histogram_point(NS, 1, bounds=tuple(map(float, many)), counts=(1, *many)))
    )
    yield resource_metrics(
        wide, gauge("m", *(number_point(NS, real=1.0, labels={"p": number}) for number in many))
    )
    for part in (
        b"\x0a\x00",
        message(1, message(2)),
        message(1, message(2, message(2))),
        good,
        message(1, message(1, attributes(1, {"a": "b"}))),
    ):
        yield part * (MEGABYTE // len(part))
    yield resource_metrics({}, *([gauge("m")] * (MEGABYTE // 16)))
    yield resource_metrics({}, gauge("m", *([message(1)] * (MEGABYTE // 2))))
    yield from (good + b"garbage", good[:-1], b"\x0a" + varint(1 << 62), b"\x0b" * MEGABYTE, bytes(MEGABYTE))


def nasty(name: str) -> list[bytes]:
    """Give the payloads that are wrong on purpose for a format."""
    if name.startswith("remote_write"):
        return list(nasty_writes())
    if name == "otlp_proto":
        return list(nasty_otlp())
    return list(dict.fromkeys(text for seed in FORMATS[name].seeds for text in nasty_texts(seed)))
