"""CSV of InfluxDB, versions 2 and 1."""

import math

import pytest
from file_reading import START_S, FileRead

from monitor.errors import SourceError

DAY = "2026-01-05T00:00:00Z,2026-01-06T00:00:00Z"
HEADER = ",result,table,_start,_stop,_time,_value,_field,_measurement,host"


def block(*rows, kind="double", result="_result"):
    """Write a schema with its rows: (table, time, value, host)."""
    return "\r\n".join([
        "#group,false,false,true,true,false,false,true,true,true",
        f"#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,{kind},string,string,string",
        f"#default,{result},,,,,,,,",
        HEADER,
        *(f",,{table},{DAY},{time},{value},usage,cpu,{host}" for table, time, value, host in rows),
        "",
        "",
    ])  # fmt: skip


FIRST = (0, "2026-01-05T00:00:00Z", "1.5", "a")


def test_tables_are_told_apart_by_their_tags_and_an_empty_value_is_a_gap(tmp_path):
    read = FileRead(tmp_path / "a.csv", block(FIRST, (1, "2026-01-05T00:00:00.5Z", "", "b")))

    assert read.series['cpu_usage{host="a"}'] == [(0, 1.5)]
    assert read.series['cpu_usage{host="b"}'][0][0] == 500
    assert math.isnan(read.values['cpu_usage{host="b"}'][0])


def test_several_yields_have_the_label_result(tmp_path):
    read = FileRead(tmp_path / "a.csv", block(FIRST, result="mean") + block(FIRST, kind="long", result="max"))

    assert set(read.series) == {'cpu_usage{host="a",result="mean"}', 'cpu_usage{host="a",result="max"}'}


def test_a_schema_may_change_in_the_file_and_texts_are_no_metric(tmp_path):
    other = (
        "#datatype,string,long,dateTime:RFC3339,boolean,string\n#group,false,false,false,false,true\n"
        "#default,_result,,,,\n,result,table,_time,_value,_field\n,,0,2026-01-05T00:00:00Z,true,up\n"
    )

    read = FileRead(tmp_path / "a.csv", block(FIRST) + block(FIRST, kind="string") + other)

    assert read.values == {'cpu_usage{host="a"}': [1.5], "up": [1.0]}
    assert "a table has no numbers" in read.warnings[0]


def test_a_file_without_annotations_is_read(tmp_path):
    content = f"{HEADER}\n,_result,0,{DAY},2026-01-05T00:00:00Z,1,usage,cpu,a\n"

    assert FileRead(tmp_path / "a.csv", content).series == {'cpu_usage{host="a"}': [(0, 1.0)]}
    without_first = content.replace("\n,", "\n").removeprefix(",")
    assert FileRead(tmp_path / "a.csv", without_first).series == {'cpu_usage{host="a"}': [(0, 1.0)]}


def test_a_pivoted_table_has_a_series_a_field(tmp_path):
    content = (
        "#group,false,false,true,true,false,true,true,false,false\n"
        "#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,string,string,double,long\n"
        "#default,_result,,,,,,,,\n,result,table,_start,_stop,_time,_measurement,id,temp,hum\n"
        f",,0,{DAY},2026-01-05T00:00:00Z,air,266,1,2\n"
    )

    assert FileRead(tmp_path / "a.csv", content).values == {
        'air_temp{id="266"}': [1.0],
        'air_hum{id="266"}': [2.0],
    }


def test_an_error_of_the_query_is_an_error(tmp_path):
    with pytest.raises(SourceError, match=r"an error of InfluxDB: no such bucket\. Run the query again"):
        FileRead(
            tmp_path / "a.csv",
            "#datatype,string,string\n#group,true,true\n#default,,\n,error,reference\n,no such bucket,\n",
        )


def test_csv_of_version_1_is_read(tmp_path):
    content = f'name,tags,time,idle,note\ncpu,"host=a,dc=x",{START_S}000000000,1,up\n'
    content += f"cpu,host=b,{START_S}000000000,3,\n"

    assert FileRead(tmp_path / "a.csv", content).series == {
        'cpu_idle{dc="x",host="a"}': [(0, 1.0)],
        'cpu_idle{host="b"}': [(0, 3.0)],
    }
