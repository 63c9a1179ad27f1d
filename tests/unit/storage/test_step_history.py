"""Closed steps on disk and back: 1 s steps, windows of 4, so that an episode's span is widened by 4 s on both sides."""

from __future__ import annotations

import json
import resource

import numpy as np
import pyarrow.parquet as pq
import pytest
from stage_settings import history_retention

from monitor.alerting.alert import Alert
from monitor.detection.steps import ClosedSteps
from monitor.errors import HistoryError
from monitor.storage.step_history import HistoryWriter, Segment, Span, list_segments, read_spans
from monitor.storage.step_history_reader import read_steps

STEP_MS = 1000
WINDOW = 4
NAN = np.nan


def writer(folder, *, shape="s", **retention):
    kept = history_retention(**{"segment_seconds": 10.0, **retention})
    return HistoryWriter(folder, kept, shape=shape, step_ms=STEP_MS, window_length=WINDOW)


def steps(first_step, rows):
    """Make closed steps of one channel from rows of text: one row a step, a value for each entity, `_` for a gap."""
    values = np.array([[NAN if word == "_" else float(word) for word in row.split()] for row in rows])
    return ClosedSteps(first_step, STEP_MS, values[:, :, None])


def numbered(first_step, n_steps):
    """Make steps of one entity that hold their own numbers."""
    return steps(first_step, [str(number) for number in range(first_step, first_step + n_steps)])


def kept(folder, *blocks, entities=("web1",), channels=("a",), open_alerts=(), **options):
    one = writer(folder, **options)
    for block in blocks:
        one.add(block)
        one.write(entities, channels, open_alerts)
    return one


def alert(entity="web1", *, since_ms, resolved_ms=None):
    return Alert("w", entity, since_ms, since_ms, 2.0, 3.0, False, (), resolved_ms, None if resolved_ms is None else "recovered")


def back(folder, **options):
    spans = options.pop("spans", None)
    defaults = {"shape": "s", "step_ms": STEP_MS, "window_length": WINDOW}
    return read_steps(list_segments(folder), read_spans(folder) if spans is None else spans, **{**defaults, **options})


def column(steps_read, row=0, channel=0):
    return steps_read.history.values[:, row, channel].tolist()


# There and back


def test_steps_come_back_as_they_were(tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 2, 3))
    values[3:5, 0] = NAN
    values[7, 1, 2] = NAN
    kept(tmp_path, ClosedSteps(100, STEP_MS, values), entities=["web1", "web2"], channels=["a", "b", 'c{mode="x"}'])

    history = back(tmp_path).history

    assert (history.entities, history.channels) == (("web1", "web2"), ("a", "b", 'c{mode="x"}'))
    assert (history.first_ms, history.last_ms) == (100_000, 120_000)
    np.testing.assert_array_equal(history.values, values)


def test_a_segment_is_named_after_the_starts_of_its_steps_and_leaves_out_what_shows_nothing(tmp_path):
    kept(tmp_path, steps(0, ["_ _", "1 _", "_ _", "2 3", "_ _"]), entities=["web1", "web2"])

    (segment,) = list_segments(tmp_path)
    table = pq.read_table(segment.file)
    assert segment.file.name == "1000-3000.parquet"
    assert table.column("time_ms").to_pylist() == [1000, 3000, 3000]
    assert table.column("entity").to_pylist() == ["web1", "web1", "web2"]
    assert table.column("a").to_pylist() == [1.0, 2.0, 3.0]


def test_steps_that_show_nothing_at_all_make_no_segment(tmp_path):
    kept(tmp_path, steps(0, ["_", "_"]))

    assert list_segments(tmp_path) == []


def test_a_metric_may_be_called_like_a_column_of_ours(tmp_path):
    kept(tmp_path, ClosedSteps(0, STEP_MS, np.ones((2, 1, 2))), channels=["time_ms", "entity"])

    assert back(tmp_path).history.channels == ("time_ms", "entity")


def test_entities_and_channels_that_came_later_are_gaps_before(tmp_path):
    one = writer(tmp_path)
    one.add(ClosedSteps(0, STEP_MS, np.ones((2, 1, 1))))
    one.add(ClosedSteps(2, STEP_MS, np.full((1, 2, 2), 2.0)))
    one.write(["web1", "web2"], ["a", "b"], ())

    values = back(tmp_path).history.values

    np.testing.assert_array_equal(values[:, :, 0], [[1, NAN], [1, NAN], [2, 2]])
    np.testing.assert_array_equal(values[:, :, 1], [[NAN, NAN], [NAN, NAN], [2, 2]])


