import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from monitor.errors import MonitorError
from monitor.files.metric_kinds import counters_of
from monitor.offline.sample_file import SampleFile
from monitor.prometheus.ranges import TimeRange
from monitor.sample import Kind, concatenate, labels_of
from monitor.testing import samples

FIRST, SECOND = TimeRange(0, 3000), TimeRange(3000, 6000)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.parquet"


def written(path, table, *spans, queries=("q",)):
    """Write a value a second for each span, as one call of the command does."""
    file = SampleFile(path, queries)
    for span in spans:
        text = " ".join(str(time / 1000) for time in range(span.from_ms, span.to_ms, 1000))
        parts = [samples(text, table, name=name, start_ms=span.from_ms, host="a") for name in ("m", "n")]
        file.add(span, concatenate(parts), table)
    return file


def test_rows_are_long_with_a_column_a_label(path, table):
    columns = concatenate(
        [samples("1 _ 3", table, name="m", host="a"), samples("4", table, name="n", zone="z")]
    )
    file = SampleFile(path, ["q"])
    file.add(FIRST, columns, table)

    assert file.finish() == 3

    rows = pd.read_parquet(path).to_dict("list")
    assert rows == {
        "time": [0, 2000, 0],
        "name": ["m", "m", "n"],
        "value": [1.0, 3.0, 4.0],
        "host": ["a", "a", ""],
        "zone": ["", "", "z"],
    }


def test_a_file_is_continued_where_it_ended(path, table):
    written(path, table, FIRST).finish()

    again = written(path, table)
    assert again.covered == FIRST
    assert written(path, table, SECOND).finish() == 12

    frame = pd.read_parquet(path)
    assert sorted(frame["time"].unique()) == [0, 1000, 2000, 3000, 4000, 5000]
    assert not frame.duplicated(["time", "name"]).any()


def test_a_killed_command_goes_on_behind_its_last_stretch_and_gives_the_same_file(path, tmp_path, table):
    written(path, table, FIRST)  # and no more: killed
    (tmp_path / "out.parquet.parts" / ".3000-6000.parquet.new").write_bytes(b"half")

    resumed = written(path, table, SECOND)

    assert resumed.covered == TimeRange(0, 6000)
    assert resumed.finish() == 12
    other = tmp_path / "whole.parquet"
    written(other, table, FIRST, SECOND).finish()
    pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(other))


def test_stretches_that_a_crash_left_beside_the_finished_file_are_not_taken_twice(path, tmp_path, table):
    written(path, table, FIRST)
    part = tmp_path / "out.parquet.parts" / "0-3000.parquet"
    left = part.read_bytes()
    written(path, table).finish()
    part.parent.mkdir()
    part.write_bytes(left)

    assert written(path, table, SECOND).finish() == 12


def test_a_file_with_nothing_new_stays_as_it_is(path, table):
    written(path, table, FIRST).finish()
    before = path.read_bytes()

    assert written(path, table).finish() == 6
    assert path.read_bytes() == before


def test_a_stretch_without_samples_counts_as_read_beside_others_but_makes_no_file_alone(path, table):
    file = SampleFile(path, ["q"])
    file.add(FIRST, samples("", table), table)
    assert SampleFile(path, ["q"]).covered == FIRST

    assert file.finish() == 0

    assert not path.exists()
    assert SampleFile(path, ["q"]).covered is None


def test_labels_that_come_and_go_are_empty_where_they_are_not(path, table):
    file = SampleFile(path, ["q"])
    file.add(FIRST, samples("1", table, name="m", host="a"), table)
    file.add(SECOND, samples("2", table, name="m", start_ms=3000, zone="z"), table)
    file.finish()

    frame = pd.read_parquet(path)
    assert frame[["host", "zone"]].to_numpy().tolist() == [["a", ""], ["", "z"]]


def test_counters_stay_counters(path, table):
    number = table.intern("a_count", labels_of({"host": "a"}), Kind.COUNTER)
    columns = samples("1 2", table, name="m")
    counted = type(columns)(np.full(2, number, np.int32), columns.time_ms, columns.value)
    file = SampleFile(path, ["q"])
    file.add(FIRST, concatenate([columns, counted]), table)
    file.finish()

    written(path, table, SECOND).finish()

    assert counters_of(path) == {"a_count"}


def test_labels_whose_names_are_taken_are_renamed(path, table):
    number = table.intern("m", labels_of({"name": "x"}))
    columns = samples("1", table, name="other")
    file = SampleFile(path, ["q"])
    file.add(FIRST, type(columns)(np.array([number], np.int32), columns.time_ms, columns.value), table)
    file.finish()

    assert file.renamed == {"name": "exported_name"}
    assert pq.read_schema(path).names == ["time", "name", "value", "exported_name"]


def test_a_file_of_other_queries_is_not_continued(path, table):
    written(path, table, FIRST).finish()

    with pytest.raises(MonitorError, match=r"is from other queries \(q\). Write to a new file"):
        SampleFile(path, ["other"])


def test_a_file_that_another_program_wrote_is_not_touched(path):
    pd.DataFrame({"time": [1], "name": ["a"], "value": [1.0]}).to_parquet(path)

    with pytest.raises(MonitorError, match="was not written by `barograph backfill`"):
        SampleFile(path, ["q"])


def test_what_is_no_parquet_is_refused(path, tmp_path):
    path.write_bytes(b"no")

    with pytest.raises(MonitorError, match="cannot continue"):
        SampleFile(path, ["q"])
    with pytest.raises(MonitorError, match=r"must end in .parquet"):
        SampleFile(tmp_path / "a.csv", ["q"])


def test_a_folder_that_cannot_be_written_is_one_line(path, tmp_path, table):
    (tmp_path / "out.parquet.parts").write_text("a file")

    with pytest.raises(MonitorError, match=r"cannot write to .*parts: .* repeat the command"):
        written(path, table, FIRST)
