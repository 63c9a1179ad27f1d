"""`barograph decode`: the samples in dumped records."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import print_read_as
from monitor.errors import ConfigError, MonitorError


def decode(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Captures (JSON lines with base64 payloads), raw payloads, or metric files; .gz too."
        ),
    ],
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            help="Name of a format, or auto; the configuration's [decode] when left out, else auto.",
        ),
    ] = "",
    config: Annotated[
        Path | None, typer.Option("--config", help="Configuration file; the defaults when left out.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write every sample that has a value as a line of JSON.")
    ] = False,
    shows_all: Annotated[bool, typer.Option("--all", help="Show every row and every rejection.")] = False,
) -> None:
    """Show the samples in payloads, and what is rejected for which reason.

    Example: barograph decode --format auto topic.jsonl
    """
    from monitor.config.decode import DecodeConfig
    from monitor.config.load import load_config
    from monitor.decode.topic_decoders import TopicDecoders, check_format
    from monitor.files.captures import file_bytes, read_capture
    from monitor.files.decode_captures import decode_captured, json_lines, report
    from monitor.files.detect import is_metric_file
    from monitor.files.layout import FileLayout, Reading, Tally
    from monitor.files.metric_files import read_files, with_recorded
    from monitor.files.recorded import file_layout
    from monitor.sample import SeriesTable

    loaded = load_config(config, environ=os.environ) if config else None
    settings = loaded.decode if loaded else DecodeConfig()
    default = format_name or settings.format
    try:
        check_format(default, list(settings.mapped))
    except ValueError as error:
        raise ConfigError(f"--format {error}") from error
    decoders = TopicDecoders(settings.settings, {} if format_name else settings.topics, default)
    table = SeriesTable()
    layout = file_layout(loaded) if loaded else FileLayout()
    readings = {
        file: Reading(file, layout, SeriesTable(), Tally()) for file in ([] if format_name else files)
    }
    metric_files = [file for file, reading in readings.items() if is_metric_file(file_bytes(file), reading)]
    records = [record for file in files if file not in metric_files for record in read_capture(file)]
    outcome = decode_captured(records, decoders.of, table)
    if metric_files:
        recorded = read_files(metric_files, layout, table)
        outcome = with_recorded(outcome, recorded)
        print_read_as(recorded.read_as)
    if as_json:
        sys.stdout.buffer.writelines(json_lines(outcome.columns, table))
        sys.stdout.flush()
    else:
        from monitor.commands.console import out
        from monitor.commands.tables import samples_table

        out.print(samples_table(outcome.columns, table, shows_all=shows_all))
    for line in report(outcome, decoders.in_use(), shows_all=shows_all):
        print(line, file=sys.stderr)
    if not outcome.has_read:
        raise MonitorError(f"none of {outcome.n_records} records could be read: the lines above say why")
