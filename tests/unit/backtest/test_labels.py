import numpy as np
import pandas as pd
import pytest

from monitor.backtest.evaluate import Incident
from monitor.backtest.labels import incidents_in_files, incidents_of_flags, read_incidents
from monitor.config.explain import parse_config
from monitor.errors import ConfigError


def test_a_file_of_incidents_is_read_with_entities_and_kinds(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text(
        "kind,start,end,entity\nleak,2026-01-01T00:00:00Z,2026-01-01T00:01:00Z,web1\n,1767225720000,1767225780000,\n"
    )

    assert read_incidents(file) == [
        Incident(1767225600000, 1767225660000, "web1", "leak"),
        Incident(1767225720000, 1767225780000),
    ]


def test_the_labels_of_a_recording_are_read_too(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("kind,strength,start_ms,end_ms\ncpu_hog,0.5,1000,2000\n")

    assert read_incidents(file) == [Incident(1000, 2000, "", "cpu_hog")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "expected the columns start and end; it has a, b"),
        ("", "it has none"),
        ("start,end\n1000,500\n", "line 2: found start '1000' and end '500'"),
        ("start,end\nyesterday,500\n", "line 2, start: found 'yesterday'"),
        ("start,end\n1000\n", "line 2: found start '1000' and end None"),
    ],
)
def test_what_is_no_list_of_incidents_is_refused_with_its_place(tmp_path, text, message):
    file = tmp_path / "labels.csv"
    file.write_text(text)

    with pytest.raises(ConfigError, match=message):
        read_incidents(file)


def test_a_missing_file_is_a_wrong_option(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.csv: cannot be read"):
        read_incidents(tmp_path / "none.csv")


def test_neighbouring_flagged_rows_are_one_incident():
    times = np.arange(0, 70, 10)
    flags = np.array([0, 1, 1, 0, 0, 0, 1], bool)

    assert incidents_of_flags(times, flags, entity="a") == [Incident(10, 30, "a"), Incident(60, 70, "a")]
    assert incidents_of_flags(times, flags & False, entity="a") == []


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_label_columns_of_wide_files_are_incidents_of_their_entity(tmp_path, suffix):
    frame = pd.DataFrame(
        {
            "timestamp": [0, 60, 120, 180],
            "load": [1.0, 2.0, 3.0, 4.0],
            "label": [0, 1, 0, 0],
            "label_kind": ["", "spike", "normal", "drift"],
        }
    )
    file = tmp_path / f"web1.{suffix}"
    frame.to_parquet(file) if suffix == "parquet" else frame.to_csv(file, index=False)
    pd.DataFrame({"time": [1], "name": ["label"], "value": [1]}).to_csv(tmp_path / "long.csv", index=False)

    assert incidents_in_files(_config(tmp_path)) == [
        Incident(60_000, 120_000, "web1"),
        Incident(180_000, 240_000, "web1"),
    ]


def test_rows_without_a_time_are_left_out(tmp_path):
    (tmp_path / "web1.csv").write_text("timestamp,load,label\n0,1,0\nnever,1,1\n60,1,1\n")

    assert incidents_in_files(_config(tmp_path)) == [Incident(60_000, 120_000, "web1")]


def test_iso_times_are_read(tmp_path):
    (tmp_path / "web1.csv").write_text(
        "timestamp,load,label\n1970-01-01T00:00:00Z,1,true\n1970-01-01T00:01:00Z,1,False\n"
    )

    assert incidents_in_files(_config(tmp_path, time_unit="iso")) == [Incident(0, 60_000, "web1")]


def _config(folder, time_unit="s"):
    replay = {"paths": [str(folder)], "time_unit": time_unit}
    return parse_config(
        {"source": {"kind": "replay", "replay": replay}, "watch": [{"name": "w"}]}, origin="test"
    )
