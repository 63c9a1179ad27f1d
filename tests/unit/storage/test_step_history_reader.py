"""What a training reads of a history: in which order, and what of it is skipped."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from step_histories import NAN, STEP_MS, WINDOW, back, column, kept, numbered, steps

from monitor.detection.steps import ClosedSteps
from monitor.storage.step_history import Segment, list_segments
from monitor.storage.step_history_reader import StepRange, read_steps


def test_known_channels_come_first_and_newcomers_behind(tmp_path):
    kept(tmp_path, ClosedSteps(0, STEP_MS, np.arange(2.0).reshape(1, 1, 2)), channels=["new", "known"])

    history = back(tmp_path, channels=["gone", "known"]).history

    assert history.channels == ("gone", "known", "new")
    np.testing.assert_array_equal(history.values[0, 0], [NAN, 1, 0])


def test_entities_are_in_the_newest_segments_order_and_those_without_steps_are_left_out(tmp_path):
    kept(tmp_path, steps(0, ["1 2 3"]), entities=["old", "web2", "web1"])
    kept(tmp_path, steps(1, ["_ 1 2"]), entities=["silent", "web1", "web2"])

    assert back(tmp_path).history.entities == ("web1", "web2", "old")


def test_channels_that_the_newest_segment_no_longer_has_are_left_out(tmp_path):
    kept(tmp_path, ClosedSteps(0, STEP_MS, np.ones((1, 1, 2))), channels=["a", "b"])
    kept(tmp_path, ClosedSteps(1, STEP_MS, np.ones((1, 1, 1))), channels=["b"])

    assert back(tmp_path).history.channels == ("b",)


def test_of_a_step_that_was_kept_twice_the_later_segment_counts(tmp_path):
    kept(tmp_path, steps(0, ["1", "1", "1"]), steps(1, ["2", "2", "2"]))

    assert column(back(tmp_path)) == [1, 2, 2, 2]


def test_a_silence_is_cut_to_a_window(tmp_path):
    kept(tmp_path, steps(0, ["1"]), steps(1_000_000, ["2"]))

    np.testing.assert_array_equal(column(back(tmp_path)), [1, *[NAN] * WINDOW, 2])


def test_the_steps_beside_a_silence_keep_their_numbers(tmp_path):
    kept(tmp_path, steps(5, ["1", "1"]), steps(1_000_000, ["2", "2"]))

    numbers = back(tmp_path).history.step_numbers(STEP_MS)[:, 0]

    np.testing.assert_array_equal(numbers[[0, 1, -2, -1]], [5, 6, 1_000_000, 1_000_001])
    assert (np.diff(numbers) > 0).all()
    newest = back(tmp_path, wanted=StepRange(max_steps=3)).history.step_numbers(STEP_MS)[:, 0]
    np.testing.assert_array_equal(newest, numbers[-3:])


def test_only_the_asked_for_time_comes_back(tmp_path):
    kept(tmp_path, numbered(0, 10))

    assert column(back(tmp_path, wanted=StepRange(from_ms=3000, until_ms=6000))) == [3, 4, 5]
    assert column(back(tmp_path, wanted=StepRange(max_steps=2))) == [8, 9]


def test_a_segment_that_has_gone_since_is_counted_and_skipped(tmp_path):
    kept(tmp_path, numbered(0, 10), numbered(10, 10))
    segments = list_segments(tmp_path)
    segments[0].file.unlink()

    steps_read = read_steps(segments, [], shape="s", step_ms=STEP_MS, window_length=WINDOW)

    assert steps_read.skipped == {"gone": 1, "unreadable": 0, "settings": 0}
    assert steps_read.n_segments == 1
    assert column(steps_read) == list(range(10, 20))


@pytest.mark.parametrize("length", [0, 4, 100, -8])
def test_half_a_segment_is_counted_and_skipped(tmp_path, length):
    kept(tmp_path, numbered(0, 10), numbered(10, 10))
    file = list_segments(tmp_path)[1].file
    file.write_bytes(file.read_bytes()[:length])

    steps_read = back(tmp_path)

    assert steps_read.skipped["unreadable"] == 1
    assert column(steps_read) == list(range(10))


def test_a_parquet_file_of_somebody_elses_is_skipped(tmp_path):
    kept(tmp_path, numbered(0, 10))
    table = pq.read_table(list_segments(tmp_path)[0].file).replace_schema_metadata(None)
    pq.write_table(table, tmp_path / "50-60.parquet")
    (tmp_path / "notes.parquet").write_text("mine")

    steps_read = back(tmp_path)

    assert (steps_read.n_segments, steps_read.skipped["unreadable"]) == (1, 1)


def test_segments_of_other_settings_are_counted_and_skipped(tmp_path):
    kept(tmp_path, numbered(0, 10), shape="other")
    kept(tmp_path, numbered(10, 5))

    steps_read = back(tmp_path)

    assert steps_read.skipped["settings"] == 1
    assert column(steps_read) == list(range(10, 15))


def test_where_nothing_is_left_there_is_no_history(tmp_path):
    assert back(tmp_path).history is None
    assert (
        read_steps(
            [Segment(0, 1, tmp_path / "0-1.parquet")], [], shape="s", step_ms=1, window_length=4
        ).history
        is None
    )
