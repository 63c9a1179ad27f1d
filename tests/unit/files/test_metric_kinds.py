import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitor.errors import SourceError
from monitor.files.metric_files import FileLayout, read_files
from monitor.files.metric_kinds import COUNTERS_KEY, counters_of
from monitor.sample import Kind


def write(path, metadata):
    columns = {"time": [1, 1], "name": ["a_bucket", "b"], "value": [1.0, 2.0]}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


def test_what_a_file_calls_a_counter_is_read_as_one(tmp_path, table):
    file = write(tmp_path / "a.parquet", {COUNTERS_KEY: json.dumps(["a_bucket"])})

    read_files([file], FileLayout(time_unit="ms"), table)

    kinds = {table[number].name: table[number].kind for number in range(len(table))}
    assert kinds == {"a_bucket": Kind.COUNTER, "b": Kind.GAUGE}


def test_a_file_that_says_nothing_has_no_counters_but_those_by_name(tmp_path):
    assert counters_of(write(tmp_path / "a.parquet", {})) == frozenset()
    assert counters_of(tmp_path / "a.csv") == frozenset()


def test_a_damaged_list_of_counters_is_an_error_that_names_the_file(tmp_path, table):
    file = write(tmp_path / "a.parquet", {COUNTERS_KEY: "["})

    with pytest.raises(SourceError, match=r"a.parquet: its list of counters is damaged"):
        read_files([file], FileLayout(), table)
