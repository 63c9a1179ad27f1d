"""Builds the receiver of remote write from the configuration."""

from __future__ import annotations

from monitor.clock import Clock
from monitor.config.schema import Config
from monitor.remote_write.authentication import Authentication
from monitor.remote_write.source import ReceiverSettings, RemoteWriteSource
from monitor.remote_write.write_ahead_log import WriteAheadLog
from monitor.sample import SeriesTable
from monitor.sources.position import Position
from monitor.storage.data_dir import DataDir

__all__ = ["build_receiver"]


def build_receiver(
    config: Config, table: SeriesTable, clock: Clock, *, resumed: Position | None
) -> RemoteWriteSource:
    """Build the receiver, with its log in the data directory.

    Raises
    ------
    SourceError
        If the log cannot be read.
    """
    prometheus = config.source.prometheus
    partitions = resumed.partitions if resumed else {}
    wal = WriteAheadLog(
        DataDir(config.data_dir).remote_write_folder,
        max_bytes=prometheus.max_log_bytes,
        offset=max((partition.offset for partition in partitions.values()), default=0),
    )
    settings = ReceiverSettings(
        authentication=Authentication(
            prometheus.receive_username, prometheus.receive_password, prometheus.receive_bearer_token
        ),
        limits=config.decode.settings.limits,
        max_request_bytes=prometheus.max_request_bytes,
        idle_seconds=prometheus.idle_seconds,
        max_future_ms=round(config.source.max_future_seconds * 1000),
    )
    return RemoteWriteSource(settings, wal, table, clock, resumed=resumed)
