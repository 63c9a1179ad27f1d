"""`barograph dead-letters`: the records that could not be read."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from monitor.commands.options import FIRST_FOUND, ConfigFile, silence_kafka
from monitor.errors import ConfigError


def dead_letters(
    config: ConfigFile = FIRST_FOUND,
    limit: Annotated[int, typer.Option(help="Show this many of the newest dead letters.", min=0)] = 10,
    reason: Annotated[str, typer.Option(help="Only dead letters with this reason.")] = "",
    records: Annotated[
        int, typer.Option(help="Read at most this many of the newest dead letters of each partition.", min=1)
    ] = 100_000,
    timeout: Annotated[float, typer.Option(help="Seconds for all of it.", min=1, max=3600)] = 30.0,
) -> None:
    """Show the records that could not be read: how many for each reason, and the beginnings of the newest.

    Joins no group and commits nothing.

    Example: barograph dead-letters --reason invalid_json
    """
    from monitor.config.load import load_config

    kafka = load_config(config, environ=os.environ).source.kafka
    if not kafka.dead_letter_topic:
        raise ConfigError(
            f"{config}: source.kafka.dead_letter_topic is empty: dead letters are not stored. "
            "Make a topic for them, and set its name there."
        )
    from monitor.clock import SystemClock
    from monitor.kafka.dead_letter_reader import read_dead_letters, report
    from monitor.kafka.topic_reader import TopicReader

    silence_kafka()
    reader = TopicReader(kafka, SystemClock(), timeout_seconds=timeout)
    try:
        stored = read_dead_letters(reader, kafka.dead_letter_topic, n_newest=records)
        for line in report(stored, n_shown=limit, reason=reason):
            print(line)
        if not reader.seconds_left():
            print(
                f"not all were read in {timeout:g} s: give a longer --timeout, or fewer --records",
                file=sys.stderr,
            )
    finally:
        reader.close()
