import numpy as np
from backtests import labelled_backtest, trained_side

from monitor.backtest.figures import figures_of
from monitor.backtest.summary import summary_of


def test_the_verdict_comes_first_and_the_worst_episodes_last():
    figures = figures_of(labelled_backtest())

    lines = summary_of(figures)

    assert lines[:2] == [figures["status"], figures["headline"]]
    assert lines[3].startswith("web (trained on 41 min up to ")
    assert figures["simple_rule"]["verdict"] in lines
    assert lines[lines.index("The worst episodes:") + 1].startswith("  2023-11-")


def test_comparisons_have_a_line_each():
    fired = (({"alertname": "Same"}, np.array([trained_side().pages[0].opened_ms])),)
    backtest = labelled_backtest(fired=fired, against=trained_side())

    text = "\n".join(summary_of(figures_of(backtest)))

    assert (
        "Your rules raised 1 alerts: 1 by both, Barograph 0 s earlier (median); 0 only by your rules" in text
    )
    assert f"{len(trained_side().pages)} episodes are in both" in text


def test_nothing_in_a_name_reaches_the_terminal_as_it_is():
    figures = figures_of(labelled_backtest())
    figures["headline"] = "a\x1b[31mb"

    assert "a\\x1b[31mb" in summary_of(figures)
