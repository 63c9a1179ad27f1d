"""The wire formats by name, and the settings that decoders are built with.

Owns the names that the configuration knows; mappings of other JSON are named in `topic_decoders.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from monitor.decode.collectd import decode_collectd_json
from monitor.decode.fields import TimeUnit
from monitor.decode.graphite import Template, decode_graphite
from monitor.decode.influx import decode_influx
from monitor.decode.mapped_json import JsonMapping
from monitor.decode.native import SampleFields, decode_native_columns, decode_native_samples
from monitor.decode.otlp_json import decode_otlp_json
from monitor.decode.otlp_proto import decode_otlp_proto
from monitor.decode.prometheus_adapter import decode_prometheus_adapter
from monitor.decode.record import DEFAULT_LIMITS, Decoder, Limits
from monitor.decode.remote_write import decode_remote_write
from monitor.decode.telegraf import decode_telegraf_json

__all__ = ["AUTO", "DEFAULT_SETTINGS", "FORMATS", "FormatSettings"]

AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class FormatSettings:
    """Settings that decoders are built with: `[decode]` of the configuration."""

    limits: Limits = DEFAULT_LIMITS
    native_sample: SampleFields = field(default_factory=SampleFields)
    influx_precision: TimeUnit = "ns"
    telegraf_time_unit: TimeUnit = "auto"
    collectd_store_rates: bool = True
    graphite_templates: tuple[Template, ...] = ()
    mappings: Mapping[str, JsonMapping] = field(default_factory=dict)


DEFAULT_SETTINGS = FormatSettings()

FORMATS: dict[str, Callable[[FormatSettings], Decoder]] = {
    "native_columns": lambda settings: partial(decode_native_columns, limits=settings.limits),
    "native_sample": lambda settings: partial(
        decode_native_samples, limits=settings.limits, fields=settings.native_sample
    ),
    "influx": lambda settings: partial(
        decode_influx, limits=settings.limits, precision=settings.influx_precision
    ),
    "telegraf_json": lambda settings: partial(
        decode_telegraf_json, limits=settings.limits, time_unit=settings.telegraf_time_unit
    ),
    "prometheus_adapter": lambda settings: partial(decode_prometheus_adapter, limits=settings.limits),
    "remote_write": lambda settings: partial(decode_remote_write, limits=settings.limits),
    "otlp_json": lambda settings: partial(decode_otlp_json, limits=settings.limits),
    "otlp_proto": lambda settings: partial(decode_otlp_proto, limits=settings.limits),
    "collectd_json": lambda settings: partial(
        decode_collectd_json, limits=settings.limits, store_rates=settings.collectd_store_rates
    ),
    "graphite": lambda settings: partial(
        decode_graphite, limits=settings.limits, templates=settings.graphite_templates
    ),
}
