"""OTLP in JSON: how it writes things, and what is rejected for which reason."""

import pytest
from otlp_requests import GOOD, NS, TIME, json_metric, json_point, json_request, read_json

from monitor.sample import SeriesTable


@pytest.mark.parametrize("whole", ["12", 12, 12.0, "-0"])
def test_integers_are_text_or_numbers(whole):
    point = {"timeUnixNano": NS, "asInt": whole}

    assert read_json(json_request({}, json_metric("m", "gauge", point))) == ([("m", TIME, float(whole))], {})


@pytest.mark.parametrize(
    ("real", "value"), [("0.5", 0.5), (3, 3.0), ("1e3", 1000.0), ("-2", -2.0), (None, None), ("1e999", None)]
)
def test_reals_are_numbers_or_text_and_null_is_a_gap(real, value):
    assert read_json(json_request({}, json_metric("m", "gauge", json_point(asDouble=real)))) == (
        [("m", TIME, value)],
        {},
    )


def test_unknown_fields_and_nulls_are_passed_over():
    point = {**json_point(asDouble=1), "as_double": 7, "exemplars": [{"asDouble": 9}], "new": {"deep": [1]}}
    metric = {
        "name": "m",
        "sum": None,
        "gauge": {"dataPoints": [point], "data_points": [3]},
        "metadata": None,
    }
    request = {
        "resourceMetrics": [
            {
                "resource": None,
                "scopeMetrics": [{"scope": None, "metrics": [metric]}, {"metrics": None}],
                "schemaUrl": "x",
            },
            {"resource": {}, "scopeMetrics": None},
        ],
        "resource_metrics": [],
    }

    assert read_json(request) == ([("m", TIME, 1.0)], {})


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"resourceMetrics": []},
        {"resourceMetrics": None},
        json_request({}),
        json_request({}, json_metric("m", "gauge")),
    ],
)
def test_a_request_without_points_is_valid_in_json(request_):
    assert read_json(request_) == ([], {})


BAD_POINTS = [
    pytest.param({"asDouble": True}, "wrong_schema", id="truth for a number"),
    pytest.param({"asDouble": "high"}, "wrong_schema", id="a word for a number"),
    pytest.param({"asDouble": [1]}, "wrong_schema", id="a list for a number"),
    pytest.param({"asInt": "9223372036854775808"}, "wrong_schema", id="an integer beyond 64 bits"),
    pytest.param({"asInt": "1" * 5000}, "wrong_schema", id="an integer of 5000 digits"),
    pytest.param({"asInt": 1e30}, "wrong_schema", id="a number beyond 64 bits"),
    pytest.param({"asInt": 1.5}, "wrong_schema", id="a fraction for an integer"),
    pytest.param({"asInt": "1.5"}, "wrong_schema", id="a written fraction for an integer"),
    pytest.param({"asInt": True}, "wrong_schema", id="truth for an integer"),
    pytest.param({"asInt": "\u0661"}, "wrong_schema", id="another script's digit"),
    pytest.param({"asDouble": 1, "flags": "x"}, "wrong_schema", id="flags that are no number"),
    pytest.param({"asDouble": 1, "attributes": {}}, "wrong_schema", id="attributes no list"),
    pytest.param({"asDouble": 1, "attributes": [3]}, "wrong_schema", id="an attribute no object"),
    pytest.param({"asDouble": 1, "attributes": [{"key": 3}]}, "wrong_schema", id="a number for a key"),
    pytest.param(
        {"asDouble": 1, "attributes": [{"key": "a", "value": "b"}]}, "wrong_schema", id="a bare value"
    ),
    pytest.param(
        {"asDouble": 1, "attributes": [{"key": "a", "value": {"stringValue": 3}}]},
        "wrong_schema",
        id="a number for text",
    ),
    pytest.param(
        {"asDouble": 1, "attributes": [{"key": "a", "value": {"intValue": "x"}}]},
        "wrong_schema",
        id="text for an integer",
    ),
    pytest.param(
        {"asDouble": 1, "attributes": [{"key": "a", "value": {"boolValue": 1}}]},
        "wrong_schema",
        id="one for truth",
    ),
    pytest.param(
        {"asDouble": 1, "attributes": [{"key": "a", "value": {"arrayValue": [1]}}]},
        "wrong_schema",
        id="a bare list",
    ),
    pytest.param({"asDouble": 1, "timeUnixNano": "noon"}, "bad_time", id="a word for a time"),
    pytest.param({"asDouble": 1, "timeUnixNano": -1}, "bad_time", id="a time before 1970"),
    pytest.param(
        {"asDouble": 1, "timeUnixNano": "253402300800000000000"}, "bad_time", id="a time in the year 10000"
    ),
    pytest.param({"asDouble": 1, "timeUnixNano": 1 << 64}, "bad_time", id="a time beyond 64 bits"),
    pytest.param([], "wrong_schema", id="a point no object"),
]


