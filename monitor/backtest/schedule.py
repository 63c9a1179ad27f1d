"""A watch's retraining schedule in event time: the daemon's own training and gate, when they are due."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from models.registry import Registry
from monitor.alerting.alert import Alert
from monitor.backtest.inputs import WatchInput
from monitor.clock import SystemClock
from monitor.config.watch import RetrainConfig, WatchConfig
from monitor.detection.settings import WatchSettings
from monitor.detection.swap import swap_champion
from monitor.detection.watch import Watch
from monitor.storage.step_history import History
from monitor.training.challenge import Trainer, retrain
from monitor.training.gate import TrainingOutcome
from monitor.training.schedule import trigger_of

__all__ = ["MOST_TRAININGS", "ReplayRetraining", "Retrained", "due_times", "without_incidents"]

MOST_TRAININGS = 20  # in a replay: each takes as long as a training in operation


@dataclass(frozen=True, slots=True)
class Retrained:
    """A training of the schedule: when it was due, its outcome, and whether the new model judges then."""

    at_ms: int
    outcome: TrainingOutcome
    serves: bool


class _EventClock(SystemClock):
    """A clock that shows an event time; durations are real."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now(self) -> float:
        return self._now_ms / 1000


class ReplayRetraining:
    """Trains a watch again when its schedule says so, on what was recorded up to then.

    A new model that passes the gate judges from the next part of the replay on.

    Parameters
    ----------
    registry : Registry
        Of the replay alone: it holds the model that judges at first, as its champion.
    from_ms, until_ms : int
        The judged time.
    trainer : callable
        As for `retrain`.
    cpu_clock : callable
        Gives this process's processor time, in seconds.

    Attributes
    ----------
    stops_ms : tuple of int
        Event times at which trainings are due: the replay must be there when `advance` is called.
    is_cut : bool
        True where more trainings are due than a replay runs.
    """

    def __init__(
        self,
        config: WatchConfig,
        recorded: WatchInput,
        registry: Registry,
        *,
        from_ms: int,
        until_ms: int,
        trainer: Trainer,
        cpu_clock: Callable[[], float],
    ) -> None:
        self.trainings: list[Retrained] = []
        self.cpu_seconds = 0.0
        self._settings = config.settings()
        self._max_steps = config.retrain.max_steps
        self._recorded = recorded
        self._registry = registry
        self._trainer = trainer
        self._cpu_clock = cpu_clock
        due = list(itertools.islice(due_times(config.retrain, from_ms, until_ms), MOST_TRAININGS + 1))
        self.stops_ms: Sequence[int] = tuple(due[:MOST_TRAININGS])
        self.is_cut = len(due) > MOST_TRAININGS

    def advance(self, watch: Watch, alerts: Iterable[Alert], now_ms: int) -> None:
        """Train if a training is due at an event time; `alerts` are all episodes up to then."""
        for due_ms in self.stops_ms[len(self.trainings) :]:
            if due_ms > now_ms:
                return
            started = self._cpu_clock()
            self.trainings.append(self._train(watch, alerts, due_ms))
            self.cpu_seconds += self._cpu_clock() - started

    def _train(self, watch: Watch, alerts: Iterable[Alert], due_ms: int) -> Retrained:
        history = self._recorded.history_before(due_ms)
        if history is not None:
            history = without_incidents(_newest(history, self._max_steps), alerts, self._settings, due_ms)
        outcome = retrain(
            self._settings,
            clock=_EventClock(due_ms),
            trainer=self._trainer,
            registry=self._registry,
            history=history,
        )
        if outcome.result != "promoted" or outcome.version is None:
            return Retrained(due_ms, outcome, serves=False)
        model = self._registry.load(outcome.version)
        if list(model.channels) != list(watch.entities.channels):
            reason = f"{outcome.reason}; but it has other channels, and a replay does not exchange those"
            return Retrained(due_ms, replace(outcome, reason=reason), serves=False)
        swap_champion(watch, self._settings, model)
        return Retrained(due_ms, outcome, serves=True)


def due_times(schedule: RetrainConfig, from_ms: int, until_ms: int) -> Iterator[int]:
    """Give the event times between two at which trainings are due; an interval counts from the first."""
    if schedule.cron:
        trigger = trigger_of(schedule)
        due = trigger.get_next_fire_time(None, datetime.fromtimestamp(from_ms / 1000, UTC))
        while due is not None and due.timestamp() * 1000 < until_ms:
            yield round(due.timestamp() * 1000)
            due = trigger.get_next_fire_time(due, due)
    elif schedule.interval_seconds:
        step_ms = round(schedule.interval_seconds * 1000)
        yield from range(from_ms + step_ms, until_ms, step_ms)


def without_incidents(
    history: History, alerts: Iterable[Alert], settings: WatchSettings, until_ms: int
) -> History:
    """Give a history with the steps of episodes as gaps, a window wider on both sides, as the daemon's."""
    values = history.values.copy()
    numbers = history.step_numbers(settings.step_ms)
    margin_ms = settings.window_length * settings.step_ms
    row_of = {name: row for row, name in enumerate(history.entities)}
    for alert in alerts:
        row = row_of.get(alert.entity)
        if row is None:
            continue
        end_ms = until_ms if alert.resolved_ms is None else alert.resolved_ms
        start_ms = numbers[:, row] * settings.step_ms
        is_masked = (start_ms >= alert.since_ms - margin_ms) & (start_ms < end_ms + margin_ms)
        values[is_masked, row] = np.nan
    return replace(history, values=values, steps=numbers)


def _newest(history: History, n_steps: int) -> History:
    if len(history.values) <= n_steps or history.steps is None:
        return history
    return replace(history, values=history.values[-n_steps:], steps=history.steps[-n_steps:])
