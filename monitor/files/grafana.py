"""Grafana: the JSON of a panel's inspector, of the query API and of snapshots.

All of them are data frames: named fields of equal length. The CSV that Grafana downloads is a table, and
`tables.py` reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.errors import SourceError
from monitor.files.label_text import name_and_labels
from monitor.files.layout import Reading, few
from monitor.files.prometheus_json import values_from
from monitor.files.tables import intern_rows
from monitor.files.times import Times, read_times
from monitor.sample import Columns, concatenate, labels_of

__all__ = ["is_dashboard", "is_grafana", "read_grafana"]

_GENERIC = ("value", "")  # what a field is called where its labels say what it is


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    kind: str
    labels: dict[str, str]
    config: Mapping[str, Any]
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class _Frame:
    name: str
    fields: list[_Field]


def is_grafana(document: Any) -> bool:
    """Tell whether a document holds data frames, or the older lists of `datapoints`."""
    return bool(_frames_in(document)) or _has_error(document)


def is_dashboard(document: Any) -> bool:
    """Tell whether a document describes panels, without their data."""
    if not isinstance(document, dict):
        return False
    inner = document.get("dashboard", document)
    has_panels = isinstance(inner, dict) and ("panels" in inner or "schemaVersion" in inner)
    return has_panels or {"targets", "type", "gridPos"} <= set(document)


def read_grafana(documents: Sequence[Any], reading: Reading) -> Columns:
    """Read data frames: a series for each field of numbers, named by the field's labels or its name.

    Raises
    ------
    SourceError
        If the file is an error of a data source, or holds no frame.
    """
    raw = [frame for document in documents for frame in _frames_in(document)]
    if not raw:
        errors = [error for document in documents for error in _errors(document)]
        why = "; ".join(few(errors)) or "there is no data frame in it"
        raise SourceError(
            f"{reading.file} holds no data of Grafana: {why}. "
            'Use "Inspect > Data > Download CSV", or "Inspect > JSON > Panel data".'
        )
    parts = []
    for frame in raw:
        if "datapoints" in frame:
            parts.append(_read_datapoints(frame, reading))
        else:
            parts += _read_frame(_frame(frame), reading)
    return concatenate(parts)


def _frames_in(document: Any) -> list[Any]:
    """Find the frames of a document, wherever this kind of document has them."""
    if isinstance(document, list):
        return [frame for part in document for frame in _frames_in(part)]
    if not isinstance(document, dict):
        return []
    if _is_frame(document):
        return [document]
    for key in ("frames", "series", "snapshotData", "data"):
        if isinstance(document.get(key), list):
            return [frame for part in document[key] for frame in _frames_in(part)]
    results = document.get("results")
    if isinstance(results, dict):
        return [frame for part in results.values() for frame in _frames_in(part)]
    panels = document.get("panels", document.get("dashboard", {}))
    panels = panels.get("panels", []) if isinstance(panels, dict) else panels
    found = [panel.get("snapshotData") for panel in panels or [] if isinstance(panel, dict)]
    return [frame for frames in found if frames for frame in _frames_in(frames)]


def _is_frame(document: Mapping[str, Any]) -> bool:
    schema = document.get("schema")
    has_schema = isinstance(schema, dict) and isinstance(schema.get("fields"), list) and "data" in document
    fields = document.get("fields")
    has_fields = isinstance(fields, list) and any(isinstance(f, dict) and "values" in f for f in fields)
    return has_schema or has_fields or isinstance(document.get("datapoints"), list)


def _has_error(document: Any) -> bool:
    return bool(list(_errors(document)))


def _errors(document: Any) -> Iterator[str]:
    results = document.get("results") if isinstance(document, dict) else None
    for ref, result in results.items() if isinstance(results, dict) else ():
        if isinstance(result, dict) and result.get("error"):
            yield f"query {ref} failed: {result['error']}"


def _frame(raw: Mapping[str, Any]) -> _Frame:
    schema = raw.get("schema", raw)
    data = raw.get("data") if isinstance(raw.get("data"), dict) else {}
    columns = (data or {}).get("values") or []
    entities = (data or {}).get("entities") or []
    fields = []
    for place, field in enumerate(schema["fields"]):
        values = field.get("values", columns[place] if place < len(columns) else [])
        if isinstance(values, dict):  # a vector of older versions
            values = values.get("buffer") or values.get("source") or []
        marks = field.get("entities") or (entities[place] if place < len(entities) else None)
        labels = {str(key): str(text) for key, text in (field.get("labels") or {}).items()}
        fields.append(
            _Field(
                str(field.get("name") or ""),
                str(field.get("type") or ""),
                labels,
                field.get("config") or {},
                _with_infinities(values, marks),
            )
        )
    return _Frame(str(schema.get("name") or ""), fields)


def _with_infinities(values: Sequence[Any], marks: Mapping[str, Any] | None) -> Sequence[Any]:
    """Put back what JSON cannot hold, and Grafana lists beside the values."""
    if not marks:
        return values
    filled = list(values)
    for name, text in (("Inf", "inf"), ("NegInf", "-inf")):
        for place in marks.get(name) or []:
            if isinstance(place, int) and place < len(filled):
                filled[place] = text
    return filled


def _read_frame(frame: _Frame, reading: Reading) -> list[Columns]:
    times = [field for field in frame.fields if field.kind == "time"]
    numbers = [field for field in frame.fields if field.kind in ("number", "boolean")]
    if not times or not numbers:
        names = ", ".join(few([field.name for field in frame.fields]))
        reading.tally.warnings.append(f"{reading.file}: a frame has no times or no numbers (fields {names})")
        return []
    read = _times(times[0].values, reading)
    texts = [field for field in frame.fields if field.kind == "string"]
    n_distinct = len(np.unique(read.time_ms))
    is_long = bool(texts) and n_distinct * 2 <= len(read.time_ms) and len(read.time_ms) > 1
    parts = []
    for field in numbers:
        if len(field.values) != len(read.good):
            reading.tally.count_bad("wrong_schema", 1)
            continue
        values, n_bad = values_from(field.values)
        reading.tally.count_bad("bad_value", n_bad)
        name, labels = _identity(field, frame)
        if is_long:
            whole = {key: np.full(len(values), text) for key, text in labels.items()}
            rows = {
                text.name: np.array(["" if cell is None else str(cell) for cell in text.values], object)
                for text in texts
            }
            series = intern_rows(name, {**whole, **rows}, len(values), reading)[read.good]
        else:
            number = reading.table.intern(name, labels_of(labels or {"entity": reading.stem}))
            series = np.full(len(read.time_ms), number, np.int32)
        parts.append(Columns(series, read.time_ms, values[read.good]))
    return parts


def _identity(field: _Field, frame: _Frame) -> tuple[str, dict[str, str]]:
    """Name a field's series: by `__name__`, its own name, what is displayed, or the frame."""
    labels = {key: text for key, text in field.labels.items() if key != "__name__"}
    if "__name__" in field.labels:
        return field.labels["__name__"], labels
    if field.name.casefold() not in _GENERIC:
        name, in_name = name_and_labels(field.name)
        return name, labels or in_name
    for shown in (field.config.get("displayName"), field.config.get("displayNameFromDS"), frame.name):
        if isinstance(shown, str) and shown:
            name, in_name = name_and_labels(shown)
            return name, labels or in_name
    return "value", labels


