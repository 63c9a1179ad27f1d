"""From records to samples; what becomes of those that cannot be read. A record here is a word."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from fake_kafka import M0, fetched

from monitor.config.kafka import KafkaConfig
from monitor.decode.record import Decoded, Rejection
from monitor.kafka.record_decoder import Decoding, RecordDecoder
from monitor.log_limit import RateLimit
from monitor.sample import Columns, SeriesTable
from monitor.testing import FakeClock


def decode(records, table):
    """Read a sample from each letter but `x`, which is rejected."""
    values, rejections = [], []
    for index, record in enumerate(records):
        for letter in record.value.decode():
            if letter == "x":
                rejections.append(Rejection(index, "bad_letter", f"in {record.value.decode()}"))
            else:
                values.append(float(ord(letter)))
    n = len(values)
    columns = Columns(np.zeros(n, np.int32), np.zeros(n, np.int64), np.array(values))
    return Decoded(columns, tuple(rejections))


class Setup:
    def __init__(self, *, keeps_dead_letters=True, run=3):
        self.asked, self.dead_letters, self.n_bad = [], [], Counter()
        config = KafkaConfig(topics=["m"], wrong_format_run=run, wrong_format_ratio=0.9)
        send = self.dead_letters.append if keeps_dead_letters else None
        limit = RateLimit(FakeClock().monotonic)
        decoding = Decoding(self._decoder_of)
        self.decoder = RecordDecoder(config, decoding, SeriesTable(), limit, send_dead_letter=send)

    def _decoder_of(self, topic):
        self.asked.append(topic)
        return decode

    def read(self, words, **options):
        columns, n_withheld = self.decoder.read(M0, fetched(words, **options), self.n_bad)
        return len(columns), n_withheld


@pytest.fixture
def setup():
    return Setup()


def test_samples_are_read_and_the_topics_decoder_is_asked_for_once(setup):
    assert setup.read([b"ab", b"c"]) == (3, 0)
    assert setup.read([b"d"], first=2) == (1, 0)
    assert setup.asked == ["m"]


def test_bad_records_are_counted_logged_and_sent_with_their_positions(setup, caplog):
    assert setup.read([b"a", b"x", b"xx", b"b"], first=10, n_empty=2) == (2, 0)

    assert setup.n_bad == {"bad_letter": 3, "no_value": 2}
    assert [dead_letter.position for dead_letter in setup.dead_letters] == ["m[0]@11", "m[0]@12"]
    assert [(dead_letter.key, dead_letter.value) for dead_letter in setup.dead_letters] == [
        (b"x", b"x"),
        (b"xx", b"xx"),
    ]
    assert caplog.messages == ["record rejected at=m[0]@11 reason=bad_letter in x"]


def test_a_record_that_is_readable_in_part_is_a_dead_letter_but_no_wrong_format(setup):
    for first in range(0, 30, 3):
        assert setup.read([b"ax", b"ax", b"ax"], first=first) == (3, 0)

    assert len(setup.dead_letters) == 30
    assert setup.decoder.held_offset(M0) is None


def test_a_wrong_format_is_logged_once_and_further_dead_letters_are_withheld(setup, caplog):
    assert setup.read([b"a", b"x", b"x", b"x", b"x", b"ax"]) == (2, 2)

    assert setup.decoder.held_offset(M0) == 1
    assert [dead_letter.offset for dead_letter in setup.dead_letters] == [1, 2, 3]
    (line,) = [message for message in caplog.messages if message.startswith("wrong format")]
    assert line == (
        "wrong format at=m[0]@1: 3 records from there to 3 cannot be read, the last because of bad_letter "
        "(in x); m may be in another format. "
        "The commit of m/0 is held there, and further dead letters of it are withheld; "
        "other partitions are not affected. Correct [decode] and restart: the records are read again"
    )


def test_a_format_that_is_right_again_is_logged_with_what_was_skipped(setup, caplog):
    setup.read([b"x"] * 4)
    setup.read([b"a"] * 3, first=4)

    assert setup.decoder.held_offset(M0) is None
    assert caplog.messages[-1].startswith(
        "format right again at=m[0]@6: 4 records since m[0]@0 could not be read"
    )


def test_a_partition_that_is_read_from_another_offset_is_not_held(setup):
    setup.read([b"x"] * 3)

    setup.decoder.forget(M0)

    assert setup.decoder.held_offset(M0) is None


def test_without_a_topic_for_them_no_dead_letter_is_counted():
    setup = Setup(keeps_dead_letters=False)

    assert setup.read([b"x"] * 5) == (0, 0)
    assert setup.decoder.held_offset(M0) == 0
