"""What a client library logs is information, once for each text; a topic that is not found is a warning."""

import logging

import pytest

from monitor.kafka.library_log import LibraryLog
from monitor.testing import FakeClock

NOT_FOUND = "Topic %s not found in cluster metadata"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def library(clock, caplog):
    """Give the logger of a library, whose records go through the handler alone."""
    caplog.set_level("INFO", logger="monitor")
    logger = logging.getLogger("kafka")
    before = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [LibraryLog(clock.monotonic)], False
    yield logger
    logger.handlers, logger.propagate = before


def logged(caplog):
    return [record for record in caplog.records if record.name == "monitor.kafka.library_log"]


def levels(caplog):
    return [(record.levelname, record.getMessage()) for record in logged(caplog)]


def test_a_librarys_errors_are_information_under_its_name(library, caplog):
    logging.getLogger("kafka.net.manager").error("Connect attempt to %s failed", "b1:9092")
    logging.getLogger("kafka.librdkafka").warning("FAIL: %s", "b1:9092: Connection refused")

    assert levels(caplog) == [
        ("INFO", "kafka-python: Connect attempt to b1:9092 failed"),
        ("INFO", "librdkafka: FAIL: b1:9092: Connection refused"),
    ]


def test_a_text_is_logged_once_an_hour_whatever_its_numbers(library, clock, caplog):
    for attempt in range(40):
        library.warning(
            "<Task at 0x%x> failed after %.1f s, attempt %d", 2**40 + attempt, attempt / 8, attempt
        )
    clock.advance(3599.0)
    library.warning("<Task at 0x%x> failed after %.1f s, attempt %d", 1, 0.5, 40)
    clock.advance(1.0)
    library.warning("<Task at 0x%x> failed after %.1f s, attempt %d", 2, 1.5, 41)

    assert [text for _, text in levels(caplog)] == [
        "kafka-python: <Task at 0x10000000000> failed after 0.0 s, attempt 0",
        "kafka-python: <Task at 0x2> failed after 1.5 s, attempt 41 (and 40 times before)",
    ]


def test_a_text_that_changes_is_logged_at_once(library, caplog):
    library.error("connection failed: %s", "refused")
    library.error("connection failed: %s", "certificate verify failed")
    logging.getLogger("kafka.coordinator").error("connection failed: %s", "refused")

    assert len(logged(caplog)) == 3


def test_a_topic_that_is_not_found_is_one_warning_an_hour_that_says_what_to_do(library, clock, caplog):
    cluster = logging.getLogger("kafka.cluster")
    for _ in range(7200):  # an hour of it, twice a second
        cluster.error(NOT_FOUND, "metrix")
        clock.advance(0.5)
    cluster.error(NOT_FOUND, "metrix")
    cluster.error(NOT_FOUND, "metrics2")
    cluster.error(NOT_FOUND, "metrics3")

    line = (
        "topic not found topic={}: the cluster has no such topic, and nothing is read from it until it is "
        "made. Check source.kafka.topics; where it is not among them, another member of the group asks for "
        "it{}"
    )
    assert levels(caplog) == [
        ("WARNING", line.format("metrix", "")),
        ("WARNING", line.format("metrix", " (and 7199 times before)")),
        ("WARNING", line.format("metrics2", "")),
        ("WARNING", line.format("metrics3", "")),
    ]


def test_an_exception_is_named_on_the_same_line_without_its_stack(library, caplog):
    try:
        raise ValueError("not\na batch")
    except ValueError:
        library.exception("Error processing callback")

    (record,) = logged(caplog)
    assert record.getMessage() == "kafka-python: Error processing callback: ValueError: not a batch"
    assert record.exc_info is None


def test_kafka_python_still_has_the_text_that_is_recognised():
    from inspect import getsource

    from kafka import cluster

    assert f'"{NOT_FOUND}"' in getsource(cluster)
