"""Formats recognised by the records themselves."""

import pytest
from payloads import PAYLOADS, TIME, decoded
from protobuf_writer import gauge, number_point, resource_metrics, sample, series_1, snappy

from monitor.decode.detect import AutoDecoder, sniff
from monitor.decode.formats import FormatSettings
from monitor.decode.native import SampleFields
from monitor.decode.record import Record

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
    [
        b"",
        b"  \n",
        b"{}",
        b"[]",
        b"null",
        b"3",
        b'{"a": 1}',
        b"[[1]]",
        b"hello world\n",
        b"\xff\xfe\x00\x01",
        b"{" * 1000,
        b"up 1\n",
        b'{"metrics": [{"name": "x"}]}',
        b'{"name": "req", "timestamp": 1, "value": 1.0, "tags": ["env:prod"], "type": "gauge"}',
    ],
    ids=repr,
)
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
    assert [(rejection.index, rejection.reason) for rejection in got.rejections] == [
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

    assert [rejection.reason for rejection in got.rejections] == ["other_format"]
