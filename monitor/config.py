"""config.toml to typed settings; everything wrong is reported at once, before anything starts."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.limits import Budget
from models.settings import ModelSettings
from monitor.alert import AlertPolicy
from monitor.decode import DEFAULT_LIMITS, Limits
from monitor.decode.fields import TimeUnit
from monitor.decode.formats import AUTO, FormatSettings, check_format
from monitor.decode.graphite import Template
from monitor.decode.mapped import JsonMapping, KindName
from monitor.decode.native import SampleFields
from monitor.errors import ConfigError
from monitor.policy import MetricRule

__all__ = ["Config", "DecodeConfig", "KafkaConfig", "WatchConfig", "load_config", "load_draft", "parse_config"]

DEFAULT_REVISION_STEPS = 30  # at most, unless asked for: each takes 0.3 kB a series
MAX_REVISION_STEPS = 100  # the newest steps are kept anyhow, a window and 100 of them: every window in here is whole
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


_PREFIX = "BAROGRAPH_"
_MIN_INTERVAL_SECONDS = 10.0  # even the smallest network takes seconds, most of them to load PyTorch


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class HostConfig(_Table):
    """`[source.host]`: this machine's own metrics."""

    interval_seconds: Positive = 1.0
    host: str = ""


class ReplayConfig(_Table):
    """`[source.replay]`: metric files."""

    paths: list[str] = []
    speed: Positive | Literal["max"] = "max"
    time_column: str = "timestamp"
    time_unit: Literal["s", "ms", "iso"] = "ms"
    exclude: list[str] = ["label", "label_*", "split"]
    where: dict[str, str] = {}
    start: str = ""
    end: str = ""


class KafkaConfig(_Table):
    """`[source.kafka]`: topics of a Kafka cluster."""

    bootstrap_servers: Annotated[list[str], Field(min_length=1)] = ["127.0.0.1:9092"]
    topics: list[str] = []
    group_id: Annotated[str, Field(min_length=1)] = "barograph"
    group_instance_id: str = ""
    client_id: str = "barograph"
    client: Literal["kafka-python", "confluent"] = "kafka-python"
    api_version: str = ""
    start: Literal["earliest", "latest"] | Positive = "latest"
    on_gap: Literal["earliest", "latest"] = "earliest"
    idle_seconds: Positive = 10.0
    session_timeout_seconds: Positive = 45.0
    max_poll_interval_seconds: Positive = 300.0
    max_poll_records: Annotated[int, Field(ge=1)] = 5000
    max_batch_bytes: Annotated[int, Field(ge=1)] = 16 << 20
    max_batch_samples: Annotated[int, Field(ge=1)] = 500_000
    dead_letter_topic: str = ""
    wrong_format_run: Annotated[int, Field(ge=1)] = 100
    wrong_format_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_cafile: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    ssl_password: str = ""
    ssl_check_hostname: bool = True
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = ""
    sasl_username: str = ""
    sasl_password: str = ""
    sasl_token_file: str = ""

    @field_validator("topics", "dead_letter_topic")
    @classmethod
    def _are_names(cls, value: list[str] | str) -> list[str] | str:
        for name in value if isinstance(value, list) else filter(None, [value]):
            if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name) or name in (".", ".."):
                raise ValueError(f"{name!r} names no topic: expected 1 to 249 letters, digits, . _ and -")
        return value

    @field_validator("api_version")
    @classmethod
    def _is_version(cls, value: str) -> str:
        if value and not re.fullmatch(r"\d+(\.\d+)+", value):
            raise ValueError('expected a version of Kafka as in "2.3", or nothing to ask the broker')
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> KafkaConfig:
        if self.security_protocol.startswith("SASL") != bool(self.sasl_mechanism):
            raise ValueError(
                f'security_protocol is "{self.security_protocol}" and sasl_mechanism "{self.sasl_mechanism}": '
                "a SASL protocol needs a mechanism, and a mechanism a SASL protocol"
            )
        if self.dead_letter_topic in self.topics:
            raise ValueError(f'dead_letter_topic "{self.dead_letter_topic}" is one of topics: what cannot be read would come back for ever')
        if self.sasl_mechanism == "OAUTHBEARER" and not self.sasl_token_file:
            raise ValueError("sasl_token_file is empty, expected the file that holds the current token: OAUTHBEARER sends it")
        if self.sasl_mechanism not in ("", "OAUTHBEARER") and not (self.sasl_username and self.sasl_password):
            raise ValueError(f"sasl_mechanism {self.sasl_mechanism} needs sasl_username and sasl_password; one of them is empty")
        return self

    @property
    def api_version_numbers(self) -> tuple[int, ...] | None:
        """The version as kafka-python takes it; None: ask the broker."""
        return tuple(int(part) for part in self.api_version.split(".")) if self.api_version else None


