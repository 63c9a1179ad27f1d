"""Requests of remote write for tests: bodies of both versions, their headers, and a log to receive them."""

from __future__ import annotations

from protobuf_writer import request_2, sample, series_1, snappy

from monitor.decode.record import DEFAULT_LIMITS
from monitor.remote_write.authentication import Authentication
from monitor.remote_write.source import ReceiverSettings, RemoteWriteSource
from monitor.remote_write.write_ahead_log import LoggedRequest, WriteAheadLog
from monitor.sample import SeriesTable

TIME_MS = 1_700_000_000_000
SNAPPY = {"Content-Encoding": "snappy"}
HEADERS_1 = {**SNAPPY, "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"}
HEADERS_2 = {
    **SNAPPY,
    "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    "X-Prometheus-Remote-Write-Version": "2.0.0",
}


def message_1(values, *, name="load", start_ms=TIME_MS, step_ms=1000, **labels):
    """Write a message of 1.0 with one series, a value a step."""
    points = [sample(float(value), start_ms + number * step_ms) for number, value in enumerate(values)]
    return series_1({"__name__": name, **labels}, *points)


def message_2(values, *, name="load", start_ms=TIME_MS, step_ms=1000, **labels):
    """Write the same as 2.0, a gauge."""
    points = [sample(float(value), start_ms + number * step_ms) for number, value in enumerate(values)]
    return request_2(({"__name__": name, **labels}, points, 2))


def logged(values, **options):
    """Give a request as the log holds it."""
    return LoggedRequest(snappy(message_1(values, **options)), 1, len(values))


def open_source(folder, clock, *, resumed=None, table=None, max_log_bytes=64 << 20, **settings):
    """Open a receiver over the log in a folder, as the daemon does."""
    partitions = resumed.partitions if resumed else {}
    offset = max((partition.offset for partition in partitions.values()), default=0)
    wal = WriteAheadLog(folder, max_bytes=max_log_bytes, offset=offset)
    defaults = {
        "authentication": Authentication(),
        "limits": DEFAULT_LIMITS,
        "max_request_bytes": 1 << 20,
        "idle_seconds": 60.0,
        "max_future_ms": 60_000,
    }
    settings = ReceiverSettings(**{**defaults, **settings})
    return RemoteWriteSource(settings, wal, SeriesTable() if table is None else table, clock, resumed=resumed)
