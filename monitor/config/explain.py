"""A configuration's errors in words: all of them at once, each with its key and the way out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from monitor.config.decode import (
    CollectdConfig,
    DecodeConfig,
    GraphiteConfig,
    InfluxConfig,
    MappedConfig,
    NativeSampleConfig,
    TelegrafJsonConfig,
)
from monitor.config.kafka import KafkaConfig
from monitor.config.schema import AlertsConfig, Config, HistoryConfig, HostConfig, ReplayConfig, SourceConfig, WebConfig
from monitor.config.watch import AlertConfig, MetricConfig, ModelConfig, RetrainConfig, WatchConfig
from monitor.errors import ConfigError

__all__ = ["parse_config"]


def parse_config(document: Mapping[str, Any], *, place: str) -> Config:
    """Check a configuration document; `place` begins each line of an error."""
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{place}: {line}" for line in _explain(error, document))) from error


def _explain(error: ValidationError, document: Mapping[str, Any]) -> Iterator[str]:
    """Write one line for each wrong place, in the order of the file's schema."""
    wanted: dict[str, list[str]] = {}
    found: dict[str, str] = {}
    for one in error.errors():
        location = tuple(part for part in one["loc"] if not _is_type_name(part))
        place = _location(location, document)
        match one["type"]:
            case "extra_forbidden":
                near = difflib.get_close_matches(str(location[-1]), _known_keys(location[:-1]), n=1, cutoff=0.0)
                yield f"{place}: unknown key; the nearest known one is {near[0]}"
            case "missing":
                yield f"{place}: missing; expected {_MISSING.get(str(location[-1]), 'a value')}"
            case "value_error":
                value = f"found {one['input']!r}: " if isinstance(one["input"], str | int | float | list) else ""
                yield f"{place}: {value}{one['ctx']['error']}"
            case _:
                found[place] = repr(one["input"])
                wanted.setdefault(place, []).append(_WANTED.get(one["type"]) or _SUBJECT.sub("", one["msg"]))
    for place, choices in wanted.items():  # a setting of several types is wrong once for each of them
        yield f"{place}: found {found[place]}, expected {' or '.join(choices)}"


def _is_type_name(part: str | int) -> bool:
    """Tell the names of types, which stand in the place of a setting that may have several, from keys."""
    return isinstance(part, str) and (part in {"float", "constrained-float"} or part.startswith(("list[", "literal[")))


def _location(location: Sequence[str | int], document: Mapping[str, Any]) -> str:
    """Write a place as the user wrote it: a watch by its name, where it has one."""
    if not location:
        return "the file"
    parts: list[str] = []
    below: Any = document
    for part in location:
        if isinstance(below, Mapping):
            below = below.get(str(part))
        else:
            below = below[part] if isinstance(below, list) and isinstance(part, int) and part < len(below) else None
        if isinstance(part, int):
            name = below.get("name") if isinstance(below, Mapping) else None
            parts[-1] += f".{name}" if isinstance(name, str) else f"[{part}]"
        else:
            parts.append(str(part))
    return ".".join(parts)


def _known_keys(location: Sequence[str | int]) -> list[str]:
    """List the keys that the table at a place may have."""
    table: type[BaseModel] = Config
    for part in location:
        if isinstance(part, int):
            continue
        table = _TABLES.get((table, part), table)
    return sorted(table.model_fields)


_MISSING = {"watch": "at least one [[watch]] table", "name": "a name for this watch"}
_WANTED = {"model_type": "a table", "dict_type": "a table"}
_SUBJECT = re.compile(r"^(Input|String|List|Value) should (be |have )?(a valid )?")
_TABLES: dict[tuple[type[BaseModel], str], type[BaseModel]] = {
    (Config, "source"): SourceConfig,
    (Config, "decode"): DecodeConfig,
    (Config, "web"): WebConfig,
    (Config, "history"): HistoryConfig,
    (Config, "alerts"): AlertsConfig,
    (Config, "watch"): WatchConfig,
    (SourceConfig, "host"): HostConfig,
    (SourceConfig, "kafka"): KafkaConfig,
    (SourceConfig, "replay"): ReplayConfig,
    (DecodeConfig, "native_sample"): NativeSampleConfig,
    (DecodeConfig, "influx"): InfluxConfig,
    (DecodeConfig, "telegraf_json"): TelegrafJsonConfig,
    (DecodeConfig, "collectd"): CollectdConfig,
    (DecodeConfig, "graphite"): GraphiteConfig,
    (DecodeConfig, "mapped"): MappedConfig,
    (WatchConfig, "model"): ModelConfig,
    (WatchConfig, "retrain"): RetrainConfig,
    (WatchConfig, "alert"): AlertConfig,
    (WatchConfig, "metric"): MetricConfig,
}
