from __future__ import annotations

from monitor.remote_write.watermark import ReceivedTime
from monitor.sources.position import NOTHING_YET


def received(**before):
    return ReceivedTime(idle_seconds=60.0, now=0.0, **before)


def test_before_the_first_sample_nothing_is_complete():
    assert received().advance(1000.0, clock_ms=10**12) == NOTHING_YET


def test_the_newest_sample_says_up_to_where_samples_are_complete():
    time = received()
    time.record(5000, 1.0)
    time.record(4000, 2.0)
    time.record(None, 3.0)

    assert time.advance(3.0, clock_ms=10**12) == 5000


def test_a_sender_that_catches_up_is_not_overtaken_by_the_clock():
    """A daemon that was away for an hour must take the samples of that hour as they come, not as late."""
    hour_ago_ms = 1_700_000_000_000
    time = received(newest_ms=hour_ago_ms, complete_ms=hour_ago_ms)

    assert time.advance(59.0, clock_ms=hour_ago_ms + 3_600_000) == hour_ago_ms


def test_when_nobody_sends_time_goes_on_with_the_clock():
    time = received()
    time.record(5000, 0.0)

    assert time.advance(60.0, clock_ms=10**12) == 5000
    assert time.advance(70.5, clock_ms=10**12) == 15_500


def test_it_never_goes_back_and_never_passes_the_clock():
    time = received()
    time.record(5000, 0.0)

    assert time.advance(0.0, clock_ms=4000) == 4000
    assert time.advance(0.0, clock_ms=3000) == 4000
    assert time.advance(70.0, clock_ms=10**12) == 15_000
    time.record(6000, 70.0)
    assert time.advance(70.0, clock_ms=10**12) == 15_000