def test_a_segment_is_due_when_its_event_time_is_full(tmp_path):
    one = writer(tmp_path)
    one.add(numbered(0, 9))
    assert not one.is_due

    one.add(numbered(9, 1))

    assert one.is_due


# The order in which they come back


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


def test_only_the_asked_for_time_comes_back(tmp_path):
    kept(tmp_path, numbered(0, 10))

    assert column(back(tmp_path, from_ms=3000, until_ms=6000)) == [3, 4, 5]
    assert column(back(tmp_path, max_steps=2)) == [8, 9]


# What must not be learned


def test_an_episode_is_left_out_with_a_window_on_both_sides(tmp_path):
    one = kept(tmp_path, numbered(0, 30))
    one.note([alert(since_ms=11_000, resolved_ms=15_000)], [])

    values = column(back(tmp_path))

    # Over the limit first in the step that ends at 11 s, which began at 10 s; over at 15 s; four steps on both sides.
    assert read_spans(tmp_path) == [Span("web1", 6000, 19_000)]
    np.testing.assert_array_equal(values, [*range(6), *[NAN] * WINDOW, *range(19, 30)])  # a silence, cut to a window


def test_only_the_episodes_own_entity_is_left_out(tmp_path):
    kept(tmp_path, steps(0, ["1 2"] * 10), entities=["web1", "web2"]).note([alert(since_ms=1000, resolved_ms=90_000)], [])

    steps_read = back(tmp_path)

    assert steps_read.history.entities == ("web2",)
    assert steps_read.n_masked == 10


def test_an_open_episode_counts_up_to_now(tmp_path):
    one = writer(tmp_path)
    one.add(numbered(0, 10))
    one.write(["web1"], ["a"], [alert(since_ms=9000)])
    one.add(numbered(10, 10))
    one.write(["web1"], ["a"], [alert(since_ms=9000)])

    assert column(back(tmp_path)) == [0, 1, 2, 3]


def test_an_episode_that_opens_takes_its_first_steps_out_of_a_segment_that_is_there_already(tmp_path):
    one = kept(tmp_path, numbered(0, 10))
    one.add(numbered(10, 1))

    one.note([alert(since_ms=11_000)], [alert(since_ms=11_000)])

    assert column(back(tmp_path)) == [0, 1, 2, 3, 4, 5]


def test_spans_go_with_their_segments(tmp_path):
    one = kept(tmp_path, numbered(0, 10), numbered(10, 10), max_age_seconds=5.0)
    one.note([alert(since_ms=2000, resolved_ms=3000), alert(since_ms=15_000, resolved_ms=16_000)], [])

    assert [segment.first_ms for segment in list_segments(tmp_path)] == [10_000]
    assert read_spans(tmp_path) == [Span("web1", 10_000, 20_000)]


def test_a_history_without_its_spans_is_not_learned_from(tmp_path):
    kept(tmp_path, numbered(0, 10))
    (tmp_path / "spans.json").unlink()

    with pytest.raises(HistoryError, match=r"spans\.json is missing: it says what must not be learned"):
        read_spans(tmp_path)


@pytest.mark.parametrize("content", ["", "[[1, 2]]", "{", '[["web1", "x", 3]]'])
def test_damaged_spans_leave_out_all_that_was_there_before(tmp_path, content, caplog):
    kept(tmp_path, numbered(0, 10))
    (tmp_path / "spans.json").write_text(content)
    with pytest.raises(HistoryError, match="cannot be read"):
        read_spans(tmp_path)

    kept(tmp_path, numbered(10, 10))

    assert "what is there is not learned" in caplog.text
    assert column(back(tmp_path)) == list(range(10, 20))


# Segments that are gone, unfinished or damaged


def test_a_segment_that_has_gone_since_is_counted_and_passed_over(tmp_path):
    kept(tmp_path, numbered(0, 10), numbered(10, 10))
    segments = list_segments(tmp_path)
    segments[0].file.unlink()

    steps_read = read_steps(segments, [], shape="s", step_ms=STEP_MS, window_length=WINDOW)

    assert steps_read.skipped == {"gone": 1, "unreadable": 0, "settings": 0}
    assert steps_read.n_segments == 1
    assert column(steps_read) == list(range(10, 20))


@pytest.mark.parametrize("length", [0, 4, 100, -8])
def test_half_a_segment_is_counted_and_passed_over(tmp_path, length):
    kept(tmp_path, numbered(0, 10), numbered(10, 10))
    file = list_segments(tmp_path)[1].file
    file.write_bytes(file.read_bytes()[:length])

    steps_read = back(tmp_path)

    assert steps_read.skipped["unreadable"] == 1
    assert column(steps_read) == list(range(10))


