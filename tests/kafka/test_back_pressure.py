"""No more is handed out than can be processed in about a second, and the group is kept meanwhile."""

from __future__ import annotations

import itertools

import confluent_kafka
import pytest

from monitor.clock import SystemClock
from monitor.kafka.client import FatalClientError, Partition, RebalanceEvent, RetriableError
from tests.kafka.batches import T0, has, values


def filled(batches):
    return [batch for batch in batches if len(batch.columns)]


def numbered(sample, n, *, first=0, **labels):
    return [sample(T0 + k * 1000, k, **labels) for k in range(first, first + n)]


def produce_at_once(cluster, topic, payloads, *, partition=0):
    """Put records into a partition as one batch: the mock cluster answers a fetch with one."""
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": ",".join(cluster.servers), "linger.ms": 10_000, "log_level": 0}
    )
    for payload in payloads:
        producer.produce(topic, payload, partition=partition)
    assert producer.flush(20) == 0


class WorkClock:
    """The machine's clock, ahead by the work that was done in between: no test waits for it."""

    def __init__(self, clock):
        self._clock = clock
        self.worked_seconds = 0.0

    def now(self):
        return self._clock.now()

    def monotonic(self):
        return self._clock.monotonic() + self.worked_seconds

    def wait(self, stop, seconds):
        return self._clock.wait(stop, seconds)


@pytest.fixture
def clock():
    return WorkClock(SystemClock())


def test_what_a_poll_brought_is_handed_out_in_pieces_of_so_many_bytes(cluster, open_kafka, until, sample):
    topic = cluster.topic(2)
    for partition in range(2):
        produce_at_once(cluster, topic, numbered(sample, 20, pad="x" * 1000), partition=partition)
    source = open_kafka(topic, max_batch_bytes=5000)

    batches = filled(until(source, has(40)))

    assert all(sum(batch.report.n_bytes.values()) <= 5000 for batch in batches)
    assert len(batches) >= 10
    assert sorted(values(batches)) == sorted([*range(20), *range(20)])
    busy = [batch.report for batch in batches if batch.report.n_queued]
    assert busy
    assert all(report.paused and report.n_queued_bytes > 1000 * report.n_queued for report in busy)
    assert (batches[-1].report.paused, batches[-1].report.n_queued) == (False, 0)


def test_a_record_that_is_larger_than_a_batch_comes_alone(cluster, open_kafka, until, sample):
    topic = cluster.topic()
    cluster.produce(topic, [sample(T0, 1), sample(T0 + 1, 2, pad="x" * 9000), sample(T0 + 2, 3)])

    batches = filled(until(open_kafka(topic, max_batch_bytes=500), has(3)))

    assert [values([batch]) for batch in batches] == [[1], [2], [3]]


def test_the_position_and_the_time_are_those_of_what_was_handed_out(cluster, open_kafka, until, sample):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 30, pad="x" * 1000))
    source = open_kafka(topic, max_batch_bytes=3500)

    for batch in filled(until(source, has(30))):
        newest = values([batch])[-1]
        if batch.report.lag.get((topic, 0)):
            assert batch.report.lag[topic, 0] == 29 - newest
        assert batch.complete_ms == T0 + newest * 1000
        assert batch.report.newest_seconds[topic, 0] == T0 / 1000 + newest

    assert source.position().partitions[f"{topic}/0"].offset == 30


def test_who_goes_on_from_a_position_gets_what_was_waiting(cluster, open_kafka, until, sample):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 30, pad="x" * 1000))
    source = open_kafka(topic, max_batch_bytes=3500)
    before = until(source, has(3))
    position = source.position()
    source.close()

    after = until(open_kafka(topic, resumed=position), has(30 - len(values(before))))

    assert values(before) + values(after) == list(range(30))


def test_work_that_takes_long_makes_batches_smaller(cluster, open_kafka, until, sample, clock):
    topic = cluster.topic()
    produce_at_once(cluster, topic, numbered(sample, 4000))
    source = open_kafka(topic, clock=clock, max_poll_records=2000)
    seconds_each = 0.008  # of work for a record: 125 fit into a second
    sizes = []

    def work(batches):
        if batches and len(batches[-1].columns):
            sizes.append(len(batches[-1].columns))
            clock.worked_seconds += sizes[-1] * seconds_each
        return has(4000)(batches)

    assert values(until(source, work)) == list(range(4000))

    # What records cost was not known yet.
    first_slow = next(number for number, size in enumerate(sizes) if size > 125)
    assert max(sizes[first_slow + 1 :]) <= 130


