"""Which format a file is in."""

import pytest
from file_reading import START_S, FileRead

from monitor.errors import SourceError
from monitor.files.detect import is_json, is_metric_file
from monitor.files.layout import FileLayout, Reading, Tally
from monitor.sample import SeriesTable


def test_braces_begin_json_or_a_sample():
    assert is_json(b'\xef\xbb\xbf {"a": 1}')
    assert is_json(b'{"a": {"b": 1}}')
    assert is_json(b"[1]")
    assert not is_json(b'{__name__="up"} 1 2')
    assert not is_json(b'{"disk.used", host="a"} 1 2')


def test_json_of_no_known_kind_says_what_it_has(tmp_path):
    with pytest.raises(SourceError, match=r"JSON of no known kind \(it has: colour\)\. Known are"):
        FileRead(tmp_path / "a.json", '{"colour": 1}')


@pytest.mark.parametrize(
    ("name", "content", "wanted"), [("a.json", "[]", "influx"), ("a.csv", "time,cpu\n1,2\n", "prometheus")]
)
def test_a_format_that_the_file_is_not_in_names_the_setting(tmp_path, name, content, wanted):
    with pytest.raises(SourceError, match=rf"the format \"{wanted}\" .*source\.replay\.format"):
        FileRead(tmp_path / name, content, format=wanted)


def test_a_format_that_is_set_is_not_detected(tmp_path):
    content = f"Time,cpu{{host=a}}\n{START_S},1\n"

    assert set(FileRead(tmp_path / "a.csv", content, format="table").series) != set(
        FileRead(tmp_path / "a.csv", content, format="grafana").series
    )


@pytest.mark.parametrize(
    ("name", "content", "is_file"),
    [
        ("a.csv", b"time,cpu\n1,2\n", True),
        ("a.txt", b'cpu{a="b"} 1 2\n', True),
        ("a.txt", b"cpu,host=a idle=1 1\n", False),
        ("a.txt", b"load 7 3\n", False),
        ("a.bin", b"\xff\x00", False),
        ("a.json", b'{"colour": 1}', False),
        ("a.json", b'{"MetricDataResults": []}', True),
    ],
)
def test_payloads_of_records_are_no_metric_files(tmp_path, name, content, is_file):
    reading = Reading(tmp_path / name, FileLayout(), SeriesTable(), Tally())

    assert is_metric_file(content, reading) == is_file
