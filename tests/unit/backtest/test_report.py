from dataclasses import replace

import numpy as np
from backtests import HOSTILE, labelled_backtest, trained_side

from monitor.backtest.report import drawings_of


def test_the_worst_episodes_have_their_notification_and_curves_with_the_score_last():
    worst = drawings_of(labelled_backtest()).worst

    assert 0 < len(worst) <= 5
    assert ", usually " in worst[0].text
    assert worst[0].is_true
    assert worst[0].charts[-1].title == "score"
    assert [curve.kind for curve in worst[0].charts[0].curves] == ["expected", "actual"]
    assert [curve.kind for curve in worst[0].charts[-1].curves] == ["limit", "score"]
    assert {bar.kind for bar in worst[0].charts[0].bars} == {"episode", "label"}


def test_each_entity_with_an_episode_has_a_row_with_the_labels_behind():
    line = drawings_of(labelled_backtest()).time_line

    assert {row.entity for row in line.rows} == {HOSTILE, "web1"}
    assert line.kinds == {"own", "label"}
    assert (line.n_more, line.n_without) == (0, 0)


def test_other_sides_and_the_users_alerts_are_drawn_too():
    fired = (
        ({"alertname": "Known", "host": "web1"}, np.array([trained_side().pages[0].opened_ms])),
        ({"alertname": "Unknown"}, np.array([trained_side().pages[0].opened_ms])),
    )

    line = drawings_of(labelled_backtest(fired=fired, against=trained_side())).time_line

    assert line.kinds == {"own", "other", "fired", "label"}
    assert line.rows[-1].entity == "your own alerts of no entity here"


def test_a_budget_strip_has_bars_for_each_budget_and_begins_at_the_configured():
    (strip,) = drawings_of(labelled_backtest()).strips
    run = trained_side().runs[0]

    assert len(strip.bars) == len(run.trials)
    assert run.trials[strip.chosen].budget == "1/day"


def test_without_episodes_there_is_nothing_to_draw_and_no_error():
    run = trained_side().runs[0]
    quiet = replace(run, pages=(), pictures=(), trials=(), replayed=replace(run.replayed, alerts=()))

    drawings = drawings_of(labelled_backtest(side=replace(trained_side(), runs=(quiet,)), incidents=None))

    assert (drawings.worst, drawings.strips, drawings.time_line.rows) == ((), (), ())
    assert drawings.time_line.n_without == 2
