"""`barograph topics`: what a Kafka cluster holds, and a configuration for it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import (
    silence_kafka,
    write_text,
)
from monitor.errors import ConfigError, MonitorError


def topics(
    config: Annotated[Path | None, typer.Option("--config", help="Settings to look with; the defaults when left out.")] = None,
    servers: Annotated[
        str, typer.Option(help="host:port of brokers, commas between them; source.kafka.bootstrap_servers when left out.")
    ] = "",
    topic: Annotated[
        list[str] | None,
        typer.Option(help="Topic to look at, * and ? as wildcards; may be repeated. source.kafka.topics, else all, when left out."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the suggested settings to this new file.")] = None,
    records: Annotated[
        int, typer.Option(help="Records of each partition that are read, at most: its newest.", min=1, max=1_000_000)
    ] = 10_000,
    timeout: Annotated[float, typer.Option(help="Seconds for all of it.", min=1, max=3600)] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Write what was seen as JSON.")] = False,
) -> None:
    """Show what is in a Kafka cluster's topics, and suggest settings that read and judge it. Joins no group, commits nothing.

    Example: barograph topics --servers broker1:9092 --topic telegraf -o mine.toml
    """
    from monitor.config.load import load_draft

    named = {"bootstrap_servers": servers.split(",")} if servers else {}
    settings, written = load_draft(config, {"source": {"kafka": named}}, environ=os.environ)
    if output is not None and output.exists():
        raise ConfigError(f"--output {output}: is there already, and stays as it is. Name another file, or move it away.")
    from monitor.clock import SystemClock
    from monitor.discovery.cluster import inspect
    from monitor.discovery.report_json import to_json
    from monitor.discovery.suggested_settings import suggestion_of, user_settings
    from monitor.kafka.topic_reader import TopicReader

    kafka, clock = settings.source.kafka, SystemClock()
    silence_kafka()
    reader = TopicReader(kafka, clock, timeout_seconds=timeout)
    try:
        report = inspect(reader, topic or kafka.topics, settings.decode, settings.watch, now=clock.now(), n_newest=records)
    finally:
        reader.close()
    suggestion = suggestion_of(report, *user_settings(written, named))
    if output is not None and suggestion:
        write_text(output, suggestion)
    if as_json:
        print(json.dumps(to_json(report, suggestion), indent=1))
    else:
        from monitor.discovery.report import print_report

        print_report(report, kafka, suggestion)
    if output is not None:
        if not suggestion:
            raise MonitorError(f"nothing was written to {output}: no series were found, so there is nothing to suggest")
        print(f"wrote {output}; next: barograph check-config --config {output}", file=sys.stderr)