class SourceConfig(_Table):
    """`[source]`: where samples come from."""

    kind: Literal["host", "kafka", "replay"] = "host"
    max_future_seconds: NotNegative = 60.0
    max_series: Annotated[int, Field(ge=1)] = 500_000
    host: HostConfig = HostConfig()
    kafka: KafkaConfig = KafkaConfig()
    replay: ReplayConfig = ReplayConfig()

    @model_validator(mode="after")
    def _has_topics(self) -> SourceConfig:
        if self.kind == "kafka" and not self.kafka.topics:
            raise ValueError('kind is "kafka", but source.kafka.topics names no topic: there is nothing to read')
        return self


class NativeSampleConfig(_Table):
    """`[decode.native_sample]`: field names of single-sample JSON messages."""

    name: str = "name"
    labels: str = "labels"
    time: str = "time"
    value: str = "value"
    time_unit: TimeUnit = "auto"


class InfluxConfig(_Table):
    """`[decode.influx]`: line protocol."""

    precision: TimeUnit = "ns"


class TelegrafJsonConfig(_Table):
    """`[decode.telegraf_json]`: Telegraf's JSON."""

    time_unit: TimeUnit = "auto"


class CollectdConfig(_Table):
    """`[decode.collectd]`: collectd's JSON."""

    store_rates: bool = True


class GraphiteConfig(_Table):
    """`[decode.graphite]`: Graphite's plain text."""

    templates: list[str] = []

    @field_validator("templates")
    @classmethod
    def _are_templates(cls, value: list[str]) -> list[str]:
        for text in value:
            Template.parse(text)
        return value


class MappedConfig(_Table):
    """`[decode.mapped.<name>]`: where JSON of another shape has what; a format called `mapped:<name>`."""

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
    def _reads_something(self) -> MappedConfig:
        self.mapping()
        return self

    def mapping(self) -> JsonMapping:
        """Give the settings as `monitor.decode` takes them."""
        settings: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in self.model_dump().items()}
        return JsonMapping(**settings)


class DecodeConfig(_Table):
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
        for place, name in (("format", self.format), *((f'topics."{topic}"', name) for topic, name in self.topics.items())):
            try:
                check_format(name, list(self.mapped))
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from error
        return self

    @property
    def settings(self) -> FormatSettings:
        """The settings as `monitor.decode` takes them."""
        return FormatSettings(
            limits=Limits(max_record_bytes=self.max_record_bytes, max_label_bytes=self.max_label_bytes),
            native_sample=SampleFields(**self.native_sample.model_dump()),
            influx_precision=self.influx.precision,
            telegraf_time_unit=self.telegraf_json.time_unit,
            collectd_store_rates=self.collectd.store_rates,
            graphite_templates=tuple(Template.parse(text) for text in self.graphite.templates),
            mappings={name: table.mapping() for name, table in self.mapped.items()},
        )


class HistoryConfig(_Table):
    """`[history]`: what is kept of closed steps, so that it can be learned from."""

    segment_seconds: Positive = 300.0
    max_age_seconds: Positive = 30 * 86400.0
    max_bytes: Annotated[int, Field(ge=0)] = 1 << 30


class AlertsConfig(_Table):
    """`[alerts]`: what becomes of episodes, of all watches."""

    max_alert_age_seconds: NotNegative = 3600.0
    keep_seconds: Positive = 90 * 86400.0
    keep_episodes: Annotated[int, Field(ge=1)] = 100_000


class WebConfig(_Table):
    """`[web]`: the HTTP server."""

    listen: str = "127.0.0.1:9469"
    max_exported_series: Annotated[int, Field(ge=0)] = 10_000

    @field_validator("listen")
    @classmethod
    def _has_host_and_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError('expected "host:port" with a port up to 65535, as in "127.0.0.1:9469"')
        return value


