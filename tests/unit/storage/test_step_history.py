"""Closed steps on disk: 1 s steps, windows of 4: an episode's span is widened by 4 s on both sides."""

from __future__ import annotations

import json
import resource
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from step_histories import NAN, STEP_MS, WINDOW, alert, back, column, kept, numbered, steps, writer

from monitor.detection.steps import ClosedSteps
from monitor.errors import HistoryError
from monitor.storage.step_history import METADATA_KEY, Span, list_segments, read_spans


def test_steps_come_back_as_they_were(tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 2, 3))
    values[3:5, 0] = NAN
    values[7, 1, 2] = NAN
    kept(
        tmp_path,
        ClosedSteps(100, STEP_MS, values),
        entities=["web1", "web2"],
        channels=["a", "b", 'c{mode="x"}'],
    )

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
    history = writer(tmp_path)
    history.add(ClosedSteps(0, STEP_MS, np.ones((2, 1, 1))))
    history.add(ClosedSteps(2, STEP_MS, np.full((1, 2, 2), 2.0)))
    history.write(["web1", "web2"], ["a", "b"], ())

    values = back(tmp_path).history.values

    np.testing.assert_array_equal(values[:, :, 0], [[1, NAN], [1, NAN], [2, 2]])
    np.testing.assert_array_equal(values[:, :, 1], [[NAN, NAN], [NAN, NAN], [2, 2]])


def test_which_channels_are_counters_comes_back_and_earlier_segments_do_not_say_it(tmp_path):
    history = writer(tmp_path)
    history.add(numbered(0, 2))
    history.write(["web1"], ["a"], ())
    (segment,) = tmp_path.glob("*.parquet")
    table = pq.read_table(segment)
    about = json.loads(table.schema.metadata[METADATA_KEY])
    del about["counters"]
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(about)}), segment)
    earlier = back(tmp_path).history.counters
    history.add(numbered(2, 2))
    history.write(["web1"], ["a"], (), {"a"})

    assert (earlier, back(tmp_path).history.counters) == (set(), {"a"})


def test_a_segment_is_due_when_its_event_time_is_full(tmp_path):
    history = writer(tmp_path)
    history.add(numbered(0, 9))
    assert not history.is_due

    history.add(numbered(9, 1))

    assert history.is_due


# What must not be learned


def test_an_episode_is_left_out_with_a_window_on_both_sides(tmp_path):
    history = kept(tmp_path, numbered(0, 30))
    history.mask([alert(since_ms=11_000, resolved_ms=15_000)], [])

    values = column(back(tmp_path))

    # First over the limit in the step from 10 to 11 s; resolved at 15 s; four steps on both sides.
    assert read_spans(tmp_path) == [Span("web1", 6000, 19_000)]
    np.testing.assert_array_equal(
        values, [*range(6), *[NAN] * WINDOW, *range(19, 30)]
    )  # a silence, cut to a window


def test_only_the_episodes_own_entity_is_left_out(tmp_path):
    kept(tmp_path, steps(0, ["1 2"] * 10), entities=["web1", "web2"]).mask(
        [alert(since_ms=1000, resolved_ms=90_000)], []
    )

    steps_read = back(tmp_path)

    assert steps_read.history.entities == ("web2",)
    assert steps_read.n_masked == 10


def test_an_open_episode_counts_up_to_now(tmp_path):
    history = writer(tmp_path)
    history.add(numbered(0, 10))
    history.write(["web1"], ["a"], [alert(since_ms=9000)])
    history.add(numbered(10, 10))
    history.write(["web1"], ["a"], [alert(since_ms=9000)])

    assert column(back(tmp_path)) == [0, 1, 2, 3]


def test_an_episode_that_opens_takes_its_first_steps_out_of_a_segment_that_is_there_already(tmp_path):
    history = kept(tmp_path, numbered(0, 10))
    history.add(numbered(10, 1))

    history.mask([alert(since_ms=11_000)], [alert(since_ms=11_000)])

    assert column(back(tmp_path)) == [0, 1, 2, 3, 4, 5]


def test_spans_go_with_their_segments(tmp_path):
    history = kept(tmp_path, numbered(0, 10), numbered(10, 10), max_age_seconds=5.0)
    history.mask([alert(since_ms=2000, resolved_ms=3000), alert(since_ms=15_000, resolved_ms=16_000)], [])

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

    assert "the segments there are not learned" in caplog.text
    assert column(back(tmp_path)) == list(range(10, 20))


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
    history = kept(tmp_path / "h", numbered(0, 50), max_bytes=0)
    history.mask([alert(since_ms=1000, resolved_ms=2000)], [])

    assert not history.is_due
    assert not (tmp_path / "h").exists()


def test_a_full_disk_loses_a_segment_and_leaves_the_others_and_no_litter(tmp_path):
    history = kept(tmp_path, numbered(0, 10))
    rng = np.random.default_rng(0)
    history.add(ClosedSteps(10, STEP_MS, rng.normal(size=(4000, 1, 1))))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(HistoryError, match=r"cannot write the history .*: File too large"):
            history.write(["web1"], ["a"], ())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert sorted(file.name for file in tmp_path.iterdir()) == ["0-9000.parquet", "spans.json"]
    assert not history.is_due  # memory does not grow while the disk is full
    history.add(numbered(5000, 10))
    history.write(["web1"], ["a"], ())
    assert len(list_segments(tmp_path)) == 2


def test_spans_that_cannot_be_written_keep_their_segment_from_being_written(tmp_path):
    history = kept(tmp_path, numbered(0, 10))
    (tmp_path / "spans.json").unlink()
    (tmp_path / "spans.json").mkdir()
    history.add(numbered(10, 10))

    with pytest.raises(HistoryError, match="cannot write the history"):
        history.write(["web1"], ["a"], [alert(since_ms=12_000)])

    assert len(list_segments(tmp_path)) == 1


def test_what_an_earlier_run_left_is_still_not_learned(tmp_path):
    kept(tmp_path, numbered(0, 30)).mask([alert(since_ms=11_000, resolved_ms=12_000)], [])

    kept(tmp_path, numbered(30, 10))

    assert read_spans(tmp_path) == [Span("web1", 6000, 16_000)]
    assert json.loads((tmp_path / "spans.json").read_text()) == [["web1", 6000, 16_000]]


def test_collected_steps_are_written_under_the_names_of_another_models_channels(tmp_path):
    history = writer(tmp_path)
    history.add(ClosedSteps(0, STEP_MS, np.array([[[1.0, 2.0, 3.0]]])))

    history.rearrange_channels(np.array([2, -1, 0]))
    history.add(ClosedSteps(1, STEP_MS, np.array([[[30.0, 40.0, 10.0]]])))
    history.write(["web1"], ["c", "d", "a"], ())

    kept_steps = back(tmp_path).history
    assert kept_steps.channels == ("c", "d", "a")
    np.testing.assert_array_equal(kept_steps.values[:, 0], [[3, NAN, 1], [30, 40, 10]])


def test_what_an_operator_accepted_may_be_learned(tmp_path):
    history = kept(tmp_path, numbered(0, 30))
    opened = alert(since_ms=11_000)
    history.mask([opened], [opened])
    before = len(read_spans(tmp_path))
    ended = replace(alert(since_ms=11_000, resolved_ms=15_000), reason="accepted by operator")
    history.mask([ended], [])

    assert (before, read_spans(tmp_path)) == (1, [])
