"""The rules by which a challenger may serve, and how an outcome is written."""

from __future__ import annotations

import dataclasses
import re

import pytest
from gates import PASSED

from monitor.training.gate import TrainingOutcome, needed_steps, out_of_memory, refusals


def test_a_challenger_that_is_as_good_may_serve():
    assert refusals(PASSED) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"error": 1.0501}, r"its calibrated error is 1\.050, more than 1\.05 times 1\.000, that of v1"),
        ({"error": float("nan")}, "its calibrated error is nan"),
        ({"over_limit": 0.0101}, r"1\.01% of its blocks are over the limit, 1\.00% are allowed"),
        (
            {"caught": 0.8799},
            r"it catches 88\.0% of 200 injected faults, more than 2 points below 90\.0%, those of v1",
        ),
        ({"caught": float("nan")}, "it catches nan%"),
    ],
)
def test_each_number_that_is_too_bad_is_named(changes, reason):
    (only,) = refusals(dataclasses.replace(PASSED, **changes))

    assert re.search(reason, only)


@pytest.mark.parametrize(
    "changes",
    [
        {"error": 1.05},
        {"over_limit": 0.01},
        {"opponent_over_limit": 0.05},  # a champion over its budget gives way to one that keeps it
        {"caught": 0.88},
        {"error": None, "opponent_error": None},  # baselines reconstruct nothing
    ],
)
def test_a_number_at_its_bound_is_good_enough(changes):
    assert refusals(dataclasses.replace(PASSED, **changes)) == []


@pytest.mark.parametrize("opponent", ["v1", "baselines"])
def test_a_challenger_over_its_budget_never_serves_even_when_what_serves_is_worse(opponent):
    gate = dataclasses.replace(PASSED, opponent=opponent, over_limit=0.125, opponent_over_limit=0.2)

    (only,) = refusals(gate)

    assert only == (
        "12.50% of its blocks are over the limit, 1.00% are allowed "
        f"({opponent}, with 20.00%, is over the budget too, and judges on)"
    )


def test_what_serves_is_not_blamed_for_a_budget_that_it_keeps():
    (only,) = refusals(dataclasses.replace(PASSED, over_limit=0.02, opponent_over_limit=0.01))

    assert only == "2.00% of its blocks are over the limit, 1.00% are allowed"


def test_everything_that_is_wrong_is_said_at_once():
    assert len(refusals(dataclasses.replace(PASSED, error=2.0, over_limit=0.5, caught=0.1))) == 3


def test_an_outcome_is_read_back_as_it_was_written():
    outcome = TrainingOutcome(
        watch="w",
        result="candidate",
        reason="no worse than v1",
        version="v2",
        gate=PASSED,
        seconds=1.5,
        segments_skipped={"gone": 2},
    )

    assert TrainingOutcome.from_json(outcome.to_json()) == outcome
    assert (
        TrainingOutcome.from_json(TrainingOutcome(watch="w", result="failed", reason="x").to_json()).gate
        is None
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '{"watch": "w"}',
        '{"watch": "w", "result": "x", "reason": "", "gate": {"opponent": 1}}',
    ],
)
def test_what_is_no_outcome_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        TrainingOutcome.from_json(text)


def test_a_history_must_hold_three_windows_with_their_warming_steps():
    assert needed_steps(8) == 3 * (8 + 100)


def test_a_training_without_memory_says_what_to_change():
    outcome = out_of_memory("w", MemoryError())

    assert (outcome.watch, outcome.result) == ("w", "failed")
    assert (
        outcome.reason == "out of memory: an array did not fit. Raise max_memory_bytes, or lower max_steps."
    )
