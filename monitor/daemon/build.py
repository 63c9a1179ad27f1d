"""Builds what the daemon is made of, from the configuration."""

from __future__ import annotations

import math
import sys
from importlib.metadata import version
from pathlib import Path

from monitor.clock import Clock
from monitor.config.schema import Config
from monitor.config.watch import WatchConfig
from monitor.decode.topic_decoders import TopicDecoders
from monitor.kafka.dead_letter_producer import DeadLetterProducer
from monitor.kafka.libraries import library_of
from monitor.kafka.record_decoder import Decoding
from monitor.kafka.source import KafkaSource
from monitor.sample import SeriesTable
from monitor.sources.host import HostSource
from monitor.sources.position import Position
from monitor.sources.recorded import recorded_files
from monitor.sources.replay import ReplaySource
from monitor.sources.source import Source

__all__ = ["build_source", "training_command"]


def training_command(config_file: Path, watch: WatchConfig, result_file: Path) -> list[str]:
    """Give the command that trains a watch beside the daemon: the offline one."""
    options = ["--candidate", "--background", "--result", str(result_file)]
    return [sys.executable, "-m", "monitor", "retrain", "--config", str(config_file), "--watch", watch.name, *options]


def build_source(config: Config, table: SeriesTable, clock: Clock, *, resumed: Position | None) -> Source:
    """Build the configured source, so that it goes on from a position."""
    if config.source.kind == "host":
        host = config.source.host
        return HostSource(table, clock, interval_seconds=host.interval_seconds, host=host.host)
    if config.source.kind == "kafka":
        return _build_kafka_source(config, table, clock, resumed=resumed)
    speed = config.source.replay.speed
    times_real = math.inf if speed == "max" else float(speed)
    return ReplaySource(recorded_files(config, table), clock, speed=times_real, after_ms=resumed.time_ms if resumed else None)


def _build_kafka_source(config: Config, table: SeriesTable, clock: Clock, *, resumed: Position | None) -> KafkaSource:
    kafka = config.source.kafka
    decoders = TopicDecoders(config.decode.settings, config.decode.topics, config.decode.format)
    return KafkaSource(
        kafka,
        Decoding(decoders.of, decoders.explain),
        table,
        clock,
        rewind_ms=max(watch.settings().rewind_ms for watch in config.watch),
        max_future_ms=round(config.source.max_future_seconds * 1000),
        resumed=resumed,
        dead_letters=DeadLetterProducer(kafka, library_of(kafka), clock, version=version("barograph")) if kafka.dead_letter_topic else None,
    )
