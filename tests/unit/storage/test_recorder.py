"""Recordings survive a crash, are gone on with, and hold what was read."""

import threading

import numpy as np
import pandas as pd
import pytest
from full_disk import full_disk

from monitor.errors import MonitorError
from monitor.files.metric_files import FileLayout, read_files
from monitor.sample import SeriesTable
from monitor.storage.recorder import Recorder, record
from monitor.testing import FakeClock

LABELS = ("host", "mode")
HEADER = "time,name,value,host,mode\n"


def reading(name="load", value=0.5, **labels):
    return name, tuple(sorted({"host": "web1", **labels}.items())), value


def make(path, *moments):
    """Record one reading at each moment (ms), its value the moment, and close."""
    recorder = Recorder(path, LABELS)
    for moment in moments:
        recorder.append(moment, [reading(value=float(moment))])
    recorder.close()
    return path


def journal_of(path):
    return path.with_name(path.name + ".journal.csv")


def moments_in(path):
    return pd.read_parquet(path)["time"].tolist()


# CSV


def test_a_row_has_time_name_value_and_a_column_a_label(tmp_path):
    recorder = Recorder(tmp_path / "r.csv", LABELS)
    recorder.append(1000, [reading(), reading("cpu_seconds_total", 7.0, mode="idle")])
    recorder.close()

    assert (
        tmp_path / "r.csv"
    ).read_text() == HEADER + "1000,load,0.5,web1,\n1000,cpu_seconds_total,7.0,web1,idle\n"
    assert recorder.n_samples == 2


def test_rows_can_be_read_while_the_recording_goes_on(tmp_path):
    recorder = Recorder(tmp_path / "r.csv", LABELS)
    recorder.append(1000, [reading()])

    assert (tmp_path / "r.csv").read_text().endswith("1000,load,0.5,web1,\n")
    recorder.close()