class ModelConfig(_Table):
    """`[watch.model]`: the network and how it is trained."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden: Annotated[int, Field(ge=1, le=1024)] = 64
    latent: Annotated[int, Field(ge=1, le=1024)] = 16
    layers: Annotated[int, Field(ge=1, le=8)] = 1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    layer_norm: bool = False
    epochs: Annotated[int, Field(ge=1)] = 40
    windows_per_epoch: Annotated[int, Field(ge=64)] = 4096
    batch_size: Annotated[int, Field(ge=1)] = 64
    learning_rate: Positive = 5e-3
    max_grad_norm: Positive = 1.0
    tbptt_steps: Annotated[int, Field(ge=0)] = 0
    patience: Annotated[int, Field(ge=1)] = 8
    validation_share: Annotated[float, Field(ge=0.05, le=0.5)] = 0.25
    memory_windows: Annotated[int, Field(ge=2)] = 64
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: Annotated[int, Field(ge=0)] = 0


class RetrainConfig(_Table):
    """`[watch.retrain]`: when the watch is trained again from its history, and how much that may cost."""

    interval_seconds: NotNegative = 0.0
    cron: str = ""
    timeout_seconds: Positive = 3600.0
    retry_seconds: Positive = 900.0
    max_memory_bytes: Annotated[int, Field(ge=0)] = 0
    max_steps: Annotated[int, Field(ge=1)] = 50_000
    keep_versions: Annotated[int, Field(ge=2)] = 5

    @field_validator("interval_seconds")
    @classmethod
    def _is_off_or_longer_than_a_training(cls, value: float) -> float:
        if 0 < value < _MIN_INTERVAL_SECONDS:
            raise ValueError(f"expected 0 (off) or at least {_MIN_INTERVAL_SECONDS:g} s: a training would not be over before the next")
        return value

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        if value:
            from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415 - only who uses it waits for it

            fields = value.split()
            if len(fields) == 5 and re.search(r"\d", fields[4]):
                raise ValueError("expected days of the week by their names, as in mon-fri or sun: their numbers mean other days to others")
            try:
                first = CronTrigger.from_crontab(value, timezone="UTC").get_next_fire_time(None, datetime(2000, 1, 1, tzinfo=UTC))
            except ValueError as error:
                raise ValueError(f'{error}; expected minute, hour, day, month and weekday in UTC, as in "30 3 * * sun"') from error
            if first is None:
                raise ValueError("expected a date that comes: this one never does")
        return value

    @model_validator(mode="after")
    def _has_one_schedule(self) -> RetrainConfig:
        if self.interval_seconds and self.cron:
            raise ValueError(f'interval_seconds is {self.interval_seconds:g} and cron "{self.cron}", expected one of the two')
        return self

    @property
    def is_scheduled(self) -> bool:
        """True where the watch is trained again by itself."""
        return bool(self.interval_seconds or self.cron)


class AlertConfig(_Table):
    """`[watch.alert]`: when an episode opens and closes."""

    hold_seconds: NotNegative = 0.0
    close_score: Annotated[float, Field(gt=0, le=1)] = 0.75
    close_seconds: NotNegative = 60.0
    rest_seconds: NotNegative = 60.0
    accept_after_seconds: Positive = 86400.0


class MetricConfig(_Table):
    """`[[watch.metric]]`: what is known of a metric."""

    name: str
    direction: Literal["both", "above", "below"] = "both"
    min_deviation: NotNegative = 0.0
    min_deviation_ratio: NotNegative = 0.0
    valid_min: float = float("-inf")
    valid_max: float = float("inf")

    @model_validator(mode="after")
    def _is_a_range(self) -> MetricConfig:
        if self.valid_min > self.valid_max:
            raise ValueError(f"valid_min is {self.valid_min:g} and valid_max {self.valid_max:g}: every value would be invalid")
        return self


class WatchConfig(_Table):
    """`[[watch]]`: which series are judged together, and how."""

    name: str
    metrics: Annotated[list[str], Field(min_length=1)] = ["*"]
    ignore: list[str] = []
    match: dict[str, str] = {}
    by: list[str] | Literal["series"] = ["host"]
    step_seconds: Positive = 60.0
    window_length: Annotated[int, Field(ge=8, le=4096)] = 32
    lateness_seconds: NotNegative = 30.0
    revision_seconds: NotNegative = 300.0
    idle_seconds: NotNegative = 60.0
    stale_seconds: Positive = 300.0
    gap_mode: Literal["skip", "hold", "zero", "interpolate"] = "skip"
    max_gap_seconds: NotNegative = 0.0
    max_series: Annotated[int, Field(ge=1)] = 50_000
    budget: str = "1/week"
    model: ModelConfig = ModelConfig()
    retrain: RetrainConfig = RetrainConfig()
    alert: AlertConfig = AlertConfig()
    metric: list[MetricConfig] = []

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", value):
            raise ValueError("expected at most 64 letters, digits, . _ and -, not beginning with . or -: it names a folder")
        return value

    @field_validator("budget")
    @classmethod
    def _is_budget(cls, value: str) -> str:
        Budget.parse(value)
        return value

    @field_validator("by")
    @classmethod
    def _names_labels(cls, value: list[str] | str) -> list[str] | str:
        if value == []:
            raise ValueError('expected at least one label, or "series" for each series on its own')
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> WatchConfig:
        window_seconds = self.window_length * self.step_seconds
        if self.lateness_seconds >= window_seconds:
            raise ValueError(
                f"lateness_seconds is {self.lateness_seconds:g}, expected less than one window ({window_seconds:g} s): "
                "every alert would come a window late. Lower lateness_seconds or raise window_length"
            )
        if "revision_seconds" in self.model_fields_set and self.revision_seconds > MAX_REVISION_STEPS * self.step_seconds:
            raise ValueError(
                f"revision_seconds is {self.revision_seconds:g}, expected at most {MAX_REVISION_STEPS} steps "
                f"({MAX_REVISION_STEPS * self.step_seconds:g} s): what a step was judged by is kept for so long, in memory and in "
                "each checkpoint. Lower revision_seconds, or raise lateness_seconds if so much comes late"
            )
        if round(self.step_seconds * 1000) < 1:
            raise ValueError(f"step_seconds is {self.step_seconds:g}, expected at least 0.001: times are kept in milliseconds")
        if self.gap_mode != "skip" and self.max_gap_seconds < self.step_seconds:
            raise ValueError(
                f'gap_mode is "{self.gap_mode}" with max_gap_seconds {self.max_gap_seconds:g}, expected at least one step '
                f'({self.step_seconds:g} s): no gap would be filled. Raise max_gap_seconds or set gap_mode = "skip"'
            )
        return self

    @property
    def step_ms(self) -> int:
        """The grid's period in milliseconds."""
        return round(self.step_seconds * 1000)

    @property
    def revision_steps(self) -> int:
        """The newest closed steps for which late samples are taken; the default is cut to what costs little where steps are short."""
        n_steps = math.ceil(self.revision_seconds / self.step_seconds)
        return n_steps if "revision_seconds" in self.model_fields_set else min(n_steps, DEFAULT_REVISION_STEPS)

    @property
    def entity_labels(self) -> tuple[str, ...]:
        """The labels that make an entity; empty where each series is one."""
        return () if isinstance(self.by, str) else tuple(self.by)

    @property
    def model_settings(self) -> ModelSettings:
        """The settings as `models` takes them."""
        return ModelSettings(window_length=self.window_length, **self.model.model_dump())

    @property
    def alert_policy(self) -> AlertPolicy:
        """The settings as `monitor.alert` takes them."""
        return AlertPolicy(**self.alert.model_dump())

    @property
    def metric_rules(self) -> list[MetricRule]:
        """The settings as `monitor.policy` takes them."""
        return [MetricRule(**one.model_dump()) for one in self.metric]

    @property
    def block_steps(self) -> int:
        """Steps that one episode and its rest take up at least."""
        shortest = self.alert.close_seconds + self.alert.rest_seconds
        return max(self.window_length, round(shortest / self.step_seconds))


