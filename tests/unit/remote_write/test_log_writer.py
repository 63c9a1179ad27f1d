from __future__ import annotations

import threading

import pytest
from write_requests import logged

from monitor.remote_write.log_writer import LogWriter
from monitor.remote_write.recent_requests import DecodedRequest
from monitor.remote_write.write_ahead_log import LogError
from monitor.sample import no_samples

NOTHING = DecodedRequest(no_samples(), ())


class Disk:
    """Writes when it is let; says what was written together."""

    def __init__(self, fails_at=()):
        self.groups = []
        self.may_write = threading.Semaphore(0)
        self.is_asked = threading.Semaphore(0)
        self._fails_at = fails_at

    def append(self, requests):
        self.groups.append([request.n_samples for request in requests])
        self.is_asked.release()
        self.may_write.acquire()
        if len(self.groups) in self._fails_at:
            raise LogError("no space")
        return [100 + number for number in range(len(requests))]


@pytest.fixture
def writers():
    made = []

    def make(disk, on_written=lambda written: None):
        made.append(LogWriter(disk.append, on_written))
        return made[-1]

    yield make
    for writer in made:
        writer.close()


def test_a_request_is_done_when_it_is_written_and_not_before(writers):
    disk, arrived = Disk(), threading.Event()
    writer = writers(disk, lambda written: arrived.set())

    written = writer.submit(logged([1]), NOTHING)
    disk.is_asked.acquire()
    assert not written.done()
    assert not arrived.is_set()
    disk.may_write.release()

    assert written.result(timeout=5) is None
    assert arrived.wait(5)


def test_requests_that_wait_are_written_together(writers):
    disk = Disk()
    writer = writers(disk)
    first = writer.submit(logged([1]), NOTHING)
    disk.is_asked.acquire()  # the disk is busy with the first
    others = [writer.submit(logged([1] * n), NOTHING) for n in (2, 3, 4)]

    disk.may_write.release(2)

    for written in (first, *others):
        written.result(timeout=5)
    assert disk.groups == [[1], [2, 3, 4]]


def test_a_group_is_bounded_in_bytes(writers, monkeypatch):
    monkeypatch.setattr("monitor.remote_write.log_writer._MOST_BYTES", 1)
    disk = Disk()
    writer = writers(disk)
    disk.may_write.release(3)

    for written in [writer.submit(logged([1] * n), NOTHING) for n in (1, 2, 3)]:
        written.result(timeout=5)

    assert disk.groups == [[1], [2], [3]]


def test_what_was_written_is_announced_with_its_offsets_before_it_is_acknowledged(writers):
    disk, announced = Disk(), []
    disk.may_write.release()

    def announce(written):
        announced.append((written, acknowledged.done()))

    writer = writers(disk, announce)
    acknowledged = writer.submit(logged([1]), NOTHING)
    acknowledged.result(timeout=5)

    assert announced == [([(100, NOTHING)], False)]


def test_a_write_that_fails_fails_all_that_wait_for_it_and_the_next_is_tried(writers):
    disk, arrived = Disk(fails_at={1}), threading.Event()
    writer = writers(disk, lambda written: arrived.set())
    disk.may_write.release(2)

    with pytest.raises(LogError, match="no space"):
        writer.submit(logged([1]), NOTHING).result(timeout=5)
    assert not arrived.is_set()
    writer.submit(logged([1]), NOTHING).result(timeout=5)

    assert arrived.wait(5)


def test_what_waits_is_written_when_it_closes_and_nothing_more_is_taken(writers):
    disk = Disk()
    disk.may_write.release(10)
    writer = writers(disk)
    written = [writer.submit(logged([1]), NOTHING) for _ in range(5)]

    writer.close()

    assert all(each.done() for each in written)
    with pytest.raises(LogError, match="stopping"):
        writer.submit(logged([1]), NOTHING).result(timeout=5)


def test_a_sender_that_hangs_up_cannot_take_its_request_back(writers):
    disk = Disk()
    writer = writers(disk)
    written = writer.submit(logged([1]), NOTHING)

    assert not written.cancel()
    disk.may_write.release()
    written.result(timeout=5)
