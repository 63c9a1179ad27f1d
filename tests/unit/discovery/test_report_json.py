"""Everything that is found can be had as JSON."""

from __future__ import annotations

import json

from listed_cluster import line, report_on

from monitor.discovery.report_json import to_json


def test_everything_can_be_had_as_json():
    records = {"metrics": [[line(20), line(10)]], "empty": [[]]}
    seen = report_on(records, committed={("metrics", 0): 1}, watches=[{"name": "mine"}])

    facts = json.loads(json.dumps(to_json(seen, "x")))

    assert facts["topics"][0] == {
        "topic": "metrics",
        "partitions": 1,
        "records": 2,
        "lag": 1,
        "problem": "",
        "read": "last 60 s",
        "format": "influx",
        "records_read": 2,
        "keyed": 0,
        "samples": 2,
        "series": 1,
        "series_on_several_partitions": 0,
        "interval_seconds": 10.0,
        "rejected": {},
    }
    watch = {
        "by": ["host"],
        "series": 1,
        "channels": 1,
        "entities": ["h1"],
        "entities_on_several_partitions": [],
    }
    assert facts["watches"] == [{"name": "mine", **watch}]
    assert facts["suggested_watches"] == [{"name": "host", **watch}]
    assert facts["suggestion"] == "x"


def test_a_topic_of_which_nothing_was_read_has_its_size_and_the_problem():
    seen = report_on({"empty": [[], []]}, "empty", "xyz")

    facts = to_json(seen, "")

    assert facts["topics"] == [
        {"topic": "empty", "partitions": 2, "records": 0, "lag": None, "problem": "empty", "read": ""}
    ]
    assert (facts["missing"], facts["notes"]) == (["xyz"], ["no topic is named xyz: there is no other"])
