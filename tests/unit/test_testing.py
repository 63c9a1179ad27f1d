"""The fakes behave like what they stand for."""

from monitor.sample import SeriesTable
from monitor.sources.source import Batch
from monitor.testing import ListSource, samples


def test_a_list_source_hands_out_its_batches_and_then_an_empty_finished_one():
    table = SeriesTable()
    batches = [Batch(samples("1", table), 1000), Batch(samples("2", table), 2000)]
    source = ListSource(batches)

    polled = [source.poll(0.0) for _ in range(3)]

    assert polled[:2] == batches
    assert (len(polled[2].columns), polled[2].now_ms, polled[2].finished) == (0, 2000, True)


def test_a_list_source_continues_behind_a_position():
    table = SeriesTable()
    batches = [Batch(samples("1", table), 1000), Batch(samples("2", table), 2000)]
    first = ListSource(batches)
    first.poll(0.0)

    resumed = ListSource(batches, resumed=first.position())

    assert resumed.position() == first.position()
    assert resumed.poll(0.0) is batches[1]


def test_what_is_committed_and_whether_it_was_closed_can_be_read():
    source = ListSource([])
    position = source.position()

    source.commit(position)
    source.close()

    assert (source.committed, source.closed) == ([position], True)
