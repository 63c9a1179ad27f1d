"""What every source promises, checked on the real ones and on the fake that tests use."""

import random

import numpy as np
import pytest
from fake_prometheus import FakePrometheus

from monitor.files.metric_files import Recorded
from monitor.prometheus.api import PrometheusApi
from monitor.prometheus.http import Connection, HttpClient
from monitor.prometheus.polling import PollingSource, WatchQuery
from monitor.sample import SeriesTable, concatenate
from monitor.sources.host import HostSource
from monitor.sources.replay import ReplaySource
from monitor.sources.source import Batch
from monitor.testing import FakeClock, ListSource, samples

N_SAMPLES = 120


def recording():
    """Record two series of a minute each, ordered by time."""
    table = SeriesTable()
    columns = concatenate(
        samples(" ".join(str(k) for k in range(60)), table, name=name, start_ms=5000)
        for name in ("load", "queue_depth")
    )
    return table, columns, np.argsort(columns.time_ms, kind="stable")


def list_source(resumed=None):
    table, columns, order = recording()
    batches = []
    for part in np.array_split(order, 5):
        chosen = type(columns)(columns.series[part], columns.time_ms[part], columns.value[part])
        batches.append(Batch(chosen, int(chosen.time_ms.max())))
    return ListSource(batches, resumed=resumed), table


def replay_source(speed, resumed=None):
    table, columns, order = recording()
    in_order = type(columns)(columns.series[order], columns.time_ms[order], columns.value[order])
    after_ms = resumed.time_ms if resumed else None
    return ReplaySource(Recorded(in_order, ()), FakeClock(1e9), speed=speed, after_ms=after_ms), table


def host_source():
    table = SeriesTable()
    return HostSource(table, FakeClock(1000.0), interval_seconds=1.0, host="demo"), table


FINITE = {
    "list": list_source,
    "replay at full speed": lambda resumed=None: replay_source(float("inf"), resumed),
    "replay at speed 10": lambda resumed=None: replay_source(10.0, resumed),
}
KAFKA = {"kafka": "kafka-python", "confluent": "confluent"}
EVERY = [*FINITE, "host", "prometheus", *KAFKA]
LASTING = [*FINITE, "prometheus", *KAFKA]  # they can continue from a position


@pytest.fixture
def make(request):
    """Give a function that builds a source, by its name; called again, it opens the same source."""
    if request.param in KAFKA:
        return request.getfixturevalue("kafka_source")
    if request.param == "prometheus":
        return request.getfixturevalue("polling_source")
    return {**FINITE, "host": host_source}[request.param]


@pytest.fixture
def client(request):
    """Name the Kafka client of the source that a test asks for."""
    return KAFKA[request.node.callspec.params["make"]]


@pytest.fixture
def polling_source():
    """Put the recording into a server, a third of which is past when it is opened for the first time."""
    table, columns, _ = recording()
    server = FakePrometheus()
    for number in range(2):
        chosen = columns.series == number
        in_server = zip(columns.time_ms[chosen].tolist(), columns.value[chosen].tolist(), strict=True)
        server.add(table[number].name, in_server)
    clock = FakeClock(25.0)
    opened = []

    def build(resumed=None):
        table = SeriesTable()
        api = PrometheusApi(HttpClient(Connection(url=server.url), clock))
        query = WatchQuery("all", '{__name__=~".+"}', step_ms=1000, rewind_ms=60_000)
        source = PollingSource(
            api,
            table,
            clock,
            [query],
            lag_ms=500,
            max_catch_up_ms=60_000,
            rng=random.Random(0),
            resumed=resumed,
        )
        opened.append(source)
        return source, table

    yield build
    for source in opened:
        source.close()
    server.close()


@pytest.fixture
def kafka_source(cluster, open_kafka, sample):
    """Write the recording to a topic of two partitions, one series to each."""
    topic = cluster.topic(2)
    table, columns, order = recording()
    for number in range(2):
        chosen = [row for row in order.tolist() if columns.series[row] == number]
        payloads = [
            sample(int(columns.time_ms[row]), columns.value[row], name=table[number].name) for row in chosen
        ]
        cluster.produce(topic, payloads, partition=number)

    def build(resumed=None):
        table = SeriesTable()
        return open_kafka(topic, table=table, resumed=resumed, max_poll_records=25), table

    return build