def test_a_torn_last_line_is_cut_off_before_going_on(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(HEADER + "1000,load,1000.0,web1,\n2000,load,20")

    make(path, 3000)

    assert path.read_text() == HEADER + "1000,load,1000.0,web1,\n3000,load,3000.0,web1,\n"


def test_a_long_torn_line_is_cut_off_whole(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(HEADER + "1000,load,1000.0,web1,\n" + "2" * 200_000)

    make(path, 3000)

    assert path.read_text() == HEADER + "1000,load,1000.0,web1,\n3000,load,3000.0,web1,\n"


def test_repeating_the_command_goes_on_behind_the_last_row(tmp_path):
    for moment in (1000, 2000):
        make(tmp_path / "r.csv", moment)

    assert (tmp_path / "r.csv").read_text() == HEADER + "1000,load,1000.0,web1,\n2000,load,2000.0,web1,\n"


def test_a_recording_with_other_columns_is_left_alone(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("time,name,value,host\n1000,load,1,web1\n")

    with pytest.raises(
        MonitorError,
        match=r"r\.csv has other columns \(time,name,value,host\); expected time,name,value,host,mode",
    ):
        Recorder(path, LABELS)

    assert path.read_text() == "time,name,value,host\n1000,load,1,web1\n"


# Parquet


def test_a_parquet_recording_is_made_from_its_journal_ordered_by_series_and_time(tmp_path):
    path = tmp_path / "r.parquet"
    recorder = Recorder(path, LABELS)
    for moment in (1000, 2000):
        recorder.append(moment, [reading("load", 1.0), reading("cpu_seconds_total", 2.0, mode="idle")])
    recorder.close()

    frame = pd.read_parquet(path)
    assert not journal_of(path).exists()
    assert frame["name"].tolist() == ["cpu_seconds_total"] * 2 + ["load"] * 2
    assert frame["time"].tolist() == [1000, 2000, 1000, 2000]
    assert frame["mode"].tolist() == ["idle", "idle", "", ""]


def test_repeating_the_command_adds_to_a_parquet_recording(tmp_path):
    path = make(tmp_path / "r.parquet", 1000, 2000)

    make(path, 3000)

    assert moments_in(path) == [1000, 2000, 3000]


def test_a_recorder_that_was_killed_loses_no_whole_row(tmp_path):
    path = tmp_path / "r.parquet"
    journal_of(path).write_text(HEADER + "1000,load,1000.0,web1,\n2000,lo")

    make(path, 3000)

    assert moments_in(path) == [1000, 3000]


def test_a_crash_between_the_new_file_and_the_end_of_the_journal_makes_no_row_twice(tmp_path):
    path = tmp_path / "r.parquet"
    recorder = Recorder(path, LABELS)
    recorder.append(1000, [reading(), reading(mode="idle")])
    journal = journal_of(path).read_text()
    recorder.close()
    journal_of(path).write_text(journal)  # as if the journal had not been removed yet

    make(path, 2000)

    assert moments_in(path) == [1000, 2000, 1000]
    assert not journal_of(path).exists()


def test_a_journal_with_other_columns_is_left_alone(tmp_path):
    path = tmp_path / "r.parquet"
    journal_of(path).write_text("time,name,value\n1000,load,1\n")

    with pytest.raises(MonitorError, match="other columns"):
        Recorder(path, LABELS)

    assert not path.exists()


def test_a_recorder_that_read_nothing_leaves_a_recording_without_rows(tmp_path):
    make(tmp_path / "r.parquet")

    assert moments_in(tmp_path / "r.parquet") == []


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_recording_replays_as_the_samples_that_were_read(tmp_path, suffix):
    path = tmp_path / f"r{suffix}"
    recorder = Recorder(path, LABELS)
    recorder.append(1000, [reading("load", 0.25), reading("cpu_seconds_total", 7.0, mode="idle")])
    recorder.append(2000, [reading("load", float("nan"))])
    recorder.close()
    table = SeriesTable()

    columns = read_files([path], FileLayout(time_unit="ms"), table).columns

    read = {
        (str(table[number]), time): value
        for number, time, value in zip(columns.series, columns.time_ms, columns.value, strict=True)
    }
    assert set(read) == {
        ('load{host="web1"}', 1000),
        ('cpu_seconds_total{host="web1",mode="idle"}', 1000),
        ('load{host="web1"}', 2000),
    }  # fmt: skip
    assert read['load{host="web1"}', 1000] == 0.25
    assert np.isnan(read['load{host="web1"}', 2000])


def test_a_parquet_recording_keeps_every_value_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(1)
    values = [
        *(rng.normal(0, 1, 500) * 10.0 ** rng.integers(-12, 12, 500)).tolist(),
        1 / 3,
        5e-324,
        1.7976931348623157e308,
        -0.0,
    ]
    recorder = Recorder(tmp_path / "r.parquet", LABELS)
    for moment, value in enumerate(values):
        recorder.append(moment, [reading(value=value)])
    recorder.close()

    assert pd.read_parquet(tmp_path / "r.parquet")["value"].tolist() == values


def test_labels_stay_text_even_where_they_look_like_numbers(tmp_path):
    path = tmp_path / "r.parquet"
    for moment in (1000, 2000):
        recorder = Recorder(path, LABELS)
        recorder.append(moment, [reading(host="007", mode="1.0")])
        recorder.close()

    frame = pd.read_parquet(path)
    assert frame["host"].tolist() == ["007", "007"]
    assert frame["mode"].tolist() == ["1.0", "1.0"]


# What cannot be recorded


def test_a_name_of_another_kind_is_refused(tmp_path):
    with pytest.raises(MonitorError, match=r"must end in \.parquet or \.csv"):
        Recorder(tmp_path / "r.txt", LABELS)


def test_a_place_that_cannot_be_written_is_an_error_that_says_so(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(MonitorError, match=r"cannot record to .*Choose a file that can be written"):
        Recorder(tmp_path / "file" / "r.csv", LABELS)


def test_a_reading_with_an_unknown_label_is_an_error_that_names_it(tmp_path):
    recorder = Recorder(tmp_path / "r.csv", LABELS)

    with pytest.raises(MonitorError, match="'device'"):
        recorder.append(1000, [reading(device="sda")])
    recorder.close()

    assert (tmp_path / "r.csv").read_text() == HEADER


def test_what_is_no_parquet_file_is_refused_before_anything_is_recorded(tmp_path):
    (tmp_path / "r.parquet").write_text("something of mine")

    with pytest.raises(MonitorError, match=r"cannot continue .*r\.parquet: it is no Parquet file"):
        Recorder(tmp_path / "r.parquet", LABELS)

    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [
        ("r.parquet", "something of mine")
    ]


def test_a_parquet_file_with_other_columns_is_refused_before_anything_is_recorded(tmp_path):
    pd.DataFrame({"timestamp": [1000], "cpu": [0.5]}).to_parquet(tmp_path / "r.parquet")

    with pytest.raises(
        MonitorError, match=r"has other columns \(timestamp,cpu\); expected time,name,value,host,mode"
    ):
        Recorder(tmp_path / "r.parquet", LABELS)

    assert not journal_of(tmp_path / "r.parquet").exists()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_full_disk_ends_a_recording_with_what_is_in_it_and_it_can_be_gone_on_with(tmp_path, suffix):
    path = tmp_path / f"r{suffix}"
    recorder = Recorder(path, LABELS)
    recorder.append(1000, [reading(value=1.0)])

    with full_disk(len(HEADER) + 30):  # one row and a torn one
        with pytest.raises(
            MonitorError, match=r"cannot write to .*: File too large\. What was recorded before is in it"
        ):
            recorder.append(2000, [reading(value=2.0)])
        recorder.close()

    make(path, 3000)
    read = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    assert read["time"].tolist() == [1000, 3000]


def test_a_disk_too_full_to_make_the_parquet_file_leaves_the_journal_and_the_old_recording(tmp_path):
    path = make(tmp_path / "r.parquet", 1000)
    before = path.read_bytes()
    recorder = Recorder(path, LABELS)
    recorder.append(2000, [reading(value=2.0)])

    # 200 bytes: more than the journal takes, less than the file
    with (
        full_disk(200),
        pytest.raises(
            MonitorError, match=r"cannot finish .*r\.parquet: .*What was recorded is in .*journal\.csv"
        ),
    ):
        recorder.close()

    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["r.parquet", "r.parquet.journal.csv"]
    make(path, 3000)
    assert moments_in(path) == [1000, 2000, 3000]


# The loop


class Kept:
    """Stands for a recorder: keeps when each reading was begun."""

    def __init__(self, clock):
        self.clock = clock
        self.begun = []
        self.times = []

    def read(self):
        self.begun.append(self.clock.now())
        return [reading()]

    def append(self, time_ms, readings):
        self.times.append(time_ms)


def run(clock, *, duration_seconds, stop=None, read=None, step_seconds=1.0):
    kept = Kept(clock)
    notified = []
    record(
        kept,
        read or kept.read,
        step_seconds=step_seconds,
        duration_seconds=duration_seconds,
        clock=clock,
        stop=stop or threading.Event(),
        progress=notified.append,
    )
    return kept, notified


def test_readings_lie_at_whole_multiples_of_the_step():
    kept, notified = run(FakeClock(100.25), duration_seconds=5)

    assert kept.times == [101_000, 102_000, 103_000, 104_000, 105_000]
    assert kept.begun == [101.0, 102.0, 103.0, 104.0, 105.0]
    assert notified == [0.75, 1.75, 2.75, 3.75, 4.75]


def test_a_step_may_be_longer_than_a_second():
    kept, _ = run(FakeClock(100.25), duration_seconds=30, step_seconds=10)

    assert kept.times == [110_000, 120_000, 130_000]


def test_asked_to_stop_it_reads_nothing_more():
    stop = threading.Event()
    stop.set()
    kept, _ = run(FakeClock(100.0), duration_seconds=5, stop=stop)

    assert kept.times == []


def assert_made_up_nothing(kept):
    """Check that each reading was begun within the step that it is recorded for."""
    assert kept.times == sorted(set(kept.times))
    assert all(time_ms % 1000 == 0 for time_ms in kept.times)
    late = [begun - time_ms / 1000 for begun, time_ms in zip(kept.begun, kept.times, strict=True)]
    assert all(0 <= seconds < 1 for seconds in late), late


def test_steps_that_a_slow_reader_misses_are_left_out():
    clock = FakeClock(100.25)
    kept = Kept(clock)

    def slow():
        readings = kept.read()
        clock.advance(2.5)
        return readings

    record(
        kept,
        slow,
        step_seconds=1.0,
        duration_seconds=10,
        clock=clock,
        stop=threading.Event(),
        progress=lambda seconds: None,
    )

    assert_made_up_nothing(kept)
    assert 3 <= len(kept.times) <= 5


class SuspendedOnce(FakeClock):
    """A machine that sleeps for an hour during its third wait."""

    n_waits = 0

    def wait(self, stop, seconds):
        self.n_waits += 1
        if self.n_waits == 3:
            self.jump(3600.5)
        return super().wait(stop, seconds)


def test_steps_that_a_suspended_machine_slept_through_are_left_out():
    kept, _ = run(SuspendedOnce(100.25), duration_seconds=3610)

    assert_made_up_nothing(kept)
    assert kept.times[:2] == [101_000, 102_000]
    assert kept.times[-1] == 3_710_000
    assert len(kept.times) < 12
