"""The numbers of a challenger that passes the gate."""

from __future__ import annotations

from monitor.training.gate import Gate

PASSED = Gate(
    opponent="v1",
    n_judged=500,
    error=1.0,
    opponent_error=1.0,
    over_limit=0.0,
    opponent_over_limit=0.0,
    allowed_over_limit=0.01,
    n_faults=200,
    caught=0.9,
    opponent_caught=0.9,
    caught_by_kind={"spike": 1.0},
)
