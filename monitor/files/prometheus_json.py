"""Answers of Prometheus' HTTP API, saved as JSON; and VictoriaMetrics' JSON lines.

`query_range` gives a matrix, `query` a vector, a scalar, or a matrix for a range selector. The whole answer
is read, its `data` on its own, and its list of results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.decode.fields import shown
from monitor.errors import SourceError
from monitor.files.cells import read_value
from monitor.files.layout import Reading
from monitor.sample import Columns, concatenate, labels_of

__all__ = ["is_prometheus", "is_victoriametrics", "read_prometheus", "read_victoriametrics"]

_MAX_SECONDS = 253_402_300_800  # the year 10000


def is_prometheus(document: Any) -> bool:
    """Tell whether a document is an answer of Prometheus, or a part of it."""
    if isinstance(document, list):
        return bool(document) and all(_is_result(result) for result in document[:3])
    if not isinstance(document, dict):
        return False
    data = document.get("data", document)
    has_result = isinstance(data, dict) and "resultType" in data and "result" in data
    return has_result or ("errorType" in document and "error" in document) or _is_result(document)


def is_victoriametrics(document: Any) -> bool:
    """Tell whether a document is a line of VictoriaMetrics' export."""
    return isinstance(document, dict) and {"metric", "values", "timestamps"} <= set(document)


def read_prometheus(documents: Sequence[Any], reading: Reading) -> Columns:
    """Read answers; native histograms are counted as `unsupported_type`.

    Raises
    ------
    SourceError
        If an answer is an error, or is no answer.
    """
    reading.say("times in s since the epoch")
    parts = [
        _read_result(result, reading) for document in documents for result in _results(document, reading)
    ]
    return concatenate(parts)


def _is_result(result: Any) -> bool:
    if not isinstance(result, dict) or not isinstance(result.get("metric"), dict):
        return False
    return bool({"values", "value", "histograms", "histogram"} & set(result)) and "timestamps" not in result


def _results(document: Any, reading: Reading) -> Sequence[Any]:
    if isinstance(document, list):
        return document
    if _is_result(document):
        return [document]
    if "error" in document and document.get("status", "error") == "error":
        raise SourceError(
            f"{reading.file} is an error of Prometheus, not samples: {document.get('errorType')}: "
            f"{document['error']}. Run the query again."
        )
    data = document.get("data", document)
    for warning in document.get("warnings") or []:
        reading.tally.warnings.append(f"{reading.file}: Prometheus warned: {warning}")
    kind, result = data.get("resultType"), data.get("result")
    if kind == "scalar" and isinstance(result, list):
        return [{"metric": {}, "value": result}]
    if kind not in ("matrix", "vector") or not isinstance(result, list):
        raise SourceError(f"{reading.file}: a result of type {shown(kind)} holds no samples: query a range")
    if not result:
        reading.tally.warnings.append(f"{reading.file}: the query found no series")
    return result


def _read_result(result: Any, reading: Reading) -> Columns:
    if not isinstance(result, dict) or not isinstance(result.get("metric"), dict):
        reading.tally.count_bad("wrong_schema", 1)
        return concatenate(())
    histograms = [
        *(result.get("histograms") or []),
        *([result["histogram"]] if "histogram" in result else []),
    ]
    reading.tally.count_bad("unsupported_type", len(histograms))
    pairs = [*(result.get("values") or []), *([result["value"]] if "value" in result else [])]
    good = [pair for pair in pairs if _is_pair(pair)]
    reading.tally.count_bad("wrong_schema", len(pairs) - len(good))
    values, n_bad = values_from([pair[1] for pair in good])
    reading.tally.count_bad("bad_value", n_bad)
    seconds = np.array([pair[0] for pair in good], np.float64)
    return _columns(result["metric"], np.round(seconds * 1000), values, reading)


def _is_pair(pair: Any) -> bool:
    has_time = isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], int | float)
    return has_time and 0 <= pair[0] < _MAX_SECONDS


def read_victoriametrics(documents: Sequence[Any], reading: Reading) -> Columns:
    """Read lines of `/api/v1/export`: times are in ms; values are numbers, null, or text for infinities."""
    reading.say("times in ms since the epoch")
    parts = []
    for document in documents:
        if not is_victoriametrics(document) or not isinstance(document["metric"], dict):
            reading.tally.count_bad("wrong_schema", 1)
            continue
        times = [time for time in document["timestamps"] if isinstance(time, int | float)]
        if len(times) != len(document["values"]):
            reading.tally.count_bad("wrong_schema", 1)
            continue
        values, n_bad = values_from(document["values"])
        reading.tally.count_bad("bad_value", n_bad)
        parts.append(_columns(document["metric"], np.array(times, np.float64), values, reading))
    return concatenate(parts)


def values_from(raw: Sequence[Any]) -> tuple[NDArray[np.float64], int]:
    """Read values of JSON: numbers, or numbers as text; NaN where there is none, and how many are neither."""
    values = [read_value(value) for value in raw]
    n_bad = sum(value is None for value in values)
    return np.array([np.nan if value is None else value for value in values], np.float64), n_bad


def _columns(
    metric: Mapping[str, Any], time_ms: NDArray[np.float64], value: NDArray[np.float64], reading: Reading
) -> Columns:
    labels = {str(key): str(text) for key, text in metric.items() if key != "__name__"}
    # An expression's result has no name, and a sum has no labels either.
    name = str(metric.get("__name__") or "value")
    number = reading.table.intern(name, labels_of(labels or {"entity": reading.stem}))
    return Columns(np.full(len(value), number, np.int32), time_ms.astype(np.int64), value)
