import json
from dataclasses import replace

import numpy as np
import pytest
from backtests import FAULT_INCIDENT, HOSTILE, labelled_backtest, trained_side

from monitor.backtest.evaluate import Page
from monitor.backtest.figures import figures_of, notification_text, rate_text


def test_with_labels_the_headline_counts_what_was_caught_and_what_was_false():
    figures = figures_of(labelled_backtest())

    n_false = figures["labels"]["false_alerts"]
    assert figures["headline"].startswith("1 of 1 labelled incident caught, after ")
    assert f"{n_false} false alert" in figures["headline"]
    assert figures["labels"]["recall"] == 1.0
    assert figures["watches"][0]["false_alerts"] == n_false


def test_without_labels_the_headline_is_alerts_a_week_against_the_budget():
    figures = figures_of(labelled_backtest(incidents=None))

    assert figures["headline"].endswith(" a week, where the budget allows 7.")
    assert figures["labels"] is None
    assert figures["watches"][0]["alerts"] == len(trained_side().pages)


def test_a_time_too_short_to_show_the_budget_is_said_to_be():
    quiet = replace(trained_side().runs[0], pages=())

    figures = figures_of(labelled_backtest(side=replace(trained_side(), runs=(quiet,)), incidents=None))

    assert figures["status"] == "Within the budget, as far as so short a time can show"
    assert not figures["is_over"]


def test_too_many_alerts_name_the_watch_that_is_over_its_budget():
    run = trained_side().runs[0]
    pages = tuple(Page("web", "web1", run.replayed.from_ms + n, None) for n in range(1, 50))

    figures = figures_of(
        labelled_backtest(side=replace(trained_side(), runs=(replace(run, pages=pages),)), incidents=None)
    )

    assert (figures["status"], figures["is_over"]) == ("Over the budget: web", True)


def simple_verdict(own, simple, **more):
    """Give the verdict on a rule that opens at some ms after the fault began, beside ours."""

    def pages(*offsets):
        return tuple(Page("web", "web1", FAULT_INCIDENT.start_ms + ms, None) for ms in offsets)

    run = replace(trained_side().runs[0], pages=pages(*own), simple=pages(*simple))
    return figures_of(labelled_backtest(side=replace(trained_side(), runs=(run,)), **more))["simple_rule"]


def test_a_rule_that_catches_as_much_with_no_more_false_alerts_would_do_as_well():
    verdict = simple_verdict([1000], [2000])

    assert verdict["as_good"]
    assert verdict["verdict"] == (
        "A three-sigma rule would do as well here: it catches 1 of 1 incidents with 0 false alerts, "
        "Barograph 1 with 0."
    )


def test_a_rule_that_misses_more_would_do_worse_and_with_fewer_false_alerts_is_a_trade():
    after = 3_000_000

    assert simple_verdict([1000], [])["verdict"].startswith("A three-sigma rule would do worse here")
    assert simple_verdict([1000, after], [])["verdict"].startswith(
        "A three-sigma rule would make another trade"
    )


def test_without_labels_a_rule_is_as_good_where_it_raises_the_same_and_no_more():
    assert simple_verdict([1000], [2000], incidents=None)["as_good"]
    assert not simple_verdict([1000], [2000, 3000], incidents=None)["as_good"]
    assert not simple_verdict([1000], [], incidents=None)["as_good"]


def test_the_users_alerts_are_sorted_into_both_and_one_only():
    own = trained_side().pages[0]
    same = ({"alertname": "Same", "host": own.entity}, np.array([own.opened_ms + 20_000]))
    alone = (
        {"alertname": "Alone", "host": "web1"},
        np.array([trained_side().runs[0].replayed.from_ms + 60_000]),
    )

    own_alerts = figures_of(labelled_backtest(fired=(same, alone)))["own_alerts"]

    assert (own_alerts["both"], own_alerts["earlier"], own_alerts["median_lead_seconds"]) == (1, 1, 20.0)
    assert [page["rule"] for page in own_alerts["only_yours"]] == ["Alone"]
    assert len(own_alerts["only_barograph"]) == len(trained_side().pages) - 1


def test_two_sides_are_compared_by_what_both_and_only_one_raised():
    other = replace(trained_side().runs[0], pages=trained_side().pages[:1])

    against = figures_of(labelled_backtest(against=replace(trained_side(), name="b.toml", runs=(other,))))[
        "against"
    ]

    assert (against["name"], against["both"], against["only_second"]) == ("b.toml", 1, [])
    assert [side["alerts"] for side in against["sides"]] == [len(trained_side().pages), 1]


def test_the_figures_are_json_without_a_nan():
    text = json.dumps(figures_of(labelled_backtest()), allow_nan=False)

    assert json.loads(text)["episodes"]


def test_a_notification_names_the_entity_and_what_is_unusual():
    alerts = [alert for alert in trained_side().runs[0].replayed.alerts if alert.entity == HOSTILE]

    text = notification_text(alerts[0])

    assert text.startswith(f"web/{HOSTILE}: ")
    assert ", usually " in text


@pytest.mark.parametrize(("value", "text"), [(0.059, "0.059"), (7.0, "7"), (12.4, "12"), (1660.2, "1,660")])
def test_few_alerts_are_written_with_two_digits_and_many_whole(value, text):
    assert rate_text(value) == text
