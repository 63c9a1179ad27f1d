"""CloudWatch: answers of `get-metric-data` and `get-metric-statistics`, metric streams, the console's CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from monitor.errors import SourceError
from monitor.files.cells import read_numbers
from monitor.files.layout import Reading
from monitor.files.prometheus_json import values_from
from monitor.files.text_tables import rows_from
from monitor.files.times import read_times
from monitor.sample import Columns, concatenate, labels_of

__all__ = ["is_cloudwatch", "is_cloudwatch_csv", "read_cloudwatch", "read_cloudwatch_csv"]

_STATISTICS = ("Average", "Sum", "Minimum", "Maximum", "SampleCount")
_STREAM_STATISTICS = ("max", "min", "sum", "count")
_TIME = re.compile(r"[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[T ][0-9]{2}:[0-9]{2}.*")
_HEADS = ("full label", "label", "id", "account id", "metric name", "region", "namespace", "statistic")
_N_HEAD_ROWS = 30


def is_cloudwatch(document: Any) -> bool:
    """Tell whether a document is an answer of CloudWatch, or a line of a metric stream."""
    if not isinstance(document, dict):
        return False
    return (
        "MetricDataResults" in document
        or ("Datapoints" in document and "Label" in document)
        or {"metric_name", "namespace", "value", "timestamp"} <= set(document)
    )


def is_cloudwatch_csv(text: str) -> bool:
    """Tell whether a text is the console's CSV: rows that describe the metrics, and then their values."""
    rows = list(csv.reader(text[:20_000].splitlines()[:_N_HEAD_ROWS]))
    first = rows[0][0].strip().casefold() if rows and rows[0] else ""
    return first in _HEADS and any(row and _TIME.fullmatch(row[0].strip()) for row in rows)


def read_cloudwatch(documents: Sequence[Any], reading: Reading) -> Columns:
    """Read answers; a metric's label becomes its name, and its id the label `id`.

    Raises
    ------
    SourceError
        If a document is none of CloudWatch's.
    """
    parts: list[Columns] = []
    stream = [document for document in documents if isinstance(document, dict) and "metric_name" in document]
    for document in documents:
        if isinstance(document, dict) and "MetricDataResults" in document:
            parts += [_read_result(result, reading) for result in document["MetricDataResults"]]
            for message in document.get("Messages") or []:
                reading.tally.warnings.append(f"{reading.file}: CloudWatch says: {message}")
        elif isinstance(document, dict) and "Datapoints" in document:
            parts += _read_statistics(document, reading)
        elif document not in stream:
            reading.tally.count_bad("wrong_schema", 1)
    if stream:
        parts.append(_read_stream(stream, reading))
    return concatenate(parts)


def _read_result(result: Any, reading: Reading) -> Columns:
    times = result.get("Timestamps") or []
    raw = result.get("Values") or []
    name = str(result.get("Label") or result.get("Id") or "value")
    if len(times) != len(raw):
        raise SourceError(
            f"{reading.file}: {name} has {len(times)} timestamps and {len(raw)} values. Save the "
            "answer again."
        )
    labels = {"entity": reading.stem, "id": str(result.get("Id") or "")}
    return _series(name, labels, times, raw, reading)


def _read_statistics(document: Any, reading: Reading) -> list[Columns]:
    points = [point for point in document["Datapoints"] if isinstance(point, dict) and "Timestamp" in point]
    reading.tally.count_bad("wrong_schema", len(document["Datapoints"]) - len(points))
    name = str(document.get("Label") or "value")
    statistics = [key for key in _STATISTICS if any(key in point for point in points)]
    extended = sorted({key for point in points for key in point.get("ExtendedStatistics") or {}})
    parts = []
    for statistic in [*statistics, *extended]:
        chosen = [(point["Timestamp"], _statistic(point, statistic)) for point in points]
        known = [(time, value) for time, value in chosen if value is not None]
        labels = {"entity": reading.stem, "statistic": statistic}
        parts.append(
            _series(name, labels, [time for time, _ in known], [value for _, value in known], reading)
        )
    return parts


