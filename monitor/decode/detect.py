"""Recognises the wire format of records by their bytes: JSON by its keys, all else by trying to decode it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from monitor.decode.fields import json_of, shown
from monitor.decode.formats import DEFAULT_SETTINGS, FORMATS, FormatSettings
from monitor.decode.native import SampleFields
from monitor.decode.record import Decoded, Decoder, Limits, Record, RejectedError, Rejection
from monitor.sample import SeriesTable, no_samples

__all__ = ["AutoDecoder", "sniff"]

_EMPTY_REQUEST = b"\x00"  # snappy of nothing: Telegraf sends it for a metric without a number


class AutoDecoder:
    """A decoder for the records of one topic that detects their format from the first record that shows it.

    The format then stays, as `format`: a record that cannot be read in it, but is in another format, is
    rejected as `other_format`. Until then, records whose format cannot be recognised are rejected as
    `unknown_format`.
    """

    def __init__(self, settings: FormatSettings = DEFAULT_SETTINGS) -> None:
        self._settings = settings
        self._decoder: Decoder | None = None
        self.format: str | None = None

    def __call__(self, records: Sequence[Record], table: SeriesTable) -> Decoded:
        """Decode records of the topic."""
        if self._decoder is None:
            names = (sniff(record, self._settings) for record in records)
            self.format = next((name for name in names if name), None)
            if self.format is None:
                rejections = tuple(_unknown(index, record) for index, record in enumerate(records))
                return Decoded(no_samples(), rejections)
            self._decoder = FORMATS[self.format](self._settings)
        decoded = self._decoder(records, table)
        if not decoded.rejections:
            return decoded
        return Decoded(decoded.columns, tuple(self._explained(decoded.rejections, records)))

    def _explained(self, rejections: Sequence[Rejection], records: Sequence[Record]) -> Iterator[Rejection]:
        """Give the rejections, with `other_format` as the only one of each record in another format."""
        others: set[int] = set()  # indices of such records
        for rejection in rejections:
            index = rejection.index
            if index in others:
                continue
            other = sniff(records[index], self._settings) if rejection.reason in _SHAPE_REASONS else None
            if other is None or other == self.format:
                yield rejection
                continue
            others.add(index)
            detail = (
                f"it is {other}, and this topic is read as {self.format}: "
                "name the format in [decode.topics], or send only one format"
            )
            yield Rejection(index, "other_format", detail)


# Reasons that hint at another format than the expected one.
_SHAPE_REASONS = frozenset(
    {
        "invalid_json",
        "invalid_line",
        "invalid_protobuf",
        "invalid_snappy",
        "invalid_utf8",
        "wrong_encoding",
        "wrong_schema",
    }
)


def sniff(record: Record, settings: FormatSettings = DEFAULT_SETTINGS) -> str | None:
    """Recognise the format of a record; None where it is ambiguous or the record is bad.

    JSON is recognised by its keys; anything else must decode without a rejection. A mapping is never
    detected: its messages have no distinguishing shape.
    """
    has_version = any(name.lower() == "x-prometheus-remote-write-version" for name, _ in record.headers)
    if has_version or record.value == _EMPTY_REQUEST:
        return "remote_write"
    if not record.value.strip():
        return None
    message = _parsed(record, settings.limits)
    if isinstance(message, dict | list):
        return _sniff_json(message, settings.native_sample)
    timed = record if record.time_ms >= 0 else record._replace(time_ms=0)
    for name in ("influx", "graphite", "remote_write", "otlp_proto"):
        decoded = FORMATS[name](settings)([timed], SeriesTable())
        if not decoded.rejections and (len(decoded.columns) or name in _MAY_BE_EMPTY):
            return name
    return None


# A line with text fields only, and a request with metadata only, are certain enough without a sample.
_MAY_BE_EMPTY = frozenset({"influx", "remote_write"})


def _parsed(record: Record, limits: Limits) -> object:
    """Parse JSON; None where it is none: the length byte of a snappy block may look like a brace."""
    try:
        return json_of(record.value, limits)
    except RejectedError:
        return None


def _sniff_json(message: dict[str, Any] | list[Any], fields: SampleFields) -> str | None:
    if isinstance(message, list):
        first = message[0] if message else None
        return "collectd_json" if isinstance(first, dict) and "dsnames" in first else None
    metrics = message.get("metrics")
    metric = metrics[0] if isinstance(metrics, list) and metrics else message
    has_fields = isinstance(metric, dict) and isinstance(metric.get("fields"), dict)
    matches = {
        "otlp_json": "resourceMetrics" in message,
        "native_columns": isinstance(metrics, dict) and "time_ms" in message,
        "telegraf_json": has_fields and "timestamp" in metric,
        "native_sample": all(key in message for key in (fields.name, fields.time, fields.value)),
        "prometheus_adapter": all(key in message for key in ("name", "value", "timestamp", "labels")),
    }
    return next((name for name, is_match in matches.items() if is_match), None)


def _unknown(index: int, record: Record) -> Rejection:
    detail = (
        f"the format of {shown(record.value)} cannot be recognised: "
        "name it in [decode.topics], or write a mapping"
    )
    return Rejection(index, "unknown_format", detail)
