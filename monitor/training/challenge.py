"""Trains a challenger on the older part of the history, and promotes it only if it is no worse on the rest.

The newest quarter is held out. Champion and challenger both judge and learn the steps before it, so that the
tails of both are current, and are then compared on it, each by the stages that the daemon runs. Without a
champion, the challenger is compared with the baselines.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.detector import WARMING_STEPS, Detector
from models.errors import BundleError, ModelError, TrainingError
from models.evaluation import (
    FAULT_KINDS,
    Faults,
    blocks_over_limit,
    calibrated_error,
    inject_faults,
    poisson_bound,
)
from models.fit_detector import Fit
from models.registry import Registry
from models.row_arrays import rearranged
from models.scaling import fit_scaling
from monitor.clock import Clock
from monitor.detection.build import build_watch, known_entities
from monitor.detection.report import WatchReport
from monitor.detection.settings import WatchSettings
from monitor.detection.view import WatchObserver
from monitor.detection.watch import Watch
from monitor.errors import HistoryError, LockedError, MonitorError
from monitor.storage.step_history import History
from monitor.training.gate import Gate, Result, TrainingOutcome, needed_steps, out_of_memory, refusals
from monitor.training.train import aligned, metadata_of, plot_of, training_lock
from monitor.training.warm_up import MAX_WARM_UP_STEPS, aligned_watch, blocks_of, learned_bundle, replay_steps

__all__ = ["Trainer", "retrain"]

log = logging.getLogger(__name__)

Trainer = Callable[[WatchSettings, History], Fit]

_BASELINES = "baselines"  # the opponent where there is no champion
_HELD_OUT_SHARE = 0.25  # of the history, its newest part
_FAULTS_OF_EACH_KIND = 40  # 200 in all: two points are four of them
_NEVER = -(1 << 40)  # length of a block of peaks that is never full: faults teach the limit nothing


def retrain(
    settings: WatchSettings,
    *,
    clock: Clock,
    trainer: Trainer,
    registry: Registry,
    history: History | None,
    promotes: bool = True,
) -> TrainingOutcome:
    """Train a challenger, compare it with what serves, save it, and promote it if it is no worse.

    Whatever goes wrong is an outcome with a reason; what serves is then unchanged.

    Parameters
    ----------
    trainer : callable
        Makes a calibrated detector from the older part of the history.
    history : History, optional
        Incident-free steps, those of incidents as gaps. Its channels are matched with the champion's by name.
    promotes : bool
        Promote a challenger that is no worse; else it stays a candidate.
    """
    started = clock.monotonic()
    try:
        lock = training_lock(settings.name, registry, clock.now())
        try:
            outcome = _challenge(settings, clock, trainer, registry, history, promotes=promotes)
        finally:
            lock.release()
    except (HistoryError, LockedError) as error:
        outcome = TrainingOutcome(watch=settings.name, result="skipped", reason=str(error))
    except (ModelError, MonitorError) as error:
        outcome = TrainingOutcome(watch=settings.name, result="failed", reason=str(error))
    except (MemoryError, RuntimeError) as error:
        # PyTorch has no error class of its own for it.
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        outcome = out_of_memory(settings.name, error)
    return replace(outcome, seconds=clock.monotonic() - started)


def _challenge(
    settings: WatchSettings,
    clock: Clock,
    trainer: Trainer,
    registry: Registry,
    history: History | None,
    *,
    promotes: bool,
) -> TrainingOutcome:
    needed = needed_steps(settings.window_length)
    n_steps = 0 if history is None else len(history.values)
    if history is None or n_steps < needed:
        seconds = (needed - n_steps) * settings.step_seconds
        raise HistoryError(
            f"the history has {n_steps} steps without an incident, expected at least {needed}: "
            f"wait {seconds:.0f} s"
        )
    version, champion = registry.serving(_log_refused) or (None, None)
    n_held_out = max(round(_HELD_OUT_SHARE * n_steps), settings.window_length + WARMING_STEPS)
    n_older = n_steps - n_held_out
    history = _without_unseen_channels(history, n_older)
    older = replace(
        history,
        values=history.values[:n_older],
        steps=history.step_numbers(settings.step_ms)[:n_older],
    )
    older = aligned(older, settings.step_ms)
    fit = trainer(settings, older)
    metadata = metadata_of(older, fit, clock.now()) | {"to_ms": history.last_ms, "n_held_out": n_held_out}
    challenger = Bundle(fit.detector, history.channels, history.entities, metadata)
    opponent = version or _BASELINES
    gate, current = _compare(settings, challenger, champion, opponent, history.values, n_held_out)
    current = replace(current, metadata={**metadata, "gate": asdict(gate)})
    saved = registry.save(current, now=clock.now(), attachments=plot_of(settings.name, fit.training))
    against = refusals(gate)
    if not against and promotes:
        registry.promote(saved)
    result: Result = "refused" if against else "promoted" if promotes else "candidate"
    reason = "; ".join(against) or f"no worse than {gate.opponent}"
    return TrainingOutcome(watch=settings.name, result=result, reason=reason, version=saved, gate=gate)


def _without_unseen_channels(history: History, n_older: int) -> History:
    """Leave out channels without a value to learn from: their first one would be an anomaly."""
    seen = np.flatnonzero(~np.isnan(history.values[:n_older]).all(axis=(0, 1)))
    if not seen.size:
        return history
    channels = tuple(history.channels[channel] for channel in seen.tolist())
    return replace(history, channels=channels, values=history.values[:, :, seen])


def _in_channels(
    array: NDArray[np.float64], present: Sequence[str], wanted: Sequence[str]
) -> NDArray[np.float64]:
    """Give an array (..., C) with the channels that are wanted, matched by name; NaN for those it lacks."""
    number = {name: channel for channel, name in enumerate(present)}
    order = np.array([number.get(name, -1) for name in wanted], np.int64)
    return rearranged(array, order, axis=array.ndim - 1, fill=np.nan)


@dataclass(frozen=True, slots=True)
class _Trial:
    """One side's scores (T, n) of the held-out steps; its detector before them, its watch after them."""

    watch: Watch
    before: Detector
    score: NDArray[np.float64]

    @property
    def judged(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.score)


