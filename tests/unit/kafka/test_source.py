"""The Kafka source over a cluster in memory: what it hands out and commits, and when."""

from __future__ import annotations

import numpy as np
import pytest
from fake_kafka import M0, M1, FakeKafka

from monitor.config.kafka import KafkaConfig
from monitor.decode.record import Decoded, Rejection
from monitor.errors import SourceError
from monitor.kafka.client import (
    Committed,
    FatalClientError,
    FencedError,
    MetadataTooLargeError,
    OutOfRangeError,
    RetriableError,
    TruncatedError,
)
from monitor.kafka.record_decoder import Decoding
from monitor.kafka.source import KafkaSource
from monitor.sample import Columns, SeriesTable
from monitor.sources.position import NOTHING_YET, PartitionPosition, Position
from monitor.testing import FakeClock

AWAY = RetriableError("KafkaConnectionError", "away")


def decode(records, table):
    """Read a record as its event time in seconds; what is no number is rejected."""
    times, rejections = [], []
    for index, record in enumerate(records):
        if record.value.isdigit():
            times.append(int(record.value) * 1000)
        else:
            rejections.append(Rejection(index, "no_number", ""))
    n = len(times)
    columns = Columns(np.zeros(n, np.int32), np.array(times, np.int64), np.zeros(n))
    return Decoded(columns, tuple(rejections))


def seconds(first, end):
    return [b"%d" % second for second in range(first, end)]


@pytest.fixture
def kafka():
    return FakeKafka(m_0=seconds(0, 100))


@pytest.fixture
def clock():
    return FakeClock(10_000.0)


@pytest.fixture
def open_source(kafka, clock, monkeypatch, caplog):
    monkeypatch.setattr("monitor.kafka.source.library_of", lambda config: kafka)
    caplog.set_level("INFO", logger="monitor")

    def make(*, resumed=None, dead_letters=None, **settings):
        config = KafkaConfig(**{"topics": ["m"], "start": "earliest", "idle_seconds": 10.0, **settings})
        limits = {"rewind_ms": 10_000, "max_future_ms": 60_000}
        decoding = Decoding(lambda _: decode)
        return KafkaSource(
            config, decoding, SeriesTable(), clock, **limits, resumed=resumed, dead_letters=dead_letters
        )

    return make


