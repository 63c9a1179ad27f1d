"""`[[watch]]`: which series are judged together, and how."""

from __future__ import annotations

import hashlib
import math
import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from models.limits import Budget
from models.settings import ModelSettings
from monitor.alerting.episodes import AlertPolicy
from monitor.config.table import NotNegative, Positive, Table
from monitor.derive.rules import DeriveKind, DeriveRule
from monitor.detection.metric_rules import MetricRule
from monitor.detection.settings import WatchSettings

__all__ = ["WatchConfig"]

DEFAULT_REVISION_STEPS = 30  # where revision_seconds is not set, at most: each takes 0.3 kB a series
# The newest steps are in memory anyhow, a window and 100 of them: every window of a revised step is whole.
MAX_REVISION_STEPS = 100
# The settings without which stored steps cannot be read rightly.
_HISTORY_KEYS = frozenset({"metrics", "ignore", "match", "by", "step_seconds", "gap_mode", "max_gap_seconds"})
_MIN_INTERVAL_SECONDS = 10.0  # even the smallest network takes seconds to train, most of them to load PyTorch


class ModelConfig(Table):
    """`[watch.model]`: the network and how it is trained."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    hidden: Annotated[int, Field(ge=1, le=1024)] = 64
    latent: Annotated[int, Field(ge=1, le=1024)] = 16
    layers: Annotated[int, Field(ge=1, le=8)] = 1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    layer_norm: bool = False
    head: Literal["reconstruct", "forecast", "joint"] = "reconstruct"
    horizon: Annotated[int, Field(ge=1, le=1024)] = 12
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


class RetrainConfig(Table):
    """`[watch.retrain]`: when the watch is retrained on its history, and with which limits."""

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
            raise ValueError(
                f"expected 0 (off) or at least {_MIN_INTERVAL_SECONDS:g} s: a training would still run "
                "when the next is due"
            )
        return value

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        if value:
            _check_cron(value)
        return value

    @model_validator(mode="after")
    def _has_single_schedule(self) -> RetrainConfig:
        if self.interval_seconds and self.cron:
            raise ValueError(
                f'interval_seconds is {self.interval_seconds:g} and cron "{self.cron}", expected one of '
                "the two"
            )
        return self

    @property
    def is_scheduled(self) -> bool:
        """True where the daemon retrains the watch."""
        return bool(self.interval_seconds or self.cron)


class AlertConfig(Table):
    """`[watch.alert]`: when an episode opens and closes."""

    hold_seconds: NotNegative = 0.0
    close_score: Annotated[float, Field(gt=0, le=1)] = 0.75
    close_seconds: NotNegative = 960.0  # where it is not set: half a window
    rest_seconds: NotNegative = 960.0  # the same
    accept_after_seconds: Positive = 86400.0


class MetricConfig(Table):
    """`[[watch.metric]]`: rules for a metric."""

    name: str
    direction: Literal["both", "above", "below"] = "both"
    min_deviation: NotNegative = 0.0
    min_deviation_ratio: NotNegative = 0.0
    valid_min: float = float("-inf")
    valid_max: float = float("inf")

    @model_validator(mode="after")
    def _is_a_range(self) -> MetricConfig:
        if self.valid_min > self.valid_max:
            raise ValueError(
                f"valid_min is {self.valid_min:g} and valid_max {self.valid_max:g}: every value would be "
                "invalid"
            )
        return self


class DeriveConfig(Table):
    """`[[watch.derive]]`: a channel that is made of an entity's series."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
    kind: DeriveKind
    of: Annotated[str, Field(min_length=1)]
    match: dict[str, str] = {}
    by: list[str] = []
    over: str = ""
    over_match: dict[str, str] = {}
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5

    @model_validator(mode="after")
    def _has_keys_of_kind(self) -> DeriveConfig:
        of_others = {"over": "ratio", "over_match": "ratio", "quantile": "quantile"}
        for key, kind in of_others.items():
            if key in self.model_fields_set and self.kind != kind:
                raise ValueError(f'`{key}` belongs to kind = "{kind}", and this is a "{self.kind}"')
        if self.kind == "ratio" and not self.over:
            raise ValueError(
                'kind is "ratio", and `over` is not set: expected the metric of all, such as '
                f'over = "{self.of}"'
            )
        if self.kind == "quantile" and "quantile" not in self.model_fields_set:
            raise ValueError('kind is "quantile", and `quantile` is not set: expected for instance 0.99')
        if self.kind == "ratio" and not self.name.endswith("_ratio"):
            raise ValueError(
                f'a ratio is named "{self.name}", expected a name that ends in _ratio: the end of a name '
                "is the unit, and says what change means something"
            )
        if self.kind == "quantile" and "le" in self.by:
            raise ValueError("`by` names le, which tells a histogram's buckets apart")
        return self


