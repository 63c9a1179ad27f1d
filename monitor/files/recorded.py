"""The files that the configuration names, read: for the replay source, for training, and for scoring."""

from __future__ import annotations

import logging
from dataclasses import replace

from monitor.config.schema import Config
from monitor.config.times import parse_time
from monitor.decode.topic_decoders import TopicDecoders
from monitor.files.metric_files import FileLayout, Recorded, find_files, read_files
from monitor.sample import SeriesTable

__all__ = ["file_layout", "recorded_files"]

log = logging.getLogger(__name__)


def recorded_files(config: Config, table: SeriesTable, *, first_share: float = 1.0) -> Recorded:
    """Read the files of `[source.replay]`, with its settings and those of `[decode]`.

    Parameters
    ----------
    first_share : float
        Share of each file's time span to read, counted from its first sample; 1 reads all of it.

    Raises
    ------
    SourceError
        As `find_files` and `read_files` do.
    """
    replay = config.source.replay
    decode = config.decode
    decoders = TopicDecoders(decode.settings, decode.topics, decode.format)
    layout = replace(file_layout(config), first_share=first_share, decoder_of=decoders.of)
    files = find_files(replay.paths)
    recorded = read_files(files.files, layout, table, in_folder=files.in_folder)
    for topic, name in decoders.in_use().items():
        log.info("topic read topic=%s format=%s", topic, name or "unknown")
    return recorded


def file_layout(config: Config) -> FileLayout:
    """Give the settings of `[source.replay]` by which files are read."""
    replay = config.source.replay
    return FileLayout(
        format=replay.format,
        time_column=replay.time_column,
        time_unit=replay.time_unit,
        time_zone=replay.time_zone,
        delimiter=replay.delimiter,
        decimal=replay.decimal,
        thousands=replay.thousands,
        exclude=tuple(replay.exclude),
        where=replay.where,
        start_ms=parse_time(replay.start, "source.replay.start"),
        end_ms=parse_time(replay.end, "source.replay.end"),
        sample_fields=config.decode.settings.native_sample,
    )
