"""`barograph topics`: what a Kafka cluster holds, and a configuration for it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import silence_kafka, write_text
from monitor.errors import ConfigError, MonitorError


def topics(
    config: Annotated[
        Path | None, typer.Option("--config", help="Configuration file; the defaults when left out.")
    ] = None,
    servers: Annotated[
        str,
        typer.Option(
            help="host:port of brokers, separated by commas; source.kafka.bootstrap_servers when left out."
        ),
    ] = "",
    topic: Annotated[
        list[str] | None,
        typer.Option(
            help="Topic to inspect, * and ? as wildcards; may be repeated. "
            "source.kafka.topics when left out, or else all."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Also write the suggested configuration to this new file."),
    ] = None,
    records: Annotated[
        int,
        typer.Option(
            help="Read at most this many of the newest records of each partition.", min=1, max=1_000_000
        ),
    ] = 10_000,
    timeout: Annotated[float, typer.Option(help="Seconds for all of it.", min=1, max=3600)] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Write the report as JSON.")] = False,
) -> None:
    """Show what is in the topics of a Kafka cluster, and suggest a configuration that reads and judges it.

    Joins no group and commits nothing.

    Example: barograph topics --servers broker1:9092 --topic telegraf -o mine.toml
    """
    from monitor.config.load import load_draft

    named = {"bootstrap_servers": servers.split(",")} if servers else {}
    settings, written = load_draft(config, {"source": {"kafka": named}}, environ=os.environ)
    if output is not None and output.exists():
        raise ConfigError(
            f"--output {output}: this file exists and is not overwritten. Name another file, or move it away."
        )
    from monitor.clock import SystemClock
    from monitor.discovery.cluster import inspect
    from monitor.discovery.report_json import to_json
    from monitor.discovery.suggested_settings import suggestion_of, user_settings
    from monitor.kafka.topic_reader import TopicReader

    kafka = settings.source.kafka
    clock = SystemClock()
    silence_kafka()
    reader = TopicReader(kafka, clock, timeout_seconds=timeout)
    try:
        report = inspect(
            reader,
            topic or kafka.topics,
            settings.decode,
            settings.watch,
            now=clock.now(),
            n_newest=records,
        )
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
            raise MonitorError(
                f"nothing was written to {output}: no series were found, so there is nothing to suggest"
            )
        print(f"wrote {output}; next: barograph check-config --config {output}", file=sys.stderr)
