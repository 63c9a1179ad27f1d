"""The source over the log; what every source promises is in tests/contract."""

from __future__ import annotations

from write_requests import TIME_MS, logged, message_1, open_source

from monitor.remote_write import source as source_module
from monitor.remote_write import write_ahead_log
from monitor.sources.position import Position


def append(source, *requests):
    """Write to a source's log, as its receiver does."""
    source._wal.append(requests)


def test_a_batch_is_bounded_and_the_rest_comes_with_the_next(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(source_module, "_BATCH_SAMPLES", 2)
    source = open_source(tmp_path, clock)
    append(source, logged([1, 2]), logged([3, 4]))

    first, second = source.poll(1.0), source.poll(1.0)

    assert first.columns.value.tolist() == [1.0, 2.0]
    assert first.report.n_unread_samples == 2
    assert second.columns.value.tolist() == [3.0, 4.0]
    source.close()


def test_requests_come_in_their_order_whether_they_are_decoded_already_or_not(served, monkeypatch):
    server = served()
    server.post(message_1([1.0], name="a"))
    append(server.source, logged([2.0], name="b"), logged([3.0], name="c"))
    server.post(message_1([4.0], name="d"))
    n_decoded = []
    decode = source_module.decode_remote_write

    def counting(records, *more):
        n_decoded.append(len(records))
        return decode(records, *more)

    monkeypatch.setattr(source_module, "decode_remote_write", counting)

    batch = server.source.poll(0.0)

    assert batch.columns.value.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert [server.source._table[number].name for number in batch.columns.series] == ["a", "b", "c", "d"]
    assert sum(n_decoded) == 2


def test_samples_are_complete_up_to_the_newest_that_is_credible(tmp_path, clock):
    source = open_source(tmp_path, clock)
    now_ms = round(clock.now() * 1000)
    append(source, logged([1, 2], start_ms=TIME_MS))
    assert source.poll(0.0).complete_ms == TIME_MS + 1000

    append(source, logged([1], start_ms=now_ms + 30_000))  # a sender whose clock is ahead
    assert source.poll(0.0).complete_ms == now_ms
    append(source, logged([1], start_ms=now_ms + 10**9))
    batch = source.poll(0.0)

    assert batch.complete_ms == now_ms
    assert len(batch.columns) == 1  # the pipeline counts it
    source.close()


def test_a_position_says_where_to_read_on_and_what_time_it_was(tmp_path, clock):
    source = open_source(tmp_path, clock)
    append(source, logged([1, 2]))
    source.poll(0.0)
    position = source.position()
    append(source, logged([3], start_ms=TIME_MS + 2000))
    source.close()

    again = open_source(tmp_path, clock, resumed=position)
    assert again.position() == position
    batch = again.poll(0.0)

    assert batch.columns.value.tolist() == [3.0]
    assert batch.complete_ms == TIME_MS + 2000
    again.close()


def test_without_a_checkpoint_all_that_is_left_is_read(tmp_path, clock):
    source = open_source(tmp_path, clock)
    append(source, logged([1, 2]))
    source.poll(0.0)
    source.close()

    again = open_source(tmp_path, clock, resumed=Position())

    assert again.poll(0.0).columns.value.tolist() == [1.0, 2.0]
    again.close()


def test_a_daemon_that_was_away_does_not_take_what_comes_then_for_late(tmp_path, clock):
    source = open_source(tmp_path, clock)
    append(source, logged([1]))
    source.poll(0.0)
    position = source.position()
    source.close()
    clock.advance(3600.0)

    again = open_source(tmp_path, clock, resumed=position)

    assert again.poll(1.0).complete_ms == TIME_MS  # not an hour later: the senders have all of it still
    again.close()


def test_a_request_ends_the_wait_of_a_poll(served):
    server = served()
    server.post(message_1([1.0]))

    assert server.source._arrived.is_set()
    assert len(server.source.poll(10.0).columns) == 1


def test_a_commit_deletes_nothing_and_a_checkpoint_on_disk_does(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(write_ahead_log, "_SEGMENT_BYTES", 1)
    source = open_source(tmp_path, clock)
    for number in range(3):
        append(source, logged([number]))
    source.poll(0.0)

    source.commit(source.position())
    assert len(list(tmp_path.glob("*.log"))) == 3

    source.release(source.position())
    assert len(list(tmp_path.glob("*.log"))) == 1
    source.close()
