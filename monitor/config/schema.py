"""The whole of config.toml: its top level and the smaller tables."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from monitor.config.decode import DecodeConfig
from monitor.config.kafka import KafkaConfig
from monitor.config.prometheus import REQUESTS_OF_LOG, PrometheusConfig, is_loopback
from monitor.config.table import NotNegative, Positive, Table
from monitor.config.watch import WatchConfig

__all__ = ["Config"]


class HostConfig(Table):
    """`[source.host]`: this machine's own metrics."""

    interval_seconds: Positive = 1.0
    host: str = ""


class ReplayConfig(Table):
    """`[source.replay]`: metric files."""

    paths: list[str] = []
    speed: Positive | Literal["max"] = "max"
    time_column: str = "timestamp"
    time_unit: Literal["s", "ms", "iso"] = "ms"
    exclude: list[str] = ["label", "label_*", "split"]
    where: dict[str, str] = {}
    start: str = ""
    end: str = ""


class SourceConfig(Table):
    """`[source]`: where samples come from."""

    kind: Literal["host", "kafka", "prometheus", "replay"] = "host"
    max_future_seconds: NotNegative = 60.0
    max_series: Annotated[int, Field(ge=1)] = 500_000
    host: HostConfig = HostConfig()
    kafka: KafkaConfig = KafkaConfig()
    prometheus: PrometheusConfig = PrometheusConfig()
    replay: ReplayConfig = ReplayConfig()

    @model_validator(mode="after")
    def _has_topics(self) -> SourceConfig:
        if self.kind == "kafka" and not self.kafka.topics:
            raise ValueError(
                'kind is "kafka", but source.kafka.topics names no topic: there is nothing to read'
            )
        return self


class HistoryConfig(Table):
    """`[history]`: how many closed steps are stored for retraining."""

    segment_seconds: Positive = 300.0
    max_age_seconds: Positive = 30 * 86400.0
    max_bytes: Annotated[int, Field(ge=0)] = 1 << 30


class AlertsConfig(Table):
    """`[alerts]`: notifications and the alert history, for all watches."""

    max_alert_age_seconds: NotNegative = 3600.0
    keep_seconds: Positive = 90 * 86400.0
    keep_episodes: Annotated[int, Field(ge=1)] = 100_000


class WebConfig(Table):
    """`[web]`: the HTTP server."""

    listen: str = "127.0.0.1:9469"
    max_exported_series: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    export_all_channels: bool = False

    @field_validator("listen")
    @classmethod
    def _has_host_and_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError('expected "host:port" with a port up to 65535, as in "127.0.0.1:9469"')
        return value


class Config(Table):
    """The whole of config.toml."""

    data_dir: str = "data"
    checkpoint_seconds: Positive = 10.0
    stalled_after_seconds: Positive = 60.0
    source: SourceConfig = SourceConfig()
    decode: DecodeConfig = DecodeConfig()
    web: WebConfig = WebConfig()
    history: HistoryConfig = HistoryConfig()
    alerts: AlertsConfig = AlertsConfig()
    watch: Annotated[list[WatchConfig], Field(min_length=1)]

    @model_validator(mode="after")
    def _receives_from_known_senders(self) -> Config:
        prometheus = self.source.prometheus
        is_open = not prometheus.is_authenticated and not prometheus.allow_unauthenticated
        if self.source.kind == "prometheus" and is_open and not is_loopback(self.web.listen):
            raise ValueError(
                f'web.listen is "{self.web.listen}", so that other machines can send samples, and '
                "source.prometheus has neither receive_username with receive_password nor "
                "receive_bearer_token: set one, or listen on 127.0.0.1, or set allow_unauthenticated = true"
            )
        return self

    @model_validator(mode="after")
    def _has_room_for_requests(self) -> Config:
        prometheus = self.source.prometheus
        largest = max(prometheus.max_request_bytes, self.decode.max_record_bytes)
        if self.source.kind == "prometheus" and prometheus.max_log_bytes < REQUESTS_OF_LOG * largest:
            raise ValueError(
                f"source.prometheus.max_log_bytes is {prometheus.max_log_bytes}, expected {REQUESTS_OF_LOG} "
                "times the larger of max_request_bytes and decode.max_record_bytes, which is "
                f"{REQUESTS_OF_LOG * largest}: a request that never fits would be sent again for ever"
            )
        return self

    @model_validator(mode="after")
    def _stores_what_it_learns_from(self) -> Config:
        scheduled = [watch.name for watch in self.watch if watch.retrain.is_scheduled]
        if scheduled and not self.history.max_bytes:
            raise ValueError(
                f"history.max_bytes is 0, but watch.{scheduled[0]} is retrained from its history: raise "
                "max_bytes, or "
                "switch retrain off"
            )
        return self

    @model_validator(mode="after")
    def _distinct_names(self) -> Config:
        names = [watch.name for watch in self.watch]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f'two watches are named "{name}": a name is the key of their models and metrics'
                )
        return self
