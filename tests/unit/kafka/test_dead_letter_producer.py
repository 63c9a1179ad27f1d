"""Dead letters over a producer that does what it is told: none is lost without a word, and nobody waits for one."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from monitor.clock import SystemClock
from monitor.config.kafka import KafkaConfig
from monitor.errors import SourceError
from monitor.kafka.client import RetriableError
from monitor.kafka.dead_letter import DeadLetter
from monitor.kafka.dead_letter_producer import DeadLetterProducer

AWAY = RetriableError("KafkaTimeoutError", "no answer")


class Broker:
    """A library whose producer answers at once, or as it is told to."""

    def __init__(self):
        self.sent = []
        self.opened = 0
        self.refuses_opening = self.refuses_sending = False
        self.answer = None  # to each record: None, or an error
        self.answers = threading.Event()
        self.answers.set()
        self.is_closed = False
        self._numbers, self._outcomes = itertools.count(), []

    def open_producer(self, config, *, give_up_seconds):
        self.opened += 1
        if self.refuses_opening:
            raise AWAY
        return self

    def send(self, topic, value, *, key=None, headers=()):
        if self.refuses_sending:
            raise AWAY
        self.sent.append((topic, value, key, dict(headers)))
        number = next(self._numbers)
        self._outcomes.append(number)
        return number

    def outcomes(self):
        if not self.answers.is_set():
            return []
        done, self._outcomes = self._outcomes, []
        return [(number, self.answer) for number in done]

    def close(self, *, timeout_seconds):
        self.is_closed = True


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def box(broker, monkeypatch):
    monkeypatch.setattr("monitor.kafka.dead_letter_producer._PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("monitor.kafka.dead_letter_producer._CLOSE_SECONDS", 0.5)
    made = DeadLetterProducer(
        KafkaConfig(topics=["metrics"], dead_letter_topic="dead"), broker, SystemClock(), version="1.2"
    )
    yield made
    broker.answers.set()
    made.close()


def dead_letter(number=0, value=b"{torn"):
    return DeadLetter("metrics", 0, number, 5, "invalid_json", "", value, b"key")


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_letter_is_sent_to_its_topic_with_bytes_key_and_headers(box, broker):
    box.put(dead_letter(7))

    assert box.flush(20)
    ((topic, value, key, headers),) = broker.sent
    assert (topic, value, key, headers["barograph.offset"], headers["barograph.version"]) == (
        "dead",
        b"{torn",
        b"key",
        b"7",
        b"1.2",
    )
    assert box.drain_counts() == {"sent": 1}
    assert box.drain_counts() == {}


def test_they_are_sent_in_their_order(box, broker):
    for number in range(500):
        box.put(dead_letter(number))

    assert box.flush(20)
    assert [int(headers["barograph.offset"]) for *_, headers in broker.sent] == list(range(500))


def test_no_connection_is_made_before_there_is_a_letter(box, broker):
    assert box.flush(0)
    assert broker.opened == 0


def test_a_broker_that_is_away_costs_some_tries_and_is_told_with_the_records_place(box, broker, caplog):
    broker.refuses_opening = True

    box.put(dead_letter(7))
    wait_for(lambda: broker.opened >= 3)
    wait_for(lambda: "failed" in box._counts)

    assert box.drain_counts() == {"failed": 1}
    assert broker.opened == 3
    assert (
        "dead letter failed at=metrics[0]@7 reason=invalid_json topic=dead: KafkaTimeoutError no answer"
        in caplog.text
    )


def test_while_it_is_away_each_is_tried_once_and_a_thousand_are_told_once(box, broker, caplog):
    broker.refuses_sending = True
    box.put(dead_letter())
    wait_for(lambda: "failed" in box._counts)
    for number in range(1000):
        box.put(dead_letter(number))
    wait_for(lambda: box._counts["failed"] == 1001)

    assert broker.opened == 1
    assert caplog.text.count("dead letter failed") == 1


def test_once_one_was_not_taken_nobody_waits_for_the_others(box, broker):
    broker.answers.clear()
    box.put(dead_letter())
    assert not box.flush(0.05)

    begun = time.monotonic()
    for number in range(100):
        box.put(dead_letter(number))
        assert not box.flush(60)
    assert time.monotonic() - begun < 20

    broker.answers.set()
    wait_for(lambda: box._counts["sent"] == 101)
    assert box.flush(0)


def test_a_record_that_the_broker_refuses_is_counted(box, broker, caplog):
    broker.answer = RetriableError("MessageSizeTooLargeError", "too large")

    box.put(dead_letter())

    wait_for(lambda: box._counts["failed"] == 1)
    assert "MessageSizeTooLargeError too large" in caplog.text


def test_what_has_no_room_is_dropped_counted_and_told(box, broker, monkeypatch, caplog):
    monkeypatch.setattr("monitor.kafka.dead_letter_producer._MOST_LETTERS", 3)
    broker.answers.clear()

    for number in range(5):
        box.put(dead_letter(number))

    assert box.drain_counts() == {"dropped": 2}
    assert "dead letter dropped at=metrics[0]@3" in caplog.text
    broker.answers.set()
    assert box.flush(20)
    assert box.drain_counts() == {"sent": 3}


def test_bytes_count_too_but_one_always_has_room(box, broker, monkeypatch):
    monkeypatch.setattr("monitor.kafka.dead_letter_producer._MOST_BYTES", 50)
    broker.answers.clear()

    box.put(dead_letter(0, b"x" * 1000))
    box.put(dead_letter(1))

    assert box.drain_counts() == {"dropped": 1}


def test_closing_sends_what_is_waiting(box, broker):
    box.put(dead_letter())

    box.close()

    assert len(broker.sent) == 1
    assert broker.is_closed


def test_closing_while_nobody_answers_ends_and_says_what_is_left(box, broker, caplog):
    broker.answers.clear()
    box.put(dead_letter())

    box.close()
    box.close()

    assert "dead letters not sent: 1 were waiting" in caplog.text


def test_without_a_topic_there_is_no_box(broker):
    with pytest.raises(SourceError, match=r"dead_letter_topic is empty"):
        DeadLetterProducer(KafkaConfig(topics=["metrics"]), broker, SystemClock(), version="1")
