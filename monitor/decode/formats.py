"""Every wire format by its name; and finding out which one a topic's records are in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from monitor.decode import DEFAULT_LIMITS, Decoded, Decoder, Limits, Record, RejectedError, Rejection
from monitor.decode.adapter import decode_prometheus_adapter
from monitor.decode.collectd import decode_collectd_json
from monitor.decode.fields import TimeUnit, json_of, shown
from monitor.decode.graphite import Template, decode_graphite
from monitor.decode.influx import decode_influx
from monitor.decode.mapped import JsonMapping, decode_mapped
from monitor.decode.native import SampleFields, decode_native_columns, decode_native_samples
from monitor.decode.otlp_json import decode_otlp_json
from monitor.decode.otlp_proto import decode_otlp_proto
from monitor.decode.remote_write import decode_remote_write
from monitor.decode.telegraf import decode_telegraf_json
from monitor.sample import SeriesTable, no_samples

__all__ = ["AUTO", "FORMATS", "AutoDecoder", "FormatSettings", "TopicDecoders", "build_decoder", "check_format", "sniff"]

AUTO = "auto"
_MAPPED = "mapped"
_EMPTY_REQUEST = b"\x00"  # snappy of nothing: what Telegraf sends for a metric without a number


@dataclass(frozen=True, kw_only=True)
class FormatSettings:
    """What decoders are to be built with: `[decode]` as the stages take it."""

    limits: Limits = DEFAULT_LIMITS
    native_sample: SampleFields = field(default_factory=SampleFields)
    influx_precision: TimeUnit = "ns"
    telegraf_time_unit: TimeUnit = "auto"
    collectd_store_rates: bool = True
    graphite_templates: tuple[Template, ...] = ()
    mappings: Mapping[str, JsonMapping] = field(default_factory=dict)


_DEFAULT_SETTINGS = FormatSettings()

FORMATS: dict[str, Callable[[FormatSettings], Decoder]] = {
    "native_columns": lambda settings: partial(decode_native_columns, limits=settings.limits),
    "native_sample": lambda settings: partial(decode_native_samples, limits=settings.limits, fields=settings.native_sample),
    "influx": lambda settings: partial(decode_influx, limits=settings.limits, precision=settings.influx_precision),
    "telegraf_json": lambda settings: partial(decode_telegraf_json, limits=settings.limits, time_unit=settings.telegraf_time_unit),
    "prometheus_adapter": lambda settings: partial(decode_prometheus_adapter, limits=settings.limits),
    "remote_write": lambda settings: partial(decode_remote_write, limits=settings.limits),
    "otlp_json": lambda settings: partial(decode_otlp_json, limits=settings.limits),
    "otlp_proto": lambda settings: partial(decode_otlp_proto, limits=settings.limits),
    "collectd_json": lambda settings: partial(decode_collectd_json, limits=settings.limits, store_rates=settings.collectd_store_rates),
    "graphite": lambda settings: partial(decode_graphite, limits=settings.limits, templates=settings.graphite_templates),
}


def check_format(name: str, mappings: Sequence[str]) -> None:
    """Refuse a name that is no format, with the mappings that there are.

    Raises
    ------
    ValueError
        With what was expected.
    """
    known = [AUTO, *FORMATS, *(f"{_MAPPED}:{mapping}" for mapping in mappings)]
    if name == _MAPPED and len(mappings) != 1:
        there_are = ", ".join(f'"{_MAPPED}:{mapping}"' for mapping in mappings) or f"a [decode.{_MAPPED}.<name>] table first"
        raise ValueError(f'"{_MAPPED}" needs to name one mapping: expected {there_are}')
    if name not in known and name != _MAPPED:
        raise ValueError(f'"{name}" is no format, expected one of {", ".join(known)}')


def build_decoder(name: str, settings: FormatSettings = _DEFAULT_SETTINGS) -> Decoder:
    """Give the decoder of a format.

    Parameters
    ----------
    name : str
        A key of `FORMATS`, `auto`, `mapped:<name>`, or `mapped` where there is one mapping.

    Raises
    ------
    ValueError
        If there is no such format.
    """
    check_format(name, list(settings.mappings))
    if name == AUTO:
        return AutoDecoder(settings)
    if name in FORMATS:
        return FORMATS[name](settings)
    mapping = settings.mappings[name.partition(":")[2] or next(iter(settings.mappings))]
    return partial(decode_mapped, limits=settings.limits, mapping=mapping)


class TopicDecoders:
    """A decoder for each topic, built when its first records come.

    Parameters
    ----------
    formats : mapping
        Patterns (`*` and `?`) of topic names, with their formats; the first that fits counts.
    default : str
        The format of every other topic.
    """

    def __init__(self, settings: FormatSettings, formats: Mapping[str, str], default: str = AUTO) -> None:
        self._settings = settings
        self._formats = dict(formats)
        self._default = default
        self._decoders: dict[str, Decoder] = {}

    def format_of(self, topic: str) -> str:
        """Give the configured format of a topic; it may be `auto`."""
        return next((name for pattern, name in self._formats.items() if fnmatchcase(topic, pattern)), self._default)

    def of(self, topic: str) -> Decoder:
        """Give the one decoder of a topic."""
        decoder = self._decoders.get(topic)
        if decoder is None:
            decoder = self._decoders[topic] = build_decoder(self.format_of(topic), self._settings)
        return decoder

    def explain(self, topic: str, record: Record) -> str:
        """Say in which format a topic is read, and in which one a record of it seems to be."""
        format_name = self.in_use().get(topic) or self.format_of(topic)
        return f"the topic is read as {format_name}, and it looks like {sniff(record, self._settings) or 'no format that can be told'}"

    def in_use(self) -> dict[str, str | None]:
        """Give the format that each topic met so far is read in; None where it is not known yet."""
        return {
            topic: decoder.format if isinstance(decoder, AutoDecoder) else self.format_of(topic)
            for topic, decoder in self._decoders.items()
        }


class AutoDecoder:
    """A decoder for the records of one topic, which finds out their format from the first that tells it.

    It stays with what it took, which is `format`: a record that cannot be read so, but is in
    another format, is rejected as `other_format`. Before that, a record that tells nothing is
    rejected as `unknown_format`.
    """

    def __init__(self, settings: FormatSettings = _DEFAULT_SETTINGS) -> None:
        self._settings = settings
        self._decoder: Decoder | None = None
        self.format: str | None = None

    def __call__(self, records: Sequence[Record], table: SeriesTable) -> Decoded:
        """Decode records of the topic."""
        if self._decoder is None:
            self.format = next((found for found in (sniff(record, self._settings) for record in records) if found), None)
            if self.format is None:
                return Decoded(no_samples(), tuple(_unknown(index, record) for index, record in enumerate(records)))
            self._decoder = build_decoder(self.format, self._settings)
        decoded = self._decoder(records, table)
        if not decoded.rejections:
            return decoded
        return Decoded(decoded.columns, tuple(self._judged(decoded.rejections, records)))

    def _judged(self, rejections: Sequence[Rejection], records: Sequence[Record]) -> Iterator[Rejection]:
        others: set[int] = set()  # records in another format; one rejection is enough for each
        for rejection in rejections:
            index = rejection.index
            if index in others:
                continue
            other = sniff(records[index], self._settings) if rejection.reason in _SHAPE_REASONS else None
            if other is None or other == self.format:
                yield rejection
                continue
            others.add(index)
            detail = f"it is {other}, and this topic is read as {self.format}: name the format in [decode.topics], or send one only"
            yield Rejection(index, "other_format", detail)


# Reasons that say: this is another thing than what was expected.
_SHAPE_REASONS = frozenset(
    {"invalid_json", "invalid_line", "invalid_protobuf", "invalid_snappy", "invalid_utf8", "wrong_encoding", "wrong_schema"}
)


def sniff(record: Record, settings: FormatSettings = _DEFAULT_SETTINGS) -> str | None:
    """Tell the format of a record; None where it could be anything, or is bad.

    JSON is told by its keys; anything else has to be read without a rejection. A mapping is never
    taken: its shapes have no sign of their own.
    """
    if any(name.lower() == "x-prometheus-remote-write-version" for name, _ in record.headers) or record.value == _EMPTY_REQUEST:
        return "remote_write"
    if not record.value.strip():
        return None
    message = _parsed(record, settings.limits)
    if isinstance(message, dict | list):
        return _sniff_json(message, settings.native_sample)
    timed = record if record.time_ms >= 0 else record._replace(time_ms=0)
    for name in ("influx", "graphite", "remote_write", "otlp_proto"):
        decoded = FORMATS[name](settings)([timed], SeriesTable())
        if not decoded.rejections and (len(decoded.columns) or name in _MAY_BE_EMPTY):
            return name
    return None


# A line of text fields only, and a request of metadata only, are certain enough without a sample.
_MAY_BE_EMPTY = frozenset({"influx", "remote_write"})


def _parsed(record: Record, limits: Limits) -> object:
    """Give what JSON says; None where it is none: a length byte of snappy may look like a brace."""
    try:
        return json_of(record.value, limits)
    except RejectedError:
        return None


def _sniff_json(message: dict[str, Any] | list[Any], fields: SampleFields) -> str | None:
    if isinstance(message, list):
        first = message[0] if message else None
        return "collectd_json" if isinstance(first, dict) and "dsnames" in first else None
    metrics = message.get("metrics")
    metric = metrics[0] if isinstance(metrics, list) and metrics else message
    signs = {
        "otlp_json": "resourceMetrics" in message,
        "native_columns": isinstance(metrics, dict) and "time_ms" in message,
        "telegraf_json": isinstance(metric, dict) and isinstance(metric.get("fields"), dict) and "timestamp" in metric,
        "native_sample": all(key in message for key in (fields.name, fields.time, fields.value)),
        "prometheus_adapter": all(key in message for key in ("name", "value", "timestamp", "labels")),
    }
    return next((name for name, told in signs.items() if told), None)


def _unknown(index: int, record: Record) -> Rejection:
    detail = f"{shown(record.value)} is in no format that can be told: name it in [decode.topics], or write a mapping"
    return Rejection(index, "unknown_format", detail)
