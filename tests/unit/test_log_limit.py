"""What repeats is logged at a limited rate, with the number left out."""

from monitor.log_limit import RateLimit, times_before
from monitor.testing import FakeClock


def test_a_key_passes_once_a_minute_with_the_number_that_did_not():
    clock = FakeClock()
    limit = RateLimit(clock.monotonic)

    assert limit.passes("a") == 0
    assert [limit.passes("a") for _ in range(3)] == [None] * 3
    assert limit.passes("b") == 0
    clock.advance(60.0)
    assert limit.passes("a") == 3


def test_what_keeps_coming_passes_ever_more_rarely_and_in_the_end_once_an_hour():
    clock = FakeClock()
    limit = RateLimit(clock.monotonic)
    passed_at = []

    for second in range(0, 15_000, 10):  # a line every ten seconds, for four hours
        if limit.passes("a") is not None:
            passed_at.append(second)
        clock.advance(10.0)

    # 60 s, then twice that each time: 120, 240, ..., 1920, and 3600 in place of 3840.
    assert passed_at == [0, 60, 180, 420, 900, 1860, 3780, 7380, 10980, 14580]


def test_what_stayed_away_as_long_as_it_had_to_wait_waits_a_minute_again():
    clock = FakeClock()
    limit = RateLimit(clock.monotonic)
    for _ in range(7):  # passes at 0 s and at 60 s, and has to wait for 120 s then
        limit.passes("a")
        clock.advance(10.0)
    clock.advance(120.0)

    assert limit.passes("a") == 0
    assert limit.passes("a") is None
    clock.advance(60.0)
    assert limit.passes("a") == 1


def test_a_limit_of_more_than_an_hour_stays_as_it_is():
    clock = FakeClock()
    limit = RateLimit(clock.monotonic, every_seconds=7200.0)
    limit.passes("a")
    limit.passes("a")
    clock.advance(7200.0)

    assert limit.passes("a") == 1
    clock.advance(7199.0)
    assert limit.passes("a") is None
    clock.advance(1.0)
    assert limit.passes("a") == 1


def test_what_is_remembered_is_bounded():
    limit = RateLimit(FakeClock().monotonic)

    for number in range(5000):
        limit.passes(str(number))

    assert limit.passes("0") == 0  # long forgotten
    assert limit.passes("4999") is None


def test_a_line_that_was_never_left_out_says_nothing_of_it():
    assert [times_before(n) for n in (0, 1, 2)] == ["", " (and 1 time before)", " (and 2 times before)"]
