"""Export requests of OTLP in JSON beside the same in protobuf, and readers of both."""

import json
import math

from protobuf_writer import gauge, number_point, resource_metrics

from monitor.decode.otlp_json import decode_otlp_json
from monitor.decode.otlp_proto import decode_otlp_proto
from monitor.decode.record import DEFAULT_LIMITS, Record
from monitor.sample import SeriesTable

TIME = 1_700_000_000_000
NS = TIME * 1_000_000


def read(decode, *payloads, time_ms=-1, limits=DEFAULT_LIMITS, table=None):
    """Decode payloads; give samples as `(series, time_ms, value)`, gaps as None, and rejections by reason."""
    table = SeriesTable() if table is None else table
    decoded = decode([Record(payload, time_ms) for payload in payloads], table, limits)
    columns = decoded.columns
    rows = zip(columns.series.tolist(), columns.time_ms.tolist(), columns.value.tolist(), strict=True)
    return [
        (str(table[number]), time_ms, None if math.isnan(value) else value) for number, time_ms, value in rows
    ], decoded.rejected


def read_proto(*payloads, **options):
    return read(decode_otlp_proto, *payloads, **options)


def read_json(*messages, **options):
    payloads = (
        message if isinstance(message, bytes) else json.dumps(message).encode() for message in messages
    )
    return read(decode_otlp_json, *payloads, **options)


def json_value(value):
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [json_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": json_attributes(value)}}
    return {"stringValue": value}


def json_attributes(values):
    return [{"key": key, "value": json_value(value)} for key, value in values.items()]


def json_request(labels, *metrics):
    scope = {"scope": {"name": "scope", "version": "1.0"}, "metrics": list(metrics)}
    return {
        "resourceMetrics": [{"resource": {"attributes": json_attributes(labels)}, "scopeMetrics": [scope]}]
    }


def json_point(time_ns=NS, labels=None, **fields):
    return {"attributes": json_attributes(labels or {}), "timeUnixNano": str(time_ns), **fields}


def json_metric(name, form, *points, **fields):
    return {"name": name, form: {"dataPoints": list(points), **fields}}


def both(labels, *pairs):
    """Give a request of both encodings from pairs of a metric in protobuf and in JSON."""
    return resource_metrics(labels, *(proto for proto, _ in pairs)), json_request(
        labels, *(in_json for _, in_json in pairs)
    )


def read_both(labels, *pairs, **options):
    """Decode both encodings, which must agree."""
    proto, text_form = both(labels, *pairs)
    tables = [SeriesTable(), SeriesTable()]
    found = read_proto(proto, table=tables[0], **options)
    assert read_json(text_form, table=tables[1], **options) == found
    kinds = [[table[number].kind for number in range(len(table))] for table in tables]
    assert kinds[0] == kinds[1]
    return *found, kinds[0]


GOOD = (gauge("good", number_point(NS, real=1.0)), json_metric("good", "gauge", json_point(asDouble=1)))