def _statistic(point: Any, statistic: str) -> Any:
    return point.get(statistic, (point.get("ExtendedStatistics") or {}).get(statistic))


def _read_stream(lines: Sequence[Any], reading: Reading) -> Columns:
    parts = []
    for statistic in _STREAM_STATISTICS:
        chosen = [line for line in lines if isinstance(line["value"], dict) and statistic in line["value"]]
        numbers = []
        for line in chosen:
            dimensions = {str(key): str(value) for key, value in (line.get("dimensions") or {}).items()}
            labels = {**dimensions, "namespace": str(line["namespace"]), "statistic": statistic}
            numbers.append(reading.table.intern(str(line["metric_name"]), labels_of(labels)))
        values, n_bad = values_from([line["value"][statistic] for line in chosen])
        reading.tally.count_bad("bad_value", n_bad)
        times = _times([line["timestamp"] for line in chosen], reading)
        parts.append(Columns(np.array(numbers, np.int32)[times.good], times.time_ms, values[times.good]))
    return concatenate(parts)


def _series(
    name: str, labels: dict[str, str], times: Sequence[Any], raw: Sequence[Any], reading: Reading
) -> Columns:
    if not times:
        reading.tally.warnings.append(f"{reading.file}: {name} has no values")
        return concatenate(())
    values, n_bad = values_from(raw)
    reading.tally.count_bad("bad_value", n_bad)
    read = _times(times, reading)
    number = reading.table.intern(name, labels_of(labels))
    return Columns(np.full(len(read.time_ms), number, np.int32), read.time_ms, values[read.good])


def _times(times: Sequence[Any], reading: Reading) -> Any:
    """Read times: ISO, or seconds since the epoch, as the command line's older versions write them."""
    import pyarrow as pa

    is_numeric = all(isinstance(time, int | float) for time in times)
    column = pa.array([float(time) for time in times] if is_numeric else [str(time) for time in times])
    return read_times(column, reading, unit="auto")


def read_cloudwatch_csv(text: str, reading: Reading) -> Columns:
    """Read the console's CSV: a column for each metric; the rows above the values say what it is.

    The rows `Label` and `Metric name` name the metrics, the others become labels.
    """
    lines = text.splitlines(keepends=True)
    n_head = 0
    head: dict[str, list[str]] = {}
    for line in lines[:_N_HEAD_ROWS]:
        cells = next(csv.reader([line]), [])
        if cells and _TIME.fullmatch(cells[0].strip()):
            break
        n_head += 1
        if cells and cells[0].strip():
            head[cells[0].strip().casefold()] = cells[1:]
    n_columns = 1 + max((len(cells) for cells in head.values()), default=0)
    columns = rows_from("".join(lines[n_head:]), n_columns, ",", reading)
    times = read_times(columns[0], reading, unit="auto")
    names = [_name(head, place) for place in range(n_columns - 1)]
    parts = []
    for place, column in enumerate(read_numbers(names, columns[1:], reading, delimiter=",")):
        reading.tally.count_bad("bad_value", column.n_texts)
        number = reading.table.intern(names[place], labels_of(_labels(head, place, reading)))
        parts.append(
            Columns(np.full(len(times.time_ms), number, np.int32), times.time_ms, column.value[times.good])
        )
    return concatenate(parts)


def _name(head: dict[str, list[str]], place: int) -> str:
    for key in ("metric name", "label", "full label", "id"):
        cells = head.get(key, [])
        if place < len(cells) and cells[place].strip():
            return cells[place].strip()
    return "value"


def _labels(head: dict[str, list[str]], place: int, reading: Reading) -> dict[str, str]:
    left_out = ("label", "full label", "metric name", "period", "color", "yaxis")
    labels = {"entity": reading.stem}
    for key, cells in head.items():
        if key not in left_out and place < len(cells):
            labels[re.sub(r"\W+", "_", key).strip("_")] = cells[place].strip()
    if sum(_name(head, other) == _name(head, place) for other in range(_width(head))) > 1:
        labels.setdefault("label", (head.get("full label") or head.get("label") or [""])[place])
    return labels


def _width(head: dict[str, list[str]]) -> int:
    return max(len(cells) for cells in head.values())
