"""What repeats is logged at a limited rate, with the number left out."""

import logging

import pytest

from monitor.log_limit import LimitedHandler, RateLimit
from monitor.testing import FakeClock


def test_a_key_passes_once_a_minute_with_the_number_that_did_not():
    clock = FakeClock()
    limit = RateLimit(clock.monotonic)

    assert limit.passes("a") == 0
    assert [limit.passes("a") for _ in range(3)] == [None] * 3
    assert limit.passes("b") == 0
    clock.advance(60.0)
    assert limit.passes("a") == 3
    clock.advance(60.0)
    assert limit.passes("a") == 0


def test_what_is_remembered_is_bounded():
    limit = RateLimit(FakeClock().monotonic)

    for number in range(5000):
        limit.passes(str(number))

    assert limit.passes("0") == 0  # long forgotten
    assert limit.passes("4999") is None


@pytest.fixture
def heard():
    """Hear what the root logger's handlers are given."""

    class Ear(logging.Handler):
        def __init__(self):
            super().__init__()
            self.messages = []

        def emit(self, record):
            self.messages.append(record.getMessage())

    ear = Ear()
    logging.getLogger().addHandler(ear)
    yield ear.messages
    logging.getLogger().removeHandler(ear)


@pytest.fixture
def library():
    """Give a library's logger, limited, with the clock that limits it."""
    clock = FakeClock()
    logger = logging.getLogger("a_library")
    handler = LimitedHandler(clock.monotonic)
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, clock
    logger.removeHandler(handler)
    logger.propagate = True


def test_a_librarys_repeated_text_is_logged_once_whatever_its_arguments(library, heard):
    _, clock = library
    for attempt in range(40):
        logging.getLogger("a_library.net").warning("connection %d failed", attempt)
    clock.advance(60.0)
    logging.getLogger("a_library.net").warning("connection %d failed", 40)

    assert heard == ["connection 0 failed", "connection 40 failed (and 39 times more before)"]


def test_texts_and_levels_are_limited_separately(library, heard):
    logger, _ = library

    logger.warning("one")
    logger.error("one")
    logger.warning("two")

    assert heard == ["one", "one", "two"]


def test_the_record_itself_is_left_as_it_is_for_other_handlers(heard):
    clock = FakeClock()
    handler = LimitedHandler(clock.monotonic)
    record = logging.LogRecord("a_library", logging.WARNING, "", 0, "attempt %d", (1,), None)
    for _ in range(2):
        handler.emit(record)
    clock.advance(60.0)

    handler.emit(record)

    assert heard == ["attempt 1", "attempt 1 (and 1 times more before)"]
    assert (record.msg, record.args) == ("attempt %d", (1,))
