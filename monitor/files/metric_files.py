"""Metric files, read whole: each in its format, all of them ordered by event time.

`detect.py` finds the format of a file, and one module per format reads it. Settings of a table (time column,
delimiter, marks, zone) are in `FileLayout`.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monitor.decode.record import Rejection
from monitor.errors import SourceError
from monitor.files.captures import file_bytes
from monitor.files.cloudwatch import read_cloudwatch, read_cloudwatch_csv
from monitor.files.decode_captures import DecodeOutcome
from monitor.files.detect import Detected, detect
from monitor.files.find import FoundFiles, find_files
from monitor.files.grafana import read_grafana
from monitor.files.influx_csv import is_influx_1, read_influx, read_influx_1
from monitor.files.layout import FileLayout, NoMetricsError, Reading, Tally, few
from monitor.files.messages import read_messages
from monitor.files.openmetrics import read_openmetrics
from monitor.files.prometheus_json import read_prometheus, read_victoriametrics
from monitor.files.tables import TableData, read_table, table_of_records
from monitor.files.text_tables import TextTable, read_text_tables
from monitor.files.zabbix import (
    is_zabbix_table,
    is_zabbix_text,
    read_zabbix,
    read_zabbix_table,
    read_zabbix_text,
)
from monitor.sample import Columns, SeriesTable, concatenate

__all__ = ["FileLayout", "FoundFiles", "Recorded", "find_files", "read_files", "with_recorded"]

log = logging.getLogger(__name__)

_JSON_READERS = {
    "prometheus": read_prometheus,
    "victoriametrics": read_victoriametrics,
    "cloudwatch": read_cloudwatch,
    "zabbix": read_zabbix,
    "grafana": read_grafana,
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """All samples of some files, ordered by event time, and how many records could not be read, by reason.

    `read_as` has a line for each way in which files were read, and `warnings` what a person should know.
    """

    columns: Columns
    n_bad: tuple[tuple[str, int], ...]
    read_as: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_files(
    files: Sequence[Path], layout: FileLayout, table: SeriesTable, *, in_folder: Container[Path] = ()
) -> Recorded:
    """Read files into columns, ordered by event time.

    Parameters
    ----------
    in_folder : container of Path
        Files that only a folder led to. Such a file without metrics is skipped with a warning: a folder may
        also hold labels and notes.

    Raises
    ------
    SourceError
        If a file cannot be read, if it lacks the columns that its layout needs, or if no sample is left.
    """
    parts: list[Columns] = []
    tally = Tally()
    for file in files:
        try:
            columns = _read(Reading(file, layout, table, tally))
        except NoMetricsError as error:
            if file not in in_folder:
                raise
            tally.remarks.append(str(error))
            continue
        tally.count_samples(columns)
        parts.append(_within(columns, layout))
    joined = concatenate(parts)
    if not len(joined):
        names = ", ".join(few([str(file) for file in files]))
        raise SourceError(f"nothing to replay: no sample is left of {names}: {tally.why_nothing_is_left()}")
    for remark in few(tally.remarks):
        log.warning("file gave no sample: %s", remark)
    read_as = tally.how_files_were_read()
    for line in read_as:
        log.info("files %s", line)
    for warning in few(tally.warnings):
        log.warning("%s", warning)
    order = np.argsort(joined.time_ms, kind="stable")
    ordered = Columns(joined.series[order], joined.time_ms[order], joined.value[order])
    return Recorded(ordered, tuple(tally.n_bad.items()), read_as, tuple(tally.warnings))


def with_recorded(outcome: DecodeOutcome, recorded: Recorded) -> DecodeOutcome:
    """Add the samples of files to those of records, for a report on both; a file counts as a record."""
    rejections = tuple(
        ("files", Rejection(0, reason, "see docs/files.md", n)) for reason, n in recorded.n_bad
    )
    n_files = len(recorded.read_as)
    columns = concatenate([outcome.columns, recorded.columns])
    return DecodeOutcome(columns, (*outcome.rejections, *rejections), outcome.n_records + n_files)


def _read(reading: Reading) -> Columns:
    """Read a file in its format."""
    content = b"" if reading.file.suffix == ".parquet" else file_bytes(reading.file)
    detected = detect(content, reading)
    if detected.format == "messages":
        return read_messages(content, reading)
    if detected.format == "parquet":
        columns = read_table(_parquet(reading), reading)
    elif detected.documents is not None:
        columns = _read_documents(detected, reading)
    else:
        columns = _read_text(detected, reading)
    reading.finish(detected.format)
    return columns


def _read_documents(detected: Detected, reading: Reading) -> Columns:
    assert detected.documents is not None
    if detected.format == "table":
        return read_table(table_of_records(detected.documents.found, reading), reading)
    reader = _JSON_READERS.get(detected.format)
    if reader is None:
        raise SourceError(
            f'{reading.file} is JSON, which the format "{detected.format}" never is. Set '
            'source.replay.format to "auto".'
        )
    return reader(detected.documents.found, reading)


def _read_text(detected: Detected, reading: Reading) -> Columns:
    text = detected.text
    if detected.format == "influx":
        return read_influx_1(text, reading) if is_influx_1(text) else read_influx(text, reading)
    if detected.format == "openmetrics":
        return read_openmetrics(text, reading)
    if detected.format == "cloudwatch":
        return read_cloudwatch_csv(text, reading)
    if detected.format == "zabbix" and is_zabbix_text(text):
        return read_zabbix_text(text, reading)
    if detected.format in ("prometheus", "victoriametrics"):
        raise SourceError(
            f'{reading.file} is no JSON, which the format "{detected.format}" always is. Set '
            'source.replay.format to "auto".'
        )
    return _read_tables(detected, reading)


def _read_tables(detected: Detected, reading: Reading) -> Columns:
    """Read delimited text: tables of people, of Grafana, or dumps of Zabbix' database."""
    parts = []
    tables = read_text_tables(detected.text, reading)
    for text_table in tables:
        names, columns = _named(text_table, reading)
        is_zabbix = is_zabbix_table(names) and reading.layout.format in ("auto", "zabbix")
        # Grafana's downloads have this first column, whatever the data source.
        is_grafana = detected.format == "grafana" or (
            reading.layout.format == "auto"
            and (names[0] == "Time" or names[:3] == ["Series", "Time", "Value"])
        )
        data = TableData(names, columns, text_table.delimiter, header_has_labels=is_grafana)
        reading.recognise("zabbix" if is_zabbix else "grafana" if is_grafana else "")
        parts.append(read_zabbix_table(data, reading) if is_zabbix else read_table(data, reading))
    return concatenate(parts)


