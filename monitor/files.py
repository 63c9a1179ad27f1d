"""Files by configuration: for the replay source, and for training."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from monitor.config import Config
from monitor.decode.formats import TopicDecoders
from monitor.errors import ConfigError
from monitor.sample import SeriesTable
from monitor.sources.replay import FileLayout, Recorded, find_files, read_files

__all__ = ["parse_time", "recorded_files"]

log = logging.getLogger(__name__)


def recorded_files(config: Config, table: SeriesTable, *, first_share: float = 1.0) -> Recorded:
    """Read the files that `[source.replay]` names, as it says."""
    replay, decode = config.source.replay, config.decode
    decoders = TopicDecoders(decode.settings, decode.topics, decode.format)
    layout = FileLayout(
        time_column=replay.time_column,
        time_unit=replay.time_unit,
        exclude=tuple(replay.exclude),
        where=replay.where,
        start_ms=parse_time(replay.start, "source.replay.start"),
        end_ms=parse_time(replay.end, "source.replay.end"),
        first_share=first_share,
        sample_fields=decode.settings.native_sample,
        decoder_of=decoders.of,
    )
    found = find_files(replay.paths)
    recorded = read_files(found.files, layout, table, in_folder=found.in_folder)
    for topic, name in decoders.in_use().items():
        log.info("topic read topic=%s format=%s", topic, name or "unknown")
    return recorded


def parse_time(text: str, key: str) -> int | None:
    """Read an ISO time (UTC where it names no zone) or milliseconds since the epoch; None for an empty text.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if not text:
        return None
    if text.lstrip("-").isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f'{key}: found {text!r}, expected an ISO time as in "2026-01-31T12:00:00Z", or milliseconds since the epoch'
        ) from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