def test_a_slow_scorer_keeps_its_place_in_the_group(cluster, open_kafka, until, sample, clock):
    topic = cluster.topic()
    produce_at_once(cluster, topic, numbered(sample, 800))
    source = open_kafka(topic, clock=clock, max_poll_interval_seconds=4.0, session_timeout_seconds=2.0)
    polled, pauses = [], []

    def watch_polls(batches):
        if source._client is not None and not polled:
            poll = source._client.poll

            def noted(timeout_seconds):
                polled.append(clock.monotonic())
                pauses.append(bool(source._paused))
                return poll(timeout_seconds)

            source._client.poll = noted
        if batches and len(batches[-1].columns):
            clock.worked_seconds += len(batches[-1].columns) * 0.01  # ten times what fits into a second
        return has(800)(batches)

    batches = until(source, watch_polls, seconds=60)

    assert values(batches) == list(range(800))
    assert sum(batch.report.n_rebalances for batch in batches) == 1
    assert max(later - earlier for earlier, later in itertools.pairwise(polled)) < 4.0
    assert any(pauses)  # polls that only kept the group
    source.poll(1.0)
    assert not source._paused


@pytest.fixture
def busy(cluster, open_kafka, until, sample):
    """Give a source with a backlog, the batches so far, and the topic; each poll asks the broker."""
    topic = cluster.topic()
    produce_at_once(cluster, topic, numbered(sample, 40, pad="x" * 1000))
    source = open_kafka(topic, max_batch_bytes=2500)
    batches = until(source, lambda _: bool(source._backlog))
    source._keep_seconds = 0.0
    return source, batches, topic


def test_what_waits_of_a_partition_that_is_revoked_is_dropped(busy, monkeypatch):
    source, _, topic = busy
    before = source.position()
    monkeypatch.setattr(
        source._client, "rebalance_events", lambda: [RebalanceEvent("revoked", (Partition(topic, 0),))]
    )

    batch = source.poll(1.0)

    assert not len(batch.columns)
    assert (batch.report.n_queued, batch.report.n_queued_bytes) == (0, 0)
    assert source.position() == before


def test_an_error_while_something_waits_stops_nothing_and_loses_nothing(busy, until, monkeypatch):
    source, batches, _ = busy
    kept = source._client

    def poll(timeout_seconds):
        raise RetriableError("KafkaConnectionError", "away")

    with monkeypatch.context() as broken:
        broken.setattr(kept, "poll", poll)
        during = [source.poll(1.0) for _ in range(2)]
    assert all(len(batch.columns) and not batch.ready for batch in during)
    source._keep_seconds = 5.0
    after = until(source, has(40 - len(values(batches + during))))

    assert values(batches + during + after) == list(range(40))
    assert source._client is kept


def test_a_consumer_thrown_away_while_something_waits_reads_it_again(busy, until, monkeypatch):
    source, batches, _ = busy
    broken = source._client

    def poll(timeout_seconds):
        raise FatalClientError("ValueError", "not a batch")

    monkeypatch.setattr(broken, "poll", poll)
    batches.append(source.poll(1.0))
    source._keep_seconds = 5.0
    batches += until(source, has(40 - len(values(batches))))

    assert values(batches) == list(range(40))
    assert source._client is not broken


def test_lag_in_seconds_is_the_age_of_the_newest_event_while_anything_is_left(
    cluster, open_kafka, until, sample, clock
):
    topic = cluster.topic()
    cluster.produce(topic, numbered(sample, 30, pad="x" * 1000))
    source = open_kafka(topic, max_batch_bytes=3500)

    batches = filled(until(source, has(30)))

    behind = [batch for batch in batches if batch.report.lag[topic, 0]]
    assert behind
    for batch in behind:
        newest_ms = T0 + values([batch])[-1] * 1000
        assert batch.report.lag_seconds[topic, 0] == pytest.approx((batch.now_ms - newest_ms) / 1000)
    assert batches[-1].report.lag_seconds[topic, 0] == 0.0
