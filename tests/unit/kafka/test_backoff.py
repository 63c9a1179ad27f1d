"""After an error comes a pause, and after too many of one name a new client."""

from __future__ import annotations

import pytest

from monitor.kafka.backoff import Backoff
from monitor.kafka.client import FatalClientError, RetriableError, RetryOnceError
from monitor.log_limit import RateLimit
from monitor.testing import FakeClock

AWAY = RetriableError("KafkaConnectionError", "away")


@pytest.fixture
def clock():
    return FakeClock(0.0)


@pytest.fixture
def backoff(clock, caplog):
    caplog.set_level("INFO", logger="monitor")
    return Backoff(clock, RateLimit(clock.monotonic))


def fail(backoff, error, n=1, *, is_open=True):
    return [backoff.fail(error, is_open=is_open) for _ in range(n)]


def test_pauses_double_from_half_a_second_to_ten(backoff):
    pauses = []
    for _ in range(8):
        backoff.fail(AWAY, is_open=True)
        pauses.append(round(backoff.seconds_left(), 6))

    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]


def test_a_pause_is_over_in_time(backoff, clock):
    assert backoff.seconds_left() == 0.0
    backoff.fail(AWAY, is_open=True)

    clock.advance(0.25)
    assert backoff.seconds_left() == pytest.approx(0.25)
    clock.advance(1.0)
    assert backoff.seconds_left() == 0.0


@pytest.mark.parametrize(
    ("error", "n_kept"),
    [(AWAY, 4), (RetryOnceError("InvalidRequest", ""), 1), (FatalClientError("ValueError", ""), 0)],
)
def test_a_client_is_replaced_after_as_many_errors_of_one_name_as_their_class_allows(backoff, error, n_kept):
    assert fail(backoff, error, n_kept + 1) == [*[False] * n_kept, True]
    assert fail(backoff, error, n_kept + 1) == [*[False] * n_kept, True]  # and the new one gets as many


def test_errors_of_another_name_are_counted_anew(backoff):
    fail(backoff, AWAY, 4)

    assert fail(backoff, RetriableError("NotCoordinator", "")) == [False]
    assert fail(backoff, AWAY) == [False]


def test_a_success_ends_the_row(backoff, caplog):
    fail(backoff, AWAY, 4)
    assert backoff.is_failing

    backoff.succeed()
    backoff.succeed()

    assert not backoff.is_failing
    assert fail(backoff, AWAY) == [False]
    assert caplog.messages.count("kafka recovered after 4 errors") == 1


def test_where_there_is_no_client_none_is_replaced(backoff):
    assert fail(backoff, FatalClientError("ValueError", "refused"), 3, is_open=False) == [False] * 3


def test_an_error_is_logged_once_a_minute_with_its_reaction(backoff, caplog):
    fail(backoff, AWAY, 3)
    fail(backoff, FatalClientError("ValueError", "not\na batch"))

    assert caplog.messages == [
        "kafka failed error=KafkaConnectionError: away; trying again in 0.5 s",
        "kafka failed error=ValueError: not a batch; the client is closed and opened again in 4.0 s",
    ]
