"""The files that a configuration names, read with its settings."""

import base64
import json

import pytest

from monitor.config.explain import parse_config
from monitor.errors import SourceError
from monitor.files.recorded import recorded_files
from monitor.sample import SeriesTable


def config_of(folder, decode=None, **replay):
    source = {"kind": "replay", "replay": {"paths": [str(folder)], **replay}}
    document = {"source": source, "decode": decode or {}, "watch": [{"name": "web"}]}
    return parse_config(document, origin="test")


def read(config, **options):
    """Give the series with their times, and the counts of what was bad."""
    table = SeriesTable()
    recorded = recorded_files(config, table, **options)
    series = {}
    for number, time_ms in zip(
        recorded.columns.series.tolist(), recorded.columns.time_ms.tolist(), strict=True
    ):
        series.setdefault(str(table[number]), []).append(time_ms)
    return series, dict(recorded.n_bad)


def test_tables_are_read_with_the_settings_of_the_replay(tmp_path):
    (tmp_path / "web1.csv").write_text("when,cpu,note,split\n1,5,0,a\n2,6,0,a\n3,7,0,b\n4,8,0,a\n5,9,0,a\n")

    config = config_of(
        tmp_path,
        time_column="when",
        time_unit="s",
        exclude=["note", "split"],
        where={"split": "a"},
        start="1970-01-01T00:00:02Z",
        end="1970-01-01T00:00:05Z",
    )

    assert read(config) == ({'cpu{entity="web1"}': [2000, 4000]}, {})


def test_a_share_of_each_file_may_be_read(tmp_path):
    (tmp_path / "web1.csv").write_text("timestamp,cpu\n" + "".join(f"{1000 * k},1\n" for k in range(11)))

    config = config_of(tmp_path, time_unit="ms")

    assert read(config, first_share=0.3) == ({'cpu{entity="web1"}': [0, 1000, 2000]}, {})


def dumped(topic, payload):
    """Write a record as a line of a dumped topic."""
    return json.dumps({"topic": topic, "value": base64.b64encode(payload).decode(), "headers": []}) + "\n"


def test_dumped_topics_are_read_in_their_configured_formats_and_the_log_says_which(tmp_path, caplog):
    lines = (
        dumped("paths", b"load 7 3\n") + dumped("cpu", b"cpu,host=a idle=1 2000000000\n") + dumped("x", b"-")
    )
    (tmp_path / "dump.jsonl").write_text(lines)
    caplog.set_level("INFO")

    read_as = read(config_of(tmp_path, decode={"topics": {"pat*": "graphite"}}))

    assert read_as == ({"load": [3000], 'cpu_idle{host="a"}': [2000]}, {"unknown_format": 1})
    assert [record.getMessage() for record in caplog.records] == [
        "topic read topic=paths format=graphite",
        "topic read topic=cpu format=influx",
        "topic read topic=x format=unknown",
    ]


def test_single_samples_have_the_configured_field_names(tmp_path):
    (tmp_path / "any.jsonl").write_text('{"metric": "load", "ts": 3, "v": 1}\n')
    fields = {"name": "metric", "time": "ts", "value": "v"}

    assert read(config_of(tmp_path, decode={"native_sample": fields})) == ({"load": [3000]}, {})


def test_paths_that_lead_nowhere_are_an_error(tmp_path):
    with pytest.raises(SourceError, match="nothing to replay at"):
        read(config_of(tmp_path / "nowhere"))