def read(batch):
    return (batch.columns.time_ms // 1000).tolist()


@pytest.fixture
def source(open_source):
    """Give a source that has read all, 10 s a batch; windows need 10 s, so the batch that began at 80."""
    source = open_source(max_poll_records=10)
    assert [time for _ in range(10) for time in read(source.poll(1.0))] == list(range(100))
    return source


def test_it_is_opened_by_the_first_poll_and_hands_out_what_is_there(open_source, kafka):
    source = open_source()
    assert kafka.n_opened == 0

    batch = source.poll(1.0)

    assert read(batch) == list(range(100))
    assert (batch.complete_ms, batch.ready, batch.report.lag) == (99_000, True, {("m", 0): 0})


def test_a_large_fetch_is_handed_out_in_pieces_while_nothing_else_is_fetched(open_source, kafka):
    source = open_source(max_poll_records=40)
    kafka_logs = kafka.logs[M0]

    first = source.poll(1.0)
    kafka_logs.append(b"100")
    pieces = [read(batch) for batch in (first, source.poll(1.0), source.poll(1.0), source.poll(1.0))]

    assert pieces == [list(range(40)), list(range(40, 80)), list(range(80, 100)), [100]]
    assert (first.report.n_queued, first.report.paused, first.report.lag) == (60, True, {("m", 0): 60})
    assert first.complete_ms == 39_000  # of what was handed out


def test_the_position_is_that_of_what_was_handed_out(open_source):
    source = open_source(max_poll_records=40)
    source.poll(1.0)

    # Open windows may need samples since 39 s - 10 s = 29 s; the batch that holds them began at offset 0.
    assert source.position() == Position(39_000, {"m/0": PartitionPosition(40, 0, 39_000)})


def test_what_the_loop_commits_is_the_oldest_record_that_windows_need(source, kafka):
    assert kafka.group == {M0: Committed(0, '{"v":1}')}  # where the group began

    source.commit(source.position())

    assert kafka.group == {M0: Committed(80, '{"v":1,"wm":99000}')}
    assert source.poll(1.0).report.commits == {"done": 1}


def test_where_a_new_partition_begins_is_committed_at_once(open_source, kafka):
    open_source(start="latest").poll(1.0)

    assert kafka.group == {M0: Committed(100, '{"v":1}')}


def test_dead_letters_are_waited_for_before_the_position_is_given(open_source):
    class DeadLetters:
        flushed = closed = 0
        put_values = ()

        def put(self, dead_letter):
            self.put_values = (*self.put_values, dead_letter.value)

        def flush(self, seconds):
            self.flushed += 1

        def drain_counts(self):
            return {"sent": len(self.put_values)}

        def close(self):
            self.closed += 1

    dead_letters = DeadLetters()
    source = open_source(dead_letters=dead_letters)
    source._library.logs[M0][5] = b"x"

    batch = source.poll(1.0)
    source.position()
    source.close()

    assert dead_letters.put_values == (b"x",)
    assert batch.report.dead_letters == {"sent": 1}
    assert batch.n_bad == (("no_number", 1),)
    assert (dead_letters.flushed, dead_letters.closed) == (1, 1)


def test_the_position_of_a_wrong_format_is_held(open_source, kafka):
    kafka.logs[M0][60:] = [b"x"] * 40
    source = open_source(wrong_format_run=10)

    batch = source.poll(1.0)

    assert batch.report.wrong_format == {("m", 0): True}
    assert not batch.ready
    assert source.position().partitions["m/0"].offset == 60


def test_a_partition_that_is_revoked_is_handed_out_no_further(open_source, kafka):
    source = open_source(max_poll_records=40)
    source.poll(1.0)
    before = source.position()
    source._keep_seconds = 0.0

    kafka.revoke(M0)
    batch = source.poll(1.0)

    assert read(batch) == []
    assert source.position() == before
    source.commit(before)  # the partition is another member's
    assert kafka.group[M0] == Committed(0, '{"v":1}')


def test_a_partition_that_comes_back_goes_on_where_it_was(open_source, kafka):
    source = open_source(max_poll_records=40)
    source.poll(1.0)
    source._keep_seconds = 0.0
    kafka.revoke(M0)
    source.poll(1.0)

    kafka.assign(M0)

    assert read(source.poll(1.0)) == list(range(40, 80))


def test_what_an_earlier_run_reported_comes_with_each_batch_and_stays_committed(open_source, kafka):
    kafka.group = {M0: Committed(50, '{"v":1,"wm":200000}')}
    source = open_source()

    batch = source.poll(1.0)
    source.commit(source.position())

    assert batch.delivered_ms == 200_000
    assert kafka.group[M0].metadata == '{"v":1,"wm":200000}'


def test_a_retriable_error_keeps_the_client_and_its_records(open_source, kafka, clock):
    source = open_source()
    source.poll(1.0)
    kafka.errors = {"poll": [AWAY]}
    kafka.logs[M0].append(b"100")

    failed = source.poll(1.0)
    assert (read(failed), failed.ready, failed.report.errors) == ([], False, {"retried": 1})
    started = clock.monotonic()
    again = source.poll(1.0)

    assert clock.monotonic() - started == pytest.approx(0.5)  # the pause
    assert (read(again), again.ready, kafka.n_opened) == ([100], True, 1)


def test_a_fatal_error_replaces_the_client_and_loses_nothing(open_source, kafka):
    source = open_source()
    source.poll(1.0)
    kafka.errors = {"poll": [FatalClientError("ValueError", "not a batch")]}
    kafka.logs[M0].append(b"100")

    failed = source.poll(1.0)
    again = source.poll(1.0)

    assert (failed.report.errors, kafka.is_closed) == ({"rebuilt": 1}, True)
    assert (read(again), kafka.n_opened) == ([100], 2)


def test_a_pause_longer_than_the_poll_is_waited_out_by_several(open_source, kafka, clock):
    source = open_source()
    kafka.errors = {"open_client": [AWAY] * 3}
    for _ in range(3):
        source.poll(5.0)
    waiting = [source.poll(0.5) for _ in range(3)]  # the third pause is of 2 s

    assert kafka.n_opened == 0
    assert not any(batch.ready for batch in waiting)
    assert read(source.poll(0.5)) == list(range(100))


def test_records_that_were_deleted_are_counted_and_skipped(open_source, kafka):
    kafka.first[M0] = 60
    kafka.errors = {"poll": [OutOfRangeError("OffsetOutOfRange", "", {M0: 20})]}
    source = open_source(resumed=Position(19_000, {"m/0": PartitionPosition(20, 20, 19_000)}))

    batches = [source.poll(1.0) for _ in range(2)]

    assert batches[0].report.n_lost == {"m": 40}
    assert read(batches[1]) == list(range(60, 100))


def test_a_truncated_log_is_read_from_where_it_parts(open_source, kafka):
    kafka.errors = {"poll": [TruncatedError("LogTruncation", "", {M0: 15})]}
    source = open_source(resumed=Position(19_000, {"m/0": PartitionPosition(20, 20, 19_000)}))

    batches = [source.poll(1.0) for _ in range(2)]

    assert read(batches[1]) == list(range(15, 100))


def test_a_topic_that_is_made_again_while_it_is_read_is_read_from_its_new_beginning(
    open_source, kafka, clock
):
    kafka.topics, kafka.logs[M0] = {"m": "a"}, seconds(0, 50)
    source = open_source(on_gap="latest")
    source.poll(1.0)
    assert source.position().partitions["m/0"].topic_id == "a"

    kafka.topics, kafka.logs[M0] = {"m": "b"}, seconds(200, 290)  # more than were read
    clock.advance(5.0)
    batches = [source.poll(1.0) for _ in range(2)]

    assert [read(batch) for batch in batches] == [list(range(200, 290)), []]
    assert [batch.report.n_recreated for batch in batches] == [{"m": 1}, {}]
    assert source.position().partitions["m/0"] == PartitionPosition(90, 0, 289_000, "b")


def test_what_was_fetched_of_a_topic_before_it_was_made_again_is_handed_out_first(open_source, kafka, clock):
    kafka.topics = {"m": "a"}
    source = open_source(max_poll_records=60)
    source.poll(1.0)

    kafka.topics, kafka.logs[M0] = {"m": "b"}, seconds(200, 210)
    clock.advance(5.0)

    assert [read(source.poll(1.0)) for _ in range(2)] == [list(range(60, 100)), list(range(200, 210))]


def test_a_topic_that_was_made_again_while_the_daemon_was_stopped_is_read_from_its_new_beginning(
    open_source, kafka
):
    kafka.topics = {"m": "b"}
    kafka.group = {M0: Committed(20, '{"v":1,"wm":19000,"id":"a"}')}
    resumed = Position(19_000, {"m/0": PartitionPosition(20, 20, 19_000, "a")})

    batch = open_source(start="latest", resumed=resumed).poll(1.0)

    assert read(batch) == list(range(100))
    assert batch.report.n_recreated == {"m": 1}
    assert kafka.group == {M0: Committed(0, '{"v":1,"id":"b"}')}


def test_the_id_of_a_topic_is_committed_with_each_position_of_it(open_source, kafka):
    kafka.topics = {"m": "a"}
    source = open_source()
    source.poll(1.0)

    source.commit(source.position())

    assert kafka.group == {M0: Committed(0, '{"v":1,"wm":99000,"id":"a"}')}


def test_the_id_of_a_topic_is_learned_once_its_broker_gives_ids(open_source, kafka, clock):
    source = open_source()
    source.poll(1.0)
    kafka.topics = {"m": "a"}
    clock.advance(1.0)

    assert (read(source.poll(1.0)), source.position().partitions["m/0"].topic_id) == ([], "a")


def test_a_broker_that_does_not_give_an_id_while_a_topic_is_read_delays_nothing(open_source, kafka, clock):
    kafka.topics = {"m": "a"}
    source = open_source()
    source.poll(1.0)
    kafka.logs[M0] += seconds(100, 110)
    kafka.errors = {"topic_ids": [AWAY]}
    clock.advance(5.0)

    batch = source.poll(1.0)

    assert (read(batch), batch.ready, batch.report.errors) == (list(range(100, 110)), True, {})


@pytest.mark.parametrize("call", ["poll", "commit"])
def test_a_member_that_is_fenced_ends_the_daemon(open_source, kafka, call):
    source = open_source(group_instance_id="one")
    source.poll(1.0)
    kafka.errors = {call: [FencedError("FencedInstanceId", "")]}

    calls = {"poll": lambda: source.poll(1.0), "commit": lambda: source.commit(source.position())}

    with pytest.raises(SourceError, match=r'another daemon has taken source.kafka.group_instance_id "one"'):
        calls[call]()


def test_a_broker_that_takes_no_metadata_gets_commits_without(source, kafka):
    kafka.errors = {"commit": [MetadataTooLargeError("OffsetMetadataTooLarge", "")]}

    source.commit(source.position())
    source.commit(source.position())

    assert kafka.group[M0] == Committed(80, "")
    assert source.poll(1.0).report.commits == {"failed": 1, "done": 1}


def test_a_commit_that_fails_is_made_up_for_after_the_pause(source, kafka, clock):
    kafka.errors = {"commit": [AWAY]}

    source.commit(source.position())
    source.commit(source.position())  # within the pause: not tried
    clock.advance(0.5)
    source.commit(source.position())

    assert kafka.group[M0].offset == 80
    assert source.poll(1.0).report.commits == {"failed": 1, "done": 1}


def test_a_sample_from_the_future_is_handed_out_and_advances_nothing(open_source, kafka):
    kafka.logs[M0].append(b"999999")

    batch = open_source().poll(1.0)

    assert read(batch)[-1] == 999_999
    assert batch.complete_ms == 99_000


def test_a_silent_partition_delays_the_others_until_it_is_known_to_be_empty(open_source, kafka, clock):
    kafka.logs = {M0: [b"50"], M1: [b"10"]}
    kafka.first = dict.fromkeys(kafka.logs, 0)
    source = open_source()
    assert source.poll(1.0).complete_ms == 10_000

    clock.advance(10.0)
    kafka.logs[M0].append(b"60")
    assert source.poll(1.0).complete_ms == 60_000


def test_closing_twice_is_closing_once_and_closing_unopened_is_nothing(open_source, kafka):
    source = open_source()
    source.close()
    assert not kafka.is_closed

    source.poll(1.0)
    source.close()
    source.close()
    assert kafka.is_closed
    assert source.position().time_ms in (NOTHING_YET, 99_000)


# Records that break the client


def until_all_is_read(source, clock, n=200):
    """Poll for as long as it takes, pauses included."""
    batches = []
    for _ in range(n):
        batches.append(source.poll(1.0))
        clock.advance(11.0)
    return batches


def test_a_batch_that_breaks_the_client_is_passed_logged_counted_and_dead_lettered(
    open_source, kafka, clock, caplog
):
    class DeadLetters:
        put_all: tuple = ()

        def put(self, dead_letter):
            self.put_all += (dead_letter,)

        def drain_counts(self):
            return {}

        def close(self):
            pass

    dead_letters = DeadLetters()
    kafka.damaged[M0] = range(40, 53)
    source = open_source(max_rebuilds_at_offset=3, dead_letters=dead_letters)

    batches = until_all_is_read(source, clock)

    assert [second for batch in batches for second in read(batch)] == [*range(40), *range(53, 100)]
    n_bad = [dict(batch.n_bad) for batch in batches if batch.n_bad]
    assert n_bad == [{"unreadable": 13}]
    assert (
        "records unreadable at=m[0]@40: 13 from there on break the client (CorruptRecordError: crc) and are "
        "skipped; continuing at 53"
    ) in caplog.messages
    (dead_letter,) = dead_letters.put_all
    assert (dead_letter.position, dead_letter.reason, dead_letter.value) == ("m[0]@40", "unreadable", b"")
    assert dead_letter.detail == ("13 records up to offset 52, without their bytes: CorruptRecordError: crc")
    assert batches[-1].ready


def test_a_client_is_built_anew_as_often_as_is_configured_before_an_offset_is_passed(
    open_source, kafka, clock
):
    kafka.damaged[M0] = range(40, 41)
    source = open_source(max_rebuilds_at_offset=3)

    batches = until_all_is_read(source, clock)

    assert [second for batch in batches for second in read(batch)] == [*range(40), *range(41, 100)]
    seeks = [call[2] for call in kafka.calls if call[0] == "seek"]
    assert seeks == [0, 40, 40, 40, 41]
    assert kafka.n_opened == 5


def test_a_daemon_that_ends_while_it_searches_begins_at_the_first_damaged_offset_again(
    open_source, kafka, clock
):
    kafka.damaged[M0] = range(40, 80)
    source = open_source(max_rebuilds_at_offset=1)

    positions = []
    for _ in range(12):
        source.poll(1.0)
        clock.advance(11.0)
        positions.append(source.position().partitions.get("m/0"))

    offsets = [position.offset for position in positions if position is not None]
    assert set(offsets) == {40}
    assert max(call[2] for call in kafka.calls if call[0] == "seek") > 40