def _times(values: Sequence[Any], reading: Reading) -> Times:
    import pyarrow as pa

    if all(isinstance(time, int | float) or time is None for time in values):
        reading.say("times in ms since the epoch")
        return read_times(pa.array([None if t is None else float(t) for t in values]), reading, unit="ms")
    return read_times(
        pa.array([None if time is None else str(time) for time in values]), reading, unit="auto"
    )


def _read_datapoints(target: Mapping[str, Any], reading: Reading) -> Columns:
    """Read pairs of value and time, as Graphite and older data sources give them."""
    import pyarrow as pa

    points = [point for point in target["datapoints"] if isinstance(point, list) and len(point) == 2]
    reading.tally.count_bad("wrong_schema", len(target["datapoints"]) - len(points))
    values, n_bad = values_from([point[0] for point in points])
    reading.tally.count_bad("bad_value", n_bad)
    numeric = [float(point[1]) if isinstance(point[1], int | float) else np.nan for point in points]
    times = read_times(pa.array(numeric, pa.float64()), reading)
    name, labels = name_and_labels(str(target.get("target") or target.get("title") or "value"))
    tags = {str(key): str(text) for key, text in (target.get("tags") or {}).items() if key != "name"}
    number = reading.table.intern(name, labels_of(labels or tags or {"entity": reading.stem}))
    return Columns(np.full(len(times.time_ms), number, np.int32), times.time_ms, values[times.good])
