from __future__ import annotations

import base64
import json

import pytest
from command_line import barograph


def capture(folder, *payloads, topic="metrics"):
    """Write a dumped topic."""
    lines = []
    for offset, payload in enumerate(payloads):
        record = {"topic": topic, "partition": 0, "offset": offset, "timestamp": 1_700_000_000_000}
        lines.append(json.dumps({**record, "value": base64.b64encode(payload).decode()}))
    (folder / "dump.jsonl").write_text("\n".join(lines) + "\n")


def test_decoding_to_json_writes_samples_and_nothing_else_to_stdout(tmp_path):
    capture(
        tmp_path,
        b"cpu,host=a idle=1.5,busy=2i 1700000000000000000\n",
        b"no line",
        b"mem,host=\xc3\xa9 used=3 1700000000000000000\n",
    )

    ended = barograph("decode", "--json", "dump.jsonl", cwd=tmp_path)

    assert ended.returncode == 0
    assert [json.loads(line) for line in ended.stdout.splitlines()] == [
        {"name": "cpu_idle", "labels": {"host": "a"}, "time_ms": 1_700_000_000_000, "value": 1.5},
        {"name": "cpu_busy", "labels": {"host": "a"}, "time_ms": 1_700_000_000_000, "value": 2.0},
        {"name": "mem_used", "labels": {"host": "é"}, "time_ms": 1_700_000_000_000, "value": 3.0},
    ]
    assert "metrics: read as influx" in ended.stderr
    assert "metrics[0]@1: invalid_line: " in ended.stderr
    assert (
        "3 records: 3 samples of 3 series, 0 gaps, 0 stale markers; rejected: invalid_line 1" in ended.stderr
    )


def test_decoding_shows_a_table(tmp_path):
    (tmp_path / "one.txt").write_text("web1.load 0.5 1700000000\n")

    ended = barograph("decode", "--format", "graphite", "one.txt", cwd=tmp_path)

    assert ended.returncode == 0
    assert "web1.load" in ended.stdout
    assert "2023-11-14T22:13:20.000Z" in ended.stdout


def test_auto_detects_the_format_of_each_file_without_a_topic(tmp_path):
    (tmp_path / "a").write_text("web1.load 0.5 1700000000\n")
    (tmp_path / "b").write_text("load v=0.5 1700000000000000000\n")

    ended = barograph("decode", "--json", "a", "b", cwd=tmp_path)

    assert (ended.returncode, len(ended.stdout.splitlines())) == (0, 2)
    assert ended.stderr.startswith("a: read as graphite\nb: read as influx\n")


def test_a_configuration_brings_mappings_and_formats_of_topics(tmp_path):
    capture(tmp_path, b'{"m": "load", "v": 2, "t": 1700000000}')
    (tmp_path / "c.toml").write_text(
        '[decode.topics]\n"met*" = "mapped:own"\n[decode.mapped.own]\n'
        'name = "{m}"\nvalues = ["v"]\ntime = "t"\n[[watch]]\nname = "w"\n'
    )

    ended = barograph("decode", "--json", "--config", "c.toml", "dump.jsonl", cwd=tmp_path)

    assert [json.loads(line)["name"] for line in ended.stdout.splitlines()] == ["load"]


def test_when_no_record_can_be_read_the_exit_code_says_so(tmp_path):
    capture(tmp_path, b"{", b"no line")

    ended = barograph("decode", "--format", "influx", "--json", "dump.jsonl", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert (
        ended.stderr.splitlines()[-1] == "barograph: none of 2 records could be read: the lines above say why"
    )


def test_an_empty_record_that_is_valid_counts_as_read(tmp_path):
    capture(tmp_path, b"\x00")

    assert (
        barograph("decode", "--format", "remote_write", "--json", "dump.jsonl", cwd=tmp_path).returncode == 0
    )


@pytest.mark.parametrize("name", ["protobuf", "mapped", "mapped:own"])
def test_a_format_that_is_none_is_a_usage_error_in_one_line(tmp_path, name):
    ended = barograph("decode", "--format", name, "dump.jsonl", cwd=tmp_path)

    assert ended.returncode == 2
    assert ended.stderr.startswith(f'--format "{name}" ')
    assert len(ended.stderr.splitlines()) == 1


def test_a_file_that_is_not_there_ends_in_one_line(tmp_path):
    ended = barograph("decode", "nowhere.jsonl", cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr.startswith("barograph: cannot read nowhere.jsonl: ")
    assert len(ended.stderr.splitlines()) == 1