def _compare(
    settings: WatchSettings,
    challenger: Bundle,
    champion: Bundle | None,
    opponent: str,
    values: NDArray[np.float64],
    n_held_out: int,
) -> tuple[Gate, Bundle]:
    """Compare two models on the held-out steps; give the numbers, and the challenger after all steps."""
    n_older = len(values) - n_held_out
    older = values[:n_older]
    held_out = values[n_older:]
    first, second = _trials(settings, challenger, champion, older, held_out)
    both = first.judged & second.judged  # (T, n)
    n_needed = settings.window_length + WARMING_STEPS
    if both.sum() < n_needed:
        raise HistoryError(
            f"only {both.sum()} held-out steps were judged by challenger and {opponent}, expected at least "
            f"{n_needed}: the history has too many gaps, or its entities are too new"
        )
    rows = np.flatnonzero(both.any(axis=0) & first.before.calibrated & second.before.calibrated)
    scale = fit_scaling(older, challenger.detector.resolution).scale
    faults = _inject(settings, held_out, rows, scale)
    error = opponent_error = None
    if champion is not None:
        error, opponent_error = _errors(first, second, challenger, champion, rows, held_out)
    caught = _caught(settings, first, faults, challenger.channels)
    opponent_caught = _caught(settings, second, faults, challenger.channels)
    block_steps = challenger.detector.block_steps
    n_over, n_blocks = blocks_over_limit(np.where(both, first.score, np.nan), block_steps)
    n_over_of_opponent, _ = blocks_over_limit(np.where(both, second.score, np.nan), block_steps)
    n_blocks = max(n_blocks, 1)
    rate = settings.budget.rate_per_second(len(rows)) / len(rows)  # of one entity
    judged_seconds = n_blocks * block_steps * settings.step_seconds
    gate = Gate(
        opponent=opponent,
        n_judged=int(both.sum()),
        error=error,
        opponent_error=opponent_error,
        over_limit=n_over / n_blocks,
        opponent_over_limit=n_over_of_opponent / n_blocks,
        allowed_over_limit=poisson_bound(rate * judged_seconds) / n_blocks,
        n_faults=len(faults),
        caught=float(caught.mean()),
        opponent_caught=float(opponent_caught.mean()),
        caught_by_kind={
            kind: float(caught[faults.kind == number].mean()) for number, kind in enumerate(FAULT_KINDS)
        },
    )
    return gate, learned_bundle(first.watch, challenger, challenger.entities)


def _trials(
    settings: WatchSettings,
    challenger: Bundle,
    champion: Bundle | None,
    older: NDArray[np.float64],
    held_out: NDArray[np.float64],
) -> tuple[_Trial, _Trial]:
    """Let challenger and opponent judge the held-out steps, after a part of the steps before them.

    That part is what the challenger was not trained on, and enough to calibrate entities that are new to the
    champion. The baselines are trained on nothing: they get all there is.
    """
    n_warm_up = max(
        round(settings.model.validation_share * len(older)), settings.window_length + WARMING_STEPS
    )
    n_of_opponent = n_warm_up if champion else MAX_WARM_UP_STEPS
    first = _try(settings, challenger, challenger, older[-n_warm_up:], held_out)
    second = _try(settings, champion, challenger, older[-n_of_opponent:], held_out)
    return first, second


