"""What is too old to be told: the greatest age is 100 s, and the source's time is 1000 s unless a test says otherwise."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from monitor.alerting.alert import Alert
from monitor.alerting.alert_age import Quiet, Standing, Summary

NOW_MS = 1_000_000


def opening(opened_s, *, entity="web1", watch="w", score=2.0):
    return Alert(watch, entity, opened_s * 1000, opened_s * 1000, score, 3.0, False, ())


def end(opened_s, resolved_s, **more):
    return replace(opening(opened_s, **more), score=5.0, resolved_ms=resolved_s * 1000, reason="recovered")


def reached(reached_s, *open_alerts, watch="w"):
    return {watch: Standing(reached_s * 1000, open_alerts)}


@pytest.fixture
def quiet():
    return Quiet({"w": 100_000})


def test_what_is_young_is_told_as_it_comes(quiet):
    alerts = [opening(900), end(900, 950)]

    sifted = quiet.step(alerts, NOW_MS, reached(990))

    assert (sifted.told, sifted.held, sifted.summary) == (tuple(alerts), (), None)


def test_what_opened_and_ended_too_long_ago_is_not_told(quiet):
    alerts = [opening(500), end(500, 899)]

    sifted = quiet.step(alerts, NOW_MS, reached(899))

    assert (sifted.told, sifted.held) == ((), tuple(alerts))
    assert quiet.held == set()


def test_what_was_told_while_it_was_young_ends_aloud_however_old_the_end_is(quiet):
    quiet.step([opening(400)], 410_000, reached(410))  # then the daemon is down

    sifted = quiet.step([end(400, 500)], NOW_MS, reached(600))

    assert sifted.told == (end(400, 500),)


def test_what_is_held_back_and_still_open_is_told_once_as_it_is_then(quiet):
    still_open = opening(500, score=7.0)  # it has risen since
    first = quiet.step([opening(500)], NOW_MS, reached(899, still_open))
    second = quiet.step([], NOW_MS, reached(900, still_open))
    third = quiet.step([], NOW_MS, reached(1000, still_open))

    assert (first.told, first.held, second.told, third.told) == ((), (opening(500),), (still_open,), ())


def test_what_opened_long_ago_and_has_just_ended_is_told_as_both(quiet):
    sifted = quiet.step([opening(500), end(500, 950)], NOW_MS, reached(990))

    assert sifted.told == (replace(end(500, 950), resolved_ms=None, reason=None), end(500, 950))


def test_the_cut_into_batches_changes_nothing_of_what_is_told():
    alerts = [opening(500), opening(600, entity="web2"), end(600, 650, entity="web2"), opening(920, entity="web3"), end(500, 950)]
    moments = [alert.resolved_ms or alert.opened_ms for alert in alerts]
    expected = None
    for cuts in itertools.product([True, False], repeat=len(alerts) - 1):
        quiet, told, held = Quiet({"w": 100_000}), [], []
        batches = [[alerts[0]]]
        for alert, cut in zip(alerts[1:], cuts, strict=True):
            batches.append([alert]) if cut else batches[-1].append(alert)
        still_open = {}
        for batch in batches:
            for alert in batch:
                still_open.update({alert.identity: alert}) if alert.resolved_ms is None else still_open.pop(alert.identity)
            newest_s = max(moments[: sum(map(len, batches[: batches.index(batch) + 1]))]) // 1000
            sifted = quiet.step(batch, NOW_MS, reached(newest_s, *still_open.values()))
            told += [(alert.identity, alert.resolved_ms) for alert in sifted.told]
            held += [(alert.identity, alert.resolved_ms) for alert in sifted.held if alert.resolved_ms]
        assert expected in (None, (sorted(told, key=str), held))
        expected = sorted(told, key=str), held
    assert held == [("w/web2/600000", 650_000)]


def test_one_summary_follows_when_all_its_watches_have_caught_up():
    quiet = Quiet({"w": 100_000, "v": 100_000})
    behind, abreast = Standing(600_000, ()), Standing(950_000, ())
    alerts = [
        opening(500),
        end(500, 510),
        opening(520),
        end(520, 560),
        opening(400, watch="v", entity="db1"),
        end(400, 410, watch="v", entity="db1"),
    ]

    first = quiet.step(alerts, NOW_MS, {"w": behind, "v": abreast})
    second = quiet.step([], NOW_MS, {"w": abreast, "v": abreast})
    third = quiet.step([], NOW_MS, {"w": abreast, "v": abreast})

    assert (first.summary, third.summary) == (None, None)
    assert second.summary == Summary(3, ("w/web1", "v/db1"), 400_000, 560_000)


def test_a_watch_that_never_catches_up_is_summed_up_now_and_then(quiet):
    summaries = []
    for now_s in range(1000, 1400, 10):  # always 200 s behind, and an episode of 5 s every 10 s
        at_s = now_s - 200
        sifted = quiet.step([opening(at_s), end(at_s, at_s + 5)], now_s * 1000, reached(at_s + 5))
        assert sifted.told == ()
        summaries += [sifted.summary.n_episodes] if sifted.summary else []

    assert summaries == [11, 11, 11]  # those of 100 s, and the one that ends them; seven are still to come


def test_a_watch_without_a_greatest_age_is_told_of_everything(quiet):
    alerts = [opening(1, watch="v"), end(1, 2, watch="v")]

    assert quiet.step(alerts, NOW_MS, reached(3, watch="v")).told == tuple(alerts)


# Over a restart


def again(quiet, *, still_open, told=()):
    other = Quiet({"w": 100_000}, told=told)
    other.load_state(json.loads(json.dumps(quiet.state())), still_open)
    return other


def test_what_is_held_back_and_what_is_to_be_summed_up_outlive_the_daemon(quiet):
    quiet.step([opening(400), end(400, 410), opening(500, entity="web2")], NOW_MS, reached(600, opening(500, entity="web2")))

    sifted = again(quiet, still_open=["w/web2/500000"]).step([end(500, 700, entity="web2")], NOW_MS, reached(950))

    assert (sifted.told, sifted.held) == ((), (end(500, 700, entity="web2"),))
    assert sifted.summary == Summary(2, ("w/web1", "w/web2"), 400_000, 700_000)


def test_what_was_told_and_not_kept_as_told_is_told_again_and_ends_aloud(quiet):
    # Told at its time; killed before the checkpoint; started again when it is old.
    successor = again(quiet, still_open=[], told=["w/web1/400000"])

    sifted = successor.step([opening(400), end(400, 500)], NOW_MS, reached(600))

    assert sifted.told == (opening(400), end(400, 500))


def test_what_was_told_after_it_had_been_kept_as_held_back_is_held_back_no_more(quiet):
    quiet.step([opening(500)], NOW_MS, reached(600, opening(500)))

    successor = again(quiet, still_open=["w/web1/500000"], told=["w/web1/500000"])

    assert successor.held == set()
    assert successor.step([end(500, 700)], 9 * NOW_MS, reached(800)).told == (end(500, 700),)


def test_what_is_not_open_any_more_is_not_held_back(quiet):
    quiet.step([opening(500)], NOW_MS, reached(600, opening(500)))

    assert again(quiet, still_open=[]).held == set()


def amended(opened_s, resolved_s=None, **more):
    alert = opening(opened_s) if resolved_s is None else end(opened_s, resolved_s)
    return replace(alert, score=9.0, revision=1, amends=True, **more)


def test_an_old_episode_that_was_told_and_is_open_is_amended_aloud(quiet):
    quiet.step([opening(400)], 410_000, reached(410))

    assert quiet.step([amended(400)], NOW_MS, reached(600)).told == (amended(400),)


def test_what_nobody_was_told_of_is_amended_in_silence(quiet):
    quiet.step([opening(500)], NOW_MS, reached(520))

    sifted = quiet.step([amended(500)], NOW_MS, reached(540))

    assert (sifted.told, sifted.held) == ((), (amended(500),))
    assert quiet.held == {"w/web1/500000"}


@pytest.mark.parametrize(("resolved_s", "is_told"), [(899, False), (950, True)])
def test_what_is_over_is_amended_aloud_as_long_as_its_end_is_young(quiet, resolved_s, is_told):
    alert = amended(500, resolved_s)

    sifted = quiet.step([alert], NOW_MS, reached(990))

    assert (sifted.told, sifted.held) == (((alert,), ()) if is_told else ((), (alert,)))


def test_what_is_retracted_before_anybody_was_told_of_it_is_never_told(quiet):
    quiet.step([opening(500)], NOW_MS, reached(520))
    retracted = replace(end(500, 990), reason="retracted", revision=1)

    sifted = quiet.step([retracted], NOW_MS, reached(990))

    assert (sifted.told, sifted.held, sifted.summary) == ((), (retracted,), None)
    assert quiet.held == set()
