"""Saved answers of Prometheus, and VictoriaMetrics' export."""

import json
import math

import pytest
from file_reading import START_MS, START_S, FileRead

from monitor.errors import SourceError
from monitor.sample import Kind

SERIES = {
    "metric": {"__name__": "cpu", "instance": "a:9100"},
    "values": [[START_S, "0.5"], [START_S + 15.5, "1"]],
}
MATRIX = {"resultType": "matrix", "result": [SERIES]}


@pytest.mark.parametrize("name", ["prom.json", "prom.json.gz", "prom.txt"])
@pytest.mark.parametrize(
    "answer", [{"status": "success", "data": MATRIX}, MATRIX, [SERIES]], ids=["answer", "data", "list"]
)
def test_an_answer_is_read_whole_or_in_part(tmp_path, name, answer):
    read = FileRead(tmp_path / name, json.dumps(answer, indent=1))

    assert read.series == {'cpu{instance="a:9100"}': [(0, 0.5), (15_500, 1.0)]}


def test_a_vector_and_a_scalar_are_read(tmp_path):
    vector = {"resultType": "vector", "result": [{"metric": {"__name__": "up"}, "value": [START_S, "1"]}]}

    assert FileRead(tmp_path / "web1.json", json.dumps(vector)).series == {'up{entity="web1"}': [(0, 1.0)]}
    scalar = json.dumps({"resultType": "scalar", "result": [START_S, "5"]})
    assert FileRead(tmp_path / "web1.json", scalar).series == {'value{entity="web1"}': [(0, 5.0)]}


def test_a_counter_stays_a_counter_and_infinities_and_nan_are_kept(tmp_path):
    values = [[START_S, "+Inf"], [START_S + 1, "NaN"], [START_S + 2, "x"], "no pair"]
    answer = [{"metric": {"__name__": "requests_total"}, "values": values}]

    read = FileRead(tmp_path / "web1.json", json.dumps(answer))

    (name,) = read.kinds
    assert read.kinds[name] == Kind.COUNTER
    assert read.values[name][0] == math.inf
    assert math.isnan(read.values[name][1])
    assert read.n_bad == {"bad_value": 1, "wrong_schema": 1}


def test_native_histograms_are_counted(tmp_path):
    histogram = {"metric": {"__name__": "h"}, "histograms": [[START_S, {"count": "1", "sum": "1"}]]}
    answer = {"resultType": "matrix", "result": [SERIES, histogram]}

    assert FileRead(tmp_path / "a.json", json.dumps(answer)).n_bad == {"unsupported_type": 1}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"status": "error", "errorType": "bad_data", "error": "parse error"}, "bad_data: parse error"),
        ({"status": "success", "data": {"resultType": "string", "result": [1, "a"]}}, "holds no samples"),
        ({"status": "success", "data": {"resultType": "matrix", "result": []}}, "the query found no series"),
    ],
)
def test_an_answer_without_samples_says_why(tmp_path, answer, message):
    with pytest.raises(SourceError, match=message):
        FileRead(tmp_path / "a.json", json.dumps(answer))


def test_victoriametrics_lines_are_read(tmp_path):
    line = {
        "metric": {"__name__": "up", "job": "x"},
        "values": [1, None, "Infinity"],
        "timestamps": [START_MS, START_MS + 1, START_MS + 2],
    }
    uneven = {**line, "values": [1]}

    for name in ("vm.jsonl", "vm.json"):
        read = FileRead(tmp_path / name, f"{json.dumps(line)}\n{json.dumps(uneven)}\n")

        assert [time_ms for time_ms, _ in read.series['up{job="x"}']] == [0, 1, 2]
        assert read.values['up{job="x"}'][2] == math.inf
        assert read.n_bad == {"wrong_schema": 1}
    assert set(FileRead(tmp_path / "vm.jsonl", json.dumps(line)).series) == {'up{job="x"}'}