def _named(table: TextTable, reading: Reading) -> tuple[list[str], list[Any]]:
    """Give a table's columns with names of their own: of equal names each further one gets a number."""
    names: list[str] = []
    for written in table.names:
        name = written.strip()
        n_before = sum(other.strip() == name for other in table.names[: len(names)])
        if n_before and name:
            reading.say(f'"{name}" comes {n_before + 1} times: numbered')
        names.append(f"{name}.{n_before}" if n_before else name)
    return names, list(table.columns)


def _parquet(reading: Reading) -> TableData:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from monitor.files.metric_kinds import counters_of

    try:
        table, counters = pq.read_table(reading.file), counters_of(reading.file)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SourceError(f"cannot read {reading.file}: {' '.join(str(error).split())}") from error
    kept = [name for name in table.column_names if not name.startswith("__index_level_")]
    columns = [table.column(place) for place, name in enumerate(table.column_names) if name in kept]
    return TableData(kept, columns, counters=counters)


def _within(columns: Columns, layout: FileLayout) -> Columns:
    keep = np.ones(len(columns), bool)
    if layout.start_ms is not None:
        keep &= columns.time_ms >= layout.start_ms
    if layout.end_ms is not None:
        keep &= columns.time_ms < layout.end_ms
    if layout.first_share < 1.0 and len(columns):
        first = int(columns.time_ms.min())
        span = int(columns.time_ms.max()) - first
        keep &= columns.time_ms < first + layout.first_share * span
    if keep.all():
        return columns
    return Columns(columns.series[keep], columns.time_ms[keep], columns.value[keep])
