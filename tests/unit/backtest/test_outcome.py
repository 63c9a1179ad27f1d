from dataclasses import replace

import numpy as np
import pytest
from backtests import FAULT_INCIDENT, START_MS, STEP_MS, labelled_backtest, trained_side

from monitor.backtest.evaluate import Incident, Matching, Page
from monitor.backtest.outcome import BudgetUse, budget_use, lead_seconds


def use(n_alerts, allowed, n_false=None):
    return BudgetUse(n_alerts, n_false, 604_800.0 / 2, allowed, most=3)


def test_more_alerts_than_chance_explains_are_over_the_budget():
    assert not use(3, 1.0).is_over
    assert use(4, 1.0).is_over


def test_where_labels_tell_only_false_alerts_count():
    assert not use(50, 1.0, n_false=3).is_over
    assert use(50, 1.0, n_false=4).is_over


def test_alerts_a_week_follow_from_the_judged_time():
    assert use(4, 1.0).a_week(4) == pytest.approx(8.0)
    assert (use(0, 0.9).is_short, use(0, 1.0).is_short) == (True, False)


def test_a_budget_is_counted_over_the_judged_time_and_for_each_entity_where_it_says_so():
    (run,) = trained_side().runs
    days = run.replayed.seconds / 86_400

    assert budget_use(run, run.pages, None, "1/day").allowed == pytest.approx(days)
    assert budget_use(run, run.pages, None, "1/day per entity").allowed == pytest.approx(2 * days)


def test_labels_outside_the_judged_time_do_not_count():
    learned = Incident(START_MS, START_MS + 10 * STEP_MS)

    backtest = labelled_backtest(incidents=(learned, FAULT_INCIDENT))

    assert backtest.judged_incidents == (FAULT_INCIDENT,)
    assert backtest.quality(backtest.side.pages).recall == 1.0
    assert labelled_backtest(incidents=None).quality(()) is None


def test_the_users_alerts_count_in_the_judged_time():
    labels = {"alertname": "High", "host": "web1"}
    times = np.array([START_MS, START_MS + STEP_MS, FAULT_INCIDENT.start_ms])
    backtest = labelled_backtest(fired=((labels, times),))

    pages, n_unknown = backtest.fired_pages()

    assert [(page.entity, page.opened_ms) for page in pages] == [("web1", FAULT_INCIDENT.start_ms)]
    assert n_unknown == 0


def test_the_simple_rule_is_a_rival_only_where_it_could_learn():
    side = trained_side()
    without = replace(side, runs=tuple(replace(run, simple=None) for run in side.runs))

    assert labelled_backtest().rival().watches == ("web",)
    assert labelled_backtest(side=without).rival() is None


def test_a_lead_is_a_median_and_below_zero_where_the_other_was_earlier():
    def pair(own, other):
        return Page("w", "a", own, None), Page("", "a", other, None)

    pairs = (pair(1000, 5000), pair(1000, 3000), pair(9000, 1000))

    assert lead_seconds(Matching(pairs, (), ())) == 2.0
    assert lead_seconds(Matching((), (), ())) is None
