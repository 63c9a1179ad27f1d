"""A topic that was deleted and made again is noticed by its id, once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from fake_kafka import M0, M1, FakeKafka

from monitor.kafka.client import Partition, RetriableError
from monitor.kafka.topic_identity import TopicIdentity
from monitor.testing import FakeClock


@pytest.fixture
def kafka():
    kafka = FakeKafka()
    kafka.topics = {"m": "b"}
    return kafka


@pytest.fixture
def clock():
    return FakeClock(1000.0)


@pytest.fixture
def recreated():
    return []


@pytest.fixture
def identity(clock, recreated, kafka):
    identity = TopicIdentity(clock, recreated.append)
    identity.ask(kafka, [M0, M1], waits=True)
    return identity


def test_each_topic_is_asked_for_once_whatever_its_number_of_partitions(identity, kafka):
    identity.ask(kafka, [M0, Partition("a", 0), M1], waits=True)

    assert kafka.calls[-1] == ("topic_ids", "a", "m")
    assert (identity.id_of("m"), identity.id_of("a")) == ("b", "")


def test_a_position_of_a_topic_with_another_id_is_of_another_topic_which_is_logged_and_counted_once(
    identity, recreated, caplog
):
    assert not identity.is_recreated("m")

    assert [identity.is_of("m", "a") for _ in range(3)] == [False] * 3

    assert recreated == ["m"]
    assert identity.is_recreated("m")
    assert caplog.messages == [
        "topic recreated topic=m: it was deleted and made again (its id was a, and is b); it is read from "
        "its new beginning, and what was not read of the old topic is lost"
    ]


def test_a_topic_that_is_made_again_twice_is_counted_twice(identity, kafka, recreated):
    identity.is_of("m", "a")
    kafka.topics = {"m": "c"}
    identity.ask(kafka, [M0], waits=True)

    assert not identity.is_of("m", "b")
    assert recreated == ["m", "m"]


@pytest.mark.parametrize(("topic", "position_id"), [("m", "b"), ("m", ""), ("without-id", "a")])
def test_nothing_is_concluded_from_the_same_id_or_from_none(identity, recreated, topic, position_id):
    assert identity.is_of(topic, position_id)
    assert recreated == []


def test_it_is_asked_again_every_five_seconds(identity, kafka, clock):
    clock.advance(4.9)
    assert not identity.ask_in_time(kafka, [M0])
    clock.advance(0.1)
    assert identity.ask_in_time(kafka, [M0])
    assert not identity.ask_in_time(kafka, [M0])

    assert kafka.calls == [("topic_ids", "m")] * 2


def test_an_id_that_is_not_known_is_asked_for_every_second(identity, kafka, clock):
    both = [M0, Partition("n", 0)]
    clock.advance(0.9)
    assert not identity.ask_in_time(kafka, both)
    clock.advance(0.1)
    assert identity.ask_in_time(kafka, both)
    kafka.topics["n"] = "c"
    clock.advance(1.0)
    assert identity.ask_in_time(kafka, both)
    clock.advance(1.0)
    assert not identity.ask_in_time(kafka, both)


def test_an_answer_is_waited_for_only_where_it_is_asked_for_at_a_start(identity, clock):
    timeouts = []
    client = SimpleNamespace(
        topic_ids=lambda topics, *, timeout_seconds: timeouts.append(timeout_seconds) or {}
    )

    identity.ask(client, [M0], waits=True)
    clock.advance(5.0)
    identity.ask_in_time(client, [M0])

    assert timeouts == [2.0, 0.0]


def test_a_broker_that_does_not_answer_changes_nothing_and_is_asked_again(identity, kafka, clock):
    kafka.errors = {"topic_ids": [RetriableError("away", "")]}
    clock.advance(5.0)

    assert identity.ask_in_time(kafka, [M0])
    assert identity.id_of("m") == "b"
    kafka.topics = {"m": "c"}
    clock.advance(5.0)
    assert identity.ask_in_time(kafka, [M0])
    assert identity.id_of("m") == "c"


def test_a_topic_that_is_away_keeps_the_id_that_it_had(identity, kafka):
    kafka.topics = {}
    identity.ask(kafka, [M0], waits=True)

    assert identity.id_of("m") == "b"
