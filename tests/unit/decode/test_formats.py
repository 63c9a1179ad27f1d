"""Formats by name, and told by the records themselves."""

import json

import pytest
from protobuf_writer import gauge, number_point, resource_metrics, sample, series_1, snappy

from monitor.decode.detect import AutoDecoder, sniff
from monitor.decode.formats import FORMATS, FormatSettings
from monitor.decode.mapped_json import JsonMapping
from monitor.decode.native import SampleFields
from monitor.decode.record import Limits, Record
from monitor.decode.topic_decoders import TopicDecoders, build_decoder
from monitor.sample import SeriesTable

TIME = 1_700_000_000

PAYLOADS = {
    "native_columns": b'{"labels": {}, "time_ms": [1700000000000], "metrics": {"load": [1]}}',
    "native_sample": b'{"name": "load", "labels": {}, "time": 1700000000, "value": 1}',
    "influx": f'cpu,host=web1 usage=1.5,note="x" {TIME}000000000\n'.encode(),
    "telegraf_json": json.dumps(
        {"fields": {"usage": 1.5}, "name": "cpu", "tags": {}, "timestamp": TIME}
    ).encode(),
    "prometheus_adapter": b'{"value": "1", "timestamp": "2023-11-14T22:13:20Z", "name": "up", "labels": {"__name__": "up"}}',
    "remote_write": snappy(series_1({"__name__": "up", "job": "api"}, sample(1.0, TIME * 1000))),
    "otlp_json": b'{"resourceMetrics": []}',
    "otlp_proto": resource_metrics({"host": "web1"}, gauge("up", number_point(TIME * 10**9, real=1.0))),
    "collectd_json": json.dumps(
        [
            {
                "values": [1],
                "dstypes": ["gauge"],
                "dsnames": ["value"],
                "time": TIME,
                "host": "a",
                "plugin": "load",
                "type": "load",
            }
        ]
    ).encode(),
    "graphite": f"servers.web1.load 0.5 {TIME}\r\n".encode(),
}
MAPPING = JsonMapping(name="m", values=("v",))


def decoded(decoder, *payloads):
    return decoder([Record(payload) for payload in payloads], SeriesTable())


# By name


def test_every_format_has_a_payload_here():
    assert set(PAYLOADS) == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_built_by_its_name_and_reads_its_own_payload(name):
    assert decoded(build_decoder(name), PAYLOADS[name]).rejected == {}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_keeps_to_the_limits_that_it_is_built_with(name):
    settings = FormatSettings(limits=Limits(max_record_bytes=5))

    assert decoded(build_decoder(name, settings), PAYLOADS[name]).rejected == {"too_large": 1}


def test_a_mapping_is_a_format_by_its_name_or_as_the_only_one():
    one = FormatSettings(mappings={"mine": MAPPING})
    payload = b'{"v": 2, "timestamp": 1700000000}'

    for name in ("mapped:mine", "mapped"):
        assert decoded(build_decoder(name, one), payload).columns.value.tolist() == [2.0]


@pytest.mark.parametrize(
    ("name", "mappings", "message"),
    [
        ("json", {}, '"json" is no format, expected one of auto, native_columns, native_sample, influx'),
        ("mapped", {}, "a \\[decode.mapped.<name>\\] table first"),
        ("mapped", {"a": MAPPING, "b": MAPPING}, 'expected "mapped:a", "mapped:b"'),
        ("mapped:c", {"a": MAPPING}, '"mapped:c" is no format, expected one of auto, .*, mapped:a'),
    ],
)
def test_an_unknown_format_is_refused_with_the_known_ones(name, mappings, message):
    with pytest.raises(ValueError, match=message):
        build_decoder(name, FormatSettings(mappings=mappings))


# Told by the record


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_record_tells_its_format(name):
    assert sniff(Record(PAYLOADS[name])) == name


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (b'{"metrics": [{"fields": {"a": 1}, "name": "b", "tags": {}, "timestamp": 1}]}', "telegraf_json"),
        (b"cpu usage=1\n", "influx"),  # without a time
        (b'system uptime_format=" 0:20" 1700000000000000000\n', "influx"),  # without a number
        (b"a 1 -1\nb 2 -1\n", "graphite"),
        (b"\x00", "remote_write"),  # Telegraf's empty request
        (snappy(b""), "remote_write"),
    ],
    ids=repr,
)
def test_unusual_records_tell_their_format_too(payload, name):
    assert sniff(Record(payload)) == name