@pytest.mark.parametrize(("point", "reason"), BAD_POINTS)
def test_a_bad_point_in_json_is_rejected_alone(point, reason):
    table = SeriesTable()
    bad = {"timeUnixNano": str(NS), **point} if isinstance(point, dict) else point
    request = json_request({}, json_metric("m", "gauge", json_point(asDouble=1), bad, json_point(asDouble=2)))

    rows, rejected = read_json(request, table=table)

    assert rows == [("m", TIME, 1.0), ("m", TIME, 2.0)]
    assert rejected == {reason: 1}
    assert len(table) == 1


@pytest.mark.parametrize(
    "point",
    [
        {"count": "-1"},
        {"count": 1.5},
        {"count": str(1 << 64)},
        {"count": 1, "sum": {}},
        {"count": 1, "bucketCounts": 1},
        {"count": 1, "bucketCounts": ["x"]},
        {"count": 1, "bucketCounts": [1, 1], "explicitBounds": [None]},
        {"count": 1, "bucketCounts": [1, 1], "explicitBounds": ["Infinity"]},
    ],
    ids=str,
)
def test_a_bad_point_of_a_histogram_is_rejected(point):
    request = json_request({}, json_metric("h", "histogram", {"timeUnixNano": NS, **point}))

    assert read_json(request) == ([], {"wrong_schema": 1})


@pytest.mark.parametrize(
    "metric",
    [
        3,
        {"gauge": {"dataPoints": []}},
        {"name": 3, "gauge": {}},
        {"name": "m", "gauge": []},
        {"name": "m", "gauge": {"dataPoints": {}}},
        {"name": "m", "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA"}},
        {"name": "m", "sum": {"isMonotonic": "yes"}},
        {
            "name": "m",
            "summary": {"dataPoints": [{"timeUnixNano": 1, "quantileValues": [{"quantile": None}]}]},
        },
        {"name": "m", "summary": {"dataPoints": [{"timeUnixNano": 1, "quantileValues": [0.5]}]}},
    ],
    ids=str,
)
def test_a_metric_in_json_that_is_none_is_rejected_alone(metric):
    assert read_json(json_request({}, metric, GOOD[1])) == ([("good", TIME, 1.0)], {"wrong_schema": 1})


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "invalid_json"),
        (b'{"resourceMetrics": [', "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"resourceMetrics": []} {}', "invalid_json"),
        (b'{"resourceMetrics": [{"resource": {"attributes": [{"key": "\\ud800"}]}}]}', "invalid_json"),
        (b"[]", "wrong_schema"),
        (b"3", "wrong_schema"),
        (b'{"resourceSpans": []}', "wrong_schema"),
        (b'{"resource_metrics": []}', "wrong_schema"),
        (b'{"resourceMetrics": {}}', "wrong_schema"),
        (b'{"resourceMetrics": [3]}', "wrong_schema"),
        (b'{"resourceMetrics": [{"resource": []}]}', "wrong_schema"),
        (b'{"resourceMetrics": [{"scopeMetrics": [[]]}]}', "wrong_schema"),
    ],
)
def test_a_payload_that_is_no_request_in_json_is_rejected(payload, reason):
    assert read_json(payload) == ([], {reason: 1})