def test_a_parquet_file_of_somebody_elses_is_passed_over(tmp_path):
    kept(tmp_path, numbered(0, 10))
    table = pq.read_table(list_segments(tmp_path)[0].file).replace_schema_metadata(None)
    pq.write_table(table, tmp_path / "50-60.parquet")
    (tmp_path / "notes.parquet").write_text("mine")

    steps_read = back(tmp_path)

    assert (steps_read.n_segments, steps_read.skipped["unreadable"]) == (1, 1)


def test_segments_of_other_settings_are_counted_and_passed_over(tmp_path):
    kept(tmp_path, numbered(0, 10), shape="other")
    kept(tmp_path, numbered(10, 5))

    steps_read = back(tmp_path)

    assert steps_read.skipped["settings"] == 1
    assert column(steps_read) == list(range(10, 15))


def test_where_nothing_is_left_there_is_no_history(tmp_path):
    assert back(tmp_path).history is None
    assert read_steps([Segment(0, 1, tmp_path / "0-1.parquet")], [], shape="s", step_ms=1, window_length=4).history is None


def test_an_unfinished_file_of_a_crash_is_never_read_and_is_cleared_away(tmp_path):
    kept(tmp_path, numbered(0, 10))
    (tmp_path / ".10000-19000.parquet.new").write_bytes(b"PAR1 half")

    assert back(tmp_path).n_segments == 1
    writer(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0-9000.parquet", "spans.json"]


# Bounds


def test_what_is_too_old_is_deleted(tmp_path):
    kept(tmp_path, *(numbered(10 * number, 10) for number in range(5)), max_age_seconds=15.0)

    # The newest step began at 49 s: what ends before 34 s has to go.
    assert [segment.first_ms for segment in list_segments(tmp_path)] == [30_000, 40_000]


def test_the_oldest_go_when_it_is_too_much_and_the_newest_stays(tmp_path):
    blocks = [numbered(10 * number, 10) for number in range(5)]
    n_bytes = kept(tmp_path / "one", blocks[0]).n_bytes()

    kept(tmp_path / "two", *blocks, max_bytes=int(2.5 * n_bytes))
    kept(tmp_path / "none", *blocks, max_bytes=1)

    assert [segment.first_ms for segment in list_segments(tmp_path / "two")] == [30_000, 40_000]
    assert [segment.first_ms for segment in list_segments(tmp_path / "none")] == [40_000]


def test_a_size_of_zero_keeps_nothing(tmp_path):
    one = kept(tmp_path / "h", numbered(0, 50), max_bytes=0)
    one.note([alert(since_ms=1000, resolved_ms=2000)], [])

    assert not one.is_due
    assert not (tmp_path / "h").exists()


def test_a_full_disk_loses_a_segment_and_leaves_the_others_and_no_litter(tmp_path):
    one = kept(tmp_path, numbered(0, 10))
    rng = np.random.default_rng(0)
    one.add(ClosedSteps(10, STEP_MS, rng.normal(size=(4000, 1, 1))))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(HistoryError, match=r"cannot write the history .*: File too large"):
            one.write(["web1"], ["a"], ())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert sorted(file.name for file in tmp_path.iterdir()) == ["0-9000.parquet", "spans.json"]
    assert not one.is_due  # memory does not grow while the disk is full
    one.add(numbered(5000, 10))
    one.write(["web1"], ["a"], ())
    assert len(list_segments(tmp_path)) == 2


def test_spans_that_cannot_be_written_keep_their_segment_from_being_written(tmp_path):
    one = kept(tmp_path, numbered(0, 10))
    (tmp_path / "spans.json").unlink()
    (tmp_path / "spans.json").mkdir()
    one.add(numbered(10, 10))

    with pytest.raises(HistoryError, match="cannot write the history"):
        one.write(["web1"], ["a"], [alert(since_ms=12_000)])

    assert len(list_segments(tmp_path)) == 1


def test_what_an_earlier_run_left_is_still_not_learned(tmp_path):
    kept(tmp_path, numbered(0, 30)).note([alert(since_ms=11_000, resolved_ms=12_000)], [])

    kept(tmp_path, numbered(30, 10))

    assert read_spans(tmp_path) == [Span("web1", 6000, 16_000)]
    assert json.loads((tmp_path / "spans.json").read_text()) == [["web1", 6000, 16_000]]