class Config(_Table):
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
    def _keeps_what_it_learns_from(self) -> Config:
        scheduled = [watch.name for watch in self.watch if watch.retrain.is_scheduled]
        if scheduled and not self.history.max_bytes:
            raise ValueError(
                f"history.max_bytes is 0, but watch.{scheduled[0]} is retrained from its history: keep one, or switch retrain off"
            )
        return self

    @model_validator(mode="after")
    def _distinct_names(self) -> Config:
        names = [watch.name for watch in self.watch]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two watches are named "{name}": a name is the key of their models and metrics')
        return self


def load_config(path: Path, overrides: Mapping[str, Any] | None = None, *, environ: Mapping[str, str] | None = None) -> Config:
    """Read and check a configuration file.

    `BAROGRAPH_SOURCE__KIND=replay` in the environment lays `source.kind` over the file's own, and
    `BAROGRAPH_WATCH__HOST__BUDGET=1/day` the budget of the watch named host; values are TOML, or
    else text. Any text of the file may be written as `{ from_file = "path" }` or
    `{ from_env = "NAME" }`: so secrets stay out of it.

    Parameters
    ----------
    overrides : mapping, optional
        Nested tables laid over the file's own and over the environment's.
    environ : mapping, optional
        The environment; empty when left out.

    Raises
    ------
    ConfigError
        One line for each thing that is wrong: its place, the value found, what was expected.
    """
    environ = environ or {}
    document = _read(path)
    document = _overlaid(document, _from_environment(environ, document))
    document = _overlaid(document, overrides or {})
    return parse_config(_filled_in(document, environ, ()), place=str(path))