def test_a_compressed_request_that_begins_with_a_brace_is_no_json():
    request = next(
        snappy(series_1({"__name__": "x" * n}, sample(1.0, 1)))
        for n in range(150)
        if len(series_1({"__name__": "x" * n}, sample(1.0, 1))) == 123
    )  # its length is written as the byte of an opening brace

    assert request[:1] == b"{"
    assert sniff(Record(request)) == "remote_write"


@pytest.mark.parametrize(
    "payload",
    [b"", b"  \n", b"{}", b"[]", b"null", b"3", b'{"a": 1}', b"[[1]]", b"hello world\n", b"\xff\xfe\x00\x01", b"{" * 1000, b"up 1\n",
     b'{"metrics": [{"name": "x"}]}', b'{"name": "req", "timestamp": 1, "value": 1.0, "tags": ["env:prod"], "type": "gauge"}'],
    ids=repr,
)  # fmt: skip
def test_what_could_be_anything_tells_nothing(payload):
    assert sniff(Record(payload)) is None


def test_a_header_tells_remote_write_whatever_the_body_is():
    assert sniff(Record(b"", headers=(("X-Prometheus-Remote-Write-Version", b"2.0.0"),))) == "remote_write"


def test_a_native_sample_is_told_by_the_configured_field_names():
    settings = FormatSettings(native_sample=SampleFields(name="metric", time="ts", value="v"))

    assert sniff(Record(b'{"metric": "load", "ts": 1, "v": 1}'), settings) == "native_sample"
    assert sniff(Record(PAYLOADS["native_sample"]), settings) is None


# Auto


def test_a_topic_is_read_in_the_format_that_its_first_telling_record_has():
    auto = AutoDecoder()

    got = decoded(auto, b"", PAYLOADS["influx"], PAYLOADS["influx"])

    assert auto.format == "influx"
    assert got.columns.value.tolist() == [1.5, 1.5]
    assert got.rejected == {}  # an empty record is no bad one in line protocol


def test_records_that_tell_nothing_are_rejected_until_one_does():
    auto = AutoDecoder()

    assert decoded(auto, b"hello", b'{"a": 1}').rejected == {"unknown_format": 2}
    assert auto.format is None
    assert decoded(auto, PAYLOADS["graphite"]).rejected == {}
    assert auto.format == "graphite"


def test_a_topic_keeps_its_format_and_a_record_in_another_one_is_told():
    auto = AutoDecoder()
    decoded(auto, PAYLOADS["telegraf_json"])

    got = decoded(auto, PAYLOADS["telegraf_json"], PAYLOADS["influx"], b"hello", PAYLOADS["collectd_json"])

    assert auto.format == "telegraf_json"
    assert len(got.columns) == 1
    assert [(one.index, one.reason) for one in got.rejections] == [
        (1, "other_format"),
        (2, "invalid_json"),
        (3, "other_format"),
    ]
    assert "it is influx, and this topic is read as telegraf_json" in got.rejections[0].detail


def test_a_bad_record_in_the_topic_s_own_format_keeps_its_reason():
    auto = AutoDecoder()

    got = decoded(auto, PAYLOADS["influx"], b"cpu usage=1 5\ncpu usage=\n", b"cpu usage=2")

    assert got.rejected == {"invalid_line": 1, "bad_time": 1}
    assert got.columns.value.tolist() == [1.5, 1.0]


def test_a_record_in_another_format_is_told_once():
    auto = AutoDecoder()
    decoded(auto, PAYLOADS["influx"])
    binary = resource_metrics({"a": "\n\n"}, gauge("up", number_point(TIME * 10**9, real=1.0)))

    got = decoded(auto, binary)

    assert [one.reason for one in got.rejections] == ["other_format"]


# Topics


def test_each_topic_has_one_decoder_of_the_first_format_whose_pattern_fits():
    topics = TopicDecoders(FormatSettings(), {"tele-*": "influx", "*-json": "telegraf_json"})

    assert [topics.format_of(topic) for topic in ("tele-json", "x-json", "other")] == [
        "influx",
        "telegraf_json",
        "auto",
    ]
    assert topics.of("other") is topics.of("other")
    assert topics.of("other") is not topics.of("another")


def test_the_formats_in_use_are_told():
    topics = TopicDecoders(FormatSettings(), {"tele-*": "influx"})

    for topic in ("tele-a", "known", "unknown"):
        topics.of(topic)
    decoded(topics.of("known"), PAYLOADS["graphite"])

    assert topics.in_use() == {"tele-a": "influx", "known": "graphite", "unknown": None}


def test_a_default_other_than_auto_is_for_every_topic_without_a_format():
    assert TopicDecoders(FormatSettings(), {}, "influx").format_of("any") == "influx"
