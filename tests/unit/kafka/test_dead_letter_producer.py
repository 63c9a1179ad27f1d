"""Dead letters over a fake producer: none is lost without a log line, and nobody waits for one."""

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
    """A library whose producer answers at once, or as the test wants."""

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
def sender(broker, monkeypatch):
    monkeypatch.setattr("monitor.kafka.dead_letter_producer._PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("monitor.kafka.dead_letter_producer._CLOSE_SECONDS", 0.5)
    producer = DeadLetterProducer(
        KafkaConfig(topics=["metrics"], dead_letter_topic="dead"), broker, SystemClock(), version="1.2"
    )
    yield producer
    broker.answers.set()
    producer.close()


def dead_letter(number=0, value=b"{torn"):
    return DeadLetter("metrics", 0, number, 5, "invalid_json", "", value, b"key")


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_dead_letter_is_sent_to_its_topic_with_bytes_key_and_headers(sender, broker):
    sender.put(dead_letter(7))

    assert sender.flush(20)
    ((topic, value, key, headers),) = broker.sent
    assert (topic, value, key, headers["barograph.offset"], headers["barograph.version"]) == (
        "dead",
        b"{torn",
        b"key",
        b"7",
        b"1.2",
    )
    assert sender.drain_counts() == {"sent": 1}
    assert sender.drain_counts() == {}


def test_they_are_sent_in_their_order(sender, broker):
    for number in range(500):
        sender.put(dead_letter(number))

    assert sender.flush(20)
    assert [int(headers["barograph.offset"]) for *_, headers in broker.sent] == list(range(500))


def test_no_connection_is_made_before_the_first_dead_letter(sender, broker):
    assert sender.flush(0)
    assert broker.opened == 0


def test_a_broker_that_is_away_costs_some_tries_and_is_logged_with_the_records_position(
    sender, broker, caplog
):
    broker.refuses_opening = True

    sender.put(dead_letter(7))
    wait_for(lambda: broker.opened >= 3)
    wait_for(lambda: "failed" in sender._counts)

    assert sender.drain_counts() == {"failed": 1}
    assert broker.opened == 3
    assert (
        "dead letter failed at=metrics[0]@7 reason=invalid_json topic=dead: KafkaTimeoutError no answer"
        in caplog.text
    )


def test_while_it_is_away_each_is_tried_once_and_a_thousand_are_logged_once(sender, broker, caplog):
    broker.refuses_sending = True
    sender.put(dead_letter())
    wait_for(lambda: "failed" in sender._counts)
    for number in range(1000):
        sender.put(dead_letter(number))
    wait_for(lambda: sender._counts["failed"] == 1001)

    assert broker.opened == 1
    assert caplog.text.count("dead letter failed") == 1


def test_after_the_first_refusal_nobody_waits_for_the_others(sender, broker):
    broker.answers.clear()
    sender.put(dead_letter())
    assert not sender.flush(0.05)

    begun = time.monotonic()
    for number in range(100):
        sender.put(dead_letter(number))
        assert not sender.flush(60)
    assert time.monotonic() - begun < 20

    broker.answers.set()
    wait_for(lambda: sender._counts["sent"] == 101)
    assert sender.flush(0)


def test_a_record_that_the_broker_refuses_is_counted(sender, broker, caplog):
    broker.answer = RetriableError("MessageSizeTooLargeError", "too large")

    sender.put(dead_letter())

    wait_for(lambda: sender._counts["failed"] == 1)
    assert "MessageSizeTooLargeError too large" in caplog.text


def test_what_has_no_room_is_dropped_counted_and_logged(sender, broker, monkeypatch, caplog):
    monkeypatch.setattr("monitor.kafka.dead_letter_producer._MOST_PENDING", 3)
    broker.answers.clear()

    for number in range(5):
        sender.put(dead_letter(number))

    assert sender.drain_counts() == {"dropped": 2}
    assert "dead letter dropped at=metrics[0]@3" in caplog.text
    broker.answers.set()
    assert sender.flush(20)
    assert sender.drain_counts() == {"sent": 3}


def test_bytes_count_too_but_a_single_record_always_has_room(sender, broker, monkeypatch):
    monkeypatch.setattr("monitor.kafka.dead_letter_producer._MOST_BYTES", 50)
    broker.answers.clear()

    sender.put(dead_letter(0, b"x" * 1000))
    sender.put(dead_letter(1))

    assert sender.drain_counts() == {"dropped": 1}


def test_closing_sends_what_is_waiting(sender, broker):
    sender.put(dead_letter())

    sender.close()

    assert len(broker.sent) == 1
    assert broker.is_closed


def test_closing_while_nobody_answers_ends_and_says_what_is_left(sender, broker, caplog):
    broker.answers.clear()
    sender.put(dead_letter())

    sender.close()
    sender.close()

    assert "dead letters not sent: 1 were waiting" in caplog.text


def test_without_a_topic_there_is_no_producer(broker):
    with pytest.raises(SourceError, match=r"dead_letter_topic is empty"):
        DeadLetterProducer(KafkaConfig(topics=["metrics"]), broker, SystemClock(), version="1")
