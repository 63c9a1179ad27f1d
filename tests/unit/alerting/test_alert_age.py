"""Alerts that are too old. The greatest age is 100 s; the source's time is 1000 s unless a test says more."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import AlertAgeFilter, Summary, WatchProgress

NOW_MS = 1_000_000


def opening(opened_s, *, entity="web1", watch="w", score=2.0):
    return Alert(watch, entity, opened_s * 1000, opened_s * 1000, score, 3.0, False, ())


def end(opened_s, resolved_s, **more):
    return replace(opening(opened_s, **more), score=5.0, resolved_ms=resolved_s * 1000, reason="recovered")


def reached(reached_s, *open_alerts, watch="w"):
    return {watch: WatchProgress(reached_s * 1000, open_alerts)}


@pytest.fixture
def age_filter():
    return AlertAgeFilter({"w": 100_000})


def test_young_episodes_are_notified_as_they_come(age_filter):
    alerts = [opening(900), end(900, 950)]

    filtered = age_filter.filter(alerts, NOW_MS, reached(990))

    assert (filtered.notified, filtered.withheld, filtered.summary) == (tuple(alerts), (), None)


def test_what_opened_and_ended_too_long_ago_is_not_notified(age_filter):
    alerts = [opening(500), end(500, 899)]

    filtered = age_filter.filter(alerts, NOW_MS, reached(899))

    assert (filtered.notified, filtered.withheld) == ((), tuple(alerts))
    assert age_filter.withheld == set()


def test_the_end_of_a_notified_episode_is_notified_however_old_it_is(age_filter):
    age_filter.filter([opening(400)], 410_000, reached(410))  # then the daemon is down

    filtered = age_filter.filter([end(400, 500)], NOW_MS, reached(600))

    assert filtered.notified == (end(400, 500),)


def test_what_is_withheld_and_still_open_is_notified_once_as_it_is_then(age_filter):
    still_open = opening(500, score=7.0)  # it has risen since
    first = age_filter.filter([opening(500)], NOW_MS, reached(899, still_open))
    second = age_filter.filter([], NOW_MS, reached(900, still_open))
    third = age_filter.filter([], NOW_MS, reached(1000, still_open))

    assert (first.notified, first.withheld, second.notified, third.notified) == (
        (),
        (opening(500),),
        (still_open,),
        (),
    )


def test_what_opened_long_ago_and_has_just_ended_is_notified_as_both(age_filter):
    filtered = age_filter.filter([opening(500), end(500, 950)], NOW_MS, reached(990))

    assert filtered.notified == (replace(end(500, 950), resolved_ms=None, reason=None), end(500, 950))


def test_the_cut_into_batches_does_not_change_what_is_notified():
    alerts = [
        opening(500),
        opening(600, entity="web2"),
        end(600, 650, entity="web2"),
        opening(920, entity="web3"),
        end(500, 950),
    ]
    snapshots = [alert.resolved_ms or alert.opened_ms for alert in alerts]
    expected = None
    for cuts in itertools.product([True, False], repeat=len(alerts) - 1):
        age_filter, notified, withheld = AlertAgeFilter({"w": 100_000}), [], []
        batches = [[alerts[0]]]
        for alert, cut in zip(alerts[1:], cuts, strict=True):
            batches.append([alert]) if cut else batches[-1].append(alert)
        still_open = {}
        for batch in batches:
            for alert in batch:
                still_open.update({alert.identity: alert}) if alert.resolved_ms is None else still_open.pop(
                    alert.identity
                )
            newest_s = max(snapshots[: sum(map(len, batches[: batches.index(batch) + 1]))]) // 1000
            filtered = age_filter.filter(batch, NOW_MS, reached(newest_s, *still_open.values()))
            notified += [(alert.identity, alert.resolved_ms) for alert in filtered.notified]
            withheld += [
                (alert.identity, alert.resolved_ms) for alert in filtered.withheld if alert.resolved_ms
            ]
        assert expected in (None, (sorted(notified, key=str), withheld))
        expected = sorted(notified, key=str), withheld
    assert withheld == [("w/web2/600000", 650_000)]


def test_one_summary_follows_when_all_its_watches_have_caught_up():
    age_filter = AlertAgeFilter({"w": 100_000, "v": 100_000})
    behind, abreast = WatchProgress(600_000, ()), WatchProgress(950_000, ())
    alerts = [
        opening(500),
        end(500, 510),
        opening(520),
        end(520, 560),
        opening(400, watch="v", entity="db1"),
        end(400, 410, watch="v", entity="db1"),
    ]

    first = age_filter.filter(alerts, NOW_MS, {"w": behind, "v": abreast})
    second = age_filter.filter([], NOW_MS, {"w": abreast, "v": abreast})
    third = age_filter.filter([], NOW_MS, {"w": abreast, "v": abreast})

    assert (first.summary, third.summary) == (None, None)
    assert second.summary == Summary(3, ("w/web1", "v/db1"), 400_000, 560_000)


def test_a_watch_that_never_catches_up_is_summed_up_at_intervals(age_filter):
    summaries = []
    for now_s in range(1000, 1400, 10):  # always 200 s behind, and an episode of 5 s every 10 s
        at_s = now_s - 200
        filtered = age_filter.filter([opening(at_s), end(at_s, at_s + 5)], now_s * 1000, reached(at_s + 5))
        assert filtered.notified == ()
        summaries += [filtered.summary.n_episodes] if filtered.summary else []

    assert summaries == [11, 11, 11]  # those of 100 s, and the one that ends them; seven are still to come


def test_a_watch_without_a_greatest_age_is_notified_of_everything(age_filter):
    alerts = [opening(1, watch="v"), end(1, 2, watch="v")]

    assert age_filter.filter(alerts, NOW_MS, reached(3, watch="v")).notified == tuple(alerts)


# Over a restart


def again(age_filter, *, still_open, notified=()):
    other = AlertAgeFilter({"w": 100_000}, notified=notified)
    other.load_state(json.loads(json.dumps(age_filter.state())), still_open)
    return other


def test_what_is_withheld_and_what_is_to_be_summed_up_outlive_the_daemon(age_filter):
    age_filter.filter(
        [opening(400), end(400, 410), opening(500, entity="web2")],
        NOW_MS,
        reached(600, opening(500, entity="web2")),
    )

    filtered = again(age_filter, still_open=["w/web2/500000"]).filter(
        [end(500, 700, entity="web2")], NOW_MS, reached(950)
    )

    assert (filtered.notified, filtered.withheld) == ((), (end(500, 700, entity="web2"),))
    assert filtered.summary == Summary(2, ("w/web1", "w/web2"), 400_000, 700_000)


def test_what_was_notified_and_not_saved_as_such_is_notified_again_and_so_is_its_end(age_filter):
    # Told at its time; killed before the checkpoint; started again when it is old.
    successor = again(age_filter, still_open=[], notified=["w/web1/400000"])

    filtered = successor.filter([opening(400), end(400, 500)], NOW_MS, reached(600))

    assert filtered.notified == (opening(400), end(400, 500))


def test_what_was_notified_after_it_was_saved_as_withheld_is_withheld_no_more(age_filter):
    age_filter.filter([opening(500)], NOW_MS, reached(600, opening(500)))

    successor = again(age_filter, still_open=["w/web1/500000"], notified=["w/web1/500000"])

    assert successor.withheld == set()
    assert successor.filter([end(500, 700)], 9 * NOW_MS, reached(800)).notified == (end(500, 700),)


def test_what_is_not_open_any_more_is_not_withheld(age_filter):
    age_filter.filter([opening(500)], NOW_MS, reached(600, opening(500)))

    assert again(age_filter, still_open=[]).withheld == set()


def amended(opened_s, resolved_s=None, **more):
    alert = opening(opened_s) if resolved_s is None else end(opened_s, resolved_s)
    return replace(alert, score=9.0, revision=1, amends=True, **more)


def test_the_amendment_of_an_old_open_episode_that_was_notified_is_notified(age_filter):
    age_filter.filter([opening(400)], 410_000, reached(410))

    assert age_filter.filter([amended(400)], NOW_MS, reached(600)).notified == (amended(400),)


def test_the_amendment_of_a_withheld_episode_is_withheld(age_filter):
    age_filter.filter([opening(500)], NOW_MS, reached(520))

    filtered = age_filter.filter([amended(500)], NOW_MS, reached(540))

    assert (filtered.notified, filtered.withheld) == ((), (amended(500),))
    assert age_filter.withheld == {"w/web1/500000"}


@pytest.mark.parametrize(("resolved_s", "notifies"), [(899, False), (950, True)])
def test_an_amendment_of_an_ended_episode_is_notified_while_its_end_is_young(
    age_filter, resolved_s, notifies
):
    alert = amended(500, resolved_s)

    filtered = age_filter.filter([alert], NOW_MS, reached(990))

    assert (filtered.notified, filtered.withheld) == (((alert,), ()) if notifies else ((), (alert,)))


def test_what_is_retracted_while_it_is_withheld_is_never_notified(age_filter):
    age_filter.filter([opening(500)], NOW_MS, reached(520))
    retracted = replace(end(500, 990), reason="retracted", revision=1)

    filtered = age_filter.filter([retracted], NOW_MS, reached(990))

    assert (filtered.notified, filtered.withheld, filtered.summary) == ((), (retracted,), None)
    assert age_filter.withheld == set()


# Muted entities

MUTED = {("w", "web1")}


def test_what_opens_and_ends_while_it_is_muted_is_not_notified_and_its_summary_does_not_count_it(age_filter):
    alerts = [opening(950), end(950, 980), opening(960, entity="web2")]

    filtered = age_filter.filter(alerts, NOW_MS, reached(990), MUTED)

    assert filtered.notified == (opening(960, entity="web2"),)
    assert (filtered.muted, filtered.withheld, filtered.summary) == (tuple(alerts[:2]), (), None)
    assert age_filter.withheld == set()


def test_what_is_still_open_when_the_mute_ends_is_notified_then(age_filter):
    still_open = opening(950, score=7.0)
    first = age_filter.filter([opening(950)], NOW_MS, reached(990, still_open), MUTED)
    withheld = set(age_filter.withheld)
    second = age_filter.filter([], NOW_MS, reached(991, still_open), MUTED)
    third = age_filter.filter([], NOW_MS, reached(992, still_open))

    assert (first.muted, withheld) == ((opening(950),), {"w/web1/950000"})
    assert (first.notified, second.notified, third.notified) == ((), (), (still_open,))


def test_the_end_of_what_was_notified_before_the_mute_is_notified(age_filter):
    age_filter.filter([opening(950)], NOW_MS, reached(990))

    filtered = age_filter.filter([end(950, 995)], NOW_MS, reached(996), MUTED)

    assert (filtered.notified, filtered.muted) == ((end(950, 995),), ())


def test_what_late_data_amends_of_a_muted_entity_is_stored_alone(age_filter):
    amended = replace(opening(950), revision=1, amends=True)

    filtered = age_filter.filter([amended], NOW_MS, reached(990), MUTED)

    assert (filtered.notified, filtered.muted, age_filter.withheld) == ((), (amended,), set())
