"""Retraining that cannot hurt: train on the older part of the history, and serve only what is no worse on the rest.

The newest quarter is held out. Champion and challenger both live through the steps before it,
so that the tails of both are current, and are then judged on it, each through the daemon's own
path. Without a champion the companions are what a challenger must be as good as.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.detector import WARMING_STEPS, Detector
from models.errors import BundleError, ModelError, TrainingError
from models.evaluation import FAULT_KINDS, Faults, blocks_over_limit, calibrated_error, inject_faults, poisson_bound
from models.fit_detector import Fit
from models.limits import Budget
from models.registry import Registry
from models.scaling import fit_scaling
from monitor.clock import Clock
from monitor.config.watch import WatchConfig
from monitor.detection.build import build_watch, known_entities
from monitor.detection.report import WatchReport
from monitor.detection.view import WatchObserver
from monitor.detection.watch import Watch
from monitor.errors import HistoryError, LockedError, MonitorError
from monitor.storage.step_history import History
from monitor.training.gate import Gate, Result, TrainingOutcome, needed_steps, out_of_memory, refusals
from monitor.training.train import aligned, metadata_of, plot_of, training_lock
from monitor.training.warm_up import MAX_LIVED_STEPS, aligned_pipeline, blocks_of, replay_steps, settled

__all__ = ["Trainer", "retrain"]

log = logging.getLogger(__name__)

Trainer = Callable[[WatchConfig, History], Fit]

_HELD_OUT_SHARE = 0.25  # of the history, its newest part
_FAULTS_OF_EACH_KIND = 40  # 200 in all: two points are four of them
_NEVER = -(1 << 40)  # length of a block of peaks that is never full: faults teach the limit nothing


def retrain(
    watch: WatchConfig,
    *,
    clock: Clock,
    trainer: Trainer,
    registry: Registry,
    history: History | None,
    promotes: bool = True,
) -> TrainingOutcome:
    """Train a challenger, hold it against what serves, save it, and let it serve if it is no worse.

    Whatever goes wrong is an outcome, with its reason; what serves is then untouched.

    Parameters
    ----------
    trainer : callable
        Makes a calibrated detector from the older part of the history.
    history : History, optional
        Incident-free steps, those of incidents as gaps; its channels begin with the champion's.
    promotes : bool
        Let the challenger serve if nothing speaks against it; else it stays a candidate.
    """
    started = clock.monotonic()
    try:
        lock = training_lock(watch, registry, clock.now())
        try:
            outcome = _challenge(watch, clock, trainer, registry, history, promotes=promotes)
        finally:
            lock.release()
    except (HistoryError, LockedError) as error:
        outcome = TrainingOutcome(watch=watch.name, result="skipped", reason=str(error))
    except (ModelError, MonitorError) as error:
        outcome = TrainingOutcome(watch=watch.name, result="failed", reason=str(error))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):  # PyTorch has no class of its own for it
            raise
        outcome = out_of_memory(watch, error)
    return replace(outcome, seconds=clock.monotonic() - started)


def _challenge(
    watch: WatchConfig, clock: Clock, trainer: Trainer, registry: Registry, history: History | None, *, promotes: bool
) -> TrainingOutcome:
    needed = needed_steps(watch.window_length)
    n_steps = 0 if history is None else len(history.values)
    if history is None or n_steps < needed:
        seconds = (needed - n_steps) * watch.step_seconds
        raise HistoryError(f"the history has {n_steps} steps without an incident, expected at least {needed}: wait {seconds:.0f} s")
    version, champion = registry.serving(_say_refused) or (None, None)
    n_held_out = max(round(_HELD_OUT_SHARE * n_steps), watch.window_length + WARMING_STEPS)
    older = replace(history, values=aligned(history.values[: n_steps - n_held_out]))
    fit = trainer(watch, older)
    metadata = metadata_of(older, fit, clock.now()) | {"to_ms": history.last_ms, "n_held_out": n_held_out}
    challenger = Bundle(fit.detector, history.channels, history.entities, metadata)
    gate, current = _judge(watch, challenger, champion, version or "companions", history.values, n_held_out)
    current = replace(current, metadata={**metadata, "gate": asdict(gate)})
    saved = registry.save(current, now=clock.now(), attachments=plot_of(watch.name, fit.training))
    against = refusals(gate)
    if not against and promotes:
        registry.promote(saved)
    result: Result = "refused" if against else "promoted" if promotes else "candidate"
    reason = "; ".join(against) or f"no worse than {gate.opponent}"
    return TrainingOutcome(watch=watch.name, result=result, reason=reason, version=saved, gate=gate)


@dataclass(frozen=True, slots=True)
class _Tried:
    """How one side judged the held-out steps: its stages behind them, its detector before them, its scores (T, n)."""

    pipeline: Watch
    before: Detector
    score: NDArray[np.float64]


def _judge(
    watch: WatchConfig,
    challenger: Bundle,
    champion: Bundle | None,
    opponent: str,
    values: NDArray[np.float64],
    n_held_out: int,
) -> tuple[Gate, Bundle]:
    """Hold two models against each other; give the numbers, and the challenger as it has lived through all of it."""
    n_older = len(values) - n_held_out
    older, held_out = values[:n_older], values[n_older:]
    # What the challenger was not trained on, and enough to calibrate entities that are new to the champion. Companions
    # are trained on nothing: they live through all there is.
    n_lived = max(round(watch.model.validation_share * n_older), watch.window_length + WARMING_STEPS)
    n_lived_by_opponent = n_lived if champion else MAX_LIVED_STEPS
    first = _try(watch, challenger, challenger, older[-n_lived:], held_out)
    second = _try(watch, champion, challenger, older[-n_lived_by_opponent:], held_out)
    both = ~(np.isnan(first.score) | np.isnan(second.score))  # (T, n)
    if both.sum() < watch.window_length + WARMING_STEPS:
        raise HistoryError(
            f"only {both.sum()} held-out steps were judged by challenger and {opponent}, expected at least "
            f"{watch.window_length + WARMING_STEPS}: the history has too many gaps, or its entities are too new"
        )
    rows = np.flatnonzero(both.any(axis=0) & first.before.calibrated & second.before.calibrated)
    faults = inject_faults(
        held_out,
        rows,
        fit_scaling(older, challenger.detector.resolution).scale,
        window_length=watch.window_length,
        fault_steps=watch.window_length + math.ceil(watch.alert.hold_seconds / watch.step_seconds),
        n_each=_FAULTS_OF_EACH_KIND,
        seed=watch.model.seed,
    )
    if not len(faults):
        raise HistoryError("the held-out steps have too many gaps to inject faults into: no stretch of two windows is nearly whole")
    error, opponent_error = _errors(first, second, champion, rows, held_out) if champion else (None, None)
    caught, opponent_caught = (_caught(watch, one, faults) for one in (first, second))
    block_steps = challenger.detector.block_steps
    n_over, n_blocks = blocks_over_limit(np.where(both, first.score, np.nan), block_steps)
    n_over_of_opponent, _ = blocks_over_limit(np.where(both, second.score, np.nan), block_steps)
    n_blocks = max(n_blocks, 1)
    rate = Budget.parse(watch.budget).rate_per_second(len(rows)) / len(rows)  # of one entity
    gate = Gate(
        opponent=opponent,
        n_judged=int(both.sum()),
        error=error,
        opponent_error=opponent_error,
        over_limit=n_over / n_blocks,
        opponent_over_limit=n_over_of_opponent / n_blocks,
        allowed_over_limit=poisson_bound(rate * n_blocks * block_steps * watch.step_seconds) / n_blocks,
        n_faults=len(faults),
        caught=float(caught.mean()),
        opponent_caught=float(opponent_caught.mean()),
        caught_by_kind={kind: float(caught[faults.kind == number].mean()) for number, kind in enumerate(FAULT_KINDS)},
    )
    return gate, settled(first.pipeline, challenger, challenger.entities)


def _try(
    watch: WatchConfig, bundle: Bundle | None, challenger: Bundle, lived: NDArray[np.float64], held_out: NDArray[np.float64]
) -> _Tried:
    """Let one side live through the steps before the held-out ones, then judge those; the companions without a bundle."""
    channels = bundle.channels if bundle else challenger.channels
    if challenger.channels[: len(channels)] != channels:
        raise HistoryError("the history's channels do not begin with the champion's: train from files, and restart the daemon")
    pipeline = aligned_pipeline(watch, bundle, challenger.entities, channels)
    replay_steps(pipeline, lived[:, :, : len(channels)], watch.step_ms, first_step=0)
    if pipeline.scorer.detector is None:
        raise HistoryError("no entity has shown enough for the companions to judge it: the history has too many gaps")
    before = pipeline.scorer.detector.take(np.arange(len(challenger.entities)))
    scores: list[NDArray[np.float64]] = []
    observer = WatchObserver(on_scored=lambda scored: scores.append(np.where(scored.judged, scored.score, np.nan)))
    pipeline.observe(observer)
    replay_steps(pipeline, held_out[:, :, : len(channels)], watch.step_ms, first_step=len(lived))
    return _Tried(pipeline, before, np.array(scores))


def _errors(first: _Tried, second: _Tried, champion: Bundle, rows: NDArray[np.int64], held_out: NDArray[np.float64]) -> tuple[float, float]:
    """Give the calibrated errors of challenger and champion, both over the champion's own scale."""
    assert champion.detector.trained is not None
    divisor = second.before.scaling.scale * champion.detector.trained.error_scale.window
    error = calibrated_error(first.before, held_out, rows, divisor)
    opponent_error = calibrated_error(second.before, held_out[:, :, : len(champion.channels)], rows, divisor)
    if not math.isfinite(error):
        raise TrainingError("the trained network gives no numbers on the held-out steps")
    return error, opponent_error


