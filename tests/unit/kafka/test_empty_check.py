"""A partition without samples counts as empty only once its broker has said so."""

from __future__ import annotations

import pytest
from fake_kafka import M0, M1, FakeKafka, fetched

from monitor.kafka.backlog import Backlog
from monitor.kafka.client import RetriableError
from monitor.kafka.empty_check import EmptyCheck
from monitor.kafka.progress import ReadProgress
from monitor.testing import FakeClock


class Reading:
    """Two partitions that are read to their ends, and fall silent after 10 s."""

    def __init__(self):
        self.clock = FakeClock()
        self.kafka = FakeKafka(m_0=[b"x"] * 3, m_1=[b"x"] * 3)
        self.kafka.assign(M0, M1)
        self.progress = ReadProgress(rewind_ms=320, idle_seconds=10.0)
        self.backlog = Backlog()
        self.check = EmptyCheck(self.progress, self.backlog, self.clock)
        for partition in (M0, M1):
            self.kafka.seek(partition, 3)
            self.progress.assign(partition.name, 3, 0.0)
            self.progress.record(partition.name, first_offset=2, next_offset=3, newest_ms=5000, now=0.0)
        self.kafka.calls.clear()

    def complete_ms(self):
        """Give the watermark once M0 has gone on: it shows whether M1 is waited for."""
        now = self.clock.monotonic()
        self.progress.record(M0.name, first_offset=3, next_offset=4, newest_ms=9000, now=now)
        return self.progress.advance(now, clock_ms=10**12)


@pytest.fixture
def reading():
    return Reading()


def test_nobody_is_asked_about_partitions_with_samples(reading):
    reading.clock.advance(9.9)

    assert not reading.check.ask(reading.kafka)
    assert reading.kafka.calls == []


def test_a_silent_partition_that_is_read_to_its_end_is_confirmed(reading):
    reading.clock.advance(10.0)

    assert reading.check.ask(reading.kafka)
    assert reading.kafka.calls == [("end_offsets", M0, M1)]
    assert reading.complete_ms() == 9000


def test_a_partition_with_something_left_to_read_is_waited_for(reading):
    reading.kafka.logs[M1].append(b"x")
    reading.clock.advance(10.0)

    assert reading.check.ask(reading.kafka)
    assert reading.complete_ms() == 5000


def test_the_broker_is_asked_once_a_second(reading):
    reading.clock.advance(10.0)
    assert reading.check.ask(reading.kafka)

    reading.clock.advance(0.9)
    assert not reading.check.ask(reading.kafka)
    reading.clock.advance(0.1)
    assert reading.check.ask(reading.kafka)


def test_what_waits_in_the_backlog_is_not_read_yet(reading):
    reading.backlog.put({M1: fetched([b"x"], first=3)})
    reading.clock.advance(10.0)

    assert reading.check.ask(reading.kafka)
    assert reading.kafka.calls == [("end_offsets", M0)]
    assert reading.complete_ms() == 5000


def test_a_partition_that_the_member_has_lost_is_not_asked_about(reading):
    reading.kafka.revoke(M1)
    reading.clock.advance(10.0)

    assert reading.check.ask(reading.kafka)
    assert reading.kafka.calls == [("end_offsets", M0)]


def test_a_broker_that_does_not_answer_confirms_nothing(reading):
    reading.kafka.errors = {"end_offsets": [RetriableError("away", "")]}
    reading.clock.advance(10.0)

    with pytest.raises(RetriableError):
        reading.check.ask(reading.kafka)
    assert reading.complete_ms() == 5000
