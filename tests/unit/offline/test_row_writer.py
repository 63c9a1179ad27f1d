from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from monitor.errors import MonitorError
from monitor.offline.row_writer import open_writer

BLOCKS = (
    {"entity": ["a", "b"], "score": np.array([0.5, np.nan])},
    {"entity": ["c"], "score": np.array([2.0])},
)


def test_blocks_are_written_behind_one_header_with_empty_fields_for_nan():
    text = io.StringIO()

    with open_writer(None, text) as writer:
        for block in BLOCKS:
            writer.write(block)

    assert text.getvalue() == "entity,score\na,0.5\nb,\nc,2.0\n"


def test_parquet_has_null_for_nan(tmp_path):
    with open_writer(tmp_path / "s.parquet", io.StringIO()) as writer:
        for block in BLOCKS:
            writer.write(block)

    rows = pd.read_parquet(tmp_path / "s.parquet")
    assert rows["entity"].tolist() == ["a", "b", "c"]
    assert rows["score"].isna().tolist() == [False, True, False]


def test_a_name_of_another_kind_is_refused(tmp_path):
    with (
        pytest.raises(MonitorError, match=r"the name must end in \.csv or \.parquet"),
        open_writer(tmp_path / "scores.txt", io.StringIO()),
    ):
        pytest.fail("there is nothing to write to")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()

    with (
        pytest.raises(MonitorError, match=r"cannot write scores to .*file/scores\.csv: Not a directory"),
        open_writer(tmp_path / "file" / "scores.csv", io.StringIO()),
    ):
        pytest.fail("there is nothing to write to")
