"""OpenMetrics, the exposition format with times, and dumps of promtool."""

import math

import pytest
from file_reading import START_MS, START_S, FileRead

from monitor.errors import SourceError
from monitor.sample import Kind


def test_openmetrics_has_types_escapes_exemplars_and_seconds(tmp_path):
    content = (
        "# HELP reqs Requests.\n# TYPE reqs counter\n"
        f'reqs_total{{path="a\\"}}b"}} 5 {START_S}.5 # {{trace="x"}} 1\n'
        f'# TYPE lat histogram\nlat_bucket{{le="1"}} 3 {START_S}\n'
        f"# TYPE level_total gauge\nlevel_total 3 {START_S}\n"
        f'# TYPE size summary\nsize{{quantile="0.5"}} 3 {START_S}\nsize_count 3 {START_S}\n# EOF\n'
    )

    read = FileRead(tmp_path / "web1.om", content)

    assert read.series['reqs_total{path="a\\"}b"}'] == [(500, 5.0)]
    assert read.kinds == {
        'reqs_total{path="a\\"}b"}': Kind.COUNTER,
        'lat_bucket{le="1"}': Kind.COUNTER,
        'level_total{entity="web1"}': Kind.GAUGE,
        'size{quantile="0.5"}': Kind.GAUGE,
        'size_count{entity="web1"}': Kind.COUNTER,
    }


def test_a_dump_of_promtool_is_read_and_its_histograms_are_counted(tmp_path):
    content = (
        f'{{__name__="cpu", instance="a"}} 0.5 {START_MS}\n'
        f'{{__name__="cpu", instance="a"}} NaN {START_MS + 1000}\n'
        f'{{__name__="h", instance="a"}} {{count:5, sum:1}} {START_MS}\n'
    )

    read = FileRead(tmp_path / "dump.txt", content)

    assert read.series['cpu{instance="a"}'][0] == (0, 0.5)
    assert math.isnan(read.values['cpu{instance="a"}'][1])
    assert read.n_bad == {"unsupported_type": 1}


def test_a_dump_that_begins_with_a_quoted_name_is_no_json(tmp_path):
    assert FileRead(tmp_path / "d.txt", f'{{"disk.used", host="a"}} 1 {START_MS}\n').series == {
        'disk.used{host="a"}': [(0, 1.0)]
    }


def test_what_cannot_be_read_is_counted(tmp_path):
    content = f'# TYPE up gauge\nup{{a="b"}} 1 {START_MS}\nup{{a="c"}} 1\nup{{a= 1\nup{{a="d"}} 1 17675'

    read = FileRead(tmp_path / "a.prom", content)

    assert read.series == {'up{a="b"}': [(0, 1.0)]}
    assert read.n_bad == {"no_time": 1, "invalid_line": 1, "bad_time": 1}


def test_the_answer_of_a_scrape_has_no_times_and_says_what_has(tmp_path):
    with pytest.raises(SourceError, match=r"none of 1 samples has a time: .*promtool tsdb dump-openmetrics"):
        FileRead(tmp_path / "a.prom", "# TYPE up gauge\nup 1\n")
