import pytest
from backtests import trained_side
from metric_stream import Stream

from models.limits import Budget
from monitor.backtest.budgets import BudgetProbe, budgets_around
from monitor.detection.view import WatchObserver


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


def test_a_second_fault_inside_an_open_episode_is_a_page_of_its_own():
    stream = Stream(seed=5, batch_steps=1)
    probe = BudgetProbe(stream.watch.scorer.settings, ["1/day", "1/week"], "1/day")
    stream.watch.observe(WatchObserver(on_scored=lambda step: probe.observe(step, stream.watch)))

    stream.run(400).mature().run(60, load=15).run(10, load=15, queue_depth=40).run(60)

    own, stricter = probe.trials(stream.watch)
    opened = [alert.opened_ms for alert in stream.alerts if alert.resolved_ms is None]
    assert [alert.reason for alert in stream.alerts][:3] == [None, "another fault", None]
    assert [page.opened_ms for page in own.pages] == opened
    assert own.pages[0].resolved_ms == own.pages[1].opened_ms
    assert len(stricter.pages) == len(opened)
