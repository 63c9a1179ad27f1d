"""A good payload in every wire format."""

import json

from protobuf_writer import gauge, number_point, resource_metrics, sample, series_1, snappy

from monitor.decode.record import Record
from monitor.sample import SeriesTable

TIME = 1_700_000_000
PAYLOADS = {
    "native_columns": b'{"labels": {}, "time_ms": [1700000000000], "metrics": {"load": [1]}}',
    "native_sample": b'{"name": "load", "labels": {}, "time": 1700000000, "value": 1}',
    "influx": f'cpu,host=web1 usage=1.5,note="x" {TIME}000000000\n'.encode(),
    "telegraf_json": json.dumps(
        {"fields": {"usage": 1.5}, "name": "cpu", "tags": {}, "timestamp": TIME}
    ).encode(),
    "prometheus_adapter": (
        b'{"value": "1", "timestamp": "2023-11-14T22:13:20Z", "name": "up", "labels": {"__name__": "up"}}'
    ),
    "remote_write": snappy(series_1({"__name__": "up", "job": "api"}, sample(1.0, TIME * 1000))),
    "otlp_json": b'{"resourceMetrics": []}',
    "otlp_proto": resource_metrics({"host": "web1"}, gauge("up", number_point(TIME * 10**9, real=1.0))),
    "collectd_json": json.dumps(
        [
            {
                "values": [1],
                "dstypes": ["gauge"],
                "dsnames": ["value"],
                "time": TIME,
                "host": "a",
                "plugin": "load",
                "type": "load",
            }
        ]
    ).encode(),
    "graphite": f"servers.web1.load 0.5 {TIME}\r\n".encode(),
}


def decoded(decoder, *payloads):
    return decoder([Record(payload) for payload in payloads], SeriesTable())
