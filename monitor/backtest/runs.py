"""A configuration over recorded samples: each watch learns the first part, and is judged on the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.errors import TrainingError
from models.training import Epoch
from monitor.alerting.text import duration_text, time_text
from monitor.backtest.budgets import BudgetProbe, BudgetTrial, budgets_around
from monitor.backtest.evaluate import Page, page_of
from monitor.backtest.pictures import Picture, PictureProbe
from monitor.backtest.replay import Probe, Replayed, replay_watch
from monitor.backtest.simple_rule import ThreeSigmaProbe
from monitor.config.watch import WatchConfig
from monitor.detection.build import build_entities
from monitor.errors import ConfigError, MonitorError
from monitor.sample import Columns, SeriesTable
from monitor.storage.step_history import History
from monitor.training.train import collect_history, fit_watch, metadata_of

__all__ = ["N_WORST", "Plan", "Progress", "WatchRun", "run_watches"]

N_WORST = 5  # episodes that are drawn
_LEAD_IN_WINDOWS = 2  # replayed before what is judged: a window must be full to be judged
_MS_PER_DAY = 86_400_000

Champion = tuple[str, Bundle]  # a version, and the model itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is learned and what is judged.

    Attributes
    ----------
    champion_of : callable, optional
        Gives the model that judges a watch by its name, or None where it has none: nothing is trained then.
    train_share : float
        Share of a watch's time span that is learned.
    train_days : float, optional
        Days that are learned, in place of the share.
    in_detail : bool
        Also draw the worst episodes, try other budgets, and run the simple rule.
    """

    champion_of: Callable[[str], Champion | None] | None = None
    train_share: float = 0.5
    train_days: float | None = None
    in_detail: bool = True


