"""`[decode]`: which wire format each topic has, and the settings of the formats."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from monitor.config.table import Table
from monitor.decode.fields import TimeUnit
from monitor.decode.formats import AUTO, FormatSettings
from monitor.decode.graphite import Template
from monitor.decode.mapped_json import JsonMapping, KindName
from monitor.decode.native import SampleFields
from monitor.decode.record import DEFAULT_LIMITS, Limits
from monitor.decode.topic_decoders import check_format

__all__ = ["DecodeConfig"]


class NativeSampleConfig(Table):
    """`[decode.native_sample]`: field names of single-sample JSON messages."""

    name: str = "name"
    labels: str = "labels"
    time: str = "time"
    value: str = "value"
    time_unit: TimeUnit = "auto"


class InfluxConfig(Table):
    """`[decode.influx]`: line protocol."""

    precision: TimeUnit = "ns"


class TelegrafJsonConfig(Table):
    """`[decode.telegraf_json]`: Telegraf's JSON."""

    time_unit: TimeUnit = "auto"


class CollectdConfig(Table):
    """`[decode.collectd]`: collectd's JSON."""

    store_rates: bool = True


class GraphiteConfig(Table):
    """`[decode.graphite]`: Graphite's plain text."""

    templates: list[str] = []

    @field_validator("templates")
    @classmethod
    def _are_templates(cls, value: list[str]) -> list[str]:
        for text in value:
            Template.parse(text)
        return value


class MappedConfig(Table):
    """`[decode.mapped.<name>]`: JSON of another shape; makes a format called `mapped:<name>`."""

    each: str = ""
    name: str = "{name}"
    values: list[str] = ["value"]
    labels: list[str] = []
    constant: dict[str, str] = {}
    exclude: list[str] = []
    time: str = "timestamp"
    time_unit: TimeUnit = "auto"
    kind: KindName = "auto"
    kind_from: str = ""
    kinds: dict[str, KindName] = {}

    @model_validator(mode="after")
    def _is_a_mapping(self) -> MappedConfig:
        self.mapping()
        return self

    def mapping(self) -> JsonMapping:
        """Give the settings of the decoder."""
        settings: dict[str, Any] = {}
        for key, value in self.model_dump().items():
            settings[key] = tuple(value) if isinstance(value, list) else value
        return JsonMapping(**settings)


class DecodeConfig(Table):
    """`[decode]`: how records are read."""

    format: str = AUTO
    max_record_bytes: Annotated[int, Field(ge=1)] = DEFAULT_LIMITS.max_record_bytes
    max_label_bytes: Annotated[int, Field(ge=1)] = DEFAULT_LIMITS.max_label_bytes
    topics: dict[str, str] = {}
    native_sample: NativeSampleConfig = NativeSampleConfig()
    influx: InfluxConfig = InfluxConfig()
    telegraf_json: TelegrafJsonConfig = TelegrafJsonConfig()
    collectd: CollectdConfig = CollectdConfig()
    graphite: GraphiteConfig = GraphiteConfig()
    mapped: dict[str, MappedConfig] = {}

    @model_validator(mode="after")
    def _names_formats(self) -> DecodeConfig:
        formats = {"format": self.format}
        for topic, name in self.topics.items():
            formats[f'topics."{topic}"'] = name
        for key, name in formats.items():
            try:
                check_format(name, list(self.mapped))
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from error
        return self

    @property
    def settings(self) -> FormatSettings:
        """The settings of all decoders."""
        return FormatSettings(
            limits=Limits(max_record_bytes=self.max_record_bytes, max_label_bytes=self.max_label_bytes),
            native_sample=SampleFields(**self.native_sample.model_dump()),
            influx_precision=self.influx.precision,
            telegraf_time_unit=self.telegraf_json.time_unit,
            collectd_store_rates=self.collectd.store_rates,
            graphite_templates=tuple(Template.parse(text) for text in self.graphite.templates),
            mappings={name: table.mapping() for name, table in self.mapped.items()},
        )
