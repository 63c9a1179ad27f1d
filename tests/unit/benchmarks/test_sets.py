"""Labelled sets are read by the judge's rules."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.card.sets import load_set, segments


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "made" / "series").mkdir(parents=True)
    return tmp_path


def write(folder, entity, step, frame):
    name = f"series/{entity}.csv"
    frame.to_csv(folder / "made" / name, index=False)
    return {"entity": entity, "file": name, "step_s": step}


def index(folder, *rows):
    pd.DataFrame(rows).to_csv(folder / "made" / "index.csv", index=False)


def frame_of(n, split=None, **columns):
    frame = pd.DataFrame({"timestamp": range(n), **columns, "label": 0})
    return frame if split is None else frame.assign(split=split)


def test_segments_nearer_than_ten_rows_are_one():
    label = np.zeros(100, bool)
    label[[10, 11, 20, 40]] = True

    assert segments(label) == [(10, 21), (40, 41)]
    assert segments(label, gap=0) == [(10, 12), (20, 21), (40, 41)]


def test_series_of_a_step_are_one_trial_with_all_channels(folder):
    first = write(folder, "b", 60, frame_of(10, ["train"] * 6 + ["test"] * 4, x=1.0))
    second = write(folder, "a", 60, frame_of(8, ["train"] * 5 + ["test"] * 3, y=2.0, label_app=1))
    index(folder, first, second, write(folder, "c", 300, frame_of(10, x=3.0)))

    minute, five = load_set(folder, "made")

    assert (minute.entities, minute.channels) == (("a", "b"), ("y", "x"))  # by the names of the files
    assert minute.values.shape == (10, 2, 2)
    assert np.isnan(minute.values[8:, 0]).all()
    assert np.isnan(minute.values[:, 1, 0]).all()
    assert minute.train.sum(axis=0).tolist() == [5, 6]
    assert minute.test_span(0) == (5, 8)
    assert five.step_seconds == 300


def test_without_a_split_the_first_30_per_cent_train(folder):
    alike = write(folder, "all", 60, frame_of(100, ["test"] * 100, x=1.0))
    index(folder, write(folder, "none", 60, frame_of(100, x=1.0)), alike)

    (trial,) = load_set(folder, "made")

    assert trial.train.sum(axis=0).tolist() == [30, 30]
    assert trial.test_span(0) == (30, 100)


def test_the_stream_puts_test_rows_right_behind_training_rows(folder):
    late = frame_of(10, ["test"] * 4 + ["train"] * 6, x=np.arange(10.0))
    index(
        folder,
        write(folder, "late", 60, late),
        write(folder, "long", 60, frame_of(12, ["train"] * 8 + ["test"] * 4, x=np.arange(12.0))),
    )
    (trial,) = load_set(folder, "made")

    stream, n_train = trial.stream()

    assert n_train == 8
    assert stream[2:, 0, 0].tolist() == [4, 5, 6, 7, 8, 9, 0, 1, 2, 3]
    assert np.isnan(stream[:2, 0]).all()
    assert stream[:, 1, 0].tolist() == list(range(12))


def test_blamed_channels_are_named_by_the_series_own_columns(folder):
    index(folder, write(folder, "e", 60, frame_of(50, ["train"] * 20 + ["test"] * 30, x=1.0, y=1.0)))
    labels = [
        {"entity": "e", "start_row": 30, "end_row": 34, "note": "dims=1 type=metric"},
        {"entity": "e", "start_row": 40, "end_row": 41, "note": ""},
    ]
    pd.DataFrame(labels).to_csv(folder / "made" / "labels.csv", index=False)

    (trial,) = load_set(folder, "made")

    assert trial.blamed == {"e": [(30, 35, frozenset({"y"}))]}


def test_a_set_that_is_not_there_is_named(folder):
    with pytest.raises(FileNotFoundError, match="there is no set smd"):
        load_set(folder, "smd")
