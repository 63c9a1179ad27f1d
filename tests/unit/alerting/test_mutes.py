"""Which entities an operator has muted; the time is 1000 s unless a test says more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.alerting.mutes import Mutes, OperatorRequest

NOW = 1000.0
MUTE = OperatorRequest(
    id="a", kind="mute", watch="w", entity="web1", who="anna", why="disk", asked_at=990.0, until=1060.0
)


def test_an_entity_is_muted_until_its_time_is_over():
    mutes = Mutes([MUTE])

    assert mutes.muted(1059.0) == {("w", "web1")}
    assert mutes.muted(1060.0) == set()
    assert mutes.active(1060.0) == []


def test_a_later_mute_of_the_same_entity_counts():
    mutes = Mutes([MUTE, replace(MUTE, id="b", until=1010.0)])

    assert [request.id for request in mutes.active(NOW)] == ["b"]
    assert mutes.muted(1020.0) == set()


def test_an_entity_that_is_unmuted_is_not_muted_and_others_are():
    other = replace(MUTE, entity="web2")
    mutes = Mutes([MUTE, other])

    mutes.apply(replace(MUTE, kind="unmute", until=None))
    mutes.apply(replace(MUTE, kind="unmute", entity="web3", until=None))

    assert mutes.active(NOW) == [other]


def test_an_accepted_episode_mutes_nothing():
    assert Mutes([replace(MUTE, kind="accept", episode="w/web1/1")]).muted(NOW) == set()


@pytest.mark.parametrize(("why", "note"), [("disk", "anna: disk"), ("", "anna")])
def test_a_note_says_who_and_why(why, note):
    assert replace(MUTE, why=why).note == note
