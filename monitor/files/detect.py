"""The formats of files by name, and which of them a file is in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from monitor.errors import SourceError
from monitor.files.cloudwatch import is_cloudwatch, is_cloudwatch_csv
from monitor.files.grafana import is_dashboard, is_grafana
from monitor.files.influx_csv import is_influx, is_influx_1
from monitor.files.json_documents import Documents, documents_of, first_document
from monitor.files.layout import NoMetricsError, Reading
from monitor.files.openmetrics import is_openmetrics
from monitor.files.prometheus_json import is_prometheus, is_victoriametrics
from monitor.files.tables import is_records
from monitor.files.text_tables import text_of
from monitor.files.zabbix import is_zabbix, is_zabbix_text

__all__ = ["Detected", "detect", "is_json", "is_metric_file"]

_JSON_FORMATS = (
    ("victoriametrics", is_victoriametrics),
    ("prometheus", is_prometheus),
    ("cloudwatch", is_cloudwatch),
    ("zabbix", is_zabbix),
    ("grafana", is_grafana),
    ("table", is_records),
)
_SAMPLE = re.compile(rb'\{\s*([A-Za-z_]|"[^"]*"\s*[,}=])')
_TEXT_FORMATS = (
    ("influx", is_influx),
    ("influx", is_influx_1),
    ("cloudwatch", is_cloudwatch_csv),
    ("zabbix", is_zabbix_text),
    ("openmetrics", is_openmetrics),
)


@dataclass(frozen=True, slots=True)
class Detected:
    """A file's format, and what was parsed to find it: documents, text, or nothing."""

    format: str
    documents: Documents | None = None
    text: str = ""


def detect(content: bytes, reading: Reading) -> Detected:
    """Find a file's format by its content; the setting `format` decides where it names a format.

    JSON lines of no other format are messages.

    Raises
    ------
    SourceError
        If JSON breaks off, or text cannot be decoded.
    NoMetricsError
        If JSON is of no known kind.
    """
    wanted = reading.layout.format
    name = reading.file.name.removesuffix(".gz").lower()
    is_lines = name.endswith((".jsonl", ".ndjson"))
    if name.endswith(".parquet") or wanted == "messages":
        return Detected("messages" if wanted == "messages" else "parquet")
    if is_json(content):
        return _detect_json(content.removeprefix(b"\xef\xbb\xbf").lstrip(), reading, is_lines=is_lines)
    if wanted == "auto" and is_lines:
        return Detected("messages")
    text = text_of(content, reading)
    return Detected(wanted if wanted != "auto" else _text_format(text), text=text)


def is_metric_file(content: bytes, reading: Reading) -> bool:
    """Tell whether a file is surely in a format of files, and not the payload of a record."""
    name = reading.file.name.removesuffix(".gz").lower()
    try:
        found = detect(content, reading)
    except SourceError:
        return False  # a payload may be anything
    return found.format not in ("messages", "table") or name.endswith((".csv", ".tsv"))


def is_json(content: bytes) -> bool:
    """Tell whether a file begins as JSON: `{__name__="up"} 1` is a sample of Prometheus."""
    start = content[:1000].removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith((b"{", b"[")) and _SAMPLE.match(start) is None


def _text_format(text: str) -> str:
    return next((name for name, fits in _TEXT_FORMATS if fits(text)), "table")


def _detect_json(content: bytes, reading: Reading, *, is_lines: bool) -> Detected:
    wanted = reading.layout.format
    sample = first_document(content)
    if is_lines and wanted == "auto" and sample is None:
        sample = _only_document(content)
        if sample is None or _format_of(sample) is None:
            return Detected("messages")
    if sample is not None and wanted == "auto" and _format_of(sample) is None:
        return _without_format(sample, reading, is_lines=is_lines)
    documents = documents_of(content, reading)
    if wanted != "auto":
        return Detected(wanted, documents)
    format_name = _format_of(documents.found[0])
    if format_name is None:
        return _without_format(documents.found[0], reading, is_lines=is_lines)
    return Detected(format_name, documents)


def _only_document(content: bytes) -> Any:
    import orjson

    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def _format_of(document: Any) -> str | None:
    return next((name for name, fits in _JSON_FORMATS if fits(document)), None)


def _without_format(document: Any, reading: Reading, *, is_lines: bool) -> Detected:
    """Take JSON of no known kind as messages, if it can be; say what it is, if that is known."""
    if is_dashboard(document):
        raise NoMetricsError(
            f"{reading.file} describes a dashboard of Grafana, and holds no data. Use "
            '"Inspect > Data > Download CSV", or "Inspect > JSON > Panel data".'
        )
    if isinstance(document, dict) and (is_lines or {"topic", "headers", "name", "metrics"} & set(document)):
        return Detected("messages")
    keys = ", ".join(map(str, list(document)[:8])) if isinstance(document, dict) else type(document).__name__
    raise NoMetricsError(
        f"{reading.file} is JSON of no known kind (it has: {keys}). Known are answers of Prometheus, "
        "VictoriaMetrics, CloudWatch and Zabbix, and Grafana's panel data: docs/files.md has them."
    )
