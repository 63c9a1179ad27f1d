"""Captures: which files are such, and what their lines hold."""

import base64
import gzip
import json

import pytest

from monitor.decode.record import Record
from monitor.errors import SourceError
from monitor.files.captures import read_capture


def b64(raw):
    return None if raw is None else base64.b64encode(raw).decode()


def kafka_line(value=b"load 1\n", **changed):
    """Write a record as a dump of a topic has it, some of its fields changed."""
    line = {
        "topic": "metrics", "partition": 2, "offset": 17, "timestamp": 1_700_000_000_123, "timestamp_type": 0,
        "key": b64(b"web1"), "value": b64(value), "headers": [], **changed,
    }  # fmt: skip
    return json.dumps(line)


def http_line(body=b"\x00", **changed):
    return json.dumps(
        {"path": "/write", "headers": {"content-encoding": "snappy"}, "body": b64(body), **changed}
    )


@pytest.fixture
def captured(tmp_path):
    """Write a file of lines or bytes; give what it holds."""

    def read(*lines, name="dump.jsonl"):
        file = tmp_path / name
        content = lines[0] if isinstance(lines[0], bytes) else "".join(f"{line}\n" for line in lines).encode()
        file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        there = f"{tmp_path}/"
        return [
            (record.topic.replace(there, ""), record.record, record.location.replace(there, ""))
            for record in read_capture(file)
        ]

    return read


@pytest.mark.parametrize("name", ["dump.jsonl", "dump.jsonl.gz", "dump"])
def test_a_line_of_a_dumped_topic_is_a_record_with_its_place(captured, name):
    headers = [["content-type", b64(b"text/plain")], ["empty", None]]

    assert captured(
        kafka_line(), kafka_line(b"\xff\x00", topic="other", offset=18, headers=headers), name=name
    ) == [
        ("metrics", Record(b"load 1\n", 1_700_000_000_123), "metrics[2]@17"),
        (
            "other",
            Record(b"\xff\x00", 1_700_000_000_123, (("content-type", b"text/plain"), ("empty", b""))),
            "other[2]@18",
        ),
    ]


def test_a_line_of_captured_requests_has_the_headers_of_http(captured):
    (record,) = captured(http_line(timestamp=5))

    assert record == ("dump.jsonl", Record(b"\x00", 5, (("content-encoding", b"snappy"),)), "dump.jsonl:1")


def test_a_record_without_a_value_holds_nothing(captured):
    assert [record.value for _, record, _ in captured(kafka_line(None), kafka_line(b""))] == [b"", b""]


def test_a_line_without_partition_and_offset_is_named_by_its_number(captured):
    line = json.dumps({"topic": "metrics", "value": b64(b"a")})

    assert [(record, place) for _, record, place in captured(line, "", line)] == [
        (Record(b"a"), "dump.jsonl:1"),
        (Record(b"a"), "dump.jsonl:3"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        '{"name": "load", "labels": {}, "time": 1, "value": 2}',
        '{"name": "load", "value": "1234", "timestamp": "2026-01-01T00:00:00Z"}',
        "load 1 1700000000",
        "[1, 2]",
        "3",
        json.dumps({"value": b64(b"a")}),
        json.dumps({"topic": "a"}),
        kafka_line(value=b"a", headers=["a"]),
        kafka_line(value=b"a", headers=[["a", 3]]),
        kafka_line(value=b"a", headers=[[3, "YQ=="]]),
        kafka_line(value=b"a", headers="a"),
        kafka_line(value=b"a", topic=3),
        http_line(headers={"a": 3}),
        json.dumps({"topic": "a", "value": "no base64!"}),
        json.dumps({"topic": "a", "value": "YQ"}),
        json.dumps({"topic": "a", "value": "é"}),
        json.dumps({"topic": "a", "value": 3}),
    ],
)
def test_any_other_file_is_one_payload(captured, line):
    assert captured(line) == [("dump.jsonl", Record(f"{line}\n".encode()), "dump.jsonl")]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00\xff\r\n\x80"])
def test_bytes_are_one_payload_as_they_are(captured, content):
    assert captured(content) == [("dump.jsonl", Record(content), "dump.jsonl")]


def test_a_torn_capture_is_one_payload_and_its_place_says_which_line_is_to_blame(captured):
    lines = [kafka_line(), kafka_line(), kafka_line()[:-20]]

    assert captured(*lines) == [
        (
            "dump.jsonl",
            Record("".join(f"{line}\n" for line in lines).encode()),
            "dump.jsonl (read as one payload: line 3 is no record)",
        )
    ]


@pytest.mark.parametrize("timestamp", [None, "5", True, 1.5])
def test_a_time_that_is_no_whole_number_is_none(captured, timestamp):
    assert [record.time_ms for _, record, _ in captured(kafka_line(timestamp=timestamp))] == [-1]


@pytest.mark.parametrize(
    ("name", "content"),
    [("torn.gz", gzip.compress(b"x" * 100, mtime=0)[:-9]), ("plain.gz", b"x"), ("nowhere", None)],
)
def test_a_file_that_cannot_be_read_is_one_line_with_its_name(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(SourceError) as caught:
        read_capture(tmp_path / name)

    assert str(caught.value).startswith(f"cannot read {tmp_path / name}: ")
    assert "\n" not in str(caught.value)
