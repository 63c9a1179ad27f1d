"""Zabbix' API, real-time export, table dumps and plain text."""

import json

import pytest
from file_reading import START_S, FileRead

from monitor.errors import SourceError

ROW = {"itemid": "23296", "clock": str(START_S), "value": "0.085", "ns": "563157632"}
TREND = {
    "itemid": "1",
    "clock": str(START_S),
    "num": "60",
    "value_min": "1",
    "value_avg": "2",
    "value_max": "3",
}


@pytest.mark.parametrize(
    "wrap", [lambda rows: {"jsonrpc": "2.0", "result": rows, "id": 1}, lambda rows: rows]
)
def test_history_of_the_api_is_read_and_text_is_counted(tmp_path, wrap):
    read = FileRead(tmp_path / "a.json", json.dumps(wrap([ROW, {**ROW, "value": "down"}])))

    assert read.series == {'value{itemid="23296"}': [(563, 0.085)]}
    assert read.n_bad == {"bad_value": 1}


def test_trends_have_three_series(tmp_path):
    read = FileRead(tmp_path / "a.json", json.dumps([TREND]))

    assert read.values == {
        'value_min{itemid="1"}': [1.0], 'value_avg{itemid="1"}': [2.0], 'value_max{itemid="1"}': [3.0],
    }  # fmt: skip


def test_the_real_time_export_has_hosts_and_names(tmp_path):
    line = {
        "host": {"host": "web1", "name": "Web 1"},
        "itemid": 3,
        "name": "Load",
        "clock": START_S,
        "value": 1,
    }
    trend = {**line, "min": 1, "avg": 2, "max": 3}
    del trend["value"]

    read = FileRead(tmp_path / "a.ndjson", f"{json.dumps(line)}\n{json.dumps(trend)}\n")

    assert read.values['Load{host="web1",itemid="3"}'] == [1.0]
    assert read.values['Load{host="web1",itemid="3",statistic="avg"}'] == [2.0]


def test_a_dump_of_its_tables_is_read(tmp_path):
    history = FileRead(tmp_path / "a.csv", f"itemid,clock,value,ns\n1,{START_S},0.5,2000000\n2,x,7,1\n")

    assert history.series == {'value{itemid="1"}': [(2, 0.5)]}
    assert history.n_bad == {"bad_time": 1}
    assert history.read_as.startswith("read as zabbix")


def test_plain_text_is_read_by_its_seconds(tmp_path):
    content = (
        f"web1: Load\n\n2026-01-05 03:00:00 {START_S} 0.5\n2026-01-05 03:01:00\t{START_S + 60}\t0.7\ntorn\n"
    )

    read = FileRead(tmp_path / "web1.txt", content)

    assert read.series == {'value{entity="web1"}': [(0, 0.5), (60_000, 0.7)]}
    assert read.n_bad == {"bad_row": 1}


def test_an_error_of_the_api_is_an_error(tmp_path):
    error = {"jsonrpc": "2.0", "error": {"code": -32602, "message": "Invalid", "data": "no permission"}}

    with pytest.raises(SourceError, match="an error of Zabbix, not values: no permission"):
        FileRead(tmp_path / "a.json", json.dumps(error))
