"""Decides whether a challenger may serve: both models' numbers on the same held-out steps, and the rules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from models.detector import WARMING_STEPS

__all__ = ["Gate", "Result", "TrainingOutcome", "needed_steps", "out_of_memory", "refusals"]

Result = Literal["promoted", "candidate", "refused", "failed", "timed_out", "skipped"]
_MAX_ERROR_RATIO = 1.05  # of the challenger's calibrated error over the champion's
_MAX_CAUGHT_LOSS = 0.02  # of the injected faults


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What decides: the challenger's numbers beside its opponent's, on the same held-out steps.

    Errors are None where the opponent is the baselines, which reconstruct nothing. Shares are 0 to 1;
    `allowed_over_limit` is the share of held-out blocks that the budget allows, and what chance adds to that
    in 99.9 % of the cases.
    """

    opponent: str  # its version, or "baselines"
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

    @property
    def opponent_is_over_budget(self) -> bool:
        """True where what serves has more held-out blocks over its limit than the budget allows."""
        return self.opponent_over_limit > self.allowed_over_limit


@dataclass(frozen=True, kw_only=True)
class TrainingOutcome:
    """The result of one training, and why; `version` and `gate` are None where it ended before them."""

    watch: str
    result: Result
    reason: str
    version: str | None = None
    gate: Gate | None = None
    seconds: float = 0.0
    segments_skipped: Mapping[str, int] = field(default_factory=dict)  # of the history, by reason

    @property
    def succeeded(self) -> bool:
        """True where there is a new model that serves or may."""
        return self.result in ("promoted", "candidate")

    def to_json(self) -> str:
        """Write it for the process that started the training."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> TrainingOutcome:
        """Read it back.

        Raises
        ------
        ValueError
            If the text is no outcome.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            gate = fields.get("gate")
            return cls(**{**fields, "gate": Gate(**gate) if gate else None})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"no outcome of a training: {error}") from error


def needed_steps(window_length: int) -> int:
    """Give the length of the shortest history to train on: three times a window and 100 steps.

    One third is held out; the rest is the least that a model is trained and calibrated on.
    """
    return 3 * (window_length + WARMING_STEPS)


def refusals(gate: Gate) -> list[str]:
    """Give every reason against promoting a challenger; none where it may serve. A NaN is a reason.

    Being over the budget is one however bad the opponent is, and whether that is a champion or the baselines.
    """
    reasons = []
    if (
        gate.error is not None
        and gate.opponent_error is not None
        and not gate.error <= _MAX_ERROR_RATIO * gate.opponent_error
    ):
        reasons.append(
            f"its calibrated error is {gate.error:.3f}, more than {_MAX_ERROR_RATIO:g} times "
            f"{gate.opponent_error:.3f}, that of {gate.opponent}"
        )
    if not gate.over_limit <= gate.allowed_over_limit:
        # Also where the opponent is worse: a model that alarms too often is no cure for another.
        reasons.append(
            f"{gate.over_limit:.2%} of its blocks are over the limit, "
            f"{gate.allowed_over_limit:.2%} are allowed{_as_for_opponent(gate)}"
        )
    if not gate.caught >= gate.opponent_caught - _MAX_CAUGHT_LOSS - 1e-9:
        reasons.append(
            f"it catches {gate.caught:.1%} of {gate.n_faults} injected faults, "
            f"more than {100 * _MAX_CAUGHT_LOSS:g} points below {gate.opponent_caught:.1%}, "
            f"those of {gate.opponent}"
        )
    return reasons


def _as_for_opponent(gate: Gate) -> str:
    if not gate.opponent_is_over_budget:
        return ""
    return f" ({gate.opponent}, with {gate.opponent_over_limit:.2%}, is over the budget too, and judges on)"


def out_of_memory(watch: str, error: Exception) -> TrainingOutcome:
    """Give the outcome of a training whose arrays did not fit."""
    what = " ".join(str(error).split()) or "an array did not fit"
    reason = f"out of memory: {what}. Raise max_memory_bytes, or lower max_steps."
    return TrainingOutcome(watch=watch, result="failed", reason=reason)
