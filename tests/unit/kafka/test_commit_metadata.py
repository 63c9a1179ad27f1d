"""The text of a commit says up to where everything is reported, to this program only."""

from __future__ import annotations

import pytest

from monitor.kafka.commit_metadata import CommitMetadata


def metadata(**texts):
    read = CommitMetadata()
    for name, text in texts.items():
        read.read(name, text)
    return read


def test_what_is_written_is_read_back():
    text = metadata().text(5000)

    assert text == '{"v":1,"wm":5000}'
    assert metadata(a=text).delivered_ms == 5000


def test_the_oldest_of_the_partitions_counts():
    assert metadata(a='{"v":1,"wm":5000}', b='{"v":1,"wm":3000}').delivered_ms == 3000


def test_what_an_earlier_run_reported_stays_reported_while_windows_are_filled_again():
    again = metadata(a='{"v":1,"wm":5000}')

    assert [again.text(time_ms) for time_ms in (None, 4000, 6000)] == [
        '{"v":1,"wm":5000}', '{"v":1,"wm":5000}', '{"v":1,"wm":6000}',
    ]  # fmt: skip


def test_of_a_partition_that_is_new_nothing_is_reported():
    assert metadata().text(None) == '{"v":1}'
    assert metadata(a='{"v":1,"wm":5000}').start_text() == '{"v":1}'
    assert metadata(a='{"v":1}').delivered_ms is None


@pytest.mark.parametrize("text", ["", "{", '{"v":2,"wm":5}', '{"wm":5}', "[1]", "null", '{"v":1,"wm":"x"}'])
def test_the_text_of_another_version_or_program_says_nothing(text):
    assert metadata(a=text).delivered_ms is None


def test_a_broker_that_takes_no_text_gets_none():
    short = metadata()

    short.leave_out()

    assert (short.text(5000), short.start_text()) == ("", "")


def test_the_id_of_the_topic_is_written_and_read_back():
    texts = [metadata().text(5000, "a"), metadata().text(None, "a"), metadata().start_text("a")]

    assert texts == ['{"v":1,"wm":5000,"id":"a"}', '{"v":1,"id":"a"}', '{"v":1,"id":"a"}']
    assert [metadata().read("m/0", text) for text in texts] == ["a", "a", "a"]


@pytest.mark.parametrize("text", ["", "{", '{"v":1,"wm":5000}', '{"v":2,"id":"a"}', "[1]", "null"])
def test_a_text_without_an_id_gives_none(text):
    assert metadata().read("m/0", text) == ""
