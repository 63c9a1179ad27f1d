"""What becomes of an entity's episodes when its steps are judged again, case by case."""

from dataclasses import replace

from monitor.alerting.alert import Alert, ChannelShare
from monitor.alerting.corrections import correct


def episode(
    opened_ms, resolved_ms=None, *, since_ms=None, score=2.0, reason="recovered", channel="load", **more
):
    return Alert(
        watch="w",
        entity="web1",
        since_ms=opened_ms if since_ms is None else since_ms,
        opened_ms=opened_ms,
        score=score,
        limit=3.0,
        provisional=False,
        channels=(ChannelShare(channel, 1.0, 5.0, 1.0, opened_ms),),
        resolved_ms=resolved_ms,
        reason=None if resolved_ms is None else reason,
        **more,
    )


def corrected(was, found, *, now_ms=900, is_pending=False):
    return correct(was, found, now_ms=now_ms, is_pending=is_pending)


def test_an_open_episode_that_is_found_no_more_ends_as_retracted():
    outcome = corrected([episode(100)], [])

    assert outcome.notified == [("retracted", episode(100, 900, reason="retracted", revision=1))]
    assert outcome.is_open is None
    assert not outcome.stands


def test_one_that_is_over_is_retracted_without_ending_again():
    outcome = corrected([episode(100, 300)], [])

    assert outcome.notified == [("retracted", episode(100, 300, reason="retracted", revision=1, amends=True))]


def test_one_that_is_found_as_it_was_is_nothing_new():
    outcome = corrected([episode(100, score=2.0)], [episode(100, score=2.019)])

    assert outcome.notified == []
    assert outcome.is_open == episode(
        100, score=2.0
    )  # small changes do not add up unseen: the next is held against this


def test_a_higher_peak_another_channel_or_another_beginning_amend():
    for found in (episode(100, score=2.03), episode(100, channel="queue_depth"), episode(200, since_ms=50)):
        outcome = corrected([episode(100, revision=4)], [found])

        ((kind, alert),) = outcome.notified
        assert (kind, alert.identity, alert.revision, alert.amends) == ("amended", "w/web1/100", 5, True)
        assert (alert.score, alert.channels, alert.since_ms) == (found.score, found.channels, found.since_ms)
        assert outcome.is_open == replace(alert, amends=False)
        assert outcome.owners[found.identity] == alert


def test_an_open_episode_that_is_found_over_ends_by_that():
    outcome = corrected([episode(100)], [episode(100, 400)])

    assert outcome.notified == [("amended", episode(100, 400, revision=1))]
    assert outcome.is_open is None
    assert outcome.over == [episode(100, 400, revision=1)]


def test_an_end_that_moved_amends():
    outcome = corrected([episode(100, 300)], [episode(100, 400)])

    assert outcome.notified == [("amended", episode(100, 400, revision=1, amends=True))]


def test_one_that_was_notified_as_over_stays_over_though_it_is_found_open():
    outcome = corrected([episode(100, 300)], [episode(100)])

    assert outcome.notified == []
    assert outcome.is_open is None
    assert outcome.stands


def test_one_that_is_found_where_none_was_opens_late():
    outcome = corrected([episode(100, 200)], [episode(100, 200), episode(500)])

    assert outcome.notified == [("opened", episode(500))]
    assert outcome.is_open == episode(500)


def test_one_that_opens_late_and_is_over_is_notified_with_its_end():
    outcome = corrected([], [episode(100, 200)])

    assert outcome.notified == [("opened", episode(100)), (None, episode(100, 200))]
    assert outcome.over == [episode(100, 200)]


def test_two_that_are_found_in_the_place_of_one_are_notified_as_that_one():
    outcome = corrected([episode(100)], [episode(100, 200, score=5.0), episode(300, score=4.0)])

    ((kind, alert),) = outcome.notified
    assert (kind, alert.identity, alert.score, alert.resolved_ms) == ("amended", "w/web1/100", 5.0, None)
    assert outcome.is_open is not None
    assert not outcome.stands
    assert {owner.identity for owner in outcome.owners.values()} == {"w/web1/100"}


def test_one_that_is_found_in_the_place_of_two_takes_neither_back():
    outcome = corrected([episode(100, 200), episode(400)], [episode(100)])

    assert outcome.notified == []
    assert outcome.over == [episode(100, 200)]
    assert outcome.is_open == episode(400)
    assert not outcome.stands


def test_nothing_is_retracted_while_an_episode_is_about_to_open():
    outcome = corrected([episode(100)], [], is_pending=True)

    assert outcome.notified == []
    assert outcome.is_open == episode(100)
    assert outcome.stands


def test_one_that_was_retracted_and_is_found_again_goes_on_counting_its_revisions():
    outcome = corrected([episode(100, 200, reason="retracted", revision=1)], [episode(100)])

    assert outcome.notified == [("opened", episode(100, revision=2))]
    assert outcome.over == []


def test_what_was_retracted_is_remembered_and_notified_once():
    first = corrected([episode(100)], [])
    second = corrected(first.over, [])

    assert second.notified == []
    assert [alert.reason for alert in second.over] == ["retracted"]


def test_what_an_operator_accepted_stays_so_however_it_ends_when_it_is_judged_again():
    accepted = episode(100, 300, reason="accepted by operator", note="anna")

    correction = corrected([accepted], [episode(100, 250, reason="level changed")])
    still_open = corrected([accepted], [episode(100)])

    assert (correction.notified, correction.over, correction.is_open) == ([], [accepted], None)
    assert (still_open.notified, still_open.over, still_open.is_open) == ([], [accepted], None)