class WatchConfig(Table):
    """`[[watch]]`: which series are judged together, and how."""

    name: str
    metrics: Annotated[list[str], Field(min_length=1)] = ["*"]
    ignore: list[str] = []
    counters: list[str] = []
    gauges: list[str] = []
    match: dict[str, str] = {}
    by: list[str] | Literal["series"] = ["host"]
    query: str = ""
    optional: bool = False
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
    derive: list[DeriveConfig] = []

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", value):
            raise ValueError(
                "expected at most 64 letters, digits, . _ and -, not beginning with . or -: it names a folder"
            )
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
                f"lateness_seconds is {self.lateness_seconds:g}, expected less than one window "
                f"({window_seconds:g} s): "
                "every alert would come a window late. Lower lateness_seconds or raise window_length"
            )
        max_revision_seconds = MAX_REVISION_STEPS * self.step_seconds
        if "revision_seconds" in self.model_fields_set and self.revision_seconds > max_revision_seconds:
            raise ValueError(
                f"revision_seconds is {self.revision_seconds:g}, expected at most {MAX_REVISION_STEPS} steps "
                f"({max_revision_seconds:g} s): the state before each of these steps is held in memory "
                "and in each checkpoint. Lower revision_seconds, or raise lateness_seconds if many "
                "samples are late"
            )
        if round(self.step_seconds * 1000) < 1:
            raise ValueError(
                f"step_seconds is {self.step_seconds:g}, expected at least 0.001: times are in milliseconds"
            )
        if self.gap_mode != "skip" and self.max_gap_seconds < self.step_seconds:
            raise ValueError(
                f'gap_mode is "{self.gap_mode}" with max_gap_seconds {self.max_gap_seconds:g}, expected '
                "at least one step "
                f"({self.step_seconds:g} s): no gap would be filled. Raise max_gap_seconds or set "
                'gap_mode = "skip"'
            )
        return self

    @model_validator(mode="after")
    def _derives_for_entities(self) -> WatchConfig:
        if self.derive and self.by == "series":
            raise ValueError(
                'by is "series", and there are `derive` tables: a derived channel is made of the series of '
                "an entity. Set by to the labels that make one"
            )
        names = [rule.name for rule in self.derive]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two derived channels are named "{name}"')
        return self

    @property
    def step_ms(self) -> int:
        """Event time between two grid steps, in milliseconds."""
        return round(self.step_seconds * 1000)

    def settings(self) -> WatchSettings:
        """Give the settings of stages and trainings, in milliseconds and steps."""
        n_revision_steps = math.ceil(self.revision_seconds / self.step_seconds)
        if "revision_seconds" not in self.model_fields_set:
            # Where steps are short, the default would take much memory.
            n_revision_steps = min(n_revision_steps, DEFAULT_REVISION_STEPS)
        # An error rings in every window that holds it: half a window without it is one incident's end.
        half_window_seconds = self.window_length * self.step_seconds / 2
        alert = self.alert.model_dump()
        for key in ("close_seconds", "rest_seconds"):
            if key not in self.alert.model_fields_set:
                alert[key] = half_window_seconds
        policy = AlertPolicy(**alert)
        shortest_seconds = policy.close_seconds + policy.rest_seconds
        return WatchSettings(
            name=self.name,
            metrics=tuple(self.metrics),
            ignore=tuple(self.ignore),
            counters=tuple(self.counters),
            gauges=tuple(self.gauges),
            match=self.match,
            entity_labels=() if isinstance(self.by, str) else tuple(self.by),
            step_ms=self.step_ms,
            window_length=self.window_length,
            lateness_ms=round(self.lateness_seconds * 1000),
            idle_ms=round(self.idle_seconds * 1000),
            stale_ms=round(self.stale_seconds * 1000),
            gap_mode=self.gap_mode,
            max_gap_steps=int(self.max_gap_seconds / self.step_seconds),
            revision_steps=n_revision_steps,
            block_steps=max(self.window_length, round(shortest_seconds / self.step_seconds)),
            max_series=self.max_series,
            budget=Budget.parse(self.budget),
            model=ModelSettings(window_length=self.window_length, **self.model.model_dump()),
            alert=policy,
            metric_rules=tuple(MetricRule(**metric.model_dump()) for metric in self.metric),
            derive=tuple(DeriveRule(**{**rule.model_dump(), "by": tuple(rule.by)}) for rule in self.derive),
            history_shape=self.hash_of(_HISTORY_KEYS),
        )

    def hash_of(self, keys: frozenset[str]) -> str:
        """Give a hash of some settings, `counters`, `gauges` and `derive` always among them.

        Those are left out where they are empty: hashes from before there were such keys stay the same.
        """
        later = {key for key in ("counters", "gauges", "derive") if getattr(self, key)}
        return hashlib.sha256(self.model_dump_json(include={*keys, *later}).encode()).hexdigest()


def _check_cron(expression: str) -> None:
    """Raise ValueError where a cron expression is wrong, or never due."""
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415 - it takes long to load

    fields = expression.split()
    if len(fields) == 5 and re.search(r"\d", fields[4]):
        raise ValueError(
            "expected days of the week by their names, as in mon-fri or sun: programs number them differently"
        )
    try:
        trigger = CronTrigger.from_crontab(expression, timezone="UTC")
    except ValueError as error:
        raise ValueError(
            f'{error}; expected minute, hour, day, month and weekday in UTC, as in "30 3 * * sun"'
        ) from error
    if trigger.get_next_fire_time(None, datetime(2000, 1, 1, tzinfo=UTC)) is None:
        raise ValueError("expected a date that exists: this one never comes")