every_source = pytest.mark.parametrize("make", EVERY, indirect=True)
finite_source = pytest.mark.parametrize("make", FINITE, indirect=True)
lasting_source = pytest.mark.parametrize("make", LASTING, indirect=True)


def poll_some(source, n_polls=8):
    return [source.poll(1.5) for _ in range(n_polls)]


def poll_to_the_end(source):
    batches = [source.poll(1.5)]
    while not batches[-1].finished:
        batches.append(source.poll(1.5))
        assert len(batches) < 1000
    return batches


@every_source
def test_a_batch_has_parallel_columns_of_the_agreed_types(make):
    source, table = make()

    for batch in poll_some(source):
        columns = batch.columns
        assert columns.series.shape == columns.time_ms.shape == columns.value.shape == (len(columns),)
        assert (columns.series.dtype, columns.time_ms.dtype, columns.value.dtype) == (
            np.int32,
            np.int64,
            np.float64,
        )
        assert isinstance(batch.now_ms, int)
        assert not len(columns) or 0 <= columns.series.min() <= columns.series.max() < len(table)


@every_source
def test_no_sample_lies_behind_the_sources_own_time(make):
    source, _ = make()

    for batch in poll_some(source):
        assert not len(batch.columns) or batch.columns.time_ms.max() <= batch.now_ms


@every_source
def test_the_sources_time_never_goes_back(make):
    source, _ = make()

    times = [batch.now_ms for batch in poll_some(source)]

    assert times == sorted(times)


@every_source
def test_samples_come_in_the_end(make):
    source, _ = make()

    assert sum(len(batch.columns) for batch in poll_some(source)) > 0


@finite_source
def test_every_sample_comes_once_and_in_order(make):
    source, _ = make()

    columns = concatenate(batch.columns for batch in poll_to_the_end(source))

    assert len(columns) == N_SAMPLES
    assert len(set(zip(columns.series.tolist(), columns.time_ms.tolist(), strict=True))) == N_SAMPLES
    assert columns.time_ms.tolist() == sorted(columns.time_ms.tolist())


@finite_source
def test_what_is_finished_stays_finished_and_bears_being_asked_again(make):
    source, _ = make()
    last = poll_to_the_end(source)[-1]

    for batch in poll_some(source, 3):
        assert batch.finished
        assert len(batch.columns) == 0
        assert batch.now_ms >= last.now_ms


@lasting_source
def test_a_source_goes_on_behind_its_position_and_no_sample_is_missing_or_comes_twice(
    make, until, monkeypatch
):
    monkeypatch.setattr("monitor.sources.replay._BATCH_SAMPLES", 30)
    source, table = make()
    batches = until(source, lambda batches: any(len(batch.columns) for batch in batches))
    before = keyed(batches, table)
    assert 0 < len(before) < N_SAMPLES
    position = source.position()
    source.commit(position)
    source.close()

    again, table = make(position)
    after = keyed(
        until(again, lambda batches: sum(len(batch.columns) for batch in batches) >= N_SAMPLES - len(before)),
        table,
    )

    assert len(before) + len(after) == len({*before, *after}) == N_SAMPLES


def keyed(batches, table):
    """Give the samples as `(name, time)`."""
    columns = concatenate(batch.columns for batch in batches)
    return [
        (table[number].name, time_ms)
        for number, time_ms in zip(columns.series.tolist(), columns.time_ms.tolist(), strict=True)
    ]


def test_a_live_source_is_never_finished():
    source, _ = host_source()

    assert not any(batch.finished for batch in poll_some(source))


@every_source
def test_closing_twice_is_closing_once(make):
    source, _ = make()
    source.poll(1.5)

    source.close()
    source.close()


@every_source
def test_a_source_may_be_closed_before_it_was_asked(make):
    source, _ = make()

    source.close()