@dataclass(frozen=True, slots=True)
class Progress:
    """Bars to show: each gives, for a watch, a function that is called as the work advances."""

    training: Callable[[str, int], AbstractContextManager[Callable[[Epoch], None]]]
    replaying: Callable[[str], AbstractContextManager[Callable[[float], None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRun:
    """One watch's result; `model` says in words what judged, `caveats` what to know before believing it."""

    config: WatchConfig
    model: str
    caveats: tuple[str, ...]
    replayed: Replayed
    pages: tuple[Page, ...]
    pictures: tuple[Picture, ...] = ()
    trials: tuple[BudgetTrial, ...] = ()
    simple: tuple[Page, ...] | None = None
    train_seconds: float = 0.0

    @property
    def name(self) -> str:
        """The watch's name."""
        return self.config.name

    @property
    def n_entities(self) -> int:
        """Entities that share the budget."""
        return max(1, len(self.replayed.watch.entities.entities))


@dataclass(frozen=True, slots=True)
class _Learned:
    """What judges a watch, and from when on."""

    champion: Bundle | None
    model: str
    caveats: tuple[str, ...]
    from_ms: int
    history: History | None  # what the simple rule may know
    seconds: float = 0.0


def run_watches(
    watches: Sequence[WatchConfig],
    columns: Columns,
    table: SeriesTable,
    plan: Plan,
    *,
    cpu_clock: Callable[[], float],
    now: float,
    progress: Progress,
) -> tuple[list[WatchRun], list[str]]:
    """Run every watch that has series in the files, one after the other.

    Returns
    -------
    tuple
        The results; and of each watch that has none, why, in words.

    Raises
    ------
    MonitorError
        If no watch has a result.
    """
    runs, skipped = [], []
    for watch in watches:
        samples = _samples_of(watch, columns, table)
        if not len(samples):
            skipped.append(f"watch {watch.name}: none of its series is in these files")
            continue
        try:
            learned = _learn(watch, samples, table, plan, cpu_clock=cpu_clock, now=now, progress=progress)
        except TrainingError as error:
            skipped.append(str(error))
            continue
        runs.append(_run(watch, learned, samples, table, plan, cpu_clock=cpu_clock, progress=progress))
    if not runs:
        raise MonitorError(
            f"nothing was judged: {'; '.join(skipped)}. Compare the watches' `metrics`, `match` and `by` "
            "with the files, or give longer ones."
        )
    return runs, skipped


def _samples_of(watch: WatchConfig, columns: Columns, table: SeriesTable) -> Columns:
    entities = build_entities(watch.settings())
    entities.update(table)
    chosen = np.flatnonzero(entities.select(columns.series))
    return _take(columns, chosen)


def _take(columns: Columns, chosen: NDArray[np.int64] | slice) -> Columns:
    return Columns(columns.series[chosen], columns.time_ms[chosen], columns.value[chosen])


def _learn(
    watch: WatchConfig,
    samples: Columns,
    table: SeriesTable,
    plan: Plan,
    *,
    cpu_clock: Callable[[], float],
    now: float,
    progress: Progress,
) -> _Learned:
    if plan.champion_of is not None:
        return _with_champion(watch, samples, table, plan.champion_of(watch.name))
    first_ms, last_ms = int(samples.time_ms[0]), int(samples.time_ms[-1])
    length_ms = plan.train_share * (last_ms - first_ms)
    if plan.train_days is not None:
        length_ms = plan.train_days * _MS_PER_DAY
        if length_ms >= last_ms - first_ms:
            raise ConfigError(
                f"--train-days {plan.train_days:g}: the files hold only {duration_text(last_ms - first_ms)} "
                f"of watch {watch.name}, so nothing would be left to judge"
            )
    from_ms = first_ms + round(length_ms)
    history = _history_before(watch, samples, table, from_ms)
    if history is None:
        raise TrainingError(f"watch {watch.name}: it has no usable value before {time_text(from_ms)}")
    settings, started = watch.settings(), cpu_clock()
    with progress.training(watch.name, watch.model.epochs) as on_epoch:
        fit = fit_watch(settings, history, on_epoch=on_epoch)
    bundle = Bundle(fit.detector, history.channels, history.entities, metadata_of(history, fit, now))
    model = f"trained on {duration_text(from_ms - first_ms)} up to {time_text(from_ms)}"
    return _Learned(bundle, model, (), from_ms, history, cpu_clock() - started)


def _with_champion(
    watch: WatchConfig, samples: Columns, table: SeriesTable, champion: Champion | None
) -> _Learned:
    """Judge what the model has not seen; where it has seen everything, judge all of it and say so."""
    first_ms, last_ms = int(samples.time_ms[0]), int(samples.time_ms[-1])
    if champion is None:
        caveat = (
            "it has no model: its baselines judge alone, and need a window and 100 steps before they begin"
        )
        return _Learned(None, "baselines alone", (caveat,), first_ms, None)
    version, bundle = champion
    seen_until = bundle.metadata.get("to_ms")
    seen_ms = int(seen_until) if isinstance(seen_until, int | float) else first_ms
    if seen_ms >= last_ms:
        caveat = (
            f"model {version} has learned from data up to {time_text(seen_ms)}: it may have seen all of this"
        )
        return _Learned(bundle, f"model {version}", (caveat,), first_ms, None)
    from_ms = max(first_ms, seen_ms)
    history = _history_before(watch, samples, table, from_ms) if from_ms > first_ms else None
    return _Learned(bundle, f"model {version}", (), from_ms, history)


def _history_before(
    watch: WatchConfig, samples: Columns, table: SeriesTable, until_ms: int
) -> History | None:
    end = int(np.searchsorted(samples.time_ms, until_ms))
    return collect_history(watch.settings(), _take(samples, slice(end)), table) if end else None


def _run(
    watch: WatchConfig,
    learned: _Learned,
    samples: Columns,
    table: SeriesTable,
    plan: Plan,
    *,
    cpu_clock: Callable[[], float],
    progress: Progress,
) -> WatchRun:
    settings = watch.settings()
    pictures = PictureProbe(N_WORST, watch.window_length)
    trials = BudgetProbe(settings, budgets_around(watch.budget), watch.budget)
    simple = None
    if learned.history is not None:
        simple = ThreeSigmaProbe(watch.name, settings.alert, learned.history)
    probes: list[Probe] = [probe for probe in (pictures, trials, simple) if probe is not None]
    lead_in_ms = _LEAD_IN_WINDOWS * watch.window_length * watch.step_ms
    begin = int(np.searchsorted(samples.time_ms, learned.from_ms - lead_in_ms))
    with progress.replaying(watch.name) as on_share:
        replayed = replay_watch(
            settings,
            learned.champion,
            _take(samples, slice(begin, None)),
            table,
            from_ms=learned.from_ms,
            probes=probes if plan.in_detail else (),
            cpu_clock=cpu_clock,
            progress=on_share,
        )
    stages = replayed.watch
    return WatchRun(
        config=watch,
        model=learned.model,
        caveats=learned.caveats,
        replayed=replayed,
        pages=tuple(page_of(alert) for alert in replayed.alerts),
        pictures=pictures.finish(stages),
        trials=trials.trials(stages) if plan.in_detail else (),
        simple=simple.pages(stages) if simple is not None and plan.in_detail else None,
        train_seconds=learned.seconds,
    )