def _caught(watch: WatchConfig, tried: _Tried, faults: Faults) -> NDArray[np.bool_]:
    """Tell which faults (K,) open an episode; each is an entity of its own, which knows what its row knew before."""
    detector = tried.before.take(faults.row)
    detector.block_length[:] = _NEVER
    channels = tried.pipeline.entities.channels
    budget = Budget.parse(watch.budget)
    if not budget.per_entity:  # the limit must stay that of so many entities as there are
        budget = replace(budget, count=budget.count * len(faults) / int(tried.before.calibrated.sum()))
    names = [str(number) for number in range(len(faults))]
    pipeline = build_watch(
        watch.settings(),
        Bundle(detector, tuple(channels), tuple(names), {}),
        entities=known_entities(watch.settings(), names, channels, fixed=True),
        budget=budget,
    )
    opened = np.zeros(len(faults), bool)
    for block in blocks_of(faults.values[:, :, : len(channels)], watch.step_ms, first_step=0):
        for alert in pipeline.judge(block, WatchReport()):
            if alert.resolved_ms is None and alert.opened_ms > faults.first * watch.step_ms:
                opened[int(alert.entity)] = True
    return opened


def _say_refused(version: str, error: BundleError) -> None:
    log.error("model refused version=%s error=%s", version, error)
