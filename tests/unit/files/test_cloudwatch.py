"""Answers of CloudWatch, metric streams and the console's CSV."""

import json

import pytest
from file_reading import START_MS, START_S, FileRead

from monitor.errors import SourceError

LATER, EARLIER = "2026-01-05T00:01:00Z", "2026-01-05T00:00:00+00:00"


def test_get_metric_data_is_read_in_the_order_of_time(tmp_path):
    results = [
        {"Id": "m1", "Label": "CPUUtilization", "Timestamps": [LATER, EARLIER], "Values": [2.0, 1.0]},
        {"Id": "m2", "Label": "none", "Timestamps": [], "Values": []},
    ]

    read = FileRead(tmp_path / "web1.json", json.dumps({"MetricDataResults": results, "Messages": []}))

    assert read.series == {'CPUUtilization{entity="web1",id="m1"}': [(0, 1.0), (60_000, 2.0)]}
    assert "none has no values" in read.warnings[0]


@pytest.mark.parametrize("times", [(LATER, EARLIER), (START_S + 60.0, float(START_S))])
def test_get_metric_statistics_has_a_series_a_statistic(tmp_path, times):
    points = [
        {"Timestamp": times[0], "Average": 2.0, "Unit": "Percent", "ExtendedStatistics": {"p99": 9}},
        {"Timestamp": times[1], "Average": 1.0, "Unit": "Percent"},
    ]

    read = FileRead(tmp_path / "web1.json", json.dumps({"Label": "CPUUtilization", "Datapoints": points}))

    assert read.series == {
        'CPUUtilization{entity="web1",statistic="Average"}': [(0, 1.0), (60_000, 2.0)],
        'CPUUtilization{entity="web1",statistic="p99"}': [(60_000, 9.0)],
    }


def test_lists_of_unequal_length_are_an_error(tmp_path):
    results = [{"Id": "m1", "Label": "cpu", "Timestamps": [LATER], "Values": [1, 2]}]

    with pytest.raises(SourceError, match="cpu has 1 timestamps and 2 values"):
        FileRead(tmp_path / "web1.json", json.dumps({"MetricDataResults": results}))


def test_a_metric_stream_is_read(tmp_path):
    line = {
        "metric_stream_name": "s", "namespace": "AWS/EC2", "metric_name": "CPU", "dimensions": {"id": "i-1"},
        "timestamp": START_MS, "value": {"max": 2, "min": 1, "sum": 3, "count": 2}, "unit": "Percent",
    }  # fmt: skip

    read = FileRead(tmp_path / "a.json", f"{json.dumps(line)}\n{json.dumps(line)}\n")

    assert read.values['CPU{id="i-1",namespace="AWS/EC2",statistic="max"}'] == [2.0, 2.0]


def test_the_consoles_csv_names_metrics_above_their_values(tmp_path):
    content = (
        "Full label,CPUUtilization i-1,CPUUtilization i-2\nLabel,CPUUtilization,CPUUtilization\n"
        "InstanceId,i-1,i-2\nPeriod,300,300\n2026/01/05 00:00:00,1.5,2\n2026/01/05 00:05:00,2.5,3\n"
    )

    assert FileRead(tmp_path / "a.csv", content).values == {
        'CPUUtilization{entity="a",instanceid="i-1",label="CPUUtilization i-1"}': [1.5, 2.5],
        'CPUUtilization{entity="a",instanceid="i-2",label="CPUUtilization i-2"}': [2.0, 3.0],
    }
