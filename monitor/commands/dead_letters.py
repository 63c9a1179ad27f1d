"""`barograph dead-dead_letters`: the records that could not be read."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.options import (
    ConfigFile,
    silence_kafka,
)
from monitor.errors import ConfigError


def dead_letters(
    config: ConfigFile = Path("config.toml"),
    limit: Annotated[int, typer.Option(help="Newest letters that are shown.", min=0)] = 10,
    reason: Annotated[str, typer.Option(help="Only letters with this reason.")] = "",
    records: Annotated[int, typer.Option(help="Letters of each partition that are read, at most: its newest.", min=1)] = 100_000,
    timeout: Annotated[float, typer.Option(help="Seconds for all of it.", min=1, max=3600)] = 30.0,
) -> None:
    """Show the records that could not be read: how many for which reason, and how the newest begin. Joins no group, commits nothing.

    Example: barograph dead-letters --reason invalid_json
    """
    from monitor.config.load import load_config

    kafka = load_config(config, environ=os.environ).source.kafka
    if not kafka.dead_letter_topic:
        raise ConfigError(f"{config}: source.kafka.dead_letter_topic is empty: no dead letters are kept. Make a topic, and name it there.")
    from monitor.clock import SystemClock
    from monitor.kafka.dead_letter_reader import read_dead_letters, report
    from monitor.kafka.topic_reader import TopicReader

    silence_kafka()
    reader = TopicReader(kafka, SystemClock(), timeout_seconds=timeout)
    try:
        for line in report(read_dead_letters(reader, kafka.dead_letter_topic, n_newest=records), n_shown=limit, reason=reason):
            print(line)
        if not reader.seconds_left():
            print(f"not all were read in {timeout:g} s: give a longer --timeout, or fewer --records", file=sys.stderr)
    finally:
        reader.close()