def _try(
    settings: WatchSettings,
    bundle: Bundle | None,
    challenger: Bundle,
    before: NDArray[np.float64],
    held_out: NDArray[np.float64],
) -> _Trial:
    """Let one side judge and learn the steps before the held-out ones, then judge those.

    Without a bundle the baselines are that side.
    """
    channels = bundle.channels if bundle else challenger.channels
    if not set(channels) & set(challenger.channels):
        raise HistoryError(
            "the history shows none of the champion's channels, so the two cannot be compared: "
            "run `barograph train` with files that hold the running channels"
        )
    watch = aligned_watch(settings, bundle, challenger.entities, channels)
    before = _in_channels(before, challenger.channels, channels)
    replay_steps(watch, before, settings.step_ms, first_step=0)
    if watch.scorer.detector is None:
        raise HistoryError(
            "no entity has shown enough steps for the baselines to judge it: the history has too many gaps"
        )
    detector = watch.scorer.detector.take(np.arange(len(challenger.entities)))
    scores: list[NDArray[np.float64]] = []
    watch.observe(
        WatchObserver(on_scored=lambda step: scores.append(np.where(step.judged, step.score, np.nan)))
    )
    held_out = _in_channels(held_out, challenger.channels, channels)
    replay_steps(watch, held_out, settings.step_ms, first_step=len(before))
    return _Trial(watch, detector, np.array(scores))


def _inject(
    settings: WatchSettings,
    held_out: NDArray[np.float64],
    rows: NDArray[np.int64],
    scale: NDArray[np.float64],
) -> Faults:
    """Inject faults into the held-out steps of some entities, each as long as an episode needs to open."""
    hold_steps = math.ceil(settings.alert.hold_seconds / settings.step_seconds)
    faults = inject_faults(
        held_out,
        rows,
        scale,
        window_length=settings.window_length,
        fault_steps=settings.window_length + hold_steps,
        n_each=_FAULTS_OF_EACH_KIND,
        seed=settings.model.seed,
    )
    if not len(faults):
        raise HistoryError(
            "the held-out steps have too many gaps to inject faults into: "
            "no stretch of two windows is nearly whole"
        )
    return faults


def _errors(
    first: _Trial,
    second: _Trial,
    challenger: Bundle,
    champion: Bundle,
    rows: NDArray[np.int64],
    held_out: NDArray[np.float64],
) -> tuple[float, float]:
    """Give the calibrated errors of challenger and champion, both over the champion's own scale.

    They are those of the channels that both know.
    """
    assert champion.detector.trained is not None
    divisor = second.before.scaling.scale * champion.detector.trained.error_scale.window
    own = _in_channels(divisor, champion.channels, challenger.channels)
    error = calibrated_error(first.before, held_out, rows, own)
    held_out = _in_channels(held_out, challenger.channels, champion.channels)
    opponent_error = calibrated_error(second.before, held_out, rows, divisor)
    if not math.isfinite(error):
        raise TrainingError("the trained network gives no finite error on the held-out steps")
    return error, opponent_error


def _caught(
    settings: WatchSettings, trial: _Trial, faults: Faults, fault_channels: Sequence[str]
) -> NDArray[np.bool_]:
    """Tell which faults (K,) open an episode; each is an entity, with the state of its row before."""
    detector = trial.before.take(faults.row)
    detector.block_length[:] = _NEVER
    channels = trial.watch.entities.channels
    budget = settings.budget
    if not budget.per_entity:  # the limit must stay that of the entities there are, not of so many faults
        budget = replace(budget, count=budget.count * len(faults) / int(trial.before.calibrated.sum()))
    names = [str(number) for number in range(len(faults))]
    watch = build_watch(
        settings,
        Bundle(detector, tuple(channels), tuple(names), {}),
        entities=known_entities(settings, names, channels, fixed=True),
        budget=budget,
    )
    first_ms = faults.first * settings.step_ms
    opened = np.zeros(len(faults), bool)
    values = _in_channels(faults.values, fault_channels, channels)
    for block in blocks_of(values, settings.step_ms, first_step=0):
        for alert in watch.judge(block, WatchReport()):
            if alert.resolved_ms is None and alert.opened_ms > first_ms:
                opened[int(alert.entity)] = True
    return opened


def _log_refused(version: str, error: BundleError) -> None:
    log.error("model refused version=%s error=%s", version, error)
