"""JSON of Grafana's inspector, query API and older data sources; test_tables.py has its CSV."""

import json
import math

import pytest
from file_reading import START_MS, START_S, FileRead

from monitor.errors import SourceError

TIMES = [START_MS, START_MS + 60_000]


def field(name, kind, values=None, **more):
    return {"name": name, "type": kind, **({} if values is None else {"values": values}), **more}


def in_query(fields, values, **data):
    frame = {"schema": {"refId": "A", "fields": fields}, "data": {"values": values, **data}}
    return {"results": {"A": {"status": 200, "frames": [frame]}}}


def test_an_answer_of_the_query_api_is_read(tmp_path):
    fields = [
        field("Time", "time"),
        field("Value", "number", labels={"__name__": "cpu", "host": "a"}, config={"displayNameFromDS": "x"}),
    ]
    answer = in_query(fields, [TIMES, [1, None]], entities=[None, {"Inf": [1]}])

    for document in (answer, answer["results"]["A"]["frames"]):
        read = FileRead(tmp_path / "panel.json", json.dumps(document))

        assert read.series == {'cpu{host="a"}': [(0, 1.0), (60_000, math.inf)]}


@pytest.mark.parametrize("key", ["series", "snapshotData"])
def test_panel_data_is_read(tmp_path, key):
    frame = {"refId": "A", "fields": [field("Time", "time", TIMES), field("load", "number", [1, 2])]}

    read = FileRead(tmp_path / "panel.json", json.dumps({"state": "Done", key: [frame]}))

    assert read.series == {'load{entity="panel"}': [(0, 1.0), (60_000, 2.0)]}


def test_a_displayed_name_is_split_where_the_field_says_nothing(tmp_path):
    fields = [field("Time", "time"), field("Value", "number", config={"displayNameFromDS": 'cpu{host="a"}'})]

    assert set(FileRead(tmp_path / "p.json", json.dumps(in_query(fields, [TIMES, [1, 2]]))).series) == {
        'cpu{host="a"}'
    }


def test_a_long_frame_has_its_texts_as_labels(tmp_path):
    fields = [field("Time", "time"), field("host", "string"), field("cpu", "number")]
    answer = in_query(fields, [[START_MS, START_MS], ["a", "b"], [1, 2]])

    read = FileRead(tmp_path / "p.json", json.dumps(answer))

    assert read.values == {'cpu{host="a"}': [1.0], 'cpu{host="b"}': [2.0]}


@pytest.mark.parametrize("start", [START_MS, START_S])
def test_pairs_of_value_and_time_are_read(tmp_path, start):
    document = [{"target": "web.cpu", "datapoints": [[1, start], [None, start]]}]

    assert FileRead(tmp_path / "p.json", json.dumps(document)).series['web.cpu{entity="p"}'][0] == (0, 1.0)


def test_a_failed_query_and_a_dashboard_say_what_to_save(tmp_path):
    failed = {"results": {"A": {"status": 400, "error": "no such bucket"}}}
    dashboard = {"panels": [{"targets": []}], "schemaVersion": 39}

    with pytest.raises(SourceError, match=r"query A failed: no such bucket\. Use \"Inspect"):
        FileRead(tmp_path / "p.json", json.dumps(failed))
    with pytest.raises(SourceError, match=r"describes a dashboard .*\"Inspect > Data > Download CSV\""):
        FileRead(tmp_path / "p.json", json.dumps(dashboard))
