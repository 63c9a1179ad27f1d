"""Telegraf's JSON: a message for each metric with its fields, or a batch of them.

    {"fields": {"usage_idle": 97.1}, "name": "cpu", "tags": {"cpu": "cpu0", "host": "web1"},
     "timestamp": 1700000000}
    {"metrics": [{"fields": ...}, ...]}

A sample is named after the metric, `_`, and the field. Times are in seconds unless Telegraf is configured
otherwise (`json_timestamp_units`), or text (`json_timestamp_format`). The counters among the fields of
Telegraf's inputs are known by their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.decode.batch import FieldNumbers, Gathered, gather
from monitor.decode.fields import (
    TimeUnit,
    any_time_ms,
    identity,
    json_object,
    labels_from,
    name_from,
    shown,
)
from monitor.decode.record import DEFAULT_LIMITS, Decoded, Limits, Record, RejectedError
from monitor.decode.telegraf_kinds import telegraf_kind
from monitor.sample import SeriesTable

__all__ = ["decode_telegraf_json"]


def decode_telegraf_json(
    records: Sequence[Record],
    table: SeriesTable,
    limits: Limits = DEFAULT_LIMITS,
    *,
    time_unit: TimeUnit = "auto",
) -> Decoded:
    """Read Telegraf's JSON; a bad metric of a batch is rejected alone."""
    known: dict[tuple[object, ...], FieldNumbers] = {}  # by the name and tags as this batch writes them

    def read(index: int, record: Record, gathered: Gathered) -> None:
        message = json_object(record.value, limits)
        batch = message.get("metrics")
        if not isinstance(batch, list):
            read_metric(index, message, gathered)
            return
        for metric in batch:
            try:
                read_metric(index, metric, gathered)
            except RejectedError as error:
                gathered.reject(index, error)

    def read_metric(index: int, metric: object, gathered: Gathered) -> None:
        if not isinstance(metric, dict):
            raise RejectedError("wrong_schema", f"a metric is {shown(metric)}, expected an object")
        fields = metric.get("fields")
        if not isinstance(fields, dict):
            raise RejectedError("wrong_schema", f"fields are {shown(fields)}, expected an object")
        time_ms = any_time_ms(metric.get("timestamp"), time_unit)
        gathered.extend_fields(index, series_of(metric.get("name"), metric.get("tags", {})), time_ms, fields)

    def series_of(name: object, tags: Any) -> FieldNumbers:
        key = identity(name, tags)
        series = known.get(key)
        if series is None:
            measurement = name_from(name, limits)
            labels = labels_from(tags.items(), limits)
            series = known[key] = FieldNumbers(
                table, lambda field: name_from(f"{measurement}_{field}", limits), labels, telegraf_kind
            )
        return series

    return gather(records, read)
