import random
import threading

import pytest

from monitor.prometheus.errors import QueryRefusedError, UnavailableError
from monitor.prometheus.retry import (
    LONGEST_RETRY_AFTER_SECONDS,
    Retries,
    RetryDelay,
    StoppedError,
    retry_after_seconds,
)
from monitor.testing import FakeClock


class Asking:
    """A request that fails as listed, then answers."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.n_asked = 0

    def __call__(self):
        self.n_asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def retries(clock=None, stop=None, max_failures=5):
    return Retries(
        clock or FakeClock(), stop or threading.Event(), random.Random(0), max_failures=max_failures
    )


def test_waits_double_within_their_jitter_and_end_at_half_a_minute():
    delay = RetryDelay(random.Random(0))

    waits = [delay.failed(None) for _ in range(20)]

    for number, wait in enumerate(waits):
        whole = min(0.5 * 2**number, 30.0)
        assert whole / 2 <= wait <= whole


def test_a_success_begins_with_the_shortest_wait_again():
    delay = RetryDelay(random.Random(0))
    for _ in range(5):
        delay.failed(None)

    delay.succeeded()

    assert delay.failed(None) <= 0.5


def test_a_server_is_left_alone_for_as_long_as_it_asks_within_reason():
    assert RetryDelay(random.Random(0)).failed(17.0) == 17.0
    assert RetryDelay(random.Random(0)).failed(1e9) == LONGEST_RETRY_AFTER_SECONDS


def test_a_request_is_made_until_it_is_answered_and_time_passes_between():
    clock = FakeClock()
    asking = Asking(UnavailableError("away"), UnavailableError("away", retry_after=7.0))

    assert retries(clock).run(asking) == "answer"

    assert asking.n_asked == 3
    assert clock.monotonic() >= 7.0


def test_what_is_refused_is_not_asked_again():
    asking = Asking(QueryRefusedError("wrong"))

    with pytest.raises(QueryRefusedError):
        retries().run(asking)

    assert asking.n_asked == 1


def test_after_too_many_failures_the_last_is_raised():
    asking = Asking(*[UnavailableError(f"away {number}") for number in range(9)])

    with pytest.raises(UnavailableError, match="away 2"):
        retries(max_failures=2).run(asking)


def test_a_second_timeout_is_raised_at_once_where_less_could_be_asked_for():
    slow = [UnavailableError("slow", is_timeout=True) for _ in range(9)]

    asking = Asking(*slow)
    with pytest.raises(UnavailableError):
        retries().run(asking, may_split=True)

    assert asking.n_asked == 2


def test_a_stop_ends_the_waiting():
    stop = threading.Event()
    stop.set()

    with pytest.raises(StoppedError, match="Repeat the command"):
        retries(stop=stop).run(Asking(UnavailableError("away")))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert retry_after_seconds(header, now=100.0) == seconds
