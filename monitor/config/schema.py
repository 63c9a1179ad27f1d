"""The whole of config.toml: its top level and the smaller tables."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

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
    format: Literal[
        "auto", "table", "grafana", "prometheus", "openmetrics", "influx", "cloudwatch", "zabbix",
        "victoriametrics", "messages",
    ] = "auto"  # fmt: skip
    time_column: str = "auto"
    time_unit: str = "auto"
    time_zone: str = "UTC"
    delimiter: str = "auto"
    decimal: Literal["auto", ".", ","] = "auto"
    thousands: str = "auto"
    exclude: list[str] = ["label", "label_*", "split"]
    where: dict[str, str] = {}
    start: str = ""
    end: str = ""

    @field_validator("time_unit")
    @classmethod
    def _is_unit(cls, value: str) -> str:
        if value not in ("auto", "s", "ms", "us", "ns", "iso") and "%" not in value:
            raise ValueError(
                'expected "auto", "s", "ms", "us", "ns", "iso", or a pattern such as "%d.%m.%Y %H:%M:%S"'
            )
        if "%" in value and not any(year in value for year in ("%Y", "%y", "%G", "%c", "%x")):
            raise ValueError(
                'expected a pattern with the year, such as "%d.%m.%Y %H:%M:%S": without it all times would '
                "lie in 1900"
            )
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, ZoneInfoNotFoundError) as error:
            raise ValueError('expected the name of a time zone, such as "UTC" or "Europe/Berlin"') from error
        return value

    @field_validator("delimiter")
    @classmethod
    def _is_delimiter(cls, value: str) -> str:
        if value != "auto" and (len(value) != 1 or value in '"\n\r'):
            raise ValueError('expected "auto" or one character, such as ";" or "\\t"')
        return value

    @field_validator("thousands")
    @classmethod
    def _is_mark(cls, value: str) -> str:
        if value not in ("auto", "", ".", ",", " ", "'", "_"):
            raise ValueError("""expected "auto", "" for none, ".", ",", " ", "'" or "_\"""")
        return value

    @model_validator(mode="after")
    def _has_two_marks(self) -> ReplayConfig:
        if self.decimal == self.thousands != "auto":
            raise ValueError(f'decimal and thousands are both "{self.decimal}": a number could not be read')
        return self


class SourceConfig(Table):
    """`[source]`: where samples come from."""

    kind: Literal["host", "kafka", "prometheus", "replay"] = "host"
    max_future_seconds: NotNegative = 60.0
    max_series: Annotated[int, Field(ge=1)] = 500_000
    host: HostConfig = HostConfig()
    kafka: KafkaConfig = KafkaConfig()
    prometheus: PrometheusConfig = PrometheusConfig()
    replay: ReplayConfig = ReplayConfig()

    @property
    def receives(self) -> bool:
        """Whether others send samples to the daemon."""
        return self.kind == "prometheus" and self.prometheus.receives

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
        if self.source.receives and is_open and not is_loopback(self.web.listen):
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
        if self.source.receives and prometheus.max_log_bytes < REQUESTS_OF_LOG * largest:
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
    def _asks_for_something(self) -> Config:
        prometheus = self.source.prometheus
        if self.source.kind != "prometheus" or prometheus.receives:
            return self
        if not any(watch.query for watch in self.watch):
            raise ValueError(
                'source.prometheus.mode is "query_range", but no watch has a `query`: '
                "there is nothing to ask for"
            )
        # An answer may take twice the timeout, and a turn of the loop two requests.
        if self.stalled_after_seconds < 4 * prometheus.timeout_seconds:
            raise ValueError(
                f"stalled_after_seconds is {self.stalled_after_seconds:g}, expected at least four times "
                f"source.prometheus.timeout_seconds ({prometheus.timeout_seconds:g} s): the loop would seem "
                "to hang while it waits for an answer"
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