def load_draft(
    path: Path | None, overrides: Mapping[str, Any] | None = None, *, environ: Mapping[str, str]
) -> tuple[Config, dict[str, Any]]:
    """Read settings of somebody who cannot know all of them yet: they may name no topic and no watch, and no file is needed.

    Returns
    -------
    config : Config
        Without a watch where the file has none, and of source "host" whatever it says.
    document : dict
        The file as it is written, references to secrets among it.

    Raises
    ------
    ConfigError
        If what is there is wrong.
    """
    written = {} if path is None else _read(path)
    document = _overlaid(written, _from_environment(environ, written))
    document = _overlaid(_overlaid(document, overrides or {}), {"source": {"kind": "host"}})
    document.setdefault("watch", [{"name": "none"}])
    config = parse_config(_filled_in(document, environ, ()), place="the environment" if path is None else str(path))
    return (config if "watch" in written else config.model_copy(update={"watch": []})), written


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file. Name another one with --config, or start from the shipped config.toml.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error


def _from_environment(environ: Mapping[str, str], document: Mapping[str, Any]) -> dict[str, Any]:
    """Read `BAROGRAPH_A__B=value` as `{a: {b: value}}`; a watch is named in place of its number."""
    overrides: dict[str, Any] = {}
    tables = document.get("watch")
    watches = [dict(watch) for watch in tables if isinstance(watch, Mapping)] if isinstance(tables, list) else []
    for variable, text in sorted(environ.items()):
        if not variable.startswith(_PREFIX):
            continue
        keys = variable.removeprefix(_PREFIX).lower().split("__")
        if keys[0] == "watch" and len(keys) > 2:
            found = [watch for watch in watches if str(watch.get("name", "")).lower() == keys[1]]
            if not found:
                raise ConfigError(f"environment: {variable} names no watch of the file")
            found[0].update(_overlaid(found[0], _nested(keys[2:], _toml_value(text))))
            overrides["watch"] = watches
        else:
            overrides = _overlaid(overrides, _nested(keys, _toml_value(text)))
    return overrides


def _nested(keys: Sequence[str], value: object) -> dict[str, Any]:
    return {keys[0]: value if len(keys) == 1 else _nested(keys[1:], value)}


def _toml_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _filled_in(document: Any, environ: Mapping[str, str], place: tuple[str, ...]) -> Any:
    """Put in what `{ from_file = ... }` and `{ from_env = ... }` stand for."""
    if isinstance(document, list):
        return [_filled_in(one, environ, (*place, str(number))) for number, one in enumerate(document)]
    if not isinstance(document, Mapping):
        return document
    if set(document) == {"from_env"}:
        name = str(document["from_env"])
        if name not in environ:
            raise ConfigError(f"{'.'.join(place)}: the environment has no {name}, which from_env asks for")
        return environ[name]
    if set(document) == {"from_file"}:
        file = Path(str(document["from_file"]))
        try:
            return file.read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{'.'.join(place)}: cannot read {file}, which from_file asks for: {error}") from error
    return {key: _filled_in(value, environ, (*place, key)) for key, value in document.items()}


def parse_config(document: Mapping[str, Any], *, place: str) -> Config:
    """Check a configuration document; `place` begins each line of an error."""
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{place}: {line}" for line in _explain(error, document))) from error


def _overlaid(document: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(document)
    for key, value in overrides.items():
        below = merged.get(key)
        merged[key] = _overlaid(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def _explain(error: ValidationError, document: Mapping[str, Any]) -> Iterator[str]:
    """Write one line for each wrong place, in the order of the file's schema."""
    wanted: dict[str, list[str]] = {}
    found: dict[str, str] = {}
    for one in error.errors():
        location = tuple(part for part in one["loc"] if not _is_type_name(part))
        place = _place(location, document)
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


def _place(location: Sequence[str | int], document: Mapping[str, Any]) -> str:
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
