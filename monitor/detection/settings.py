"""The settings of one watch as stages and trainings take them: in milliseconds and steps, made once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.limits import Budget
from models.settings import ModelSettings
from monitor.alerting.episodes import AlertPolicy
from monitor.derive.rules import DeriveRule
from monitor.detection.metric_rules import MetricRule
from monitor.detection.steps import GapMode

__all__ = ["WatchSettings"]


@dataclass(frozen=True, kw_only=True)
class WatchSettings:
    """One watch's settings. Every value is checked already, and none has a default here.

    Attributes
    ----------
    metrics, ignore : tuple of str
        Patterns (`*` and `?`) of metric names that the watch takes, and of those that it leaves out.
    counters, gauges : tuple of str
        Patterns of metric names that are counters, or gauges, whatever their format says.
    match : mapping
        Patterns that labels must match; an absent label is an empty one.
    entity_labels : tuple of str
        Labels whose values make an entity; empty where each series is its own entity.
    step_ms : int
        Event time between two grid steps.
    window_length : int
        Steps in a window, W.
    lateness_ms, idle_ms, stale_ms : int
        How far the watermark trails the newest sample; silence after which it follows the source's own
        time; silence after which an entity is stale.
    max_gap_steps : int
        Longest gap that is filled, in steps.
    revision_steps : int
        The newest closed steps for which late samples are still accepted.
    block_steps : int
        The least number of steps that an episode and its rest take.
    max_series : int
        Entities times channels that there is room for.
    history_shape : str
        Differs between settings under which the stored steps of the watch mean something else.
    """

    name: str
    metrics: tuple[str, ...]
    ignore: tuple[str, ...]
    counters: tuple[str, ...]
    gauges: tuple[str, ...]
    match: Mapping[str, str]
    entity_labels: tuple[str, ...]
    step_ms: int
    window_length: int
    lateness_ms: int
    idle_ms: int
    stale_ms: int
    gap_mode: GapMode
    max_gap_steps: int
    revision_steps: int
    block_steps: int
    max_series: int
    budget: Budget
    model: ModelSettings
    alert: AlertPolicy
    metric_rules: tuple[MetricRule, ...]
    derive: tuple[DeriveRule, ...]
    history_shape: str

    @property
    def step_seconds(self) -> float:
        """Event time between two grid steps, as `models` takes it."""
        return self.step_ms / 1000

    @property
    def empty_steps(self) -> int:
        """Empty steps closed in a silence: enough for all windows to run empty and all series to go stale."""
        return self.window_length + -(-self.stale_ms // self.step_ms) + 1

    @property
    def rewind_ms(self) -> int:
        """How far back the watch's windows reach from the newest event time: read again where state was lost.

        One window, the gap that may lie before it and is filled, and the samples that wait for their
        step to close. Counters need one step more.
        """
        n_steps = self.window_length + 2 * self.max_gap_steps + 2
        return n_steps * self.step_ms + 2 * self.lateness_ms
