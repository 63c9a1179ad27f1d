import pytest

from monitor.backtest.evaluate import Incident, Page, judge_pages, match_pages


def page(start, end, entity="a"):
    return Page("w", entity, start, end)


def test_an_incident_is_caught_by_the_first_page_that_opens_within_it():
    quality = judge_pages([page(60, 70), page(20, 30)], [Incident(10, 100)], grace_ms=0)

    assert quality.caught == (page(20, 30),)
    assert (quality.n_caught, quality.n_false, quality.precision, quality.recall) == (1, 0, 1.0, 1.0)
    assert quality.median_delay_seconds == pytest.approx(0.01)


def test_a_page_that_was_open_before_is_true_but_catches_nothing():
    quality = judge_pages([page(5, 50)], [Incident(10, 100)], grace_ms=0)

    assert (quality.is_true, quality.caught, quality.recall) == ((True,), (None,), 0.0)
    assert quality.covered == (True,)
    assert judge_pages([], [Incident(10, 100)], grace_ms=0).covered == (False,)


def test_a_page_of_another_entity_is_false():
    quality = judge_pages([page(20, 30, "b")], [Incident(10, 100, "a")], grace_ms=0)

    assert (quality.n_false, quality.precision) == (1, 0.0)


def test_a_page_soon_after_an_incidents_end_still_counts():
    assert judge_pages([page(105, 110)], [Incident(10, 100)], grace_ms=5).n_caught == 1
    assert judge_pages([page(106, 110)], [Incident(10, 100)], grace_ms=5).n_caught == 0


def test_a_page_catches_a_single_incident():
    incidents = [Incident(10, 100), Incident(50, 120)]

    assert judge_pages([page(60, None)], incidents, grace_ms=0).n_caught == 1


def test_without_pages_or_incidents_there_is_no_share():
    empty = judge_pages([], [], grace_ms=0)

    assert (empty.precision, empty.recall, empty.median_delay_seconds) == (None, None, None)


def test_pages_are_paired_where_they_overlap_on_the_same_entity():
    first = [page(10, 20), page(50, None), page(90, 95)]
    second = [page(15, 30), page(55, 60, "b"), page(70, 80)]

    matching = match_pages(first, second, slack_ms=0)

    assert matching.pairs == ((page(10, 20), page(15, 30)), (page(50, None), page(70, 80)))
    assert matching.only_first == (page(90, 95),)
    assert matching.only_second == (page(55, 60, "b"),)


def test_a_page_without_an_entity_is_paired_by_time_alone():
    fired = Page("", "", 22, 30, "HighLoad")

    assert match_pages([page(10, 20)], [fired], slack_ms=2).pairs == ((page(10, 20), fired),)
    assert match_pages([page(10, 20)], [fired], slack_ms=1).pairs == ()
