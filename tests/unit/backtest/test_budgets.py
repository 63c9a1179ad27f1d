import pytest
from backtests import trained_side

from models.limits import Budget
from monitor.backtest.budgets import budgets_around


@pytest.mark.parametrize("configured", ["1/day", "2/day", "5/hour", "1/week per entity"])
def test_the_configured_budget_is_among_the_others_in_order(configured):
    budgets = budgets_around(configured)

    rates = [Budget.parse(text).rate_per_second(1) for text in budgets]
    assert budgets.count(configured) == 1
    assert rates == sorted(set(rates))
    assert {Budget.parse(text).per_entity for text in budgets} == {configured.endswith("per entity")}


def test_the_configured_budget_gives_what_the_replay_gave():
    (run,) = trained_side().runs
    (trial,) = [trial for trial in run.trials if trial.is_configured]

    assert trial.budget == "1/day"
    opened = sorted((page.entity, page.opened_ms) for page in trial.pages)
    assert opened == sorted((page.entity, page.opened_ms) for page in run.pages)
    assert opened  # both faults


def test_a_larger_budget_raises_no_fewer_alerts():
    (run,) = trained_side().runs

    counts = [len(trial.pages) for trial in run.trials]

    assert counts == sorted(counts)
