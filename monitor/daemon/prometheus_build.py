"""Builds the sources of Prometheus from the configuration: one that receives, and one that asks."""

from __future__ import annotations

import random

from monitor.clock import Clock
from monitor.config.schema import Config
from monitor.prometheus.api import PrometheusApi
from monitor.prometheus.http import HttpClient, connection_of
from monitor.prometheus.polling import PollingSource, WatchQuery
from monitor.remote_write.authentication import Authentication
from monitor.remote_write.source import ReceiverSettings, RemoteWriteSource
from monitor.remote_write.write_ahead_log import WriteAheadLog
from monitor.sample import SeriesTable
from monitor.sources.position import Position
from monitor.storage.data_dir import DataDir

__all__ = ["build_polling", "build_prometheus_source", "build_receiver"]


def build_prometheus_source(
    config: Config, table: SeriesTable, clock: Clock, *, resumed: Position | None
) -> RemoteWriteSource | PollingSource:
    """Build the source that `source.prometheus.mode` names."""
    build = build_receiver if config.source.prometheus.receives else build_polling
    return build(config, table, clock, resumed=resumed)


def build_polling(
    config: Config, table: SeriesTable, clock: Clock, *, resumed: Position | None
) -> PollingSource:
    """Build the source that asks for the queries of all watches."""
    prometheus = config.source.prometheus
    queries = [
        WatchQuery(watch.name, watch.query, watch.step_ms, watch.settings().rewind_ms)
        for watch in config.watch
        if watch.query
    ]
    return PollingSource(
        PrometheusApi(HttpClient(connection_of(prometheus), clock)),
        table,
        clock,
        queries,
        lag_ms=round(prometheus.lag_seconds * 1000),
        max_catch_up_ms=round(prometheus.max_catch_up_seconds * 1000),
        rng=random.Random(),  # noqa: S311 - of waits, no secret
        resumed=resumed,
    )


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
