"""Tables: their time column, labels of rows, and Grafana's downloads; test_metric_files.py has the rest."""

import pytest
from file_reading import START_MS, START_S, FileRead

from monitor.errors import SourceError


@pytest.mark.parametrize(
    "name", ["Time", "timestamp", "Timestamp (UTC)", "date", "@timestamp", "DateTime", "ts"]
)
def test_a_column_that_is_called_like_a_time_is_the_time(tmp_path, name):
    read = FileRead(tmp_path / "web1.csv", f"cpu,{name}\n1,{START_S}\n")

    assert read.series == {'cpu{entity="web1"}': [(0, 1.0)]}
    assert (f'time column "{name}"' in read.read_as) == (name != "timestamp")


def test_a_file_without_a_header_says_so(tmp_path):
    with pytest.raises(SourceError, match=r"has no header: its first row is 1767571200, 1\. Put a row"):
        FileRead(tmp_path / "web1.csv", f"{START_S},1\n{START_S + 60},2\n")


def test_grafanas_wide_download_has_a_series_a_column(tmp_path):
    content = '\ufeff"Time";"cpu web-1";"cpu web-2"\n"2026-01-05 00:00:00";"0.5";"0.25"\n'

    read = FileRead(tmp_path / "panel.csv", content)

    assert read.series == {
        'cpu web-1{entity="panel"}': [(0, 0.5)],
        'cpu web-2{entity="panel"}': [(0, 0.25)],
    }
    assert read.read_as.startswith('read as grafana: delimiter ";", time column "Time"')


def test_labels_in_grafanas_headers_are_labels(tmp_path):
    content = 'sep=,\n"Time","{__name__=""cpu"", instance=""a:9100""}","load{instance=""b""}"\n'
    content += "2026-01-05 00:00:00,1,2\n"

    assert set(FileRead(tmp_path / "panel.csv", content).series) == {
        'cpu{entity="panel",instance="a:9100"}',
        'load{entity="panel",instance="b"}',
    }


def test_grafanas_rows_of_series_are_read_by_their_names(tmp_path):
    content = (
        '"Series";"Time";"Value"\n'
        '"cpu{host=""a""}";"2026-01-05T00:00:00+00:00";1\n'
        '"load";"2026-01-05T00:00:00+00:00";null\n'
    )

    read = FileRead(tmp_path / "panel.csv", content)

    assert set(read.series) == {'cpu{host="a"}', 'load{entity="panel"}'}


def test_where_times_repeat_columns_of_text_are_labels(tmp_path):
    rows = "".join(f"{START_MS + t},{host},{t}\n" for t in (0, 1000) for host in ("a", "b"))

    read = FileRead(tmp_path / "panel.csv", f"Time,instance,Value\n{rows}")

    assert read.series == {
        'Value{entity="panel",instance="a"}': [(0, 0.0), (1000, 1000.0)],
        'Value{entity="panel",instance="b"}': [(0, 0.0), (1000, 1000.0)],
    }
    assert "labels instance" in read.read_as


def test_where_times_do_not_repeat_columns_of_text_are_comments(tmp_path):
    read = FileRead(tmp_path / "web1.csv", f"time,state,cpu\n{START_S},up,1\n{START_S + 60},down,2\n")

    assert set(read.series) == {'cpu{entity="web1"}'}


def test_a_name_and_a_value_make_a_long_table_whatever_their_case(tmp_path):
    read = FileRead(
        tmp_path / "any.csv", f"Timestamp,Metric,Value,host\n{START_S},cpu,1,a\n{START_S},mem,2,a\n"
    )

    assert read.series == {'cpu{host="a"}': [(0, 1.0)], 'mem{host="a"}': [(0, 2.0)]}


def test_a_list_of_json_objects_is_a_table(tmp_path):
    content = f'[{{"time": {START_S}, "cpu": 1}}, {{"time": {START_S + 60}, "cpu": 2.5}}]'

    assert FileRead(tmp_path / "web1.json", content).values == {'cpu{entity="web1"}': [1.0, 2.5]}
