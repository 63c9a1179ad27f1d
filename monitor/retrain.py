"""Retraining that cannot hurt: train on the older part of the history, and serve only what is no worse on the rest.

The newest quarter is held out. Champion and challenger both live through the steps before it,
so that the tails of both are current, and are then judged on it, each through the daemon's own
path. Without a champion the companions are what a challenger must be as good as.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.detector import WARMING_STEPS, Detector
from models.errors import BundleError, ModelError, TrainingError
from models.evaluation import FAULT_KINDS, Faults, blocks_over_limit, calibrated_error, inject_faults, poisson_bound
from models.fitting import Fit
from models.limits import Budget
from models.registry import Registry
from models.scaling import fit_scaling
from monitor.clock import Clock
from monitor.config import WatchConfig
from monitor.errors import HistoryError, LockedError, MonitorError
from monitor.grid import ClosedSteps
from monitor.history import History
from monitor.pipeline import WatchPipeline, WatchReport
from monitor.train import aligned, made_of, plot_of, training_lock
from monitor.watch import build_watch, known_map, seat

__all__ = ["Gate", "Outcome", "Result", "Trainer", "brought_up_to_date", "needed_steps", "out_of_memory", "refusals", "retrain"]

log = logging.getLogger(__name__)

Result = Literal["promoted", "candidate", "refused", "failed", "timed_out", "skipped"]
Trainer = Callable[[WatchConfig, History], Fit]

_HELD_OUT_SHARE = 0.25  # of the history, its newest part
_MAX_ERROR_RATIO = 1.05  # of the challenger's calibrated error over the champion's
_MAX_CAUGHT_LOSS = 0.02  # of the injected faults
_FAULTS_OF_EACH_KIND = 40  # 200 in all: two points are four of them
_MAX_LIVED_STEPS = 4000  # the memory of a tail: what is older has little weight in it
_MAX_BLOCK_STEPS, _MAX_BLOCK_CELLS = 512, 1 << 18  # judged at once, as the grid gives them out
_NEVER = -(1 << 40)  # length of a block of peaks that is never full: faults teach the limit nothing


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What decides: the challenger's numbers beside its opponent's, on the same held-out steps.

    Errors are None where the opponent is the companions, which reconstruct nothing. Shares
    are 0 to 1; `allowed_over_limit` is what the budget allows of the held-out blocks, and
    what chance adds to that in 99.9 % of the cases.
    """

    opponent: str  # its version, or "companions"
    n_judged: int  # steps of entities that both judged
    error: float | None
    opponent_error: float | None
    over_limit: float
    opponent_over_limit: float
    allowed_over_limit: float
    n_faults: int
    caught: float
    opponent_caught: float
    caught_by_kind: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one training came to, and why; `version` and `gate` are None where it did not come so far."""

    watch: str
    result: Result
    reason: str
    version: str | None = None
    gate: Gate | None = None
    seconds: float = 0.0
    segments_skipped: Mapping[str, int] = field(default_factory=dict)  # of the history, by reason

    def to_json(self) -> str:
        """Write it down for the process that asked for the training."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Outcome:
        """Read it back.

        Raises
        ------
        ValueError
            If it is none.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            gate = fields.get("gate")
            return cls(**{**fields, "gate": Gate(**gate) if gate else None})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"no outcome of a training: {error}") from error


def needed_steps(window_length: int) -> int:
    """Give the shortest history that can be learned from: three times a window and 100 steps.

    One third is held out; the others are the least that a model is trained and calibrated on.
    """
    return 3 * (window_length + WARMING_STEPS)


def refusals(gate: Gate) -> list[str]:
    """Say everything that speaks against serving a challenger; nothing where it may."""
    reasons = []
    if gate.error is not None and gate.opponent_error is not None and not gate.error <= _MAX_ERROR_RATIO * gate.opponent_error:
        reasons.append(
            f"its calibrated error is {gate.error:.3f}, more than {_MAX_ERROR_RATIO:g} times "
            f"{gate.opponent_error:.3f}, that of {gate.opponent}"
        )
    bound = max(gate.allowed_over_limit, gate.opponent_over_limit)
    if not gate.over_limit <= bound:
        reasons.append(f"{gate.over_limit:.2%} of its blocks are over the limit, {bound:.2%} are allowed")
    if not gate.caught >= gate.opponent_caught - _MAX_CAUGHT_LOSS - 1e-9:
        reasons.append(
            f"it catches {gate.caught:.1%} of {gate.n_faults} injected faults, more than {100 * _MAX_CAUGHT_LOSS:g} points below "
            f"{gate.opponent_caught:.1%}, those of {gate.opponent}"
        )
    return reasons


def retrain(
    watch: WatchConfig,
    *,
    clock: Clock,
    trainer: Trainer,
    registry: Registry,
    history: History | None,
    promotes: bool = True,
) -> Outcome:
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
        outcome = Outcome(watch=watch.name, result="skipped", reason=str(error))
    except (ModelError, MonitorError) as error:
        outcome = Outcome(watch=watch.name, result="failed", reason=str(error))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):  # PyTorch has no class of its own for it
            raise
        outcome = out_of_memory(watch, error)
    return replace(outcome, seconds=clock.monotonic() - started)


def _challenge(
    watch: WatchConfig, clock: Clock, trainer: Trainer, registry: Registry, history: History | None, *, promotes: bool
) -> Outcome:
    needed = needed_steps(watch.window_length)
    n_steps = 0 if history is None else len(history.values)
    if history is None or n_steps < needed:
        seconds = (needed - n_steps) * watch.step_seconds
        raise HistoryError(f"the history has {n_steps} steps without an incident, expected at least {needed}: wait {seconds:.0f} s")
    version, champion = registry.serving(_say_refused) or (None, None)
    n_held_out = max(round(_HELD_OUT_SHARE * n_steps), watch.window_length + WARMING_STEPS)
    older = replace(history, values=aligned(history.values[: n_steps - n_held_out]))
    fit = trainer(watch, older)
    made = made_of(older, fit, clock.now()) | {"to_ms": history.last_ms, "n_held_out": n_held_out}
    challenger = Bundle(fit.detector, history.channels, history.entities, made)
    gate, current = _judge(watch, challenger, champion, version or "companions", history.values, n_held_out)
    current = replace(current, made={**made, "gate": asdict(gate)})
    saved = registry.save(current, now=clock.now(), beside=plot_of(watch.name, fit.training))
    against = refusals(gate)
    if not against and promotes:
        registry.promote(saved)
    result: Result = "refused" if against else "promoted" if promotes else "candidate"
    reason = "; ".join(against) or f"no worse than {gate.opponent}"
    return Outcome(watch=watch.name, result=result, reason=reason, version=saved, gate=gate)


def out_of_memory(watch: WatchConfig, error: Exception) -> Outcome:
    """Give the outcome of a training whose arrays did not fit."""
    what = " ".join(str(error).split()) or "an array did not fit"
    reason = f"out of memory: {what}. Raise max_memory_bytes, or lower max_steps."
    return Outcome(watch=watch.name, result="failed", reason=reason)


def brought_up_to_date(watch: WatchConfig, bundle: Bundle, history: History | None) -> Bundle:
    """Let a model live through steps that it has not seen, so that its tails are current before it serves.

    Weights and scaling stay. Of longer histories only the newest 4000 steps count.
    """
    if history is None or history.channels[: len(bundle.channels)] != bundle.channels:
        return bundle
    names = [*bundle.entities, *(name for name in history.entities if name not in set(bundle.entities))]
    newest = history.values[-_MAX_LIVED_STEPS:]
    values = np.full((len(newest), len(names), len(bundle.channels)), np.nan)
    row_of = {name: row for row, name in enumerate(names)}
    values[:, [row_of[name] for name in history.entities]] = newest[:, :, : len(bundle.channels)]
    pipeline = _seated(watch, bundle, names, bundle.channels)
    _live(pipeline, values, watch.step_ms, first_step=history.first_ms // watch.step_ms)
    return _settled(pipeline, bundle, names)


@dataclass(frozen=True, slots=True)
class _Tried:
    """How one side judged the held-out steps: its stages behind them, its detector before them, its scores (T, n)."""

    pipeline: WatchPipeline
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
    n_lived_by_opponent = n_lived if champion else _MAX_LIVED_STEPS
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
    return gate, _settled(first.pipeline, challenger, challenger.entities)


def _try(
    watch: WatchConfig, bundle: Bundle | None, challenger: Bundle, lived: NDArray[np.float64], held_out: NDArray[np.float64]
) -> _Tried:
    """Let one side live through the steps before the held-out ones, then judge those; the companions without a bundle."""
    channels = bundle.channels if bundle else challenger.channels
    if challenger.channels[: len(channels)] != channels:
        raise HistoryError("the history's channels do not begin with the champion's: train from files, and restart the daemon")
    pipeline = _seated(watch, bundle, challenger.entities, channels)
    _live(pipeline, lived[:, :, : len(channels)], watch.step_ms, first_step=0)
    if pipeline.scorer.detector is None:
        raise HistoryError("no entity has shown enough for the companions to judge it: the history has too many gaps")
    before = pipeline.scorer.detector.taken(np.arange(len(challenger.entities)))
    scores: list[NDArray[np.float64]] = []
    pipeline.on_scored = lambda scored: scores.append(np.where(scored.judged, scored.score, np.nan))
    _live(pipeline, held_out[:, :, : len(channels)], watch.step_ms, first_step=len(lived))
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
    detector = tried.before.taken(faults.row)
    detector.block_length[:] = _NEVER
    channels = tried.pipeline.entities.channels
    budget = Budget.parse(watch.budget)
    if not budget.per_entity:  # the limit must stay that of so many entities as there are
        budget = replace(budget, count=budget.count * len(faults) / int(tried.before.calibrated.sum()))
    names = [str(number) for number in range(len(faults))]
    pipeline = build_watch(
        watch,
        Bundle(detector, tuple(channels), tuple(names), {}),
        entities=known_map(watch, names, channels, fixed=True),
        budget=budget,
    )
    opened = np.zeros(len(faults), bool)
    for block in _blocks(faults.values[:, :, : len(channels)], watch.step_ms, first_step=0):
        for alert in pipeline.judge(block, WatchReport()):
            if alert.resolved_ms is None and alert.opened_ms > faults.first * watch.step_ms:
                opened[int(alert.entity)] = True
    return opened


def _seated(watch: WatchConfig, bundle: Bundle | None, entities: Sequence[str], channels: Sequence[str]) -> WatchPipeline:
    places = known_map(watch, entities, channels, fixed=True)
    return build_watch(watch, seat(bundle, entities) if bundle else None, entities=places)


def _live(pipeline: WatchPipeline, values: NDArray[np.float64], step_ms: int, *, first_step: int) -> None:
    report = WatchReport()
    for block in _blocks(values, step_ms, first_step=first_step):
        pipeline.judge(block, report)


def _blocks(values: NDArray[np.float64], step_ms: int, *, first_step: int) -> list[ClosedSteps]:
    n_steps = max(1, min(_MAX_BLOCK_STEPS, _MAX_BLOCK_CELLS // max(1, values[0].size))) if len(values) else 1
    return [ClosedSteps(first_step + start, step_ms, values[start : start + n_steps]) for start in range(0, len(values), n_steps)]


def _settled(pipeline: WatchPipeline, bundle: Bundle, entities: Sequence[str]) -> Bundle:
    """Give a bundle with what its detector has learned meanwhile; an episode that is still open taught it nothing."""
    detector = pipeline.scorer.detector
    assert detector is not None
    for row in np.flatnonzero(detector.tails.frozen).tolist():
        detector.tails.thaw(row, keep=False)
    return replace(bundle, detector=detector, entities=tuple(entities))


def _say_refused(version: str, error: BundleError) -> None:
    log.error("model refused version=%s error=%s", version, error)
